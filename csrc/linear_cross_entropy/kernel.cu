// Between the products of a linear layer and its cross-entropy, one block of logits at a time.
// x: (rows, classes), without the bias b (classes); targets count from the block's first class, so
// that most lie outside; targets, top, total, picked, d_nll: (rows).
#include "common/column_sums.h"
#include "common/device.h"
#include "common/sums.h"
#include "linear_cross_entropy/linear_cross_entropy_math.h"

// top, total and picked are brought up to date: a warp for each row, or a block where rows are
// long.
extern "C" __global__ void __launch_bounds__(256) linear_cross_entropy_absorb(
    REAL* __restrict__ top, REAL* __restrict__ total, REAL* __restrict__ picked,
    const REAL* __restrict__ x, const REAL* __restrict__ b, const long long* __restrict__ targets,
    long long rows, int classes) {
    for (long long r = bh_first_row(); r < rows; r += bh_row_stride()) {
        const REAL* const row = x + r * classes;
        const REAL old = threadIdx.x == 0 ? top[r] : bh_minus_infinity();  // it is written below
        REAL most = old;
        for (int c = threadIdx.x; c < classes; c += blockDim.x) {
            const REAL logit = row[c] + b[c];  // [linear_cross_entropy.1]
            most = logit > most ? logit : most;
        }
        most = bh_row_max(most);
        const REAL shift = linear_cross_entropy_shift(most);
        BhSum sum;
        for (int c = threadIdx.x; c < classes; c += blockDim.x)
            sum.add(softmax_term(row[c] + b[c], shift));
        const REAL all = bh_row_sum(sum.total());
        if (threadIdx.x > 0) continue;
        const long long target = targets[r];
        top[r] = most;
        total[r] =
            linear_cross_entropy_rescaled(total[r], old, shift) + all;  // [linear_cross_entropy.2]
        if (target >= 0 && target < classes) picked[r] = row[target] + b[target];
    }
}

// The gradient takes the place of x; sums: as in column_sums.h.
extern "C" __global__ void __launch_bounds__(256) linear_cross_entropy_gradient(
    REAL* __restrict__ x, REAL* __restrict__ sums, const REAL* __restrict__ b,
    const long long* __restrict__ targets, const REAL* __restrict__ top,
    const REAL* __restrict__ total, const REAL* __restrict__ d_nll, long long rows, int classes) {
    bh_column_sums(sums, rows, classes, [=](long long r, int c) {
        const REAL d = d_nll[r];
        const REAL slope = softmax_slope(x[r * classes + c] + b[c], top[r], d / total[r]);
        const REAL dx = c == targets[r] ? slope - d : slope;  // [linear_cross_entropy.4]
        x[r * classes + c] = dx;
        return dx;  // [linear_cross_entropy.7]
    });
}

// The rows of x (rows, cols), added tile by tile.
extern "C" __global__ void __launch_bounds__(256) linear_cross_entropy_sum(
    REAL* __restrict__ sums, const REAL* __restrict__ x, long long rows, int cols) {
    bh_column_sums(sums, rows, cols, [=](long long r, int c) { return x[r * cols + c]; });
}
