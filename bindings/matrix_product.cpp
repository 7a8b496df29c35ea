#include "matrix_product/matrix_product.h"

#include <string>

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// The last axis is the columns', all others are rows.
template <typename REAL>
struct Rows {
    explicit Rows(const In<REAL>& x) : data(x.data()), columns(x.shape(x.ndim() - 1)), rows(1) {
        for (py::ssize_t i = 0; i + 1 < x.ndim(); ++i) rows *= x.shape(i);
    }
    Matrix<REAL> matrix() const { return {data, columns, 1}; }
    Matrix<REAL> transposed() const { return {data, 1, columns}; }
    const REAL* data;
    long columns, rows;
};

// The layers that call have compared more than this, with names.
void must_agree(long a, long b) {
    if (a != b)
        throw py::value_error("matrix_product: sizes " + std::to_string(a) + " and " +
                              std::to_string(b) + " must agree");
}

template <typename REAL>
Out<REAL> with_columns(const In<REAL>& x, long columns) {
    Shape shape = shape_of(x);
    shape.back() = columns;
    return Out<REAL>(shape);
}

// x (..., I) W (I, O)
template <typename REAL>
Out<REAL> times(const In<REAL>& x, const In<REAL>& W) {
    const Rows<REAL> a(x), b(W);
    must_agree(a.columns, b.rows);
    Out<REAL> y = with_columns(x, b.columns);
    REAL* out = y.mutable_data();
    {
        py::gil_scoped_release released;
        matrix_product(out, a.matrix(), b.matrix(), a.rows, b.columns, a.columns);
    }
    return y;
}

// dy (..., O) W^T
template <typename REAL>
Out<REAL> times_transposed(const In<REAL>& dy, const In<REAL>& W) {
    const Rows<REAL> a(dy), b(W);
    must_agree(a.columns, b.columns);
    Out<REAL> dx = with_columns(dy, b.rows);
    REAL* out = dx.mutable_data();
    {
        py::gil_scoped_release released;
        matrix_product(out, a.matrix(), b.transposed(), a.rows, b.rows, a.columns);
    }
    return dx;
}

// out (I, O) = x^T dy
template <typename REAL>
void outer(const In<REAL>& x, const In<REAL>& dy, Out<REAL>& out) {
    const Rows<REAL> a(x), b(dy), c(out);
    must_agree(a.rows, b.rows);
    must_agree(a.columns, c.rows);
    must_agree(b.columns, c.columns);
    REAL* to = out.mutable_data();
    py::gil_scoped_release released;
    matrix_product(to, a.transposed(), b.matrix(), a.columns, b.columns, a.rows);
}

}  // namespace

BH_BINDING(matrix_product) {
    module.def("times", &times<float>);
    module.def("times", &times<double>);
    module.def("times_transposed", &times_transposed<float>);
    module.def("times_transposed", &times_transposed<double>);
    module.def("outer", &outer<float>, py::arg(), py::arg(), py::arg().noconvert());
    module.def("outer", &outer<double>, py::arg(), py::arg(), py::arg().noconvert());
}
