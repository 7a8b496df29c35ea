// Causal convolution in CUDA.  Many channels: BLAS makes the products of the taps, and what is
// here lays out and adds their rows, shifted, with bias and activation.  Few channels: one pass.
// Rows of sequences (sequences, steps, cols): threads along x lie along a row, those along y are
// steps, blocks along z are sequences.
#include "bias_activation/bias_activation_math.h"
#include "causal_conv/causal_conv_math.h"
#include "common/device.h"

// take(n, t) for each sequence and step of this thread.
template <typename F>
BH_DEVICE void conv_each(long long sequences, long long steps, F take) {
    const long long stride = (long long)gridDim.y * blockDim.y;
    for (long long n = blockIdx.z; n < sequences; n += gridDim.z)
        for (long long t = (long long)blockIdx.y * blockDim.y + threadIdx.y; t < steps; t += stride)
            take(n, t);
}

// The row that a tap of this shift meets at time t; it looks ahead where the shift is negative.
BH_DEVICE const REAL* conv_met(const REAL* x, long long t, long long shift, long long steps,
                               long long width) {
    return shift < 0 ? conv_future(x, t, -shift, steps, width) : conv_past(x, t, shift, width);
}

// u_t = f(u_t + v_{t - shift} + b) in place; u, v: (sequences, steps, cols); v and b may be null.
extern "C" __global__ void __launch_bounds__(128) causal_conv_add(
    REAL* __restrict__ u, const REAL* __restrict__ v, const REAL* __restrict__ b, long long shift,
    int f, long long sequences, long long steps, int cols) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    const REAL bias = b == nullptr ? REAL(0) : b[c];
    BH_WITH_ACTIVATION(f, conv_each(sequences, steps, [=](long long n, long long t) {
        const long long first = n * steps * cols, at = first + t * cols + c;
        REAL sum = u[at];
        if (v != nullptr) {  // [causal_conv.1] [causal_conv.5]
            const REAL* const met = conv_met(v + first, t, shift, steps, cols);
            if (met != nullptr) sum += met[c];
        }
        u[at] = activation<F>(sum + bias);  // [causal_conv.2]
    }))
}

// out (sequences, count, cols) = the steps of x (sequences, steps, cols) from ``first`` on: the
// rows that a tap pairs, side by side.
extern "C" __global__ void __launch_bounds__(128) causal_conv_take(
    REAL* __restrict__ out, const REAL* __restrict__ x, long long first, long long count,
    long long sequences, long long steps, int cols) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    conv_each(sequences, count, [=](long long n, long long t) {
        out[(n * count + t) * cols + c] = x[(n * steps + first + t) * cols + c];  // [causal_conv.6]
    });
}
