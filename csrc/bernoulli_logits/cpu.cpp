// Bernoulli log-likelihood on the CPU: rows one after the other, each in LANES running sums.
#include "bernoulli_logits/bernoulli_logits.h"

#include <algorithm>
#include <vector>

#include "bernoulli_logits/bernoulli_logits_math.h"
#include "common/pool.h"
#include "common/row_sums.h"

namespace {

constexpr int LANES = 32;

// The sum of up to LANES * BERNOULLI_FACTORS elements.
template <typename REAL>
BH_HD double forward_block(const REAL* BH_RESTRICT x, const REAL* BH_RESTRICT l, long n) {
    REAL sum[LANES], product[LANES];
    for (int j = 0; j < LANES; ++j) sum[j] = REAL(0), product[j] = REAL(1);
    long i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; ++j) {  // SIMD
            sum[j] += bernoulli_linear(x[i + j], l[i + j]);
            product[j] *= bernoulli_factor(l[i + j]);
        }
    for (int j = 0; i + j < n; ++j) {
        sum[j] += bernoulli_linear(x[i + j], l[i + j]);
        product[j] *= bernoulli_factor(l[i + j]);
    }
    double total = 0.0;
    for (int j = 0; j < LANES; ++j) product[j] = sum[j] - bh_log(product[j]);  // SIMD
    for (int j = 0; j < LANES; ++j) total += double(product[j]);
    return total;
}

// The same, and the slopes for d = 1 in the place of the logits, for one exponential in all.
template <typename REAL>
BH_HD double slopes_block(REAL* BH_RESTRICT l, const REAL* BH_RESTRICT x, long n) {
    REAL sum[LANES], product[LANES];
    for (int j = 0; j < LANES; ++j) sum[j] = REAL(0), product[j] = REAL(1);
    long i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; ++j) {  // SIMD
            const REAL logit = l[i + j], tail = bernoulli_tail(logit);
            sum[j] += bernoulli_linear(x[i + j], logit);
            product[j] *= REAL(1) + tail;
            l[i + j] = bernoulli_slope_from(x[i + j], logit, tail);
        }
    for (int j = 0; i + j < n; ++j) {
        const REAL logit = l[i + j], tail = bernoulli_tail(logit);
        sum[j] += bernoulli_linear(x[i + j], logit);
        product[j] *= REAL(1) + tail;
        l[i + j] = bernoulli_slope_from(x[i + j], logit, tail);
    }
    double total = 0.0;
    for (int j = 0; j < LANES; ++j) product[j] = sum[j] - bh_log(product[j]);  // SIMD
    for (int j = 0; j < LANES; ++j) total += double(product[j]);
    return total;
}

template <typename REAL>
BH_HD double slopes_body(REAL* l, const REAL* x, long cols) {
    constexpr long BLOCK = LANES * BERNOULLI_FACTORS;
    double total = 0.0;
    for (long i = 0; i < cols; i += BLOCK)
        total += slopes_block(l + i, x + i, std::min(BLOCK, cols - i));
    return total;
}

template <typename REAL>
BH_HD REAL forward_body(const REAL* x, const REAL* l, long cols) {
    constexpr long BLOCK = LANES * BERNOULLI_FACTORS;
    double total = 0.0;
    for (long i = 0; i < cols; i += BLOCK)
        total += forward_block(x + i, l + i, std::min(BLOCK, cols - i));
    return REAL(total);
}

template <typename REAL>
BH_HD void backward_body(REAL* BH_RESTRICT dl, REAL d, const REAL* BH_RESTRICT x,
                         const REAL* BH_RESTRICT l, long cols) {
    for (long i = 0; i < cols; ++i) dl[i] = bernoulli_slope(d, x[i], l[i]);  // SIMD
}

template <typename REAL>
BH_HD void add_body(REAL* BH_RESTRICT dx, REAL d, const REAL* BH_RESTRICT l, long cols) {
    for (long i = 0; i < cols; ++i) dx[i] += d * l[i];  // SIMD [bernoulli_logits.3]
}

#define BH_ROWS(REAL)                                                                     \
    BH_CLONES REAL forward_row(const REAL* x, const REAL* l, long cols) {                 \
        return forward_body(x, l, cols);                                                  \
    }                                                                                     \
    BH_CLONES double slopes_row(REAL* l, const REAL* x, long cols) {                      \
        return slopes_body(l, x, cols);                                                   \
    }                                                                                     \
    BH_CLONES void backward_row(REAL* dl, REAL d, const REAL* x, const REAL* l, long cols) { \
        backward_body(dl, d, x, l, cols);                                                 \
    }                                                                                     \
    BH_CLONES void add_row(REAL* dx, REAL d, const REAL* l, long cols) {                  \
        add_body(dx, d, l, cols);                                                         \
    }
BH_ROWS(float)
BH_ROWS(double)

constexpr double FORWARD_NS = 0.6, BACKWARD_NS = 0.7;  // one element on one core

}  // namespace

template <typename REAL>
void bernoulli_logits_forward(REAL* logp, const REAL* x, const REAL* logits, BernoulliSizes s) {
    const BhSplit split = bh_split(s.samples * s.rows, FORWARD_NS * double(s.cols));
    bh_parallel(split, [&](long begin, long end, int) {
        for (long r = begin; r < end; ++r)
            logp[r] = forward_row(x + r % s.rows * s.cols, logits + r * s.cols, s.cols);
    });
}

template <typename REAL>
void bernoulli_logits_backward(REAL* dx, REAL* d_logits, const REAL* d_logp, const REAL* x,
                               const REAL* logits, BernoulliSizes s) {
    const long x_cols = dx != nullptr ? s.cols : 0;
    const double each = BACKWARD_NS * double(s.samples * s.cols);
    bh_parallel(bh_split(s.rows, each), [&](long begin, long end, int) {
        std::vector<double> total;
        for (long r = begin; r < end; ++r) {
            REAL* dx_r = dx + r * x_cols;
            bh_sum_blocked(dx_r, x_cols, s.samples, total, [&](long k) {
                const long at = (k * s.rows + r) * s.cols;
                const REAL d = d_logp[k * s.rows + r];
                backward_row(d_logits + at, d, x + r * s.cols, logits + at, s.cols);
                add_row(dx_r, d, logits + at, x_cols);
            });
        }
    });
}

template <typename REAL>
double bernoulli_slopes(REAL* l, const REAL* x, long cols) {
    return slopes_row(l, x, cols);
}

#define BH_INSTANCE(REAL)                                                                      \
    template double bernoulli_slopes<REAL>(REAL*, const REAL*, long);                          \
    template void bernoulli_logits_forward<REAL>(REAL*, const REAL*, const REAL*,              \
                                                 BernoulliSizes);                              \
    template void bernoulli_logits_backward<REAL>(REAL*, REAL*, const REAL*, const REAL*,      \
                                                  const REAL*, BernoulliSizes);
BH_INSTANCE(float)
BH_INSTANCE(double)
