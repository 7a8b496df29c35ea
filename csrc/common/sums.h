// Sums along rows and over samples, in a fixed order.
#pragma once

#include "common/column_sums.h"
#include "common/vec_math.h"

BH_DEVICE REAL bh_minus_infinity() { return REAL(bh_from_bits(int(0xFF800000u))); }

// A long sum: every 64 terms are added by themselves first.
class BhSum {
public:
    BH_HD void add(REAL v) {
        part += v;
        if (++terms < 64) return;
        whole += part;
        part = REAL(0);
        terms = 0;
    }
    BH_HD REAL total() const { return whole + part; }

private:
    REAL whole = REAL(0), part = REAL(0);
    int terms = 0;
};

// Rows that threads share: in blocks of (32, rows) each has a warp, in blocks of (threads, 1) it
// has them all.  kernels/cuda_tools.py chooses.
BH_DEVICE long long bh_first_row() { return (long long)blockIdx.x * blockDim.y + threadIdx.y; }
BH_DEVICE long long bh_row_stride() { return (long long)gridDim.x * blockDim.y; }

// Over the threads of a row, all of them; each gets the result.
BH_DEVICE REAL bh_row_sum(REAL v) { return blockDim.x == 32 ? bh_warp_sum(v) : bh_block_sum(v); }
BH_DEVICE REAL bh_row_max(REAL v) { return blockDim.x == 32 ? bh_warp_max(v) : bh_block_max(v); }

// Over threadIdx.y in blocks of (32, 8), in the threads with threadIdx.y = 0; all threads of the
// block call it.  In blocks with one y there is nothing to add.
BH_DEVICE REAL bh_sample_sum(REAL v) { return blockDim.y == 1 ? v : bh_sum_over_y(v); }
