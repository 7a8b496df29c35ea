// Sums over the rows of a matrix, of a bias gradient for instance: a block of (32, 8) threads adds
// BH_TILE_ROWS rows of 32 columns to one row.  Made again of the sums until one row is left, it
// never adds more than 32 numbers one after the other.
#pragma once

#include "common/device.h"

constexpr int BH_TILE_COLS = 32, BH_TILE_ROWS = 256;  // kernels/cuda_tools.py has them too

// The sum over threadIdx.y, in the threads with threadIdx.y = 0; all threads of the block call it.
BH_DEVICE REAL bh_sum_over_y(REAL v) {
    BH_SHARED(REAL, tile, [8][32]);
    __syncthreads();  // tile may still be read from the call before
    tile[threadIdx.y][threadIdx.x] = v;
    __syncthreads();
    if (threadIdx.y > 0) return REAL(0);
    REAL pairs[4];
    for (int i = 0; i < 4; ++i) pairs[i] = tile[2 * i][threadIdx.x] + tile[2 * i + 1][threadIdx.x];
    return (pairs[0] + pairs[1]) + (pairs[2] + pairs[3]);
}

// value(r, c) is called once for each row and column; sums: (tiles of rows, cols), or null.
template <typename F>
BH_DEVICE void bh_column_sums(REAL* sums, long long rows, int cols, F value) {
    const long long tiles = (rows + BH_TILE_ROWS - 1) / BH_TILE_ROWS;
    const int c = blockIdx.x * BH_TILE_COLS + threadIdx.x;
    for (long long tile = blockIdx.y; tile < tiles; tile += gridDim.y) {
        const long long begin = tile * BH_TILE_ROWS;
        const long long end = rows - begin < BH_TILE_ROWS ? rows : begin + BH_TILE_ROWS;
        REAL sum = REAL(0);
        if (c < cols) {
            BH_NO_UNROLL
            for (long long r = begin + threadIdx.y; r < end; r += 8) sum += value(r, c);
        }
        if (sums == nullptr) continue;  // for the whole grid
        sum = bh_sum_over_y(sum);
        if (threadIdx.y == 0 && c < cols) sums[tile * cols + c] = sum;
    }
}
