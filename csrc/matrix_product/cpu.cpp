// A product of few rows: panels of B are packed once and stay in the first cache while the rows
// of A pass, R at a time, with their sums in registers.  A B that is used often is packed before.
#include "matrix_product/matrix_product.h"

#include <algorithm>

#include "common/lanes.h"
#include "common/pool.h"

namespace {

constexpr long TERMS = 192;  // of a panel that is made here, beside the matrix it is made of
constexpr long PACKED_TERMS = 512;  // of one that comes ready
constexpr long FEW = 24;  // rows for which a panel is read where it lies: packing costs more
constexpr long GROUP = 16;  // rows that a thread takes at once
constexpr long MOST_ROWS = 6;  // 12 sums, two vectors and a factor: 15 of 16 registers
constexpr double TERM_NS = 1.0 / 40;  // for a term on one core, as the pool wants to know it

template <typename REAL>
constexpr long LANES = 32 / long(sizeof(REAL));
template <typename REAL>
constexpr long WIDTH = 2 * LANES<REAL>;  // of a panel

template <typename REAL>
BH_HD BhLanes<REAL>& lanes(REAL* x) {
    return *reinterpret_cast<BhLanes<REAL>*>(x);
}

template <typename REAL>
BH_HD const BhLanes<REAL>& lanes(const REAL* x) {
    return *reinterpret_cast<const BhLanes<REAL>*>(x);
}

// panel (terms, WIDTH) = columns of B whose rows lie side by side; zero behind the last one.
template <typename REAL>
BH_HD void pack_rows(REAL* panel, const REAL* b, long row, long terms, long columns) {
    constexpr long L = LANES<REAL>, W = WIDTH<REAL>;
    for (long k = 0; k < terms; ++k, panel += W, b += row) {
        BH_PREFETCH(b + W);  // of the next panel: the rows of B are far apart
        if (columns == W) {
            lanes(panel) = lanes(b);
            lanes(panel + L) = lanes(b + L);
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
            for (long i = 0; i < L; ++i) square[i] = lanes(b + (j + i) * column + k);
            bh_transpose(square);
            for (long i = 0; i < L; ++i) lanes(panel + (k + i) * W + j) = square[i];
        }
        for (; k < terms; ++k)
            for (long i = j; i < std::min(j + L, columns); ++i) panel[k * W + i] = b[i * column + k];
    }
}

// R rows of out, as many columns as the panel has, = or += A times the panel.
template <long R, typename REAL>
BH_HD void tile(REAL* out, long out_row, const Matrix<REAL>& A, const REAL* panel, long stride,
                long terms, long columns, bool add) {
    constexpr long L = LANES<REAL>, W = WIDTH<REAL>;
    BhLanes<REAL> sum[R][2] = {};
    const REAL* a = A.data;
    for (long k = 0; k < terms; ++k, a += A.column, panel += stride) {
        const BhLanes<REAL> left = lanes(panel), right = lanes(panel + L);
#pragma GCC unroll 6
        for (long i = 0; i < R; ++i) {
            sum[i][0] += a[i * A.row] * left;
            sum[i][1] += a[i * A.row] * right;
        }
    }
#pragma GCC unroll 6
    for (long i = 0; i < R; ++i, out += out_row) {
        if (columns == W) {
            lanes(out) = add ? lanes(out) + sum[i][0] : sum[i][0];
            lanes(out + L) = add ? lanes(out + L) + sum[i][1] : sum[i][1];
        } else {
            REAL part[W];
            lanes(part) = sum[i][0];
            lanes(part + L) = sum[i][1];
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

// Rows of out in tiles of nearly the same height, and some of the columns of one panel.
template <typename REAL>
BH_HD void multiply_panel(REAL* out, const Matrix<REAL>& A, const REAL* panel, long stride,
                          long m, long n, long terms, long columns, bool add) {
    const long tiles = (m + MOST_ROWS - 1) / MOST_ROWS;
    for (long t = 0; t < tiles; ++t) {
        const long r = m * t / tiles, rows = m * (t + 1) / tiles - r;
        const Matrix<REAL> a{A.data + r * A.row, A.row, A.column};
        REAL* to = out + r * n;
        if (rows == 6) tile<6>(to, n, a, panel, stride, terms, columns, add);
        if (rows == 5) tile<5>(to, n, a, panel, stride, terms, columns, add);
        if (rows == 4) tile<4>(to, n, a, panel, stride, terms, columns, add);
        if (rows == 3) tile<3>(to, n, a, panel, stride, terms, columns, add);
        if (rows == 2) tile<2>(to, n, a, panel, stride, terms, columns, add);
        if (rows == 1) tile<1>(to, n, a, panel, stride, terms, columns, add);
    }
}

// Columns [first, last), whole panels, which are packed here or come ready.
template <typename REAL>
BH_HD void multiply(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B, const REAL* packed,
                    long m, long n, long k, long first, long last) {
    constexpr long W = WIDTH<REAL>;
    alignas(32) REAL panel[TERMS * W];
    const long most = packed ? PACKED_TERMS : TERMS;
    for (long j = first; j < last; j += W) {
        const long columns = std::min(W, n - j);
        for (long begin = 0; begin < k || begin == 0; begin += most) {
            const long terms = std::min(most, k - begin);
            const Matrix<REAL> a{A.data + begin * A.column, A.row, A.column};
            const REAL* right = packed ? packed + j * k + begin * W : panel;
            long stride = W;
            if (packed == nullptr && m <= FEW && B.column == 1 && columns == W) {
                right = B.data + begin * B.row + j;
                stride = B.row;
            } else if (packed == nullptr) {
                pack(panel, B, begin, terms, j, columns);
            }
            multiply_panel(out + j, a, right, stride, m, n, terms, columns, begin > 0);
        }
    }
}

#define BH_MULTIPLY(REAL)                                                                        \
    BH_CLONES void multiply_part(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B,         \
                                 const REAL* packed, long m, long n, long k, long first,          \
                                 long last) {                                                     \
        multiply(out, A, B, packed, m, n, k, first, last);                                        \
    }                                                                                             \
    BH_CLONES void pack_all(REAL* panels, const Matrix<REAL>& B, long n, long k) {                \
        constexpr long W = WIDTH<REAL>;                                                           \
        for (long j = 0; j < n; j += W) pack(panels + j * k, B, 0, k, j, std::min(W, n - j));      \
    }
BH_MULTIPLY(float)
BH_MULTIPLY(double)

long parts(long all, long size) { return (all + size - 1) / size; }

}  // namespace

template <typename REAL>
MatrixWork<REAL>::MatrixWork(const Product<REAL>& product, Cut cut, const REAL* packed)
    : p(product), packed(packed), by_columns(cut == COLUMNS || p.n >= p.m || packed) {
    const long each = by_columns ? p.m * WIDTH<REAL> : GROUP * p.n;  // of numbers of out
    const long items = by_columns ? parts(p.n, WIDTH<REAL>) : parts(p.m, GROUP);
    split = bh_split(items, TERM_NS * double(each) * double(p.k));
}

template <typename REAL>
Range MatrixWork<REAL>::range(int chunk) const {
    const long size = by_columns ? WIDTH<REAL> : GROUP, last = by_columns ? p.n : p.m;
    return {split.begin(chunk) * size, std::min(split.begin(chunk + 1) * size, last)};
}

template <typename REAL>
void MatrixWork<REAL>::run(int chunk) const {
    const auto [begin, end] = range(chunk);
    if (by_columns) return multiply_part(p.out, p.A, p.B, packed, p.m, p.n, p.k, begin, end);
    // Rather rows, though each thread packs all of B then.
    const Matrix<REAL> part{p.A.data + begin * p.A.row, p.A.row, p.A.column};
    multiply_part(p.out + begin * p.n, part, p.B, packed, end - begin, p.n, p.k, 0, p.n);
}

template <typename REAL>
void matrix_product(const Product<REAL>& product, const REAL* packed) {
    const MatrixWork<REAL> work(product, ANY, packed);
    bh_parallel(work.split, [&](long, long, int c) { work.run(c); });
}

template <typename REAL>
long matrix_packed_size(long n, long k) {
    constexpr long W = WIDTH<REAL>;
    return (n + W - 1) / W * W * k;
}

template <typename REAL>
void matrix_pack(REAL* panels, const Matrix<REAL>& B, long n, long k) {
    pack_all(panels, B, n, k);
}

#define BH_INSTANCE(REAL)                                                     \
    template class MatrixWork<REAL>;                                          \
    template void matrix_product<REAL>(const Product<REAL>&, const REAL*);    \
    template long matrix_packed_size<REAL>(long, long);                       \
    template void matrix_pack<REAL>(REAL*, const Matrix<REAL>&, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
