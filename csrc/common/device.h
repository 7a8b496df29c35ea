// Words and helpers of the kernels.  Each kernel.cu includes this and its <op>_math.h; BH_REAL is
// float or double.  Sums are made in a fixed order: the same numbers at every run.
#pragma once

#include "common/macros.h"

using REAL = BH_REAL;

#ifndef BH_SHARED  // the emulator has its own
#define BH_SHARED(type, name, dims) __shared__ type name dims
#define BH_DYNAMIC_SHARED(type, name)                              \
    extern __shared__ __align__(16) unsigned char bh_dynamic[];    \
    type* const name = reinterpret_cast<type*>(bh_dynamic)
#define BH_NO_UNROLL _Pragma("unroll 1")  // before a loop whose copies would cost registers
#else
#define BH_NO_UNROLL
#endif

#define BH_DEVICE __device__ __forceinline__

constexpr unsigned BH_WARP = 0xFFFFFFFFu;  // the mask of a whole warp

// for (long long i = bh_first(); i < n; i += bh_stride()): neighbours take neighbours.
BH_DEVICE long long bh_first() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
BH_DEVICE long long bh_stride() { return (long long)gridDim.x * blockDim.x; }

// Over the 32 lanes of a warp, all of them; each lane gets the result.
template <typename T>
BH_DEVICE T bh_warp_sum(T v) {
    for (int bits = 16; bits > 0; bits >>= 1) v += __shfl_xor_sync(BH_WARP, v, bits);
    return v;
}

template <typename T>
BH_DEVICE T bh_warp_max(T v) {
    for (int bits = 16; bits > 0; bits >>= 1) {
        const T other = __shfl_xor_sync(BH_WARP, v, bits);
        v = other > v || other != other ? other : v;  // NaN wins
    }
    return v;
}

// Over a block of blockDim.x threads in whole warps, all of them; each thread gets the result.
template <typename T>
BH_DEVICE T bh_block_sum(T v) {
    BH_SHARED(T, parts, [32]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    v = bh_warp_sum(v);
    __syncthreads();  // parts may still be read from the call before
    if (lane == 0) parts[warp] = v;
    __syncthreads();
    return bh_warp_sum(lane < int(blockDim.x / 32) ? parts[lane] : T(0));
}

template <typename T>
BH_DEVICE T bh_block_max(T v) {
    BH_SHARED(T, parts, [32]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    v = bh_warp_max(v);
    __syncthreads();  // those of the last maximum may still be read
    if (lane == 0) parts[warp] = v;
    __syncthreads();
    return bh_warp_max(parts[lane < int(blockDim.x / 32) ? lane : 0]);
}
