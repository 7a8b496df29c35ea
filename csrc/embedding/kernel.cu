// Embedding in CUDA: rows are copied; their gradients are added in the order of sorted ids.
// W: (V, cols); y, dy: (N, cols).  Blocks have (32, 8) threads: along the columns, and 8 rows.
#include "common/device.h"
#include "common/sums.h"

extern "C" __global__ void __launch_bounds__(256) embedding_forward(
    REAL* __restrict__ y, const REAL* __restrict__ W, const long long* __restrict__ ids,
    long long N, int cols) {
    for (long long n = bh_first_row(); n < N; n += bh_row_stride()) {
        const REAL* const row = W + ids[n] * cols;
        for (int c = threadIdx.x; c < cols; c += blockDim.x) y[n * cols + c] = row[c];  // [embedding.1]
    }
}

// Of the sorted uses, PIECE by PIECE: those of one row of W that lie in one piece are added one
// by one.  They go to W from the piece where the row's uses begin, and to heads (pieces, cols)
// from those where they go on; so nothing is written twice.
constexpr int PIECE = 32;  // kernels/embedding/cuda.py has it too

// ids: sorted; order: where each use is in dy.
extern "C" __global__ void __launch_bounds__(256) embedding_add_pieces(
    REAL* __restrict__ W, REAL* __restrict__ heads, const long long* __restrict__ ids,
    const long long* __restrict__ order, const REAL* __restrict__ dy, long long N, int cols) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    for (long long p = (long long)blockIdx.y * blockDim.y + threadIdx.y; p * PIECE < N;
         p += (long long)gridDim.y * blockDim.y) {
        const long long end = N - p * PIECE < PIECE ? N : (p + 1) * PIECE;
        for (long long n = p * PIECE; n < end;) {
            const long long v = ids[n];
            const bool goes_on = n == p * PIECE && n > 0 && ids[n - 1] == v;
            REAL* const to = goes_on ? heads + p * cols + c : W + v * cols + c;
            REAL sum = goes_on ? REAL(0) : *to;
            for (; n < end && ids[n] == v; ++n) sum += dy[order[n] * cols + c];  // [embedding.2]
            *to = sum;
        }
    }
}

// The heads, in their order, added to the rows of W that they belong to.
extern "C" __global__ void __launch_bounds__(256) embedding_add_heads(
    REAL* __restrict__ W, const REAL* __restrict__ heads, const long long* __restrict__ ids,
    long long N, int cols) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= cols) return;
    for (long long p = (long long)blockIdx.y * blockDim.y + threadIdx.y; (p + 1) * PIECE < N;
         p += (long long)gridDim.y * blockDim.y) {
        const long long v = ids[(p + 1) * PIECE - 1];
        const bool begins = p == 0 || ids[p * PIECE - 1] != v;  // in this piece, not before
        if (!begins || ids[(p + 1) * PIECE] != v) continue;
        BhSum sum;
        sum.add(W[v * cols + c]);
        for (long long q = p + 1; q * PIECE < N && ids[q * PIECE] == v; ++q)
            sum.add(heads[q * cols + c]);  // [embedding.2]
        W[v * cols + c] = sum.total();
    }
}
