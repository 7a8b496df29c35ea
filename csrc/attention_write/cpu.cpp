// Writing through Gaussian filters on the CPU: datum by datum, the bank built once and kept in
// cache, all products in registers.  The equations are in kernels/attention_write/DERIVATION.md.
#include "attention_write/attention_write.h"

#include "filterbank/work.h"

namespace {

// work.P (N, N) = w / gamma, so that its product with the bank is c.
template <typename REAL>
BH_HD void scale_patch(const REAL* w, REAL inverse, Work<REAL>& work) {
    const long N = work.bank.grid.N;
    for (long i = 0; i < N * N; ++i) work.P[i] = w[i] * inverse;  // [attention_write.2]
}

template <typename REAL>
BH_HD void forward_channel(REAL* c, const REAL* w, REAL inverse, Work<REAL>& work) {
    scale_patch(w, inverse, work);
    mix(work.D, work.P, work);
    paint(c, work.D, work);  // [attention_write.1]
}

template <typename REAL>
BH_HD void backward_channel(REAL* dw, const REAL* dc, const REAL* w, REAL inverse, bool add,
                            Work<REAL>& work) {
    const Bank<REAL>& bank = work.bank;
    const long N = bank.grid.N;
    const Rows<const REAL> image = input_rows(dc, work);
    scale_patch(w, inverse, work);
    mix(work.D, work.P, work);
    gather(work.T, image, work);  // F_Y dc: here as in P, dQ is dc / gamma  [attention_write.3]
    add_dF(work.D, work.T, work.P, image, add, work);  // [attention_write.5] [attention_write.6]
    look(work.P, work.T, work);
    for (long j = 0; j < N; ++j)
        for (long i = 0; i < N; ++i)
            dw[j * N + i] = work.P[j * bank.filters + i] * inverse;  // [attention_write.4]
}

template <typename REAL>
BH_HD void forward_body(REAL* c, const REAL* head, const REAL* w, long begin, long end,
                        const WriteSizes& s, Work<REAL>& work) {
    const long pixels = s.height * s.width, patch = s.N * s.N;
    for (long b = begin; b < end; ++b) {
        build_bank(work.bank, head + 5 * b);
        const REAL inverse = REAL(1) / work.bank.gamma;
        for (long n = b * s.C; n < (b + 1) * s.C; ++n)
            forward_channel(c + n * pixels, w + n * patch, inverse, work);
    }
}

template <typename REAL>
BH_HD void backward_body(REAL* d_head, REAL* dw, const REAL* dc, const REAL* head, const REAL* w,
                         long begin, long end, const WriteSizes& s, Work<REAL>& work) {
    const long pixels = s.height * s.width, patch = s.N * s.N;
    for (long b = begin; b < end; ++b) {
        build_bank(work.bank, head + 5 * b);
        const REAL inverse = REAL(1) / work.bank.gamma;
        for (long n = b * s.C; n < (b + 1) * s.C; ++n)
            backward_channel(dw + n * patch, dc + n * pixels, w + n * patch, inverse, n > b * s.C,
                             work);
        // gamma times dgamma  [attention_write.7]
        d_head[5 * b + 4] = -bank_backward(d_head + 5 * b, work.dF_Y, work.dF_X, work.bank);
    }
}

#define BH_WRITE(REAL)                                                                           \
    BH_CLONES void forward_data(REAL* c, const REAL* head, const REAL* w, long begin, long end,  \
                                const WriteSizes& s, Work<REAL>& work) {                         \
        forward_body(c, head, w, begin, end, s, work);                                           \
    }                                                                                            \
    BH_CLONES void backward_data(REAL* d_head, REAL* dw, const REAL* dc, const REAL* head,       \
                                 const REAL* w, long begin, long end, const WriteSizes& s,       \
                                 Work<REAL>& work) {                                             \
        backward_body(d_head, dw, dc, head, w, begin, end, s, work);                             \
    }
BH_WRITE(float)
BH_WRITE(double)

}  // namespace

template <typename REAL>
void attention_write_forward(REAL* c, const REAL* head, const REAL* w, const WriteSizes& s) {
    const Grid<REAL> grid(s.N, s.height, s.width, s.eps);
    bh_parallel(split_data(grid, s.batch, s.C, 1.0), [&](long begin, long end, int) {
        Scratch<REAL> scratch(Work<REAL>::numbers(grid));
        Work<REAL> work(scratch, grid);
        forward_data(c, head, w, begin, end, s, work);
    });
}

template <typename REAL>
void attention_write_backward(REAL* d_head, REAL* dw, const REAL* dc, const REAL* head,
                              const REAL* w, const WriteSizes& s) {
    const Grid<REAL> grid(s.N, s.height, s.width, s.eps);
    bh_parallel(split_data(grid, s.batch, s.C, 2.0), [&](long begin, long end, int) {
        Scratch<REAL> scratch(Work<REAL>::numbers(grid));
        Work<REAL> work(scratch, grid);
        if (s.C == 0) work.clear();
        backward_data(d_head, dw, dc, head, w, begin, end, s, work);
    });
}

#define BH_INSTANCE(REAL)                                                                      \
    template void attention_write_forward<REAL>(REAL*, const REAL*, const REAL*,               \
                                                const WriteSizes&);                            \
    template void attention_write_backward<REAL>(REAL*, REAL*, const REAL*, const REAL*,       \
                                                 const REAL*, const WriteSizes&);
BH_INSTANCE(float)
BH_INSTANCE(double)
