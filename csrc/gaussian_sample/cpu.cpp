// Gaussian samples with their log-densities on the CPU: some rows of the statistics at a time, and
// all their samples while these are in the cache.
#include "gaussian_sample/gaussian_sample.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "common/lanes.h"
#include "common/pool.h"
#include "common/row_sums.h"
#include "gaussian_sample/gaussian_sample_math.h"

namespace {

constexpr long ELEMENTS = 1024;  // of the rows that are taken together
template <typename REAL>
constexpr long V = 32 / long(sizeof(REAL));  // numbers in a vector
template <typename REAL>
constexpr long BLOCK = 64 * V<REAL>;  // elements that are added before a sum goes on in double

template <typename REAL>
BH_HD BhLanes<REAL>& lanes(REAL* x) {
    return *reinterpret_cast<BhLanes<REAL>*>(x);
}
template <typename REAL>
BH_HD const BhLanes<REAL>& lanes(const REAL* x) {
    return *reinterpret_cast<const BhLanes<REAL>*>(x);
}

// std = exp(s) of `rows` rows of stats.
template <typename REAL>
BH_HD void scales_body(REAL* BH_RESTRICT std, const REAL* BH_RESTRICT stats, long rows, long cols) {
    for (long r = 0; r < rows; ++r)
        std::copy_n(stats + (2 * r + 1) * cols, cols, std + r * cols);
    for (long i = 0; i < rows * cols; ++i) std[i] = bh_exp(std[i]);  // SIMD
}

// total[r] = the sum of s over each of R rows.
template <long R, typename REAL>
BH_HD void log_stds_body(double* total, const REAL* s, long step, long cols) {
    for (long r = 0; r < R; ++r) total[r] = 0.0;
    for (long begin = 0; begin < cols; begin += BLOCK<REAL>) {
        const long end = std::min(cols, begin + BLOCK<REAL>);
        BhLanes<REAL> sum[V<REAL>] = {}, sums;
        long i = begin;
        for (; i + V<REAL> <= end; i += V<REAL>)
#pragma GCC unroll 8
            for (long r = 0; r < R; ++r) sum[r] += lanes(s + r * step + i);
        bh_sum_each(sums, sum);
        for (long r = 0; r < R; ++r) total[r] += double(sums[r]);
        for (; i < end; ++i)
            for (long r = 0; r < R; ++r) total[r] += double(s[r * step + i]);
    }
}

// z of R rows of one sample; total: the sums of eps^2 over each, then, V / 2 behind, of z^2.
template <long R, typename REAL>
BH_HD void sample_body(REAL* BH_RESTRICT z, double* total, const REAL* BH_RESTRICT stats,
                       const REAL* BH_RESTRICT std, const REAL* BH_RESTRICT eps, long cols) {
    constexpr long HALF = V<REAL> / 2;
    for (long n = 0; n < V<REAL>; ++n) total[n] = 0.0;
    for (long begin = 0; begin < cols; begin += BLOCK<REAL>) {
        const long end = std::min(cols, begin + BLOCK<REAL>);
        BhLanes<REAL> sum[V<REAL>] = {}, sums;
        REAL rest[V<REAL>] = {};
        long i = begin;
        for (; i + V<REAL> <= end; i += V<REAL>)
#pragma GCC unroll 4
            for (long r = 0; r < R; ++r) {
                const long at = r * cols + i;
                const BhLanes<REAL> e = lanes(eps + at);
                BhLanes<REAL> x;
                gaussian_sample_z(x, lanes(stats + at + r * cols), lanes(std + at), e);
                lanes(z + at) = x;
                sum[r] += e * e;
                sum[HALF + r] += x * x;
            }
        for (; i < end; ++i)
#pragma GCC unroll 4
            for (long r = 0; r < R; ++r) {
                const long at = r * cols + i;
                const REAL e = eps[at];
                REAL x;
                gaussian_sample_z(x, stats[at + r * cols], std[at], e);
                z[at] = x;
                rest[r] += e * e;
                rest[HALF + r] += x * x;
            }
        bh_sum_each(sums, sum);
        for (long n = 0; n < V<REAL>; ++n) total[n] += double(sums[n] + rest[n]);
    }
}

// `rows` rows of stats and all their samples, which lie `all` rows apart.
template <typename REAL>
BH_HD void forward_body(REAL* z, REAL* log_q, REAL* log_n, const REAL* stats, const REAL* eps,
                        REAL* std, double* log_stds, long rows, SampleSizes s) {
    constexpr long R = V<REAL> / 2;
    const long cols = s.cols;
    scales_body(std, stats, rows, cols);
    const REAL* log_std = stats + cols;
    long r = 0;
    for (; r + V<REAL> <= rows; r += V<REAL>)
        log_stds_body<V<REAL>>(log_stds + r, log_std + r * 2 * cols, 2 * cols, cols);
    for (; r < rows; ++r) log_stds_body<1>(log_stds + r, log_std + r * 2 * cols, 2 * cols, cols);
    double total[V<REAL>];
    for (long k = 0; k < s.samples; ++k) {
        const long first = k * s.rows;
        const auto write = [&](long r, long n) {
            log_q[first + r] = REAL(gaussian_sample_log_q(total[n], log_stds[r], double(cols)));
            log_n[first + r] = REAL(gaussian_sample_log_n(total[R + n], double(cols)));
        };
        for (r = 0; r + R <= rows; r += R) {
            const long at = (first + r) * cols;
            sample_body<R>(z + at, total, stats + r * 2 * cols, std + r * cols, eps + at, cols);
            for (long n = 0; n < R; ++n) write(r + n, n);
        }
        for (; r < rows; ++r) {
            const long at = (first + r) * cols;
            sample_body<1>(z + at, total, stats + r * 2 * cols, std + r * cols, eps + at, cols);
            write(r, 0);
        }
    }
}

// What one sample of `rows` rows adds to dstats, whose second half is the sum of t eps so far.
template <typename REAL>
BH_HD void add_body(REAL* BH_RESTRICT dstats, REAL* BH_RESTRICT deps, const REAL* BH_RESTRICT dz,
                    const REAL* BH_RESTRICT d_log_q, const REAL* BH_RESTRICT d_log_n,
                    const REAL* BH_RESTRICT eps, const REAL* BH_RESTRICT z,
                    const REAL* BH_RESTRICT std, long rows, long cols) {
    for (long r = 0; r < rows; ++r) {
        const REAL q = d_log_q[r], n = d_log_n[r];
        REAL *BH_RESTRICT dmean = dstats + 2 * r * cols, *BH_RESTRICT t_eps = dmean + cols;
        for (long i = 0; i < cols; ++i) {  // SIMD
            const long at = r * cols + i;
            const REAL t = gaussian_sample_dz(dz[at], n, z[at]);
            dmean[i] += gaussian_sample_to_mean(t);
            t_eps[i] += t * eps[at];
        }
        if (deps == nullptr) continue;
        for (long i = 0; i < cols; ++i) {  // SIMD
            const long at = r * cols + i;
            const REAL t = gaussian_sample_dz(dz[at], n, z[at]);
            deps[at] = gaussian_sample_deps(t, q, std[at], eps[at]);
        }
    }
}

template <typename REAL>
BH_HD void finish_body(REAL* BH_RESTRICT dstats, const REAL* BH_RESTRICT std,
                       const double* BH_RESTRICT d_log_q, long rows, long cols) {
    for (long r = 0; r < rows; ++r) {
        const REAL q = REAL(d_log_q[r]);
        REAL* ds = dstats + (2 * r + 1) * cols;
        const REAL* scale = std + r * cols;
        for (long i = 0; i < cols; ++i) ds[i] = gaussian_sample_ds(ds[i], q, scale[i]);  // SIMD
    }
}

#define BH_ROWS(REAL)                                                                             \
    BH_CLONES void forward_rows(REAL* z, REAL* log_q, REAL* log_n, const REAL* stats,             \
                                const REAL* eps, REAL* std, double* log_stds, long rows,          \
                                SampleSizes s) {                                                  \
        forward_body(z, log_q, log_n, stats, eps, std, log_stds, rows, s);                        \
    }                                                                                             \
    BH_CLONES void scales(REAL* std, const REAL* stats, long rows, long cols) {                   \
        scales_body(std, stats, rows, cols);                                                      \
    }                                                                                             \
    BH_CLONES void add(REAL* dstats, REAL* deps, const REAL* dz, const REAL* d_log_q,             \
                       const REAL* d_log_n, const REAL* eps, const REAL* z, const REAL* std,      \
                       long rows, long cols) {                                                    \
        add_body(dstats, deps, dz, d_log_q, d_log_n, eps, z, std, rows, cols);                    \
    }                                                                                             \
    BH_CLONES void finish(REAL* dstats, const REAL* std, const double* d_log_q, long rows,        \
                          long cols) {                                                            \
        finish_body(dstats, std, d_log_q, rows, cols);                                            \
    }
BH_ROWS(float)
BH_ROWS(double)

constexpr double ELEMENT_NS = 1.0, SAMPLE_NS = 0.4;  // on one core

// run(first row, rows, memory for their standard deviations, and a double for each row) for every
// block, shared among threads.
template <typename REAL, typename F>
void each_block(const SampleSizes& s, F&& run) {
    const double each = (ELEMENT_NS + SAMPLE_NS * double(s.samples)) * double(s.cols);
    const long block = std::max(1L, ELEMENTS / std::max(1L, s.cols));
    bh_parallel(bh_split(s.rows, each), [&](long begin, long end, int) {
        std::unique_ptr<REAL[]> std(new REAL[block * s.cols]);
        std::unique_ptr<double[]> numbers(new double[block]);
        for (long r = begin; r < end; r += block)
            run(r, std::min(block, end - r), std.get(), numbers.get());
    });
}

}  // namespace

template <typename REAL>
void gaussian_sample_forward(REAL* z, REAL* log_q, REAL* log_n, const REAL* stats, const REAL* eps,
                             SampleSizes s) {
    each_block<REAL>(s, [&](long r, long rows, REAL* std, double* log_stds) {
        const long at = r * s.cols;
        forward_rows(z + at, log_q + r, log_n + r, stats + 2 * at, eps + at, std, log_stds, rows, s);
    });
}

template <typename REAL>
void gaussian_sample_backward(REAL* dstats, REAL* deps, const REAL* dz, const REAL* d_log_q,
                              const REAL* d_log_n, const REAL* stats, const REAL* eps,
                              const REAL* z, SampleSizes s) {
    each_block<REAL>(s, [&](long r, long rows, REAL* std, double* q) {
        const long size = 2 * rows * s.cols;
        REAL* to = dstats + 2 * r * s.cols;
        std::vector<double> total;
        scales(std, stats + 2 * r * s.cols, rows, s.cols);
        std::fill_n(q, rows, 0.0);
        bh_sum_blocked(to, size, s.samples, total, [&](long k) {
            const long row = k * s.rows + r, at = row * s.cols;
            add(to, deps ? deps + at : nullptr, dz + at, d_log_q + row, d_log_n + row, eps + at,
                z + at, std, rows, s.cols);
            for (long n = 0; n < rows; ++n) q[n] += double(d_log_q[row + n]);
        });
        finish(to, std, q, rows, s.cols);
    });
}

#define BH_INSTANCE(REAL)                                                                         \
    template void gaussian_sample_forward<REAL>(REAL*, REAL*, REAL*, const REAL*, const REAL*,    \
                                                SampleSizes);                                     \
    template void gaussian_sample_backward<REAL>(REAL*, REAL*, const REAL*, const REAL*,          \
                                                 const REAL*, const REAL*, const REAL*,           \
                                                 const REAL*, SampleSizes);
BH_INSTANCE(float)
BH_INSTANCE(double)
