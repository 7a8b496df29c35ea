// Bias and activation in CUDA: one pass over the rows, forward and backward.
#include "bias_activation/bias_activation_math.h"
#include "common/column_sums.h"
#include "common/device.h"

// Threads of a block lie along a row; blocks along x share its columns, along y the rows.
// a, y: (rows, cols); b: (cols) or null.
extern "C" __global__ void bias_activation_forward(
    REAL* __restrict__ y, const REAL* __restrict__ a, const REAL* __restrict__ b, long long rows,
    int cols, int f) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    const REAL bias = b == nullptr ? REAL(0) : b[c];
    BH_WITH_ACTIVATION(f, for (long long r = blockIdx.y; r < rows; r += gridDim.y) {
        const long long i = r * cols + c;
        y[i] = activation<F>(a[i] + bias);  // [bias_activation.1]
    })
}

// da, dy, y: (rows, cols); sums: as in column_sums.h, null where there is no bias.
extern "C" __global__ void __launch_bounds__(256) bias_activation_backward(
    REAL* __restrict__ da, REAL* __restrict__ sums, const REAL* __restrict__ dy,
    const REAL* __restrict__ y, long long rows, int cols, int f) {
    BH_WITH_ACTIVATION(f, bh_column_sums(sums, rows, cols, [=](long long r, int c) {
        const long long i = r * cols + c;
        const REAL d = dy[i] * activation_slope<F>(y[i]);  // [bias_activation.3]
        da[i] = d;
        return d;  // [bias_activation.4]
    }))
}

// The rows of x (rows, cols), added tile by tile.
extern "C" __global__ void __launch_bounds__(256) bias_activation_sum(
    REAL* __restrict__ sums, const REAL* __restrict__ x, long long rows, int cols) {
    bh_column_sums(sums, rows, cols, [=](long long r, int c) { return x[r * cols + c]; });
}
