// Philox in CUDA: a thread makes the four words of one counter, and what they become.
// out: (count, rows, n); index: (rows) datum numbers; all = count * rows.
#include "common/device.h"
#include "philox/philox_math.h"

// take(first of four or fewer elements of a row, how many, their words, the row).
template <typename F>
BH_DEVICE void philox_each(const unsigned int* index, unsigned int seed, unsigned int purpose,
                           unsigned int step, unsigned int first, long long all,
                           unsigned int rows, long long n, F take) {
    const long long counters = (n + 3) / 4;  // of a row
    for (long long i = bh_first(); i < all * counters; i += bh_stride()) {
        const long long row = i / counters, block = i - row * counters, left = n - 4 * block;
        const unsigned int sample = first + (unsigned int)(row / rows);
        const PhiloxWords w =
            philox_words((unsigned int)block, sample, index[row % rows], step, seed, purpose);
        take(row * n + 4 * block, left < 4 ? int(left) : 4, w, row);
    }
}

BH_DEVICE unsigned int philox_word(const PhiloxWords& w, int j) {
    return j == 0 ? w.c0 : j == 1 ? w.c1 : j == 2 ? w.c2 : w.c3;
}

extern "C" __global__ void philox_draw_integers(
    unsigned int* __restrict__ out, const unsigned int* __restrict__ index, unsigned int seed,
    unsigned int purpose, unsigned int step, unsigned int first, long long all, unsigned int rows,
    long long n) {
    philox_each(index, seed, purpose, step, first, all, rows, n,
                [=](long long at, int size, const PhiloxWords& w, long long) {
                    for (int j = 0; j < size; ++j) out[at + j] = philox_word(w, j);
                });
}

extern "C" __global__ void philox_draw_uniforms(
    REAL* __restrict__ out, const unsigned int* __restrict__ index, unsigned int seed,
    unsigned int purpose, unsigned int step, unsigned int first, long long all, unsigned int rows,
    long long n) {
    philox_each(index, seed, purpose, step, first, all, rows, n,
                [=](long long at, int size, const PhiloxWords& w, long long) {
                    for (int j = 0; j < size; ++j)
                        out[at + j] = philox_uniform<REAL>(philox_word(w, j));
                });
}

BH_DEVICE PhiloxPair philox_normals(float, unsigned int x0, unsigned int x1) {
    return philox_normals_float(x0, x1);
}
BH_DEVICE PhiloxPair philox_normals(double, unsigned int x0, unsigned int x1) {
    return philox_normals_double(x0, x1);
}

// In double for float too: only then are normals the same on all backends, to the last unit.
extern "C" __global__ void philox_draw_normals(
    REAL* __restrict__ out, const unsigned int* __restrict__ index, unsigned int seed,
    unsigned int purpose, unsigned int step, unsigned int first, long long all, unsigned int rows,
    long long n) {
    philox_each(index, seed, purpose, step, first, all, rows, n,
                [=](long long at, int size, const PhiloxWords& w, long long) {
                    REAL* const to = out + at;
                    for (int j = 0; j < size; j += 2) {
                        const PhiloxPair z =
                            philox_normals(REAL(0), philox_word(w, j), philox_word(w, j + 1));
                        to[j] = REAL(z.first);
                        if (j + 1 < size) to[j + 1] = REAL(z.second);
                    }
                });
}

// p: (p_rows, n) with p_rows = rows, shared by the samples, or all.
extern "C" __global__ void philox_draw_bernoullis(
    REAL* __restrict__ out, const REAL* __restrict__ p, long long p_rows,
    const unsigned int* __restrict__ index, unsigned int seed, unsigned int purpose,
    unsigned int step, unsigned int first, long long all, unsigned int rows, long long n) {
    philox_each(index, seed, purpose, step, first, all, rows, n,
                [=](long long at, int size, const PhiloxWords& w, long long row) {
                    const REAL* const chance = p + at - (row - row % p_rows) * n;
                    for (int j = 0; j < size; ++j)
                        out[at + j] =
                            philox_bernoulli(philox_uniform<REAL>(philox_word(w, j)), chance[j]);
                });
}
