// Gaussian samples with their log-densities in CUDA: a warp or a block for each row, forward; a
// thread for each element of the mean, or several that share its samples, backward.
// stats, dstats: (rows, 2 cols), means and then logarithms of standard deviations; z, eps, dz,
// deps: (samples, rows, cols); log_q, log_n, d_log_q, d_log_n: (samples, rows).
#include "common/device.h"
#include "common/sums.h"
#include "gaussian_sample/gaussian_sample_math.h"

// all = samples * rows.
extern "C" __global__ void __launch_bounds__(256) gaussian_sample_forward(
    REAL* __restrict__ z, REAL* __restrict__ log_q, REAL* __restrict__ log_n,
    const REAL* __restrict__ stats, const REAL* __restrict__ eps, long long all, int rows,
    int cols) {
    for (long long row = bh_first_row(); row < all; row += bh_row_stride()) {
        const REAL* mean = stats + row % rows * 2 * cols;
        BhSum of_eps, of_z, log_stds;
        BH_NO_UNROLL
        for (int c = threadIdx.x; c < cols; c += blockDim.x) {
            const REAL e = eps[row * cols + c], s = mean[cols + c];
            REAL x;
            gaussian_sample_z(x, mean[c], bh_exp(s), e);  // [gaussian_sample.1]
            z[row * cols + c] = x;
            of_eps.add(e * e);
            of_z.add(x * x);
            log_stds.add(s);
        }
        const REAL squares = bh_row_sum(of_eps.total()), squares_z = bh_row_sum(of_z.total());
        const REAL scale = bh_row_sum(log_stds.total());
        if (threadIdx.x > 0) continue;
        log_q[row] = gaussian_sample_log_q(squares, scale, REAL(cols));  // [gaussian_sample.2]
        log_n[row] = gaussian_sample_log_n(squares_z, REAL(cols));  // [gaussian_sample.3]
    }
}

// Threads along y share the samples; deps is null where eps is noise.
extern "C" __global__ void __launch_bounds__(256) gaussian_sample_backward(
    REAL* __restrict__ dstats, REAL* __restrict__ deps, const REAL* __restrict__ dz,
    const REAL* __restrict__ d_log_q, const REAL* __restrict__ d_log_n,
    const REAL* __restrict__ stats, const REAL* __restrict__ eps, const REAL* __restrict__ z,
    long long samples, int rows, int cols) {
    const long long n = (long long)rows * cols;
    for (long long first = (long long)blockIdx.x * blockDim.x; first < n; first += bh_stride()) {
        const long long i = first + threadIdx.x, row = i / cols, mean = i + row * cols;
        REAL std = REAL(0);
        BhSum sum, sum_eps, sum_q;
        if (i < n) {
            std = bh_exp(stats[mean + cols]);
            BH_NO_UNROLL
            for (long long k = threadIdx.y; k < samples; k += blockDim.y) {
                const long long at = k * n + i;
                const REAL q = d_log_q[k * rows + row], e = eps[at];
                const REAL t = gaussian_sample_dz(dz[at], d_log_n[k * rows + row],
                                                  z[at]);  // [gaussian_sample.4]
                sum.add(t);
                sum_eps.add(t * e);
                sum_q.add(q);
                if (deps != nullptr)
                    deps[at] = gaussian_sample_deps(t, q, std, e);  // [gaussian_sample.7]
            }
        }
        const REAL dmean = bh_sample_sum(sum.total());  // [gaussian_sample.5]
        const REAL t_eps = bh_sample_sum(sum_eps.total()), q = bh_sample_sum(sum_q.total());
        if (i >= n || threadIdx.y > 0) continue;
        dstats[mean] = dmean;
        dstats[mean + cols] = gaussian_sample_ds(t_eps, q, std);  // [gaussian_sample.6]
    }
}
