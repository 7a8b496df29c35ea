// Arrays as matrices: the last axis is the columns', all others are rows.
#pragma once

#include <string>

#include "arrays.h"
#include "matrix_product/matrix_product.h"

template <typename REAL>
struct Rows {
    explicit Rows(const In<REAL>& x) : data(x.data()), columns(x.shape(x.ndim() - 1)), rows(1) {
        for (pybind11::ssize_t i = 0; i + 1 < x.ndim(); ++i) rows *= x.shape(i);
    }
    Matrix<REAL> matrix() const { return {data, columns, 1}; }
    Matrix<REAL> transposed() const { return {data, 1, columns}; }
    const REAL* data;
    long columns, rows;
};

// The layers that call have compared more than this, with names.
inline void must_agree(long a, long b) {
    if (a != b)
        throw pybind11::value_error("matrix product: sizes " + std::to_string(a) + " and " +
                                    std::to_string(b) + " must agree");
}

inline Shape shape_with(const pybind11::array& x, long columns) {
    Shape shape = shape_of(x);
    shape.back() = columns;
    return shape;
}

template <typename REAL>
Out<REAL> with_columns(const In<REAL>& x, long columns) {
    return Out<REAL>(shape_with(x, columns));
}
