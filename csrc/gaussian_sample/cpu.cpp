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
constexpr long BLOCK = 64 * V<REAL>;  // elements that are added before a sum begins anew

// std = exp(s) of `rows` rows of stats.
template <typename REAL>
BH_HD void scales_body(REAL* BH_RESTRICT std, const REAL* BH_RESTRICT stats, long rows, long cols) {
    for (long r = 0; r < rows; ++r)
        std::copy_n(stats + (2 * r + 1) * cols, cols, std + r * cols);
    for (long i = 0; i < rows * cols; ++i) std[i] = bh_exp(std[i]);  // SIMD
}

// The sum of x over each of R rows that lie `step` apart.
template <long R, typename REAL>
BH_HD void sums_body(REAL* sums, const REAL* x, long step, long cols) {
    BhLanes<REAL> total = {};
    for (long begin = 0; begin < cols; begin += BLOCK<REAL>) {
        const long end = std::min(cols, begin + BLOCK<REAL>);
        BhLanes<REAL> sum[V<REAL>] = {}, of_rows;
        REAL rest[V<REAL>] = {};
        long i = begin;
        for (; i + V<REAL> <= end; i += V<REAL>)
#pragma GCC unroll 8
            for (long r = 0; r < R; ++r) sum[r] += bh_lanes(x + r * step + i);
        for (; i < end; ++i)
            for (long r = 0; r < R; ++r) rest[r] += x[r * step + i];
        bh_sum_each(of_rows, sum);
        total += of_rows + bh_lanes(rest);
    }
    for (long r = 0; r < R; ++r) sums[r] = total[r];
}

// z of R rows of one sample; sums: of eps^2 over each row, and V / 2 behind these of z^2.
template <long R, typename REAL>
BH_HD void sample_body(REAL* BH_RESTRICT z, REAL* BH_RESTRICT sums, const REAL* BH_RESTRICT stats,
                       const REAL* BH_RESTRICT std, const REAL* BH_RESTRICT eps, long cols) {
    constexpr long HALF = V<REAL> / 2;
    BhLanes<REAL> total = {};
    for (long begin = 0; begin < cols; begin += BLOCK<REAL>) {
        const long end = std::min(cols, begin + BLOCK<REAL>);
        BhLanes<REAL> sum[V<REAL>] = {}, of_rows;
        REAL rest[V<REAL>] = {};
        long i = begin;
        for (; i + V<REAL> <= end; i += V<REAL>)
#pragma GCC unroll 4
            for (long r = 0; r < R; ++r) {
                const long at = r * cols + i;
                const BhLanes<REAL> mean = bh_lanes(stats + at + r * cols), scale = bh_lanes(std + at);
                const BhLanes<REAL> e = bh_lanes(eps + at);
                BhLanes<REAL> x;
                gaussian_sample_z(x, mean, scale, e);
                bh_lanes(z + at) = x;
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
        bh_sum_each(of_rows, sum);
        total += of_rows + bh_lanes(rest);
    }
    bh_lanes(sums) = total;
}

// `rows` rows of stats and all their samples; log_stds: memory for a number a row.
template <typename REAL>
BH_HD void forward_body(REAL* z, REAL* log_q, REAL* log_n, const REAL* stats, const REAL* eps,
                        REAL* std, REAL* log_stds, long rows, SampleSizes s) {
    constexpr long R = V<REAL> / 2;
    const long cols = s.cols, step = 2 * cols;
    scales_body(std, stats, rows, cols);
    long r = 0;
    for (; r + V<REAL> <= rows; r += V<REAL>)
        sums_body<V<REAL>>(log_stds + r, stats + r * step + cols, step, cols);
    for (; r < rows; ++r) sums_body<1>(log_stds + r, stats + r * step + cols, step, cols);
    REAL sums[V<REAL>];
    for (long k = 0; k < s.samples; ++k) {
        const long first = k * s.rows;
        const auto write = [&](long r, long n) {
            log_q[first + r] = gaussian_sample_log_q(sums[n], log_stds[r], REAL(cols));
            log_n[first + r] = gaussian_sample_log_n(sums[R + n], REAL(cols));
        };
        for (r = 0; r + R <= rows; r += R) {
            const long at = (first + r) * cols;
            sample_body<R>(z + at, sums, stats + r * step, std + r * cols, eps + at, cols);
            for (long n = 0; n < R; ++n) write(r + n, n);
        }
        for (; r < rows; ++r) {
            const long at = (first + r) * cols;
            sample_body<1>(z + at, sums, stats + r * step, std + r * cols, eps + at, cols);
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
            dmean[i] += t;  // [gaussian_sample.5]
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
                                const REAL* eps, REAL* std, REAL* log_stds, long rows,            \
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

// run(first row, rows, memory for cols + 1 numbers a row) for every block, shared among threads.
template <typename REAL, typename F>
void each_block(const SampleSizes& s, F&& run) {
    const double each = (ELEMENT_NS + SAMPLE_NS * double(s.samples)) * double(s.cols);
    const long block = std::max(1L, ELEMENTS / std::max(1L, s.cols));
    bh_parallel(bh_split(s.rows, each), [&](long begin, long end, int) {
        std::unique_ptr<REAL[]> memory(new REAL[block * (s.cols + 1)]);
        for (long r = begin; r < end; r += block) run(r, std::min(block, end - r), memory.get());
    });
}

}  // namespace

template <typename REAL>
void gaussian_sample_forward(REAL* z, REAL* log_q, REAL* log_n, const REAL* stats, const REAL* eps,
                             SampleSizes s) {
    each_block<REAL>(s, [&](long r, long rows, REAL* std) {
        const long at = r * s.cols;
        forward_rows(z + at, log_q + r, log_n + r, stats + 2 * at, eps + at, std,
                     std + rows * s.cols, rows, s);
    });
}

template <typename REAL>
void gaussian_sample_backward(REAL* dstats, REAL* deps, const REAL* dz, const REAL* d_log_q,
                              const REAL* d_log_n, const REAL* stats, const REAL* eps,
                              const REAL* z, SampleSizes s) {
    each_block<REAL>(s, [&](long r, long rows, REAL* std) {
        const long cols = s.cols;
        REAL* to = dstats + 2 * r * cols;
        std::vector<double> q(rows, 0.0), total;
        scales(std, stats + 2 * r * cols, rows, cols);
        bh_sum_blocked(to, 2 * rows * cols, s.samples, total, [&](long k) {
            const long row = k * s.rows + r, at = row * cols;
            add(to, deps ? deps + at : nullptr, dz + at, d_log_q + row, d_log_n + row, eps + at,
                z + at, std, rows, cols);
            for (long n = 0; n < rows; ++n) q[n] += double(d_log_q[row + n]);
        });
        finish(to, std, q.data(), rows, cols);
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
