// Gaussian log-density in CUDA: a warp or a block for each row, forward; a thread for each element
// of x, or several that share its samples, backward.
// x, dx: (rows, cols); mean, dmean: (samples, rows, cols); logvar, dlogvar: like mean, or (cols)
// where it is shared; logp, d_logp: (samples, rows).
#include "common/device.h"
#include "common/sums.h"
#include "gaussian_density/gaussian_density_math.h"

// all = samples * rows.
extern "C" __global__ void __launch_bounds__(256) gaussian_density_forward(
    REAL* __restrict__ logp, const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ logvar, int shared, long long all, int rows, int cols) {
    for (long long row = bh_first_row(); row < all; row += bh_row_stride()) {
        // Pointers that step: with an index behind each, sm_100 spills in double.
        const REAL* xs = x + row % rows * cols + threadIdx.x;
        const REAL* ms = mean + row * cols + threadIdx.x;
        const REAL* ls = logvar + (shared ? 0 : row * cols) + threadIdx.x;
        BhSum sum;
        BH_NO_UNROLL
        for (int c = threadIdx.x; c < cols; c += blockDim.x) {
            const REAL l = *ls;
            const REAL u =
                gaussian_residual(*xs, *ms, gaussian_inverse_std(l));  // [gaussian_density.1]
            sum.add(gaussian_term(u, l));  // [gaussian_density.2]
            xs += blockDim.x, ms += blockDim.x, ls += blockDim.x;
        }
        const REAL total = bh_row_sum(sum.total());
        if (threadIdx.x == 0) logp[row] = REAL(-0.5) * total;  // [gaussian_density.2]
    }
}

// A log-variance for each mean.  n = rows * cols; threads along y share the samples; dx is null
// where x is data.
extern "C" __global__ void __launch_bounds__(256) gaussian_density_backward(
    REAL* __restrict__ dx, REAL* __restrict__ dmean, REAL* __restrict__ dlogvar,
    const REAL* __restrict__ d_logp, const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ logvar, long long samples, int rows, int cols) {
    const long long n = (long long)rows * cols;
    for (long long first = (long long)blockIdx.x * blockDim.x; first < n; first += bh_stride()) {
        const long long i = first + threadIdx.x;
        BhSum sum;
        if (i < n) {
            const REAL value = x[i];
            const long long row = i / cols;
            BH_NO_UNROLL
            for (long long k = threadIdx.y; k < samples; k += blockDim.y) {
                const long long at = k * n + i;
                const REAL d = d_logp[k * rows + row];
                const REAL inverse_std = gaussian_inverse_std(logvar[at]);
                const REAL u = gaussian_residual(value, mean[at], inverse_std);
                const REAL dm = gaussian_dmean(d, u, inverse_std);
                dmean[at] = dm;  // [gaussian_density.3]
                dlogvar[at] = gaussian_dlogvar(d, u);  // [gaussian_density.4]
                sum.add(dm);
            }
        }
        if (dx == nullptr) continue;  // for the whole grid
        const REAL total = bh_sample_sum(sum.total());
        if (i < n && threadIdx.y == 0) dx[i] = -total;  // [gaussian_density.5]
    }
}

// One log-variance for each column; sums of dlogvar: as in column_sums.h.
extern "C" __global__ void __launch_bounds__(256) gaussian_density_backward_shared(
    REAL* __restrict__ dmean, REAL* __restrict__ sums, const REAL* __restrict__ d_logp,
    const REAL* __restrict__ x, const REAL* __restrict__ mean, const REAL* __restrict__ logvar,
    long long all, int rows, int cols) {
    bh_column_sums(sums, all, cols, [=](long long r, int c) {
        const long long at = r * cols + c;
        const REAL d = d_logp[r], inverse_std = gaussian_inverse_std(logvar[c]);
        const REAL u = gaussian_residual(x[r % rows * cols + c], mean[at], inverse_std);
        dmean[at] = gaussian_dmean(d, u, inverse_std);  // [gaussian_density.3]
        return gaussian_dlogvar(d, u);  // [gaussian_density.4]
    });
}

// The rows of x (rows, cols), added tile by tile.
extern "C" __global__ void __launch_bounds__(256) gaussian_density_sum(
    REAL* __restrict__ sums, const REAL* __restrict__ x, long long rows, int cols) {
    bh_column_sums(sums, rows, cols, [=](long long r, int c) { return x[r * cols + c]; });
}

// dx from dmean, where gaussian_density_backward_shared made it.
extern "C" __global__ void __launch_bounds__(256) gaussian_density_dx(
    REAL* __restrict__ dx, const REAL* __restrict__ dmean, long long samples, long long n) {
    for (long long first = (long long)blockIdx.x * blockDim.x; first < n; first += bh_stride()) {
        const long long i = first + threadIdx.x;
        BhSum sum;
        if (i < n)
            for (long long k = threadIdx.y; k < samples; k += blockDim.y) sum.add(dmean[k * n + i]);
        const REAL total = bh_sample_sum(sum.total());
        if (i < n && threadIdx.y == 0) dx[i] = -total;  // [gaussian_density.5]
    }
}
