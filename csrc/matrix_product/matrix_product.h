// Host functions of matrix_product/cpu.cpp, for products of few rows.
#pragma once

// Element (i, j) is data[i * row + j * column].
template <typename REAL>
struct Matrix {
    const REAL* data;
    long row, column;
};

// out (m, n), row after row, = A (m, k) B (k, n); rows or columns of B lie side by side.
template <typename REAL>
void matrix_product(REAL* out, const Matrix<REAL>& A, const Matrix<REAL>& B, long m, long n,
                    long k);

// The same with B packed before, once for many products: panels has packed_size numbers.
template <typename REAL>
long matrix_packed_size(long n, long k);

template <typename REAL>
void matrix_pack(REAL* panels, const Matrix<REAL>& B, long n, long k);

template <typename REAL>
void matrix_product_packed(REAL* out, const Matrix<REAL>& A, const REAL* panels, long m, long n,
                           long k);
