// Softmax cross-entropy in CUDA: a warp for each row, or a block where rows are long.
// logits, dx: (rows, classes); targets, top, total, nll, d_nll: (rows).
#include "common/device.h"
#include "common/sums.h"
#include "softmax_cross_entropy/softmax_cross_entropy_math.h"

// NaN does not count for the largest logit, but makes the sum NaN.
extern "C" __global__ void __launch_bounds__(256) softmax_cross_entropy_forward(
    REAL* __restrict__ nll, REAL* __restrict__ top, REAL* __restrict__ total,
    const REAL* __restrict__ logits, const long long* __restrict__ targets, long long rows,
    int classes) {
    for (long long r = bh_first_row(); r < rows; r += bh_row_stride()) {
        const REAL* const x = logits + r * classes;
        REAL most = bh_minus_infinity();
        for (int c = threadIdx.x; c < classes; c += blockDim.x) most = x[c] > most ? x[c] : most;
        most = bh_row_max(most);
        BhSum sum;
        for (int c = threadIdx.x; c < classes; c += blockDim.x)
            sum.add(softmax_term(x[c], most));  // [softmax_cross_entropy.1]
        const REAL all = bh_row_sum(sum.total());
        if (threadIdx.x > 0) continue;
        top[r] = most;
        total[r] = all;
        nll[r] = softmax_nll(all, x[targets[r]], most);  // [softmax_cross_entropy.2]
    }
}

// dx may be logits: a thread reads what it writes, and nothing else of them.
extern "C" __global__ void __launch_bounds__(256) softmax_cross_entropy_backward(
    REAL* dx, const REAL* __restrict__ d_nll, const REAL* logits,
    const long long* __restrict__ targets, const REAL* __restrict__ top,
    const REAL* __restrict__ total, long long rows, int classes) {
    for (long long r = bh_first_row(); r < rows; r += bh_row_stride()) {
        const REAL d = d_nll[r], most = top[r], share = d / total[r];
        const long long target = targets[r];
        for (int c = threadIdx.x; c < classes; c += blockDim.x) {
            const REAL slope = softmax_slope(logits[r * classes + c], most, share);
            dx[r * classes + c] = c == target ? slope - d : slope;  // [softmax_cross_entropy.3]
        }
    }
}
