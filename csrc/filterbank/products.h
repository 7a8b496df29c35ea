// Small products of filters, patches and images, by register tiles over rows of vectors.
//
// A row of ``width`` numbers is ``vectors(width)`` vectors.  Where the width is no multiple of a
// vector, the last vector of an image's row ends with the row, and so overlaps the one before:
// nothing is read or written beyond the image.  Rows of our own (filters, T) have their vectors
// side by side; filters are zero in lanes that the overlap counts twice.
#pragma once

#include <algorithm>

#include "common/lanes.h"

template <typename REAL>
constexpr long LANES = 32 / long(sizeof(REAL));

template <typename REAL>
BH_HD long padded(long width) {
    return (width + LANES<REAL> - 1) / LANES<REAL> * LANES<REAL>;
}

// Rows of vectors; last: where the last vector of a row begins.
template <typename REAL>
struct Rows {
    REAL* data;
    long stride, last;
};

// of a buffer of our own
template <typename REAL>
BH_HD Rows<REAL> packed(REAL* data, long stride) {
    return {data, stride, stride - LANES<REAL>};
}

// of an image at least a vector wide
template <typename REAL>
BH_HD Rows<REAL> image_rows(REAL* data, long width) {
    return {data, width, width - LANES<REAL>};
}

// Element (r, k) of the left factor.
template <typename REAL>
struct Left {
    const REAL* data;
    long row, column;
};

constexpr long BLOCK = 128;  // terms that are added one after the other
constexpr long TILE_ROWS = 3, TILE_VECTORS = 4;

// R rows, V vectors from ``first`` on, ``more`` of which lie side by side before the last.
template <long R, long V, typename REAL>
BH_HD void product_tile(const Rows<REAL>& out, long r, const Left<REAL>& A,
                        const Rows<const REAL>& B, long begin, long end, long first, bool ends,
                        bool add) {
    using Vector = BhLanes<REAL>;
    Vector sum[R][V] = {};
    const long at = first * LANES<REAL>, last = (first + V - 1) * LANES<REAL>;
    const REAL* b = B.data + begin * B.stride + at;
    const REAL* b_last = B.data + begin * B.stride + (ends ? B.last : last);
    const REAL* a = A.data + r * A.row + begin * A.column;
    for (long k = begin; k < end; ++k, a += A.column, b += B.stride, b_last += B.stride) {
#pragma GCC unroll 4
        for (long v = 0; v < V; ++v) {
            const Vector x =
                *reinterpret_cast<const Vector*>(v == V - 1 ? b_last : b + v * LANES<REAL>);
#pragma GCC unroll 3
            for (long i = 0; i < R; ++i) sum[i][v] += a[i * A.row] * x;
        }
    }
#pragma GCC unroll 3
    for (long i = 0; i < R; ++i) {
        REAL* row = out.data + (r + i) * out.stride;
#pragma GCC unroll 4
        for (long v = V - 1; v >= 0; --v) {  // the last one first: the others overwrite what it has twice
            Vector* to =
                reinterpret_cast<Vector*>(row + (v == V - 1 ? (ends ? out.last : last)
                                                            : at + v * LANES<REAL>));
            if (add) sum[i][v] += *to;
            *to = sum[i][v];
        }
    }
}

template <long V, typename REAL>
BH_HD void product_columns(const Rows<REAL>& out, const Left<REAL>& A, const Rows<const REAL>& B,
                           long rows, long begin, long end, long first, bool ends, bool add) {
    long r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        product_tile<TILE_ROWS, V>(out, r, A, B, begin, end, first, ends, add);
    if (rows - r == 2) product_tile<2, V>(out, r, A, B, begin, end, first, ends, add);
    if (rows - r == 1) product_tile<1, V>(out, r, A, B, begin, end, first, ends, add);
}

// out (rows, vectors) = or += A (rows, terms) B (terms, vectors).
template <typename REAL>
BH_HD void product(const Rows<REAL>& out, const Left<REAL>& A, const Rows<const REAL>& B,
                   long rows, long terms, long vectors, bool add = false) {
    const long columns = (vectors + TILE_VECTORS - 1) / TILE_VECTORS;
    for (long begin = 0; begin < terms; begin += BLOCK, add = true) {
        const long end = std::min(begin + BLOCK, terms);
        for (long c = 0; c < columns; ++c) {
            const long first = vectors * c / columns, count = vectors * (c + 1) / columns - first;
            const bool ends = c + 1 == columns;
            if (count == 1) product_columns<1>(out, A, B, rows, begin, end, first, ends, add);
            if (count == 2) product_columns<2>(out, A, B, rows, begin, end, first, ends, add);
            if (count == 3) product_columns<3>(out, A, B, rows, begin, end, first, ends, add);
            if (count == 4) product_columns<4>(out, A, B, rows, begin, end, first, ends, add);
        }
    }
}

// out (rows, padded(others)) = or += the dot products of the rows of A and of B; where there are
// no more of the latter, the last one again.
template <typename REAL>
BH_HD void dots(REAL* out, const Rows<const REAL>& A, const Rows<const REAL>& B, long rows,
                long others, long vectors, bool add = false) {
    using Vector = BhLanes<REAL>;
    constexpr long L = LANES<REAL>;
    const long width = padded<REAL>(others);
    for (long s = 0; s < others; s += L) {
        const REAL* b[L];
#pragma GCC unroll 8
        for (long i = 0; i < L; ++i) b[i] = B.data + std::min(s + i, others - 1) * B.stride;
        for (long r = 0; r < rows; ++r) {
            const REAL* a = A.data + r * A.stride;
            const Vector a_last = *reinterpret_cast<const Vector*>(a + A.last);
            Vector sum[L];
#pragma GCC unroll 8
            for (long i = 0; i < L; ++i)
                sum[i] = a_last * *reinterpret_cast<const Vector*>(b[i] + B.last);
            for (long v = 0; v + 1 < vectors; ++v) {
                const Vector x = *reinterpret_cast<const Vector*>(a + v * L);
#pragma GCC unroll 8
                for (long i = 0; i < L; ++i)
                    sum[i] += x * *reinterpret_cast<const Vector*>(b[i] + v * L);
            }
            Vector total, *to = reinterpret_cast<Vector*>(out + r * width + s);
            bh_sum_each(total, sum);
            if (add) total += *to;
            *to = total;
        }
    }
}
