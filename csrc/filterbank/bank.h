// The filters of one datum, built where they stay in cache, and their gradients.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "filterbank/filterbank_math.h"
#include "filterbank/products.h"

// Memory for the work on one datum after another, cut into pieces that begin a cache line.
template <typename REAL>
class Scratch {
public:
    explicit Scratch(long numbers) : memory(numbers + PIECES * LINE), next(memory.data()) {
        while (reinterpret_cast<std::size_t>(next) % 64 != 0) ++next;
    }

    REAL* take(long numbers) {
        REAL* piece = next;
        next += (numbers + LINE - 1) / LINE * LINE;
        return piece;
    }

    static constexpr long PIECES = 32, LINE = 64 / long(sizeof(REAL));

private:
    std::vector<REAL> memory;
    REAL* next;
};

// The pixels of one side, in the lanes of the filters' vectors.
template <typename REAL>
struct Side {
    long size, lanes;
    REAL *pixel, *valid;  // (lanes) from the centre; 0 for a lane that is empty or counted twice

    static long numbers(long size) { return 2 * padded<REAL>(size); }

    // overlap: as the vectors of an image's row lie
    Side(Scratch<REAL>& scratch, long size, bool overlap)
        : size(size), lanes(padded<REAL>(size)), pixel(scratch.take(lanes)), valid(scratch.take(lanes)) {
        const long tail = lanes - LANES<REAL>, shift = overlap && size >= LANES<REAL> ? lanes - size : 0;
        for (long lane = 0; lane < lanes; ++lane) {
            const long a = lane < tail ? lane : lane - shift;
            pixel[lane] = REAL(std::min(a, size - 1)) + filter_first<REAL>(size);
            valid[lane] = lane < tail ? REAL(1) : REAL(a >= tail && a < size);
        }
    }
};

// What all data have in common.
template <typename REAL>
struct Grid {
    long N, height, width;
    REAL log_eps;
    Grid(long N, long height, long width, double eps)
        : N(N), height(height), width(width), log_eps(REAL(std::log(eps))) {}  // -inf for 0
};

template <typename REAL>
struct Bank {
    const Grid<REAL>& grid;
    Side<REAL> Y, X;
    long filters;  // N, padded to vectors
    REAL *F_Y, *F_X;              // (N, Y.lanes), (N, X.lanes)
    REAL *mu, *n, *f, *top, *outside;  // (2, filters): rows of F_Y, then of F_X
    REAL half, delta, gamma;

    static long numbers(const Grid<REAL>& g) {
        return Side<REAL>::numbers(g.height) + Side<REAL>::numbers(g.width) +
               g.N * (padded<REAL>(g.height) + padded<REAL>(g.width)) + 10 * padded<REAL>(g.N);
    }

    Bank(Scratch<REAL>& scratch, const Grid<REAL>& grid, bool overlap)
        : grid(grid), Y(scratch, grid.height, false), X(scratch, grid.width, overlap),
          filters(padded<REAL>(grid.N)), F_Y(scratch.take(grid.N * Y.lanes)),
          F_X(scratch.take(grid.N * X.lanes)), mu(scratch.take(2 * filters)),
          n(scratch.take(2 * filters)), f(scratch.take(2 * filters)),
          top(scratch.take(2 * filters)), outside(scratch.take(2 * filters)) {}
};

template <typename REAL>
BH_HD void place_side(Bank<REAL>& bank, REAL center, long at, long size) {
    const REAL first = filter_first<REAL>(bank.grid.N), half = bank.half, delta = bank.delta;
    const REAL log_eps = bank.grid.log_eps;
    for (long i = 0; i < bank.filters; ++i) {  // SIMD
        const REAL mu = filter_mean(center, delta, REAL(int(i)) + first);
        const FilterRow<REAL> row = filter_row(mu, half, size, log_eps);
        bank.mu[at + i] = row.mu;
        bank.n[at + i] = row.n;
        bank.f[at + i] = row.f;
        bank.top[at + i] = row.top;
        bank.outside[at + i] = row.outside;
    }
}

// A number for each of LANES rows, from a vector for each.
template <typename REAL>
BH_HD void store_sums(REAL* to, const BhLanes<REAL>* rows) {
    bh_sum_each(*reinterpret_cast<BhLanes<REAL>*>(to), rows);
}

// F (N, lanes)
template <typename REAL>
BH_HD void build_side(REAL* BH_RESTRICT F, const Bank<REAL>& bank, const Side<REAL>& side, long at) {
    using Vector = BhLanes<REAL>;
    constexpr long L = LANES<REAL>;
    const REAL half = bank.half;
    for (long first = 0; first < bank.grid.N; first += L) {
        const long rows = std::min(L, bank.grid.N - first);
        Vector sums[L] = {};
        REAL* row = F + first * side.lanes;
        for (long i = 0; i < rows; ++i, row += side.lanes) {
            const REAL n = bank.n[at + first + i], f = bank.f[at + first + i];
            const REAL top = bank.top[at + first + i];
            for (long v = 0; v < side.lanes; v += L) {
                const REAL *pixel = side.pixel + v, *valid = side.valid + v;
                for (long l = 0; l < L; ++l)  // SIMD
                    row[v + l] = valid[l] * filter_entry(pixel[l], n, f, top, half);
                sums[i] += *reinterpret_cast<const Vector*>(row + v);
            }
        }
        REAL scale[L];
        store_sums(scale, sums);
        for (long l = 0; l < L; ++l)
            scale[l] = REAL(1) / (scale[l] + bank.outside[at + first + l]);  // [filterbank.5]
        row = F + first * side.lanes;
        for (long i = 0; i < rows; ++i, row += side.lanes)
            for (long v = 0; v < side.lanes; v += L) *reinterpret_cast<Vector*>(row + v) *= scale[i];
    }
}

// Where the filters lie.  head: gx~, gy~, log s2, log d~, log gamma
template <typename REAL>
BH_HD void place_bank(Bank<REAL>& bank, const REAL* head) {
    const Grid<REAL>& g = bank.grid;
    bank.half = filter_half(head[2]);
    bank.delta = filter_stride(head[3], g.N, g.height, g.width);
    bank.gamma = filter_gamma(head[4]);
    place_side(bank, filter_center(head[1], g.height), 0, g.height);
    place_side(bank, filter_center(head[0], g.width), bank.filters, g.width);
}

template <typename REAL>
BH_HD void build_bank(Bank<REAL>& bank, const REAL* head) {
    place_bank(bank, head);
    build_side(bank.F_Y, bank, bank.Y, 0);
    build_side(bank.F_X, bank, bank.X, bank.filters);
}

// Sums over the filters of one side.
template <typename REAL>
struct SideGradient {
    REAL dmu = 0, stretch = 0, square = 0, seen = 0;
};

// dF, F (N, lanes)
template <typename REAL>
BH_HD SideGradient<REAL> side_backward(const REAL* dF, const REAL* F, const Bank<REAL>& bank,
                                       const Side<REAL>& side, long at) {
    using Vector = BhLanes<REAL>;
    constexpr long L = LANES<REAL>;
    SideGradient<REAL> d;
    for (long first = 0; first < bank.grid.N; first += L) {
        const long rows = std::min(L, bank.grid.N - first), begin = first * side.lanes;
        Vector sums[L] = {}, moments[L] = {}, squares[L] = {};
        for (long i = 0; i < rows; ++i)
            for (long v = 0; v < side.lanes; v += L) {
                const long here = begin + i * side.lanes + v;
                sums[i] += *reinterpret_cast<const Vector*>(dF + here) *
                           *reinterpret_cast<const Vector*>(F + here);
            }
        REAL seen[L], moment[L], square[L];
        store_sums(seen, sums);
        for (long i = 0; i < rows; ++i) {
            const REAL mu = bank.mu[at + first + i];
            for (long v = 0; v < side.lanes; v += L) {
                const long here = begin + i * side.lanes + v;
                Vector E;
                filter_dlogit(E, *reinterpret_cast<const Vector*>(dF + here),
                              *reinterpret_cast<const Vector*>(F + here), seen[i]);
                const Vector away = *reinterpret_cast<const Vector*>(side.pixel + v) - mu;
                moments[i] += E * away;
                squares[i] += E * away * away;
            }
        }
        store_sums(moment, moments);
        store_sums(square, squares);
        for (long i = 0; i < rows; ++i) {
            const REAL dmu = filter_dmu(moment[i], bank.half);
            d.dmu += dmu;
            d.stretch += dmu * (REAL(int(first + i)) + filter_first<REAL>(bank.grid.N));
            d.square += square[i];
            d.seen += seen[i];
        }
    }
    return d;
}

// The first four gradients of the head; returns sum(dF_Y F_Y).
template <typename REAL>
BH_HD REAL bank_backward(REAL* d_head, const REAL* dF_Y, const REAL* dF_X, const Bank<REAL>& bank) {
    const SideGradient<REAL> y = side_backward(dF_Y, bank.F_Y, bank, bank.Y, 0);
    const SideGradient<REAL> x = side_backward(dF_X, bank.F_X, bank, bank.X, bank.filters);
    d_head[0] = filter_dcenter(x.dmu, bank.grid.width);
    d_head[1] = filter_dcenter(y.dmu, bank.grid.height);
    d_head[2] = filter_dlog_s2(x.square + y.square, bank.half);
    d_head[3] = filter_dlog_d(x.stretch + y.stretch, bank.delta);
    return y.seen;
}
