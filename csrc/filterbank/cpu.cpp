// Gaussian filters on the CPU, as an op of their own; reading and writing use bank.h alone.
#include "filterbank/filterbank.h"

#include <algorithm>

#include "common/pool.h"
#include "filterbank/bank.h"

namespace {

// Between rows of ``size`` numbers and rows of whole vectors, with zeros behind.
template <typename REAL>
BH_HD void to_lanes(REAL* out, const REAL* in, long rows, const Side<REAL>& side) {
    for (long i = 0; i < rows; ++i, out += side.lanes, in += side.size) {
        std::copy(in, in + side.size, out);
        std::fill(out + side.size, out + side.lanes, REAL(0));
    }
}

template <typename REAL>
BH_HD void from_lanes(REAL* out, const REAL* in, long rows, const Side<REAL>& side) {
    for (long i = 0; i < rows; ++i, out += side.size, in += side.lanes)
        std::copy(in, in + side.size, out);
}

template <typename REAL>
BH_HD void forward_body(REAL* F_Y, REAL* F_X, REAL* gamma, const REAL* head, long begin, long end,
                        Bank<REAL>& bank) {
    const Grid<REAL>& g = bank.grid;
    for (long b = begin; b < end; ++b) {
        build_bank(bank, head + 5 * b);
        from_lanes(F_Y + b * g.N * g.height, bank.F_Y, g.N, bank.Y);
        from_lanes(F_X + b * g.N * g.width, bank.F_X, g.N, bank.X);
        gamma[b] = bank.gamma;
    }
}

template <typename REAL>
BH_HD void backward_body(REAL* d_head, const REAL* dF_Y, const REAL* dF_X, const REAL* dgamma,
                         const REAL* head, const REAL* F_Y, const REAL* F_X, long begin, long end,
                         Bank<REAL>& bank, REAL* d_Y, REAL* d_X) {
    const Grid<REAL>& g = bank.grid;
    const long y = g.N * g.height, x = g.N * g.width;
    for (long b = begin; b < end; ++b) {
        place_bank(bank, head + 5 * b);
        to_lanes(bank.F_Y, F_Y + b * y, g.N, bank.Y);
        to_lanes(bank.F_X, F_X + b * x, g.N, bank.X);
        to_lanes(d_Y, dF_Y + b * y, g.N, bank.Y);
        to_lanes(d_X, dF_X + b * x, g.N, bank.X);
        bank_backward(d_head + 5 * b, d_Y, d_X, bank);
        d_head[5 * b + 4] = filter_dlog_gamma(dgamma[b], bank.gamma);
    }
}

#define BH_FILTERS(REAL)                                                                          \
    BH_CLONES void forward_data(REAL* F_Y, REAL* F_X, REAL* gamma, const REAL* head, long begin,  \
                                long end, Bank<REAL>& bank) {                                     \
        forward_body(F_Y, F_X, gamma, head, begin, end, bank);                                    \
    }                                                                                             \
    BH_CLONES void backward_data(REAL* d_head, const REAL* dF_Y, const REAL* dF_X,                \
                                 const REAL* dgamma, const REAL* head, const REAL* F_Y,           \
                                 const REAL* F_X, long begin, long end, Bank<REAL>& bank,         \
                                 REAL* d_Y, REAL* d_X) {                                          \
        backward_body(d_head, dF_Y, dF_X, dgamma, head, F_Y, F_X, begin, end, bank, d_Y, d_X);    \
    }
BH_FILTERS(float)
BH_FILTERS(double)

constexpr double FORWARD_NS = 1.0, BACKWARD_NS = 1.0;  // for one weight, on one core

BhSplit split_filters(const FilterSizes& s, double ns) {
    return bh_split(s.batch, ns * double(s.N) * double(s.height + s.width));
}

}  // namespace

template <typename REAL>
void filterbank_forward(REAL* F_Y, REAL* F_X, REAL* gamma, const REAL* head, double eps,
                        const FilterSizes& s) {
    const Grid<REAL> grid(s.N, s.height, s.width, eps);
    bh_parallel(split_filters(s, FORWARD_NS), [&](long begin, long end, int) {
        Scratch<REAL> scratch(Bank<REAL>::numbers(grid));
        Bank<REAL> bank(scratch, grid, false);
        forward_data(F_Y, F_X, gamma, head, begin, end, bank);
    });
}

template <typename REAL>
void filterbank_backward(REAL* d_head, const REAL* dF_Y, const REAL* dF_X, const REAL* dgamma,
                         const REAL* head, const REAL* F_Y, const REAL* F_X,
                         const FilterSizes& s) {
    const Grid<REAL> grid(s.N, s.height, s.width, 0.0);  // eps is in F
    bh_parallel(split_filters(s, BACKWARD_NS), [&](long begin, long end, int) {
        Scratch<REAL> scratch(2 * Bank<REAL>::numbers(grid));
        Bank<REAL> bank(scratch, grid, false);
        REAL* d_Y = scratch.take(s.N * bank.Y.lanes);
        REAL* d_X = scratch.take(s.N * bank.X.lanes);
        backward_data(d_head, dF_Y, dF_X, dgamma, head, F_Y, F_X, begin, end, bank, d_Y, d_X);
    });
}

#define BH_INSTANCE(REAL)                                                                        \
    template void filterbank_forward<REAL>(REAL*, REAL*, REAL*, const REAL*, double,             \
                                           const FilterSizes&);                                  \
    template void filterbank_backward<REAL>(REAL*, const REAL*, const REAL*, const REAL*,        \
                                            const REAL*, const REAL*, const REAL*,               \
                                            const FilterSizes&);
BH_INSTANCE(float)
BH_INSTANCE(double)
