"""Kernels whose fault only a sanitizer sees, and right ones of which it must say nothing."""

from tests.gates.planted import HEAD, RIGHT

FAULTS = (
    HEAD
    + RIGHT
    + """
extern "C" __global__ void planted_row_too_far(REAL* y) { y[threadIdx.x + 1] = REAL(1); }
extern "C" __global__ void planted_read_before(REAL* y) { y[0] = y[int(threadIdx.x) - 1]; }
extern "C" __global__ void planted_shared_index(REAL* y) {
    BH_SHARED(REAL, part, [32]);
    part[threadIdx.x + 1] = REAL(1);
    y[threadIdx.x] = part[threadIdx.x];
}
extern "C" __global__ void planted_dynamic_index(REAL* y) {
    BH_DYNAMIC_SHARED(REAL, part);
    part[threadIdx.x + 1] = REAL(1);
    y[threadIdx.x] = part[threadIdx.x];
}
extern "C" __global__ void planted_overflow(REAL* y) {
    const int large = 2147483647 - 16 + int(threadIdx.x);
    y[threadIdx.x] = REAL(large + 1);
}
extern "C" __global__ void planted_no_barrier(REAL* y) {
    BH_SHARED(REAL, part, [64]);
    part[threadIdx.x] = REAL(threadIdx.x);
    y[threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void planted_no_second_barrier(REAL* y) {
    BH_SHARED(REAL, part, [64]);
    for (int i = 0; i < 3; ++i) {
        part[threadIdx.x] = REAL(i);
        __syncthreads();
        y[threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
    }
}
extern "C" __global__ void planted_no_syncwarp(REAL* y) {
    BH_SHARED(REAL, part, [64]);
    part[threadIdx.x] = REAL(threadIdx.x);
    y[threadIdx.x] = __shfl_xor_sync(BH_WARP, part[threadIdx.x ^ 1], 1);
}
extern "C" __global__ void planted_blocks_race(REAL* y) {
    if (threadIdx.x == 0) y[0] = y[0] + REAL(1);
}
extern "C" __global__ void planted_plain_count(REAL* y) {
    BH_SHARED(int, count, [1]);
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    count[0] = count[0] + 1;
    __syncthreads();
    y[threadIdx.x] = REAL(count[0]);
}
extern "C" __global__ void planted_atomic_count(REAL* y) {
    BH_SHARED(int, count, [1]);
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    atomicAdd(&count[0], 1);
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = REAL(count[0]);
}
extern "C" __global__ void planted_warps(REAL* y) {
    BH_SHARED(REAL, part, [64]);
    part[threadIdx.x] = REAL(threadIdx.x);
    __syncwarp();
    y[blockIdx.x * blockDim.x + threadIdx.x] = bh_warp_sum(part[threadIdx.x ^ 1]);
}
"""
)

# kernel -> what must be said of it; None: nothing.
ADDRESS_FAULTS = {
    "row_too_far": "heap-buffer-overflow",
    "read_before": "heap-buffer-overflow",
    "shared_index": "index 32 out of bounds",
    "dynamic_index": "heap-buffer-overflow",
    "overflow": "signed integer overflow",
    "atomic_count": None,
    "warps": None,
}
RACE = "data race"
THREAD_FAULTS = {
    "no_barrier": RACE,
    "no_second_barrier": RACE,
    "no_syncwarp": RACE,
    "blocks_race": RACE,
    "plain_count": RACE,
    "atomic_count": None,
    "warps": None,
}

# Arguments: the folder with planted/kernel.cu, the kernel.
PROGRAM = """
import os, sys
from pathlib import Path
import numpy as np
from backhand.csrc import sources
from backhand.kernels import cuda_tools, emulator

root, kernel = Path(sys.argv[1]), sys.argv[2]
described = sources.kernels("planted", root)
cuda_tools._kernels = lambda op: described
blocks, threads = (1, 32) if kernel.endswith("index") else (4, 64)
y = np.zeros(threads if kernel == "row_too_far" else blocks * threads, np.float32)
shared = 4 * threads if kernel == "dynamic_index" else 0
if kernel == "row_too_far":
    blocks = 1
with emulator.using(emulator.Library(os.environ["EMULATED"])):
    name = f"planted_{kernel}"
    cuda_tools.launch("planted", name, blocks, threads, (y,), shared=shared)
print("done")
"""
