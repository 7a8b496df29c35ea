// Softmax cross-entropy on the CPU: a row stays in cache for its maximum and its sum.
#include "softmax_cross_entropy/softmax_cross_entropy.h"

#include "common/pool.h"
#include "softmax_cross_entropy/softmax_rows.h"

namespace {

template <typename REAL>
BH_HD void forward_body(REAL* top, REAL* total, const REAL* x, long n) {
    const PlainLogits<REAL> at{x};
    *top = softmax_top(at, n);
    *total = REAL(softmax_total(at, *top, n));
}

template <typename REAL>
BH_HD void backward_body(REAL* dx, const REAL* x, REAL top, REAL share, long n) {
    BH_IVDEP  // dx may be x: an iteration reads what it writes, and nothing else
    for (long i = 0; i < n; ++i) dx[i] = softmax_slope(x[i], top, share);  // SIMD
}

#define BH_ROWS(REAL)                                                                    \
    BH_CLONES void forward_row(REAL* top, REAL* total, const REAL* x, long n) {          \
        forward_body(top, total, x, n);                                                  \
    }                                                                                    \
    BH_CLONES void backward_row(REAL* dx, const REAL* x, REAL top, REAL share, long n) { \
        backward_body(dx, x, top, share, n);                                             \
    }
BH_ROWS(float)
BH_ROWS(double)

constexpr double FORWARD_NS = 0.7, BACKWARD_NS = 0.6;  // one logit on one core

}  // namespace

template <typename REAL>
void softmax_cross_entropy_forward(REAL* nll, REAL* top, REAL* total, const REAL* logits,
                                   const std::int64_t* targets, long rows, long classes) {
    bh_parallel(bh_split(rows, FORWARD_NS * double(classes)), [&](long begin, long end, int) {
        for (long r = begin; r < end; ++r) {
            const REAL* x = logits + r * classes;
            forward_row(top + r, total + r, x, classes);
            nll[r] = softmax_nll(total[r], x[targets[r]], top[r]);
        }
    });
}

template <typename REAL>
void softmax_cross_entropy_backward(REAL* dx, const REAL* d_nll, const REAL* logits,
                                    const std::int64_t* targets, const REAL* top,
                                    const REAL* total, long rows, long classes) {
    bh_parallel(bh_split(rows, BACKWARD_NS * double(classes)), [&](long begin, long end, int) {
        for (long r = begin; r < end; ++r) {
            REAL* row = dx + r * classes;
            backward_row(row, logits + r * classes, top[r], d_nll[r] / total[r], classes);
            row[targets[r]] -= d_nll[r];
        }
    });
}

#define BH_INSTANCE(REAL)                                                                         \
    template void softmax_cross_entropy_forward<REAL>(REAL*, REAL*, REAL*, const REAL*,           \
                                                      const std::int64_t*, long, long);           \
    template void softmax_cross_entropy_backward<REAL>(REAL*, const REAL*, const REAL*,           \
                                                       const std::int64_t*, const REAL*,          \
                                                       const REAL*, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
