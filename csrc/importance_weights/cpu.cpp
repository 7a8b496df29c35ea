// Importance weights on the CPU: columns side by side in vectors.  The forward reads each number
// from memory once: a few rows at a time, first for their maxima, then, from cache, for the sums.
#include "importance_weights/importance_weights.h"

#include <algorithm>
#include <limits>

#include "common/pool.h"
#include "importance_weights/importance_weights_math.h"

namespace {

constexpr long COLUMNS = 256;  // side by side
constexpr long ROWS = 64;      // whose maximum is taken out together, and whose sums are in REAL

template <typename REAL>
struct Columns {
    REAL largest[COLUMNS], top[COLUMNS];
    double total[COLUMNS];
};

// The maxima of N rows, `stride` apart, and of what was there.
template <int N, typename REAL>
BH_HD void largest_of(REAL* BH_RESTRICT largest, const REAL* BH_RESTRICT log_w, long stride,
                      long cols) {
    for (long j = 0; j < cols; ++j) {  // SIMD
        REAL most = largest[j];
        for (int n = 0; n < N; ++n) {
            const REAL l = log_w[n * stride + j];
            most = l > most ? l : most;
        }
        largest[j] = most;
    }
}

// The sums of N rows, added to what was there.
template <int N, typename REAL>
BH_HD void add_rows(REAL* BH_RESTRICT sum, const REAL* BH_RESTRICT log_w,
                    const REAL* BH_RESTRICT top, long stride, long cols) {
    for (long j = 0; j < cols; ++j) {  // SIMD
        REAL s = REAL(0);
        for (int n = 0; n < N; ++n) s += importance_weights_e(log_w[n * stride + j], top[j]);
        sum[j] += s;
    }
}

// Rows of log_w into what their columns have met.
template <typename REAL>
BH_HD void absorb_body(Columns<REAL>& met, const REAL* BH_RESTRICT log_w, long stride, long rows,
                       long cols) {
    REAL old[COLUMNS], sum[COLUMNS];
    REAL *BH_RESTRICT largest = met.largest, *BH_RESTRICT top = met.top;
    double* BH_RESTRICT total = met.total;
    std::copy(largest, largest + cols, old);
    long k = 0;
    for (; k + 4 <= rows; k += 4) largest_of<4>(largest, log_w + k * stride, stride, cols);
    for (; k < rows; ++k) largest_of<1>(largest, log_w + k * stride, stride, cols);
    for (long j = 0; j < cols; ++j) {  // SIMD
        top[j] = importance_weights_top(largest[j]);
        sum[j] = REAL(0);
    }
    for (k = 0; k + 4 <= rows; k += 4)
        add_rows<4>(sum, log_w + k * stride, top, stride, cols);
    for (; k < rows; ++k) add_rows<1>(sum, log_w + k * stride, top, stride, cols);
    for (long j = 0; j < cols; ++j)  // SIMD
        total[j] = total[j] * double(importance_weights_e(old[j], top[j])) + double(sum[j]);
}

template <typename REAL>
BH_HD void results_body(REAL* BH_RESTRICT bound, REAL* BH_RESTRICT top, REAL* BH_RESTRICT total,
                        const Columns<REAL>& met, long K, long cols) {
    for (long j = 0; j < cols; ++j) {  // SIMD
        top[j] = met.top[j];
        total[j] = importance_weights_total(REAL(met.total[j]));
        bound[j] = importance_weights_bound(top[j], total[j], REAL(K));
    }
}

// N rows; factor (cols): what e, or e * e for DReG, is multiplied by.
template <int N, bool DREG, typename REAL>
BH_HD void seed_rows(REAL* BH_RESTRICT d_log_w, const REAL* BH_RESTRICT log_w,
                     const REAL* BH_RESTRICT top, const REAL* BH_RESTRICT factor, long stride,
                     long cols) {
    for (long j = 0; j < cols; ++j)  // SIMD
        for (int n = 0; n < N; ++n) {
            const REAL e = importance_weights_e(log_w[n * stride + j], top[j]);
            d_log_w[n * stride + j] = (DREG ? e * e : e) * factor[j];
        }
}

template <bool DREG, typename REAL>
BH_HD void backward_body(REAL* BH_RESTRICT d_log_w, const REAL* BH_RESTRICT d_bound,
                         const REAL* BH_RESTRICT log_w, const REAL* BH_RESTRICT top,
                         const REAL* BH_RESTRICT total, long stride, long rows, long cols) {
    REAL factor[COLUMNS];
    for (long j = 0; j < cols; ++j) {  // SIMD
        const REAL w = importance_weights_w(REAL(1), total[j]);  // of the largest
        factor[j] = DREG ? importance_weights_dreg(w, d_bound[j])
                         : importance_weights_iwae(w, d_bound[j]);
    }
    long at = 0, k = 0;
    for (; k + 4 <= rows; k += 4, at += 4 * stride)
        seed_rows<4, DREG>(d_log_w + at, log_w + at, top, factor, stride, cols);
    for (; k < rows; ++k, at += stride)
        seed_rows<1, DREG>(d_log_w + at, log_w + at, top, factor, stride, cols);
}

#define BH_COLUMNS(REAL)                                                                           \
    BH_CLONES void absorb(Columns<REAL>& met, const REAL* log_w, long stride, long rows,           \
                          long cols) {                                                             \
        absorb_body(met, log_w, stride, rows, cols);                                               \
    }                                                                                              \
    BH_CLONES void results(REAL* bound, REAL* top, REAL* total, const Columns<REAL>& met, long K,  \
                           long cols) {                                                            \
        results_body(bound, top, total, met, K, cols);                                             \
    }                                                                                              \
    BH_CLONES void backward(REAL* d_log_w, const REAL* d_bound, const REAL* log_w,                 \
                            const REAL* top, const REAL* total, bool dreg, long stride, long rows, \
                            long cols) {                                                           \
        if (dreg)                                                                                  \
            backward_body<true>(d_log_w, d_bound, log_w, top, total, stride, rows, cols);          \
        else                                                                                       \
            backward_body<false>(d_log_w, d_bound, log_w, top, total, stride, rows, cols);         \
    }
BH_COLUMNS(float)
BH_COLUMNS(double)

// A column whose sum is not finite holds +inf, which is its bound, unless it also holds NaN.
template <typename REAL>
REAL bound_of_not_finite(const REAL* log_w, long stride, long K) {
    for (long k = 0; k < K; ++k)
        if (log_w[k * stride] != log_w[k * stride]) return log_w[k * stride];
    return std::numeric_limits<REAL>::infinity();
}

template <typename REAL>
void forward_columns(REAL* bound, REAL* top, REAL* total, const REAL* log_w, long stride, long K,
                     long cols) {
    Columns<REAL> met{};  // sums 0
    std::fill_n(met.largest, cols, -std::numeric_limits<REAL>::infinity());
    for (long k = 0; k < K; k += ROWS)
        absorb(met, log_w + k * stride, stride, std::min(ROWS, K - k), cols);
    results(bound, top, total, met, K, cols);
    for (long j = 0; j < cols; ++j)
        if (total[j] != total[j]) bound[j] = bound_of_not_finite(log_w + j, stride, K);
}

constexpr double FORWARD_NS = 0.5, BACKWARD_NS = 0.4;  // for one number on one core
constexpr long UNIT = 16;  // columns that stay on one thread

// run(first column, number of columns) over all columns, shared among threads.
template <typename F>
void each_columns(double ns, long K, long B, F&& run) {
    bh_parallel(bh_split((B + UNIT - 1) / UNIT, ns * double(K * UNIT)), [&](long a, long z, int) {
        for (long j = a * UNIT; j < std::min(B, z * UNIT); j += COLUMNS)
            run(j, std::min(COLUMNS, std::min(B, z * UNIT) - j));
    });
}

}  // namespace

template <typename REAL>
void importance_weights_forward(REAL* bound, REAL* top, REAL* total, const REAL* log_w, long K,
                                long B) {
    each_columns(FORWARD_NS, K, B, [=](long j, long cols) {
        forward_columns(bound + j, top + j, total + j, log_w + j, B, K, cols);
    });
}

template <typename REAL>
void importance_weights_backward(REAL* d_log_w, const REAL* d_bound, const REAL* log_w,
                                 const REAL* top, const REAL* total, bool dreg, long K, long B) {
    each_columns(BACKWARD_NS, K, B, [=](long j, long cols) {
        backward(d_log_w + j, d_bound + j, log_w + j, top + j, total + j, dreg, B, K, cols);
    });
}

#define BH_INSTANCE(REAL)                                                                          \
    template void importance_weights_forward<REAL>(REAL*, REAL*, REAL*, const REAL*, long, long);  \
    template void importance_weights_backward<REAL>(REAL*, const REAL*, const REAL*, const REAL*,  \
                                                    const REAL*, bool, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
