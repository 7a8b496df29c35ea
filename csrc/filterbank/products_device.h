// Products of filters, patches and images by a block of threads, in shared memory: what reading
// and writing have in common.  Rows there are an odd number apart, so that the threads of a warp
// find a column in as many banks of the memory.
#pragma once

#include "filterbank/bank_device.h"

constexpr int BANK_ROWS = 2;    // of a product that a thread makes
constexpr int BANK_TERMS = 64;  // that are added one after the other
constexpr int BANK_STRIP = 32;  // rows of an image that are there at a time

// kernels/filterbank/cuda.py counts the numbers.
struct BankMemory {
    int N, height, width, high, wide;  // high, wide: from one row to the next
    REAL *F_Y, *F_X;      // (N, high), (N, wide)
    REAL* T;              // (N, wide)
    REAL* strip;          // (BANK_STRIP, wide)
    REAL* P;              // (N, N)
    REAL *D, *dF_Y, *dF_X;  // (N, wide), (N, high), (N, wide): for a backward
};

BH_DEVICE BankMemory bank_memory(REAL* at, int N, int height, int width) {
    BankMemory m;
    m.N = N;
    m.height = height;
    m.width = width;
    m.high = height | 1;
    m.wide = width | 1;
    m.F_Y = at;
    m.F_X = m.F_Y + N * m.high;
    m.T = m.F_X + N * m.wide;
    m.strip = m.T + N * m.wide;
    m.P = m.strip + BANK_STRIP * m.wide;
    m.D = m.P + N * N;
    m.dF_Y = m.D + N * m.wide;
    m.dF_X = m.dF_Y + N * m.high;
    return m;
}

BH_DEVICE Bank<REAL> bank_in(const BankMemory& m, const REAL* head) {
    return bank_of(head, m.N, m.height, m.width, m.F_Y, m.high, m.F_X, m.wide);
}

// out(r, c, sum over k of a(r, k) b(k, c)), each by the same thread at every call.
template <typename A, typename B, typename OUT>
BH_DEVICE void bank_product(int rows, int cols, int terms, A a, B b, OUT out) {
    const int groups = (rows + BANK_ROWS - 1) / BANK_ROWS;
    for (int item = threadIdx.x; item < groups * cols; item += blockDim.x) {
        const int c = item % cols, first = item / cols * BANK_ROWS;
        int row[BANK_ROWS];
        REAL total[BANK_ROWS];
        for (int q = 0; q < BANK_ROWS; ++q) {
            row[q] = first + q < rows ? first + q : rows - 1;
            total[q] = REAL(0);
        }
        for (int begin = 0; begin < terms; begin += BANK_TERMS) {
            const int end = terms - begin < BANK_TERMS ? terms : begin + BANK_TERMS;
            REAL sum[BANK_ROWS];
            for (int q = 0; q < BANK_ROWS; ++q) sum[q] = REAL(0);
            for (int k = begin; k < end; ++k) {
                const REAL y = b(k, c);
                for (int q = 0; q < BANK_ROWS; ++q) sum[q] += a(row[q], k) * y;
            }
            for (int q = 0; q < BANK_ROWS; ++q) total[q] += sum[q];
        }
        for (int q = 0; q < BANK_ROWS; ++q)
            if (first + q < rows) out(first + q, c, total[q]);
    }
}

// T = F_Y image, strip by strip; use(first, count) while the image's rows [first, first + count)
// are in m.strip.  Begins with a barrier; what follows and reads T needs one before it.
template <typename F>
BH_DEVICE void bank_gather(const BankMemory& m, const REAL* image, F use) {
    const int lane = threadIdx.x % 32;
    for (int first = 0; first < m.height; first += BANK_STRIP) {
        const int count = m.height - first < BANK_STRIP ? m.height - first : BANK_STRIP;
        __syncthreads();  // the strip and T may still be read
        for (int r = threadIdx.x / 32; r < count; r += blockDim.x / 32) {
            const REAL* const row = image + (long long)(first + r) * m.width;
            for (int a = lane; a < m.width; a += 32) m.strip[r * m.wide + a] = row[a];
        }
        __syncthreads();
        bank_product(
            m.N, m.width, count, [=](int j, int r) { return m.F_Y[j * m.high + first + r]; },
            [=](int r, int a) { return m.strip[r * m.wide + a]; },
            [=](int j, int a, REAL sum) {
                REAL* const to = m.T + j * m.wide + a;
                *to = first == 0 ? sum : *to + sum;
            });
        use(first, count);
    }
}

// rows (N, wide) = P F_X
BH_DEVICE void bank_mix(const BankMemory& m, REAL* rows) {
    bank_product(
        m.N, m.width, m.N, [=](int j, int i) { return m.P[j * m.N + i]; },
        [=](int i, int a) { return m.F_X[i * m.wide + a]; },
        [=](int j, int a, REAL sum) { rows[j * m.wide + a] = sum; });
}

// image (height, width) = F_Y^T rows
BH_DEVICE void bank_paint(const BankMemory& m, REAL* image, const REAL* rows) {
    bank_product(
        m.height, m.width, m.N, [=](int b, int j) { return m.F_Y[j * m.high + b]; },
        [=](int j, int a) { return rows[j * m.wide + a]; },
        [=](int b, int a, REAL sum) { image[(long long)b * m.width + a] = sum; });
}

// patch (N, N) = factor T F_X^T
BH_DEVICE void bank_look(const BankMemory& m, REAL* patch, REAL factor) {
    bank_product(
        m.N, m.N, m.width, [=](int j, int a) { return m.T[j * m.wide + a]; },
        [=](int a, int i) { return m.F_X[i * m.wide + a]; },
        [=](int j, int i, REAL sum) { patch[j * m.N + i] = factor * sum; });
}

// Of sum_ba image_ba sum_ji F_Y,jb P_ji F_X,ia: T = F_Y image, and with D = P F_X the gradients
// dF_Y = D image^T and dF_X = P^T T, added to what is there or set.  Ends without a barrier.
BH_DEVICE void bank_gradients(const BankMemory& m, const REAL* image, bool add) {
    bank_mix(m, m.D);
    bank_gather(m, image, [=](int first, int count) {
        bank_product(
            m.N, count, m.width, [=](int j, int a) { return m.D[j * m.wide + a]; },
            [=](int a, int r) { return m.strip[r * m.wide + a]; },
            [=](int j, int r, REAL sum) {
                REAL* const to = m.dF_Y + j * m.high + first + r;
                *to = add ? *to + sum : sum;
            });
    });
    __syncthreads();
    bank_product(
        m.N, m.width, m.N, [=](int i, int j) { return m.P[j * m.N + i]; },
        [=](int j, int a) { return m.T[j * m.wide + a]; },
        [=](int i, int a, REAL sum) {
            REAL* const to = m.dF_X + i * m.wide + a;
            *to = add ? *to + sum : sum;
        });
}

// P = factor patch, between two barriers.
BH_DEVICE void bank_take_patch(const BankMemory& m, const REAL* patch, REAL factor) {
    __syncthreads();  // P may still be read
    for (int n = threadIdx.x; n < m.N * m.N; n += blockDim.x) m.P[n] = factor * patch[n];
    __syncthreads();
}

// Where no channel adds to them.
BH_DEVICE void bank_clear_gradients(const BankMemory& m) {
    for (int n = threadIdx.x; n < m.N * m.high; n += blockDim.x) m.dF_Y[n] = REAL(0);
    for (int n = threadIdx.x; n < m.N * m.wide; n += blockDim.x) m.dF_X[n] = REAL(0);
}
