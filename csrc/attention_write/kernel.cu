// Writing through Gaussian filters in CUDA: a block for each datum, its bank in shared memory.
// head, d_head: (batch, 5); w, dw: (batch, C, N, N); c, dc: (batch, C, height, width).
#include "filterbank/products_device.h"

extern "C" __global__ void __launch_bounds__(256, BANK_BLOCKS) attention_write_forward(
    REAL* __restrict__ c, const REAL* __restrict__ head, const REAL* __restrict__ w, REAL log_eps,
    long long batch, int C, int N, int height, int width) {
    BH_DYNAMIC_SHARED(REAL, memory);
    const BankMemory m = bank_memory(memory, N, height, width);
    const long long pixels = (long long)height * width;
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        const Bank<REAL> bank = bank_in(m, head + 5 * b);
        __syncthreads();  // the filters of the datum before may still be read
        bank_build(bank, log_eps);
        for (long long n = b * C; n < (b + 1) * C; ++n) {
            bank_take_patch(m, w + n * N * N, REAL(1) / bank.place.gamma);  // [attention_write.2]
            bank_mix(m, m.T);
            __syncthreads();
            bank_paint(m, c + n * pixels, m.T);  // [attention_write.1]
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, BANK_BLOCKS) attention_write_backward(
    REAL* __restrict__ d_head, REAL* __restrict__ dw, const REAL* __restrict__ dc,
    const REAL* __restrict__ head, const REAL* __restrict__ w, REAL log_eps, long long batch,
    int C, int N, int height, int width) {
    BH_DYNAMIC_SHARED(REAL, memory);
    const BankMemory m = bank_memory(memory, N, height, width);
    const long long pixels = (long long)height * width;
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        const Bank<REAL> bank = bank_in(m, head + 5 * b);
        const REAL inverse = REAL(1) / bank.place.gamma;
        __syncthreads();  // the bank of the datum before may still be read
        bank_build(bank, log_eps);
        if (C == 0) bank_clear_gradients(m);
        for (long long n = b * C; n < (b + 1) * C; ++n) {
            bank_take_patch(m, w + n * N * N, inverse);
            // of P = w / gamma and dc in place of w and dQ  [attention_write.3]
            // [attention_write.5] [attention_write.6]
            bank_gradients(m, dc + n * pixels, n > b * C);
            bank_look(m, dw + n * N * N, inverse);  // [attention_write.4]
        }
        __syncthreads();
        const REAL seen = bank_backward(d_head + 5 * b, m.dF_Y, m.dF_X, bank);
        if (threadIdx.x == 0) d_head[5 * b + 4] = -seen;  // gamma dgamma  [attention_write.7]
    }
}
