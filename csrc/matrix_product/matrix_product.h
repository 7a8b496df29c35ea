// Host functions of matrix_product/cpu.cpp, for products of few rows.
#pragma once

#include "common/pool.h"

// Element (i, j) is data[i * row + j * column].
template <typename REAL>
struct Matrix {
    const REAL* data;
    long row, column;
};

// out (m, n), row after row, = A (m, k) B (k, n); rows or columns of B lie side by side.
// factors: null, or (k), of the terms; where A is a transpose and the rows of B lie side by side.
template <typename REAL>
struct Product {
    REAL* out;
    Matrix<REAL> A, B;
    long m, n, k;
    const REAL* factors = nullptr;
};

// packed: the panels of B, whose own numbers are not read then.
template <typename REAL>
void matrix_product(const Product<REAL>& product, const REAL* packed = nullptr);

// The same by the thread that calls.
template <typename REAL>
void matrix_product_here(const Product<REAL>& product);

// The panels, made once for many products, have packed_size numbers.
template <typename REAL>
long matrix_packed_size(long n, long k);

template <typename REAL>
void matrix_pack(REAL* panels, const Matrix<REAL>& B, long n, long k);

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
