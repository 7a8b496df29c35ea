// A product of few rows: panels of B are packed once and stay in the first cache while the rows
// of A pass, R at a time, with their sums in registers.
#include "matrix_product/matrix_product.h"

#include <algorithm>

#include "common/lanes.h"
#include "common/pool.h"

namespace {

constexpr long TERMS = 192;  // of a panel
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
BH_HD void tile(REAL* out, long out_row, const Matrix<REAL>& A, const REAL* panel, long terms,
                long columns, bool add) {
    constexpr long L = LANES<REAL>, W = WIDTH<REAL>;
    BhLanes<REAL> sum[R][2] = {};
    const REAL* a = A.data;
    for (long k = 0; k < terms; ++k, a += A.column, panel += W) {
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

// Rows of out in tiles of nearly the same height, and columns [first, last), whole panels.
template <typename REAL>
BH_HD void multiply(REAL* out, Matrix<REAL> A, const Matrix<REAL>& B, long m, long n, long k,
                    long first, long last) {
    constexpr long W = WIDTH<REAL>;
    alignas(32) REAL panel[TERMS * W];
    const long tiles = (m + MOST_ROWS - 1) / MOST_ROWS;
    for (long j = first; j < last; j += W) {
        const long columns = std::min(W, last - j);
        for (long begin = 0; begin < k || begin == 0; begin += TERMS) {
            const long terms = std::min(TERMS, k - begin);
            const REAL* b = B.data + begin * B.row + j * B.column;
            if (B.column == 1)
                pack_rows(panel, b, B.row, terms, columns);
            else
                pack_columns(panel, b, B.column, terms, columns);
            for (long t = 0; t < tiles; ++t) {
                const long r = m * t / tiles, rows = m * (t + 1) / tiles - r;
                const Matrix<REAL> a{A.data + r * A.row + begin * A.column, A.row, A.column};
                REAL* to = out + r * n + j;
                if (rows == 6) tile<6>(to, n, a, panel, terms, columns, begin > 0);
                if (rows == 5) tile<5>(to, n, a, panel, terms, columns, begin > 0);
                if (rows == 4) tile<4>(to, n, a, panel, terms, columns, begin > 0);
                if (rows == 3) tile<3>(to, n, a, panel, terms, columns, begin > 0);
                if (rows == 2) tile<2>(to, n, a, panel, terms, columns, begin > 0);
                if (rows == 1) tile<1>(to, n, a, panel, terms, columns, begin > 0);
            }
        }
    }
}

#define BH_MULTIPLY(REAL)                                                                        \
    BH_CLONES void multiply_part(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B, long m, \
                                 long n, long k, long first, long last) {                        \
        multiply(out, A, B, m, n, k, first, last);                                               \
    }
BH_MULTIPLY(float)
BH_MULTIPLY(double)

}  // namespace

template <typename REAL>
void matrix_product(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B, long m, long n,
                    long k) {
    constexpr long W = WIDTH<REAL>;
    const long panels = (n + W - 1) / W, groups = (m + 15) / 16;
    if (n >= m) {
        const double each = TERM_NS * double(m) * double(k) * W;
        bh_parallel(bh_split(panels, each), [&](long begin, long end, int) {
            multiply_part(out, A, B, m, n, k, begin * W, std::min(end * W, n));
        });
    } else {  // rather rows, though each thread packs all of B then
        const double each = TERM_NS * 16.0 * double(k) * double(n);
        bh_parallel(bh_split(groups, each), [&](long begin, long end, int) {
            const long r = begin * 16, rows = std::min(end * 16, m) - r;
            const Matrix<REAL> part{A.data + r * A.row, A.row, A.column};
            multiply_part(out + r * n, part, B, rows, n, k, 0, n);
        });
    }
}

#define BH_INSTANCE(REAL)                                                                         \
    template void matrix_product<REAL>(REAL*, const Matrix<REAL>&, const Matrix<REAL>&, long, long, \
                                       long);
BH_INSTANCE(float)
BH_INSTANCE(double)
