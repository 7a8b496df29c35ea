// Gaussian filters in CUDA: a block for each datum, a warp for each filter.
// head, d_head: (batch, 5); F_Y, dF_Y: (batch, N, height); F_X, dF_X: (batch, N, width);
// gamma, dgamma: (batch).
#include "common/device.h"
#include "filterbank/bank_device.h"

extern "C" __global__ void __launch_bounds__(256, BANK_BLOCKS) filterbank_forward(
    REAL* __restrict__ F_Y, REAL* __restrict__ F_X, REAL* __restrict__ gamma,
    const REAL* __restrict__ head, REAL log_eps, long long batch, int N, int height, int width) {
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        const auto bank = bank_of(head + 5 * b, N, height, width, F_Y + b * N * height, height,
                                  F_X + b * N * width, width);
        bank_build(bank, log_eps);
        if (threadIdx.x == 0) gamma[b] = bank.place.gamma;  // [filterbank.6]
    }
}

extern "C" __global__ void __launch_bounds__(256, BANK_BLOCKS) filterbank_backward(
    REAL* __restrict__ d_head, const REAL* __restrict__ dF_Y, const REAL* __restrict__ dF_X,
    const REAL* __restrict__ dgamma, const REAL* __restrict__ head,
    const REAL* __restrict__ F_Y, const REAL* __restrict__ F_X, long long batch, int N, int height,
    int width) {
    for (long long b = blockIdx.x; b < batch; b += gridDim.x) {
        const auto bank = bank_of(head + 5 * b, N, height, width, F_Y + b * N * height, height,
                                  F_X + b * N * width, width);
        bank_backward(d_head + 5 * b, dF_Y + b * N * height, dF_X + b * N * width, bank);
        if (threadIdx.x == 0)
            d_head[5 * b + 4] = filter_dlog_gamma(dgamma[b], bank.place.gamma);  // [filterbank.12]
    }
}
