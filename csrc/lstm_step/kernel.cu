// The LSTM step in CUDA: a thread for each unit of a row, forward and backward.
// Matrices are (rows, H), those of gates (rows, 4*H); mask (rows) is null where all rows go on.
// Outputs may lie on inputs: a thread reads its numbers before it writes them.
#include "common/column_sums.h"
#include "common/device.h"
#include "lstm_step/lstm_step_math.h"

// take(r, j) for each row and unit: threads along x lie along a row, those along y are rows.
template <typename F>
BH_DEVICE void lstm_step_each(long long rows, int H, F take) {
    const int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= H) return;
    const long long step = (long long)gridDim.y * blockDim.y;
    for (long long r = (long long)blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += step)
        take(r, j);
}

template <typename T>
BH_DEVICE LstmGates<T> lstm_step_read(const T* gates, long long r, int j, long long H) {
    const T* const at = gates + 4 * r * H + j;
    return {at[0], at[H], at[2 * H], at[3 * H]};
}

template <typename T>
BH_DEVICE void lstm_step_write(T* gates, long long r, int j, long long H, LstmGates<T> s) {
    T* const at = gates + 4 * r * H + j;
    at[0] = s.i;
    at[H] = s.f;
    at[2 * H] = s.g;
    at[3 * H] = s.o;
}

// gates may be a.  b (4*H) may be null; h_prev is null where mask is.
extern "C" __global__ void __launch_bounds__(128) lstm_step_forward(
    REAL* __restrict__ h, REAL* __restrict__ c, REAL* gates, const REAL* a,
    const REAL* __restrict__ c_prev, const REAL* __restrict__ b, const REAL* __restrict__ h_prev,
    const int* __restrict__ mask, REAL forget_bias, long long rows, int H) {
    const REAL zero = REAL(0);
    lstm_step_each(rows, H, [=](long long r, int j) {
        const long long at = r * H + j;
        if (mask != nullptr && mask[r] == 0) {  // [lstm_step.5]
            h[at] = h_prev[at];
            c[at] = c_prev[at];
            lstm_step_write(gates, r, j, H, LstmGates<REAL>{zero, zero, zero, zero});
            return;
        }
        LstmGates<REAL> u = lstm_step_read(a, r, j, H), bias{zero, zero, zero, zero};
        if (b != nullptr) bias = lstm_step_read(b, 0, j, H);
        u = {u.i + bias.i, u.f + bias.f, u.g + bias.g, u.o + bias.o};  // [lstm_step.1]
        const LstmGates<REAL> s{bh_sigmoid(u.i), bh_sigmoid(u.f + forget_bias), bh_tanh(u.g),
                                bh_sigmoid(u.o)};  // [lstm_step.2]
        const REAL cell = lstm_step_cell(s, c_prev[at]);  // [lstm_step.3]
        c[at] = cell;
        h[at] = lstm_step_hidden(s, cell);  // [lstm_step.4]
        lstm_step_write(gates, r, j, H, s);
    });
}

// da may be gates, dc_prev may be dc, dh_prev may be dh; dh_prev is null where mask is.
extern "C" __global__ void __launch_bounds__(128) lstm_step_backward(
    REAL* da, REAL* dc_prev, REAL* dh_prev, const REAL* dh, const REAL* dc, const REAL* gates,
    const REAL* __restrict__ c_prev, const REAL* __restrict__ c, const int* __restrict__ mask,
    long long rows, int H) {
    const REAL zero = REAL(0);
    lstm_step_each(rows, H, [=](long long r, int j) {
        const long long at = r * H + j;
        const REAL d_hidden = dh[at], d_cell = dc[at];
        if (mask != nullptr && mask[r] == 0) {  // [lstm_step.11]
            dh_prev[at] = d_hidden;
            dc_prev[at] = d_cell;
            lstm_step_write(da, r, j, H, LstmGates<REAL>{zero, zero, zero, zero});
            return;
        }
        REAL d_cell_prev;
        const LstmGates<REAL> d =  // [lstm_step.6] [lstm_step.7] [lstm_step.8] [lstm_step.9]
            lstm_step_gradient(&d_cell_prev, d_hidden, d_cell, lstm_step_read(gates, r, j, H),
                               c_prev[at], c[at]);
        lstm_step_write(da, r, j, H, d);
        dc_prev[at] = d_cell_prev;
        if (dh_prev != nullptr) dh_prev[at] = zero;
    });
}

// The rows of da (rows, cols), or of such sums, added tile by tile.
extern "C" __global__ void __launch_bounds__(256) lstm_step_sum(
    REAL* __restrict__ sums, const REAL* __restrict__ da, long long rows, int cols) {
    bh_column_sums(sums, rows, cols, [=](long long r, int c) {
        return da[r * cols + c];  // [lstm_step.10]
    });
}
