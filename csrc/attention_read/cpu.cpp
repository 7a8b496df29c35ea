// Reading through Gaussian filters on the CPU: datum by datum, the bank built once and kept in
// cache, all products in registers.  The equations are in kernels/attention_read/DERIVATION.md.
#include "attention_read/attention_read.h"

#include "filterbank/work.h"

namespace {

template <typename REAL>
BH_HD void forward_channel(REAL* r, const REAL* x, Work<REAL>& work) {
    const Bank<REAL>& bank = work.bank;
    const long N = bank.grid.N;
    gather(work.T, input_rows(x, work), work);
    look(work.P, work.T, work);  // [attention_read.1]
    for (long j = 0; j < N; ++j)
        for (long i = 0; i < N; ++i)
            r[j * N + i] = bank.gamma * work.P[j * bank.filters + i];  // [attention_read.2]
}

template <typename REAL>
BH_HD void backward_channel(REAL* dx, const REAL* dr, const REAL* x, bool add, Work<REAL>& work) {
    const long N = work.bank.grid.N;
    const Rows<const REAL> image = input_rows(x, work);
    REAL* dP = work.P;
    for (long i = 0; i < N * N; ++i) dP[i] = work.bank.gamma * dr[i];  // [attention_read.3]
    mix(work.D, dP, work);
    gather(work.T, image, work);
    add_dF(work.D, work.T, dP, image, add, work);  // [attention_read.4] [attention_read.5]
    if (dx != nullptr) paint(dx, work.D, work);    // [attention_read.6]
}

template <typename REAL>
BH_HD void forward_body(REAL* r, const REAL* head, const REAL* x, const REAL* x_hat, long begin,
                        long end, const ReadSizes& s, Work<REAL>& work) {
    const long pixels = s.height * s.width, patch = s.N * s.N;
    for (long b = begin; b < end; ++b) {
        build_bank(work.bank, head + 5 * b);
        REAL* out = r + b * (s.C + s.D) * patch;
        for (long c = 0; c < s.C + s.D; ++c, out += patch)
            forward_channel(
                out, c < s.C ? x + (b * s.C + c) * pixels : x_hat + (b * s.D + c - s.C) * pixels,
                work);
    }
}

template <typename REAL>
BH_HD void backward_body(REAL* d_head, REAL* dx, REAL* dx_hat, const REAL* dr, const REAL* head,
                         const REAL* x, const REAL* x_hat, long begin, long end,
                         const ReadSizes& s, Work<REAL>& work) {
    const long pixels = s.height * s.width, patch = s.N * s.N;
    for (long b = begin; b < end; ++b) {
        build_bank(work.bank, head + 5 * b);
        const REAL* d = dr + b * (s.C + s.D) * patch;
        for (long c = 0; c < s.C + s.D; ++c, d += patch) {
            const bool first = c < s.C;
            const long at = (first ? b * s.C + c : b * s.D + c - s.C) * pixels;
            REAL* out = first ? dx : dx_hat;
            backward_channel(out ? out + at : out, d, (first ? x : x_hat) + at, c > 0, work);
        }
        // gamma <dr, P>  [attention_read.7]
        d_head[5 * b + 4] = bank_backward(d_head + 5 * b, work.dF_Y, work.dF_X, work.bank);
    }
}

#define BH_READ(REAL)                                                                            \
    BH_CLONES void forward_data(REAL* r, const REAL* head, const REAL* x, const REAL* x_hat,     \
                                long begin, long end, const ReadSizes& s, Work<REAL>& work) {    \
        forward_body(r, head, x, x_hat, begin, end, s, work);                                    \
    }                                                                                            \
    BH_CLONES void backward_data(REAL* d_head, REAL* dx, REAL* dx_hat, const REAL* dr,           \
                                 const REAL* head, const REAL* x, const REAL* x_hat, long begin, \
                                 long end, const ReadSizes& s, Work<REAL>& work) {               \
        backward_body(d_head, dx, dx_hat, dr, head, x, x_hat, begin, end, s, work);              \
    }
BH_READ(float)
BH_READ(double)

}  // namespace

template <typename REAL>
void attention_read_forward(REAL* r, const REAL* head, const REAL* x, const REAL* x_hat,
                            const ReadSizes& s) {
    const Grid<REAL> grid(s.N, s.height, s.width, s.eps);
    bh_parallel(split_data(grid, s.batch, s.C + s.D, 1.0), [&](long begin, long end, int) {
        Scratch<REAL> scratch(Work<REAL>::numbers(grid));
        Work<REAL> work(scratch, grid);
        forward_data(r, head, x, x_hat, begin, end, s, work);
    });
}

template <typename REAL>
void attention_read_backward(REAL* d_head, REAL* dx, REAL* dx_hat, const REAL* dr,
                             const REAL* head, const REAL* x, const REAL* x_hat,
                             const ReadSizes& s) {
    const Grid<REAL> grid(s.N, s.height, s.width, s.eps);
    bh_parallel(split_data(grid, s.batch, s.C + s.D, 3.0), [&](long begin, long end, int) {
        Scratch<REAL> scratch(Work<REAL>::numbers(grid));
        Work<REAL> work(scratch, grid);
        if (s.C + s.D == 0) work.clear();
        backward_data(d_head, dx, dx_hat, dr, head, x, x_hat, begin, end, s, work);
    });
}

#define BH_INSTANCE(REAL)                                                                      \
    template void attention_read_forward<REAL>(REAL*, const REAL*, const REAL*, const REAL*,   \
                                               const ReadSizes&);                              \
    template void attention_read_backward<REAL>(REAL*, REAL*, REAL*, const REAL*, const REAL*, \
                                                const REAL*, const REAL*, const ReadSizes&);
BH_INSTANCE(float)
BH_INSTANCE(double)
