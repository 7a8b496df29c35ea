// A product: panels of B are packed once and stay in the first cache while the rows of A pass, R at
// a time, with their sums in registers.  A B that is used often is packed before.
#include "matrix_product/matrix_product.h"

#include <algorithm>
#include <memory>

#include "common/lanes.h"
#include "common/pool.h"

namespace {

constexpr long TERMS = 208;  // of a panel that is made here, beside the matrix it is made of
constexpr long BLOCK_ROWS = 126;  // of A, that stay in the second cache while panels pass
constexpr long PANELS = 8;  // that are made at once where the rows are more than that
constexpr long PACKED_TERMS = 512;  // of one that comes ready
constexpr long FEW = 24;  // rows for which a panel is read where it lies: packing costs more
constexpr long GROUP = 16;  // rows that a thread takes at once
constexpr long LONG = 48;  // terms from which A^T is packed too: its columns lie far apart
constexpr long LONG_TERMS = 200;  // of its panels, which stay in the second cache
constexpr long MOST_ROWS = 6;  // 12 sums, two vectors and a factor: 15 of 16 registers

// Rows in tiles of nearly the same height.
struct Tiles {
    long count, low, higher;  // so many of the tiles are higher by one row
};

BH_HD Tiles tiles_of(long rows) {
    const long count = std::max(1L, bh_parts(rows, MOST_ROWS));
    return {count, rows / count, rows % count};
}

template <typename REAL>
constexpr long LANES = 32 / long(sizeof(REAL));
template <typename REAL>
constexpr long WIDTH = MATRIX_PANEL / long(sizeof(REAL));  // of a panel, two vectors

// panel (terms, WIDTH) = columns of B whose rows lie side by side; zero behind the last one.
template <typename REAL>
BH_HD void pack_rows(REAL* panel, const REAL* b, long row, long terms, long columns) {
    constexpr long L = LANES<REAL>, W = WIDTH<REAL>;
    for (long k = 0; k < terms; ++k, panel += W, b += row) {
        BH_PREFETCH(b + W);  // of the next panel: the rows of B are far apart
        if (columns == W) {
            bh_lanes(panel) = bh_lanes(b);
            bh_lanes(panel + L) = bh_lanes(b + L);
        } else {
            for (long j = 0; j < W; ++j) panel[j] = j < columns ? b[j] : REAL(0);
        }
    }
}

// The same for B whose columns lie side by side.
template <typename REAL>
BH_HD void pack_columns(REAL* panel, const REAL* b, long column, long terms, long columns) {
    constexpr long L = LANES<REAL>, W = WIDTH<REAL>;
    if (columns < W) std::fill(panel, panel + terms * W, REAL(0));
    for (long j = 0; j < columns; j += L) {
        long k = 0;
        for (; j + L <= columns && k + L <= terms; k += L) {
            BhLanes<REAL> square[L];
            for (long i = 0; i < L; ++i) square[i] = bh_lanes(b + (j + i) * column + k);
            bh_transpose(square);
            for (long i = 0; i < L; ++i) bh_lanes(panel + (k + i) * W + j) = square[i];
        }
        for (; k < terms; ++k)
            for (long i = j; i < std::min(j + L, columns); ++i) panel[k * W + i] = b[i * column + k];
    }
}

// R rows of out, V vectors of columns of which so many are wanted, = or += A times the panel.
template <long R, long V, typename REAL>
BH_HD void tile(REAL* out, long out_row, const Matrix<REAL>& A, const REAL* panel, long stride,
                long terms, long columns, bool add) {
    constexpr long L = LANES<REAL>;
    BhLanes<REAL> sum[R][V] = {};
    const REAL* a = A.data;
#pragma GCC unroll 6
    for (long i = 0; i < R; ++i) BH_PREFETCH(out + i * out_row);  // they come while the sums are made
    for (long k = 0; k < terms; ++k, a += A.column, panel += stride) {
        const BhLanes<REAL> left = bh_lanes(panel), right = bh_lanes(panel + (V - 1) * L);
#pragma GCC unroll 6
        for (long i = 0; i < R; ++i) {
            sum[i][0] += a[i * A.row] * left;
            if constexpr (V == 2) sum[i][1] += a[i * A.row] * right;
        }
    }
#pragma GCC unroll 6
    for (long i = 0; i < R; ++i, out += out_row) {
        if (columns == V * L) {
            for (long v = 0; v < V; ++v)
                bh_lanes(out + v * L) = add ? bh_lanes(out + v * L) + sum[i][v] : sum[i][v];
        } else {
            REAL part[V * L];
            for (long v = 0; v < V; ++v) bh_lanes(part + v * L) = sum[i][v];
            for (long j = 0; j < columns; ++j) out[j] = add ? out[j] + part[j] : part[j];
        }
    }
}

// Terms [begin, begin + terms) of the panel of columns [j, j + columns).
template <typename REAL>
BH_HD void pack(REAL* panel, const Matrix<REAL>& B, long begin, long terms, long j, long columns) {
    const REAL* b = B.data + begin * B.row + j * B.column;
    if (B.column == 1)
        pack_rows(panel, b, B.row, terms, columns);
    else
        pack_columns(panel, b, B.column, terms, columns);
}

template <long V, typename REAL>
BH_HD void tile_of(long rows, REAL* out, long out_row, const Matrix<REAL>& A, const REAL* panel,
                   long stride, long terms, long columns, bool add) {
    if (rows == 6) tile<6, V>(out, out_row, A, panel, stride, terms, columns, add);
    if (rows == 5) tile<5, V>(out, out_row, A, panel, stride, terms, columns, add);
    if (rows == 4) tile<4, V>(out, out_row, A, panel, stride, terms, columns, add);
    if (rows == 3) tile<3, V>(out, out_row, A, panel, stride, terms, columns, add);
    if (rows == 2) tile<2, V>(out, out_row, A, panel, stride, terms, columns, add);
    if (rows == 1) tile<1, V>(out, out_row, A, panel, stride, terms, columns, add);
}

// Rows of out in tiles of nearly the same height, and some of the columns of one panel.
template <long V, typename REAL>
BH_HD void multiply_panel(REAL* out, const Matrix<REAL>& A, const REAL* panel, long stride,
                          long m, long n, long terms, long columns, bool add) {
    const Tiles tiles = tiles_of(m);
    for (long t = 0, r = 0, rows; t < tiles.count; ++t, r += rows) {
        rows = tiles.low + (t < tiles.higher);
        const Matrix<REAL> a{A.data + r * A.row, A.row, A.column};
        tile_of<V>(rows, out + r * n, n, a, panel, stride, terms, columns, add);
    }
}

// Columns [first, last), whole panels, which are packed here or come ready.  Many rows of A pass
// in blocks that stay in the second cache, with some panels that lie there too.
template <typename REAL>
BH_HD void multiply(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B, const REAL* packed,
                    long m, long n, long k, long first, long last) {
    constexpr long W = WIDTH<REAL>;
    alignas(32) REAL one[TERMS * W];
    const bool many = m > BLOCK_ROWS && packed == nullptr;
    const std::unique_ptr<REAL[]> room(many ? new REAL[TERMS * PANELS * W] : nullptr);
    REAL* panels = many ? room.get() : one;
    const long most = packed ? PACKED_TERMS : TERMS, blocks = std::max(1L, bh_parts(k, most));
    const bool in_place = packed == nullptr && m <= FEW && B.column == 1;
    const long together = many ? PANELS : 1;
    for (long j0 = first; j0 < last; j0 += together * W) {
        const long j1 = std::min(j0 + together * W, last);
        for (long block = 0; block < blocks; ++block) {
            const long begin = k * block / blocks, terms = k * (block + 1) / blocks - begin;
            const auto columns = [&](long j) { return std::min(W, n - j); };
            if (packed == nullptr)
                for (long j = j0; j < j1; j += W)
                    if (!in_place || columns(j) < W)
                        pack(panels + (j - j0) * TERMS, B, begin, terms, j, columns(j));
            for (long r = 0; r < m; r += BLOCK_ROWS) {
                const long rows = std::min(BLOCK_ROWS, m - r);
                const Matrix<REAL> a{A.data + r * A.row + begin * A.column, A.row, A.column};
                for (long j = j0; j < j1; j += W) {
                    const bool there = in_place && columns(j) == W;
                    const REAL* panel = packed  ? packed + j * k + begin * W
                                        : there ? B.data + begin * B.row + j
                                                : panels + (j - j0) * TERMS;
                    REAL* to = out + r * n + j;
                    if (columns(j) > LANES<REAL>)
                        multiply_panel<2>(to, a, panel, there ? B.row : W, rows, n, terms,
                                          columns(j), begin > 0);
                    else  // half of the panel is zeros
                        multiply_panel<1>(to, a, panel, W, rows, n, terms, columns(j), begin > 0);
                }
            }
        }
    }
}

// Terms [begin, end) of A, whose columns lie apart and rows side by side, times factors of the terms
// or none, as the tiles of a group of so many terms read them: side by side in each term.
template <typename REAL>
BH_HD void pack_tiles(REAL* to, const Matrix<REAL>& A, const REAL* factors, long m, long terms,
                      long begin, long end) {
    constexpr long L = LANES<REAL>;
    const Tiles tiles = tiles_of(m);
    for (long k = begin; k < end; ++k) {
        const REAL* a = A.data + k * A.column;
        const REAL factor = factors ? factors[k] : REAL(1);
        for (long t = 0, r = 0, rows; t < tiles.count; ++t, r += rows) {
            rows = tiles.low + (t < tiles.higher);
            REAL* out = to + r * terms + k * rows;
            if (k + 1 < end && r + 2 * L <= m)  // what is too much is overwritten by the next term
                for (long i = 0; i < rows; i += L) bh_lanes(out + i) = factor * bh_lanes(a + r + i);
            else
                for (long i = 0; i < rows; ++i) out[i] = factor * a[r + i];
        }
    }
}

// As multiply, for A = x^T and many terms: both sides are packed, a group of terms at a time.  A
// may come ready.
template <typename REAL>
BH_HD void multiply_transposed(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B,
                               const REAL* factors, const REAL* ready, long m, long n, long k,
                               long first, long last) {
    constexpr long L = LANES<REAL>, W = WIDTH<REAL>;
    const BhSplit groups = matrix_groups(k);
    const Tiles tiles = tiles_of(m);
    const std::unique_ptr<REAL[]> room(ready ? nullptr : new REAL[bh_parts(k, groups.chunks) * m]);
    alignas(32) REAL panel[LONG_TERMS * W];
    for (int group = 0; group < groups.chunks; ++group) {
        const long begin = groups.begin(group), terms = groups.begin(group + 1) - begin;
        const REAL* left = ready ? ready + begin * m : room.get();
        if (ready == nullptr) {
            const Matrix<REAL> a{A.data + begin * A.column, 1, A.column};
            pack_tiles(room.get(), a, factors ? factors + begin : nullptr, m, terms, 0, terms);
        }
        for (long j = first; j < last; j += W) {
            const long columns = std::min(W, n - j);
            pack(panel, B, begin, terms, j, columns);
            for (long t = 0, r = 0, rows; t < tiles.count; ++t, r += rows) {
                rows = tiles.low + (t < tiles.higher);
                const Matrix<REAL> a{left + r * terms, 1, rows};
                if (columns > L)
                    tile_of<2>(rows, out + r * n + j, n, a, panel, W, terms, columns, group > 0);
                else
                    tile_of<1>(rows, out + r * n + j, n, a, panel, W, terms, columns, group > 0);
            }
        }
    }
}

#define BH_MULTIPLY(REAL)                                                                        \
    BH_CLONES void multiply_part(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B,         \
                                 const REAL* packed, long m, long n, long k, long first,          \
                                 long last) {                                                     \
        multiply(out, A, B, packed, m, n, k, first, last);                                        \
    }                                                                                             \
    BH_CLONES void multiply_long(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B,         \
                                 const REAL* factors, const REAL* ready, long m, long n, long k,  \
                                 long first, long last) {                                         \
        multiply_transposed(out, A, B, factors, ready, m, n, k, first, last);                     \
    }                                                                                             \
    BH_CLONES void pack_panels(REAL* panels, const Matrix<REAL>& B, long n, long k, long first,   \
                               long last) {                                                       \
        constexpr long W = WIDTH<REAL>;                                                           \
        for (long j = first; j < last; j += W)                                                    \
            pack(panels + j * k, B, 0, k, j, std::min(W, n - j));                                 \
    }                                                                                             \
    BH_CLONES void pack_terms(REAL* to, const Matrix<REAL>& A, const REAL* factors, long m,       \
                              long terms, long begin, long end) {                                 \
        pack_tiles(to, A, factors, m, terms, begin, end);                                         \
    }
BH_MULTIPLY(float)
BH_MULTIPLY(double)

template <typename REAL>
void multiply_columns(const Product<REAL>& p, const REAL* packed, long first, long last) {
    if (packed == nullptr && p.A.row == 1 && p.B.column == 1 && p.k >= LONG)
        multiply_long(p.out, p.A, p.B, nullptr, nullptr, p.m, p.n, p.k, first, last);
    else
        multiply_part(p.out, p.A, p.B, packed, p.m, p.n, p.k, first, last);
}

}  // namespace

template <typename REAL>
MatrixWork<REAL>::MatrixWork(const Product<REAL>& product, Cut cut, const REAL* packed)
    : p(product), packed(packed), by_columns(cut == COLUMNS || p.n >= p.m || packed) {
    const long each = by_columns ? p.m * WIDTH<REAL> : GROUP * p.n;  // of numbers of out
    const long items = by_columns ? bh_parts(p.n, WIDTH<REAL>) : bh_parts(p.m, GROUP);
    split = bh_split(items, MATRIX_TERM_NS * double(each) * double(p.k));
}

template <typename REAL>
Range MatrixWork<REAL>::range(int chunk) const {
    const long size = by_columns ? WIDTH<REAL> : GROUP, last = by_columns ? p.n : p.m;
    return {split.begin(chunk) * size, std::min(split.begin(chunk + 1) * size, last)};
}

template <typename REAL>
void MatrixWork<REAL>::run(int chunk) const {
    const auto [begin, end] = range(chunk);
    if (by_columns) return multiply_columns(p, packed, begin, end);
    // Rather rows, though each thread packs all of B then.
    Product<REAL> part = p;
    part.out += begin * p.n;
    part.A.data += begin * p.A.row;
    part.m = end - begin;
    multiply_columns(part, packed, 0, p.n);
}

template <typename REAL>
void matrix_product(const Product<REAL>& product, const REAL* packed) {
    const MatrixWork<REAL> work(product, ANY, packed);
    bh_parallel(work.split, [&](long, long, int c) { work.run(c); });
}

template <typename REAL>
void matrix_product_here(const Product<REAL>& p, const REAL* packed) {
    multiply_columns(p, packed, 0, p.n);
}

template <typename REAL>
long matrix_packed_size(long n, long k) {
    constexpr long W = WIDTH<REAL>;
    return bh_parts(n, W) * W * k;
}

template <typename REAL>
void matrix_pack(REAL* panels, const Matrix<REAL>& B, long n, long k, long first, long last) {
    pack_panels(panels, B, n, k, first, last);
}

BhSplit matrix_groups(long k) { return {k, int(std::max(1L, bh_parts(k, LONG_TERMS)))}; }

template <typename REAL>
void matrix_pack_terms(REAL* tiles, const Product<REAL>& p, const REAL* factors, int group,
                       long begin, long end) {
    const BhSplit groups = matrix_groups(p.k);
    const long first = groups.begin(group), terms = groups.begin(group + 1) - first;
    const Matrix<REAL> a{p.A.data + first * p.A.column, 1, p.A.column};
    pack_terms(tiles + first * p.m, a, factors ? factors + first : nullptr, p.m, terms,
               begin - first, end - first);
}

template <typename REAL>
void matrix_product_of_terms(const Product<REAL>& p, const REAL* tiles, long first, long last) {
    multiply_long(p.out, p.A, p.B, nullptr, tiles, p.m, p.n, p.k, first, last);
}

#define BH_INSTANCE(REAL)                                                                       \
    template class MatrixWork<REAL>;                                                            \
    template void matrix_product<REAL>(const Product<REAL>&, const REAL*);                      \
    template void matrix_product_here<REAL>(const Product<REAL>&, const REAL*);                 \
    template long matrix_packed_size<REAL>(long, long);                                         \
    template void matrix_pack<REAL>(REAL*, const Matrix<REAL>&, long, long, long, long);        \
    template void matrix_pack_terms<REAL>(REAL*, const Product<REAL>&, const REAL*, int, long,  \
                                          long);                                                \
    template void matrix_product_of_terms<REAL>(const Product<REAL>&, const REAL*, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
