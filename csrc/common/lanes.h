// As many numbers as fit 32 bytes, added and multiplied together.  Arrays of these stay in
// registers, where g++ keeps an array of numbers in memory and a loop over it in parts.
#pragma once

#include "common/macros.h"

#if defined(__GNUC__)  // and clang++
template <typename REAL>
struct BhLanesOf {
    typedef REAL type __attribute__((vector_size(32), aligned(sizeof(REAL)), may_alias));
};
template <typename REAL>
using BhLanes = typename BhLanesOf<REAL>::type;

#if defined(__clang__)
#define BH_MIX(INT, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define BH_MIX(INT, x, y, ...) \
    __builtin_shuffle(x, y, typename BhLanesOf<INT>::type{__VA_ARGS__})
#endif

// The sums of as many vectors as a vector has numbers, in their order.
BH_HD void bh_sum_each(BhLanes<float>& sums, const BhLanes<float>* x) {
    BhLanes<float> two[4], four[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i, x += 2)
        two[i] = BH_MIX(int, x[0], x[1], 0, 8, 1, 9, 4, 12, 5, 13) +
                 BH_MIX(int, x[0], x[1], 2, 10, 3, 11, 6, 14, 7, 15);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i)
        four[i] = BH_MIX(int, two[2 * i], two[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
                  BH_MIX(int, two[2 * i], two[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    sums = BH_MIX(int, four[0], four[1], 0, 1, 2, 3, 8, 9, 10, 11) +
           BH_MIX(int, four[0], four[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

BH_HD void bh_sum_each(BhLanes<double>& sums, const BhLanes<double>* x) {
    const BhLanes<double> left = BH_MIX(long long, x[0], x[1], 0, 4, 2, 6) +
                                 BH_MIX(long long, x[0], x[1], 1, 5, 3, 7);
    const BhLanes<double> right = BH_MIX(long long, x[2], x[3], 0, 4, 2, 6) +
                                  BH_MIX(long long, x[2], x[3], 1, 5, 3, 7);
    sums = BH_MIX(long long, left, right, 0, 1, 4, 5) + BH_MIX(long long, left, right, 2, 3, 6, 7);
}
// As many vectors as a vector has numbers: rows become columns.
BH_HD void bh_transpose(BhLanes<float>* x) {
#pragma GCC unroll 3
    for (int stage = 0; stage < 3; ++stage) {
        BhLanes<float> y[8];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            y[2 * i] = BH_MIX(int, x[i], x[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
            y[2 * i + 1] = BH_MIX(int, x[i], x[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) x[i] = y[i];
    }
}

BH_HD void bh_transpose(BhLanes<double>* x) {
#pragma GCC unroll 2
    for (int stage = 0; stage < 2; ++stage) {
        BhLanes<double> y[4];
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
            y[2 * i] = BH_MIX(long long, x[i], x[i + 2], 0, 4, 1, 5);
            y[2 * i + 1] = BH_MIX(long long, x[i], x[i + 2], 2, 6, 3, 7);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) x[i] = y[i];
    }
}
#else
template <typename REAL>
struct BhLanes {
    REAL v[32 / sizeof(REAL)];
    REAL operator[](int i) const { return v[i]; }
};
template <typename REAL>
BH_HD void bh_sum_each(BhLanes<REAL>& sums, const BhLanes<REAL>* x) {
    for (REAL& sum : sums.v) {
        sum = REAL(0);
        for (REAL number : (x++)->v) sum += number;
    }
}
template <typename REAL>
BH_HD void bh_transpose(BhLanes<REAL>* x) {
    for (unsigned i = 0; i < 32 / sizeof(REAL); ++i)
        for (unsigned j = 0; j < i; ++j) {
            const REAL kept = x[i].v[j];
            x[i].v[j] = x[j].v[i];
            x[j].v[i] = kept;
        }
}
template <typename REAL>
BH_HD BhLanes<REAL> operator+(BhLanes<REAL> a, const BhLanes<REAL>& b) {
    for (unsigned i = 0; i < 32 / sizeof(REAL); ++i) a.v[i] += b.v[i];
    return a;
}
template <typename REAL>
BH_HD BhLanes<REAL>& operator+=(BhLanes<REAL>& a, const BhLanes<REAL>& b) {
    for (unsigned i = 0; i < 32 / sizeof(REAL); ++i) a.v[i] += b.v[i];
    return a;
}
template <typename REAL>
BH_HD BhLanes<REAL> operator*(REAL x, BhLanes<REAL> a) {
    for (REAL& v : a.v) v *= x;
    return a;
}
template <typename REAL>
BH_HD BhLanes<REAL> operator*(BhLanes<REAL> a, const BhLanes<REAL>& b) {
    for (unsigned i = 0; i < 32 / sizeof(REAL); ++i) a.v[i] *= b.v[i];
    return a;
}
#endif

// The vector at an address, which is aligned to its numbers at least.
template <typename REAL>
BH_HD BhLanes<REAL>& bh_lanes(REAL* x) {
    return *reinterpret_cast<BhLanes<REAL>*>(x);
}

template <typename REAL>
BH_HD const BhLanes<REAL>& bh_lanes(const REAL* x) {
    return *reinterpret_cast<const BhLanes<REAL>*>(x);
}
