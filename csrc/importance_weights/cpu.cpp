// Importance weights on the CPU: tiles of rows and columns, the columns side by side in vectors.
// The forward reads each number from memory once: a tile first for its maxima, then, from cache,
// for its sums; the tiles of a column are put together at the end.
#include "importance_weights/importance_weights.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "common/pool.h"
#include "importance_weights/importance_weights_math.h"

namespace {

constexpr long COLUMNS = 256;  // of a tile
constexpr long ROWS = 64;      // of a tile, whose sums are in REAL

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

// The maxima and sums of a tile.
template <typename REAL>
BH_HD void tile_body(REAL* BH_RESTRICT largest, REAL* BH_RESTRICT sum,
                     const REAL* BH_RESTRICT log_w, long stride, long rows, long cols) {
    REAL top[COLUMNS];
    std::fill_n(largest, cols, -std::numeric_limits<REAL>::infinity());
    std::fill_n(sum, cols, REAL(0));
    long k = 0;
    for (; k + 4 <= rows; k += 4) largest_of<4>(largest, log_w + k * stride, stride, cols);
    for (; k < rows; ++k) largest_of<1>(largest, log_w + k * stride, stride, cols);
    for (long j = 0; j < cols; ++j) top[j] = importance_weights_top(largest[j]);  // SIMD
    for (k = 0; k + 4 <= rows; k += 4)
        add_rows<4>(sum, log_w + k * stride, top, stride, cols);
    for (; k < rows; ++k) add_rows<1>(sum, log_w + k * stride, top, stride, cols);
}

// largest, sum: the first tile of these columns, one tile after the other B apart.
template <typename REAL>
BH_HD void results_body(REAL* BH_RESTRICT bound, REAL* BH_RESTRICT top, REAL* BH_RESTRICT total,
                        const REAL* BH_RESTRICT largest, const REAL* BH_RESTRICT sum, long K,
                        long B, long tiles, long cols) {
    double sums[COLUMNS] = {};
    std::copy(largest, largest + cols, top);
    for (long t = 1; t < tiles; ++t) largest_of<1>(top, largest + t * B, B, cols);
    for (long j = 0; j < cols; ++j) top[j] = importance_weights_top(top[j]);  // SIMD
    for (long t = 0; t < tiles; ++t)
        for (long j = 0; j < cols; ++j)  // SIMD
            sums[j] += double(sum[t * B + j]) *
                       double(importance_weights_e(largest[t * B + j], top[j]));
    for (long j = 0; j < cols; ++j) {  // SIMD
        total[j] = importance_weights_total(REAL(sums[j]));
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
    BH_CLONES void tile(REAL* largest, REAL* sum, const REAL* log_w, long stride, long rows,       \
                        long cols) {                                                               \
        tile_body(largest, sum, log_w, stride, rows, cols);                                        \
    }                                                                                              \
    BH_CLONES void results(REAL* bound, REAL* top, REAL* total, const REAL* largest,               \
                           const REAL* sum, long K, long B, long tiles, long cols) {               \
        results_body(bound, top, total, largest, sum, K, B, tiles, cols);                          \
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

constexpr double FORWARD_NS = 0.5, BACKWARD_NS = 0.4;  // for one number on one core

// run(tile, first row, rows, first column, columns) over all tiles, shared among threads.
template <typename F>
void each_tile(double ns, long K, long B, F&& run) {
    const long down = bh_parts(K, ROWS);
    const double each = ns * double(std::min(ROWS, K)) * double(std::min(COLUMNS, B));
    bh_parallel(bh_split(down * bh_parts(B, COLUMNS), each), [&](long begin, long end, int) {
        for (long i = begin; i < end; ++i) {
            const long k = i % down * ROWS, j = i / down * COLUMNS;
            run(i % down, k, std::min(ROWS, K - k), j, std::min(COLUMNS, B - j));
        }
    });
}

}  // namespace

template <typename REAL>
void importance_weights_forward(REAL* bound, REAL* top, REAL* total, const REAL* log_w, long K,
                                long B) {
    const long tiles = bh_parts(K, ROWS);
    std::vector<REAL> largest(tiles * B), sum(tiles * B);
    each_tile(FORWARD_NS, K, B, [&](long t, long k, long rows, long j, long cols) {
        tile(&largest[t * B + j], &sum[t * B + j], log_w + k * B + j, B, rows, cols);
    });
    for (long j = 0; j < B; j += COLUMNS)
        results(bound + j, top + j, total + j, &largest[j], &sum[j], K, B, tiles,
                std::min(COLUMNS, B - j));
    for (long j = 0; j < B; ++j)
        if (total[j] != total[j]) bound[j] = bound_of_not_finite(log_w + j, B, K);
}

template <typename REAL>
void importance_weights_backward(REAL* d_log_w, const REAL* d_bound, const REAL* log_w,
                                 const REAL* top, const REAL* total, bool dreg, long K, long B) {
    each_tile(BACKWARD_NS, K, B, [=](long, long k, long rows, long j, long cols) {
        const long at = k * B + j;
        backward(d_log_w + at, d_bound + j, log_w + at, top + j, total + j, dreg, B, rows, cols);
    });
}

#define BH_INSTANCE(REAL)                                                                          \
    template void importance_weights_forward<REAL>(REAL*, REAL*, REAL*, const REAL*, long, long);  \
    template void importance_weights_backward<REAL>(REAL*, const REAL*, const REAL*, const REAL*,  \
                                                    const REAL*, bool, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
