"""Small kernels: right ones, and ones that each break a rule."""

HEAD = """#include "common/device.h"
"""

RIGHT = """
extern "C" __global__ void planted_block_sum(REAL* y, const REAL* x, int n) {
    const REAL s = bh_block_sum(x[blockIdx.x * n + threadIdx.x]);
    if (threadIdx.x == 0) y[blockIdx.x] = s;
}
extern "C" __global__ void planted_reverse(REAL* y, const REAL* x) {
    BH_DYNAMIC_SHARED(REAL, tile);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void planted_count(int* count) { atomicAdd(count, 1); }
extern "C" __global__ void planted_places(int* seen) {
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const int i = block * int(blockDim.x * blockDim.y * blockDim.z) + thread;
    seen[i] = i;
}
extern "C" __global__ void planted_shuffles(int* out) {
    const int lane = threadIdx.x;
    out[lane] = __shfl_sync(BH_WARP, lane, 3, 8);
    out[32 + lane] = __shfl_up_sync(BH_WARP, lane, 2);
    out[64 + lane] = __shfl_down_sync(BH_WARP, lane, 4, 16);
    out[96 + lane] = __shfl_xor_sync(BH_WARP, lane, 5);
    out[128 + lane] = int(__ballot_sync(BH_WARP, lane % 2 == 0));
    if (lane < 16) {  // halves of a warp may go their own ways
        unsigned all = __ballot_sync(0x0000FFFFu, 1), n = 0;
        for (; all; all &= all - 1) ++n;
        out[160 + lane] = int(n);
    } else {
        __syncwarp(0xFFFF0000u);
        out[160 + lane] = 100;
    }
}
extern "C" __global__ void planted_unset(REAL* y) {
    BH_SHARED(REAL, kept, [1]);
    y[blockIdx.x] = kept[0];
    kept[0] = REAL(1);  // the next block does not see it
}
"""

WRONG = """
extern "C" __global__ void planted_missing_barrier(REAL* y, const REAL* x) {
    BH_SHARED(REAL, tile, [64]);
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];  // the missing_barrier line
}
extern "C" __global__ void planted_missing_syncwarp(REAL* y, const REAL* x) {
    BH_SHARED(REAL, tile, [32]);
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[31 - threadIdx.x];  // the missing_syncwarp line
}
extern "C" __global__ void planted_neighbour(REAL* y, const REAL* x) {
    BH_SHARED(REAL, tile, [64]);
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = threadIdx.x ? tile[threadIdx.x - 1] : REAL(0);
}
extern "C" __global__ void planted_under_if(REAL* y) {
    if (threadIdx.x < 20) __syncthreads();  // the under_if line
    y[threadIdx.x] = REAL(0);
}
extern "C" __global__ void planted_two_sites(REAL* y) {
    if (threadIdx.x < 16) {
        __syncthreads();
    } else {
        __syncthreads();  // the two_sites line
    }
    y[threadIdx.x] = REAL(0);
}
extern "C" __global__ void planted_early_return(REAL* y) {
    if (threadIdx.x == 63) return;
    __syncthreads();  // the early_return line
    y[threadIdx.x] = REAL(0);
}
extern "C" __global__ void planted_full_mask(REAL* y) {
    y[threadIdx.x] = bh_warp_sum(REAL(1));  // the full_mask line
}
extern "C" __global__ void planted_not_in_mask(REAL* y) {
    if (threadIdx.x == 16) __syncwarp(0x0000FFFFu);  // the not_in_mask line
    y[threadIdx.x] = REAL(0);
}
extern "C" __global__ void planted_stranger(REAL* y) {
    REAL v = REAL(threadIdx.x);
    if (threadIdx.x < 16) v = __shfl_sync(0x0000FFFFu, v, 20);  // the stranger line
    y[threadIdx.x] = v;
}
extern "C" __global__ void planted_two_masks(REAL* y) {
    const unsigned mask = threadIdx.x < 8 ? 0x0000FFFFu : 0xFFFFFFFFu;
    y[threadIdx.x] = __shfl_xor_sync(mask, REAL(1), 1);  // the two_masks line
}
extern "C" __global__ void planted_two_kinds(REAL* y) {
    REAL v = REAL(1);
    if (threadIdx.x % 2) {
        v = __shfl_xor_sync(BH_WARP, v, 1);
    } else {
        v = __shfl_down_sync(BH_WARP, v, 1);  // the two_kinds line
    }
    y[threadIdx.x] = v;
}
extern "C" __global__ void planted_returned_lane(REAL* y) {
    if (threadIdx.x == 31) return;
    y[threadIdx.x] = __shfl_xor_sync(BH_WARP, REAL(1), 1);  // the returned_lane line
}
extern "C" __global__ void planted_split_warp(REAL* y) {
    if (threadIdx.x == 5) {
        __syncthreads();  // the split_warp line
    } else {
        __syncwarp();
    }
    y[threadIdx.x] = REAL(0);
}
extern "C" __global__ void planted_too_much(REAL* y) {
    BH_SHARED(unsigned char, many, [49152]);
    BH_SHARED(unsigned char, more, [9]);  // the too_much line
    many[0] = more[0];
    y[threadIdx.x] = REAL(many[0]);
}
"""

KERNELS = HEAD + RIGHT + WRONG
