// The filters of one datum, built by a block of threads, and the gradients of its head.  A warp
// takes a row of F_Y or of F_X, its lanes lie along it.  The equations are in
// kernels/filterbank/DERIVATION.md.
#pragma once

#include "common/device.h"
#include "filterbank/filterbank_math.h"

// Blocks of 256 threads on a multiprocessor at a time.  Without this bound the compiler aims at
// more, with fewer registers for each thread than the kernels need.
constexpr int BANK_BLOCKS = sizeof(REAL) == 4 ? 4 : 2;

// What the filters of a datum have in common; every thread has it.
struct BankPlace {
    int N;
    REAL half, delta, gamma;
};

// F_Y or F_X: rows of ``size`` numbers, ``stride`` apart; T is const where they are read.
template <typename T>
struct BankSide {
    T* F;
    int size, stride;
    REAL center;
};

template <typename T>
struct Bank {
    BankPlace place;
    BankSide<T> Y, X;
};

// head: gx~, gy~, log s2, log d~, log gamma
template <typename T>
BH_DEVICE Bank<T> bank_of(const REAL* head, int N, int height, int width, T* F_Y, int stride_Y,
                          T* F_X, int stride_X) {
    const BankPlace place{N, filter_half(head[2]), filter_stride(head[3], N, height, width),
                          filter_gamma(head[4])};  // [filterbank.2] [filterbank.6]
    return {place,
            {F_Y, height, stride_Y, filter_center(head[1], height)},  // [filterbank.1]
            {F_X, width, stride_X, filter_center(head[0], width)}};
}

// take(side, i, is_Y) for each row i of both sides, by all lanes of one warp; a side without
// entries where no row is left.  All warps make the same number of turns: a shuffle in a loop that
// they leave at different times is compiled to a call.
template <typename T, typename F>
BH_DEVICE void bank_each_row(const Bank<T>& bank, F take) {
    const int N = bank.place.N, warps = blockDim.x / 32;
    const BankSide<T> &Y = bank.Y, &X = bank.X;
    for (int first = 0; first < 2 * N; first += warps) {
        const int row = first + int(threadIdx.x / 32);
        const bool is_Y = row < N;  // member by member: a chosen struct would lie in memory
        const int size = is_Y ? Y.size : X.size;
        const BankSide<T> side{is_Y ? Y.F : X.F, row < 2 * N ? size : 0,
                               is_Y ? Y.stride : X.stride, is_Y ? Y.center : X.center};
        take(side, is_Y ? row : row - N, is_Y);
    }
}

BH_DEVICE REAL bank_offset(const BankPlace& place, int i) {
    return REAL(i) + filter_first<REAL>(place.N);
}

template <typename T>
BH_DEVICE REAL bank_mean(const BankPlace& place, const BankSide<T>& side, int i) {
    return filter_mean(side.center, place.delta, bank_offset(place, i));  // [filterbank.3]
}

// Writes the filters.
BH_DEVICE void bank_build(const Bank<REAL>& bank, REAL log_eps) {
    const BankPlace place = bank.place;
    const int lane = threadIdx.x % 32;
    bank_each_row(bank, [=](const BankSide<REAL>& side, int i, bool) {
        REAL* const F = side.F + i * side.stride;
        const REAL mu = bank_mean(place, side, i), first = filter_first<REAL>(side.size);
        const FilterRow<REAL> row = filter_row(mu, place.half, side.size, log_eps);  // [filterbank.4]
        REAL sum = REAL(0);
        for (int a = lane; a < side.size; a += 32) {
            const REAL e = filter_entry(REAL(a) + first, row.n, row.f, row.top, place.half);
            F[a] = e;
            sum += e;
        }
        const REAL scale = REAL(1) / (bh_warp_sum(sum) + row.outside);
        for (int a = lane; a < side.size; a += 32) F[a] *= scale;  // [filterbank.5]
    });
}

// Writes the first four gradients of the head; sum(dF_Y F_Y) in every thread.  dF_Y and dF_X lie
// as the filters do.
template <typename T>
BH_DEVICE REAL bank_backward(REAL* d_head, const REAL* dF_Y, const REAL* dF_X,
                             const Bank<T>& bank) {
    const BankPlace place = bank.place;
    const int lane = threadIdx.x % 32;
    REAL dmu_Y = REAL(0), dmu_X = REAL(0), stretch = REAL(0), square = REAL(0), all = REAL(0);
    bank_each_row(bank, [&](const BankSide<T>& side, int i, bool is_Y) {
        const REAL* const F = side.F + i * side.stride;
        const REAL* const dF = (is_Y ? dF_Y : dF_X) + i * side.stride;
        const REAL mu = bank_mean(place, side, i), first = filter_first<REAL>(side.size);
        REAL seen = REAL(0), moment = REAL(0);
        for (int a = lane; a < side.size; a += 32) seen += dF[a] * F[a];
        seen = bh_warp_sum(seen);
        for (int a = lane; a < side.size; a += 32) {
            REAL E;
            filter_dlogit(E, dF[a], F[a], seen);  // [filterbank.7]
            const REAL away = REAL(a) + first - mu;
            moment += E * away;
            square += E * away * away;
        }
        const REAL dmu = filter_dmu(moment, place.half);  // this lane's part  [filterbank.8]
        dmu_Y += is_Y ? dmu : REAL(0);
        dmu_X += is_Y ? REAL(0) : dmu;
        stretch += dmu * bank_offset(place, i);
        if (is_Y && lane == 0) all += seen;
    });
    dmu_X = bh_block_sum(dmu_X);
    dmu_Y = bh_block_sum(dmu_Y);
    square = bh_block_sum(square);
    stretch = bh_block_sum(stretch);
    all = bh_block_sum(all);
    if (threadIdx.x == 0) {
        d_head[0] = filter_dcenter(dmu_X, bank.X.size);  // [filterbank.10]
        d_head[1] = filter_dcenter(dmu_Y, bank.Y.size);
        d_head[2] = filter_dlog_s2(square, place.half);  // [filterbank.9]
        d_head[3] = filter_dlog_d(stretch, place.delta);  // [filterbank.11]
    }
    return all;
}
