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
#else
template <typename REAL>
struct BhLanes {
    REAL v[32 / sizeof(REAL)];
    REAL operator[](int i) const { return v[i]; }
};
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
#endif
