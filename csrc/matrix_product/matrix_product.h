// Host functions of matrix_product/cpu.cpp.
#pragma once

#include "common/pool.h"

// Element (i, j) is data[i * row + j * column].
template <typename REAL>
struct Matrix {
    const REAL* data;
    long row, column;
};

// out (m, n), row after row, = A (m, k) B (k, n); rows or columns of B lie side by side.
template <typename REAL>
struct Product {
    REAL* out;
    Matrix<REAL> A, B;
    long m, n, k;
};

// packed: the panels of B, whose own numbers are not read then.
template <typename REAL>
void matrix_product(const Product<REAL>& product, const REAL* packed = nullptr);

// The same by the thread that calls.
template <typename REAL>
void matrix_product_here(const Product<REAL>& product, const REAL* packed = nullptr);

constexpr long MATRIX_PANEL = 64;  // bytes of a row of a panel
constexpr double MATRIX_TERM_NS = 1.0 / 40;  // for a term on one core, as the pool wants to know it

// The panels, made once for many products, have packed_size numbers.  Those of columns [first,
// last) are made, first being that of a panel.
template <typename REAL>
long matrix_packed_size(long n, long k);

template <typename REAL>
void matrix_pack(REAL* panels, const Matrix<REAL>& B, long n, long k, long first, long last);

// For A = x^T, also its side may be packed once, by many threads: m k numbers, in groups of terms.
BhSplit matrix_groups(long k);

// Terms [begin, end) of one group, times factors (k) or null.
template <typename REAL>
void matrix_pack_terms(REAL* tiles, const Product<REAL>& product, const REAL* factors, int group,
                       long begin, long end);

// Columns [first, last) of out, first being that of a panel; the rows of B lie side by side.
template <typename REAL>
void matrix_product_of_terms(const Product<REAL>& product, const REAL* tiles, long first,
                             long last);

struct Range {
    long begin, end;
};

enum Cut { ANY, COLUMNS };

// A product cut for the pool, by columns of out or, unless asked for these, by rows.
template <typename REAL>
class MatrixWork {
public:
    MatrixWork(const Product<REAL>& product, Cut cut, const REAL* packed = nullptr);
    void run(int chunk) const;
    Range range(int chunk) const;  // of the columns, or rows, that the chunk makes

private:
    Product<REAL> p;
    const REAL* packed;
    bool by_columns;

public:
    BhSplit split;
};
