// Importance weights in CUDA: columns side by side, their rows in tiles that blocks share.
// log_w, d_log_w: (K, B); largest, sum: (tiles, B); the others (B).
#include "common/device.h"
#include "common/sums.h"
#include "importance_weights/importance_weights_math.h"

// NaN wins.
BH_DEVICE REAL importance_weights_larger(REAL a, REAL b) {
    return b > a || b != b ? b : a;
}

// The largest and the sum of BH_TILE_ROWS rows, relative to it; blocks of (32, 8) threads.
extern "C" __global__ void __launch_bounds__(256) importance_weights_tiles(
    REAL* __restrict__ largest, REAL* __restrict__ sum, const REAL* __restrict__ log_w,
    long long K, int B) {
    BH_SHARED(REAL, most, [8][32]);
    const long long tiles = (K + BH_TILE_ROWS - 1) / BH_TILE_ROWS;
    const int b = blockIdx.x * BH_TILE_COLS + threadIdx.x;
    for (long long tile = blockIdx.y; tile < tiles; tile += gridDim.y) {
        const long long begin = tile * BH_TILE_ROWS + threadIdx.y;
        const long long end = K - tile * BH_TILE_ROWS < BH_TILE_ROWS ? K : (tile + 1) * BH_TILE_ROWS;
        REAL l = bh_minus_infinity();
        if (b < B)
            for (long long k = begin; k < end; k += 8)
                l = importance_weights_larger(l, log_w[k * B + b]);
        most[threadIdx.y][threadIdx.x] = l;
        __syncthreads();  // bh_sum_over_y has the one before the next tile
        for (int y = 0; y < 8; ++y) l = importance_weights_larger(l, most[y][threadIdx.x]);
        const REAL top = importance_weights_top(l);
        REAL s = REAL(0);
        if (b < B)
            for (long long k = begin; k < end; k += 8)
                s += importance_weights_e(log_w[k * B + b], top);  // [importance_weights.1]
        s = bh_sum_over_y(s);
        if (b < B && threadIdx.y == 0) {
            largest[tile * B + b] = l;
            sum[tile * B + b] = s;
        }
    }
}

// A column that holds NaN or +inf has that as its bound, and no finite total.
extern "C" __global__ void __launch_bounds__(256) importance_weights_results(
    REAL* __restrict__ bound, REAL* __restrict__ top, REAL* __restrict__ total,
    const REAL* __restrict__ largest, const REAL* __restrict__ sum, long long tiles, long long K,
    int B) {
    for (long long b = bh_first(); b < B; b += bh_stride()) {
        REAL l = largest[b];
        for (long long t = 1; t < tiles; ++t)
            l = importance_weights_larger(l, largest[t * B + b]);
        const REAL above = importance_weights_top(l);
        BhSum all;
        for (long long t = 0; t < tiles; ++t)
            all.add(sum[t * B + b] * importance_weights_e(largest[t * B + b], above));
        const REAL s = importance_weights_total(all.total());
        top[b] = above;
        total[b] = s;
        bound[b] = s != s ? l : importance_weights_bound(above, s, REAL(K));  // [importance_weights.2]
    }
}

// Threads of a block lie along a row, blocks along y are rows.
extern "C" __global__ void __launch_bounds__(128) importance_weights_backward(
    REAL* __restrict__ d_log_w, const REAL* __restrict__ d_bound, const REAL* __restrict__ log_w,
    const REAL* __restrict__ top, const REAL* __restrict__ total, int dreg, long long K, int B) {
    const int b = blockIdx.x * blockDim.x + threadIdx.x;
    if (b >= B) return;
    const REAL above = top[b], d = d_bound[b];
    const REAL w = importance_weights_w(REAL(1), total[b]);  // of the largest
    const REAL factor = dreg ? importance_weights_dreg(w, d) : importance_weights_iwae(w, d);
    for (long long k = blockIdx.y; k < K; k += gridDim.y) {
        const REAL e = importance_weights_e(log_w[k * B + b], above);
        d_log_w[k * B + b] =
            (dreg ? e * e : e) * factor;  // [importance_weights.5] [importance_weights.6]
    }
}
