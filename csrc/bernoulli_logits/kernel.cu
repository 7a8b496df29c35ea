// Bernoulli log-likelihood in CUDA: a block for each row, forward; a thread for each pixel, backward.
// x, dx: (rows, cols); logits, d_logits: (samples, rows, cols); logp, d_logp: (samples, rows).
#include "bernoulli_logits/bernoulli_logits_math.h"
#include "common/device.h"

// all = samples * rows.
extern "C" __global__ void __launch_bounds__(128) bernoulli_logits_forward(
    REAL* __restrict__ logp, const REAL* __restrict__ x, const REAL* __restrict__ logits,
    long long all, int rows, int cols) {
    for (long long row = blockIdx.x; row < all; row += gridDim.x) {
        const REAL* const xs = x + row % rows * cols;
        const REAL* const ls = logits + row * cols;
        REAL total = REAL(0);
        for (int at = threadIdx.x; at < cols;) {
            REAL sum = REAL(0), product = REAL(1);
            for (int n = 0; n < BERNOULLI_FACTORS && at < cols; ++n, at += blockDim.x) {
                sum += bernoulli_linear(xs[at], ls[at]);
                product *= bernoulli_factor(ls[at]);
            }
            total += sum - bh_log(product);  // [bernoulli_logits.1]
        }
        total = bh_block_sum(total);
        if (threadIdx.x == 0) logp[row] = total;
    }
}

// Threads of a block lie along a row, blocks along y are rows.  dx is null where x is data.
extern "C" __global__ void bernoulli_logits_backward(
    REAL* __restrict__ dx, REAL* __restrict__ d_logits, const REAL* __restrict__ d_logp,
    const REAL* __restrict__ x, const REAL* __restrict__ logits, int samples, int rows, int cols) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    for (int r = blockIdx.y; r < rows; r += gridDim.y) {
        const REAL pixel = x[(long long)r * cols + c];
        REAL total = REAL(0);
        for (int begin = 0; begin < samples; begin += 64) {  // a long sum is made block by block
            const int end = samples - begin < 64 ? samples : begin + 64;
            REAL sum = REAL(0);
            for (int k = begin; k < end; ++k) {
                const long long row = (long long)k * rows + r, i = row * cols + c;
                const REAL d = d_logp[row], l = logits[i];
                d_logits[i] = bernoulli_slope(d, pixel, l);  // [bernoulli_logits.2]
                sum += d * l;  // [bernoulli_logits.3]
            }
            total += sum;
        }
        if (dx != nullptr) dx[(long long)r * cols + c] = total;
    }
}
