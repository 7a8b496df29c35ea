// Reading through Gaussian filters in CUDA: a block for each datum, its bank in shared memory.
// head, d_head: (batch, 5); x, dx: (batch, C, height, width); x_hat, dx_hat likewise with D
// channels; r, dr: (batch, C + D, N, N).
#include "filterbank/products_device.h"

// x_hat is null where D is 0.
extern "C" __global__ void __launch_bounds__(256, BANK_BLOCKS) attention_read_forward(
    REAL* __restrict__ r, const REAL* __restrict__ head, const REAL* __restrict__ x,
    const REAL* __restrict__ x_hat, REAL log_eps, long long batch, int C, int D, int N, int height,
    int width) {
    BH_DYNAMIC_SHARED(REAL, memory);
    const BankMemory m = bank_memory(memory, N, height, width);
    const long long pixels = (long long)height * width;
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        const Bank<REAL> bank = bank_in(m, head + 5 * b);
        __syncthreads();  // the filters of the datum before may still be read
        bank_build(bank, log_eps);
        for (int c = 0; c < C + D; ++c) {
            const REAL* const image =
                c < C ? x + (b * C + c) * pixels : x_hat + (b * D + c - C) * pixels;
            bank_gather(m, image, [](int, int) {});
            __syncthreads();
            REAL* const out = r + (b * (C + D) + c) * N * N;
            bank_look(m, out, bank.place.gamma);  // [attention_read.1] [attention_read.2]
        }
    }
}

// dx and dx_hat are null where they are not needed.
extern "C" __global__ void __launch_bounds__(256, BANK_BLOCKS) attention_read_backward(
    REAL* __restrict__ d_head, REAL* __restrict__ dx, REAL* __restrict__ dx_hat,
    const REAL* __restrict__ dr, const REAL* __restrict__ head, const REAL* __restrict__ x,
    const REAL* __restrict__ x_hat, REAL log_eps, long long batch, int C, int D, int N, int height,
    int width) {
    BH_DYNAMIC_SHARED(REAL, memory);
    const BankMemory m = bank_memory(memory, N, height, width);
    const long long pixels = (long long)height * width;
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        const Bank<REAL> bank = bank_in(m, head + 5 * b);
        __syncthreads();  // the bank of the datum before may still be read
        bank_build(bank, log_eps);
        if (C + D == 0) bank_clear_gradients(m);
        for (int c = 0; c < C + D; ++c) {
            const long long at = (c < C ? b * C + c : b * D + c - C) * pixels;
            REAL* const d_image = c < C ? dx : dx_hat;
            bank_take_patch(m, dr + (b * (C + D) + c) * N * N, bank.place.gamma);
            // of P = dP  [attention_read.3] [attention_read.4] [attention_read.5]
            bank_gradients(m, (c < C ? x : x_hat) + at, c > 0);
            if (d_image != nullptr) bank_paint(m, d_image + at, m.D);  // [attention_read.6]
        }
        __syncthreads();
        const REAL seen = bank_backward(d_head + 5 * b, m.dF_Y, m.dF_X, bank);
        if (threadIdx.x == 0) d_head[5 * b + 4] = seen;  // gamma <dr, P>  [attention_read.7]
    }
}
