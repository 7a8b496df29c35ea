#include "bindings.h"
#include "rows.h"

namespace py = pybind11;

namespace {

// x (..., I) W (I, O)
template <typename REAL>
Out<REAL> times(const In<REAL>& x, const In<REAL>& W) {
    const Rows<REAL> a(x), b(W);
    must_agree(a.columns, b.rows);
    Out<REAL> y = with_columns(x, b.columns);
    REAL* out = y.mutable_data();
    {
        py::gil_scoped_release released;
        matrix_product<REAL>({out, a.matrix(), b.matrix(), a.rows, b.columns, a.columns});
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
        matrix_product<REAL>({out, a.matrix(), b.transposed(), a.rows, b.rows, a.columns});
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
    matrix_product<REAL>({to, a.transposed(), b.matrix(), a.columns, b.columns, a.rows});
}

// The panels of W, or of its transpose.
template <typename REAL>
Out<REAL> pack(const In<REAL>& W, bool transposed) {
    const Rows<REAL> w(W);
    const long terms = transposed ? w.columns : w.rows, columns = transposed ? w.rows : w.columns;
    Out<REAL> panels(matrix_packed_size<REAL>(columns, terms));
    REAL* out = panels.mutable_data();
    {
        py::gil_scoped_release released;
        matrix_pack(out, transposed ? w.transposed() : w.matrix(), columns, terms, 0, columns);
    }
    return panels;
}

// x (..., terms) times the matrix of so many columns that the panels are of
template <typename REAL>
Out<REAL> times_packed(const In<REAL>& x, const In<REAL>& panels, long columns) {
    const Rows<REAL> a(x);
    must_agree(panels.size(), matrix_packed_size<REAL>(columns, a.columns));
    Out<REAL> y = with_columns(x, columns);
    REAL* out = y.mutable_data();
    {
        py::gil_scoped_release released;
        matrix_product<REAL>({out, a.matrix(), {}, a.rows, columns, a.columns}, panels.data());
    }
    return y;
}

}  // namespace

BH_BINDING(matrix_product) {
    module.def("times", &times<float>);
    module.def("times", &times<double>);
    module.def("times_transposed", &times_transposed<float>);
    module.def("times_transposed", &times_transposed<double>);
    module.def("pack", &pack<float>);
    module.def("pack", &pack<double>);
    module.def("times_packed", &times_packed<float>);
    module.def("times_packed", &times_packed<double>);
    module.def("outer", &outer<float>, py::arg(), py::arg(), py::arg().noconvert());
    module.def("outer", &outer<double>, py::arg(), py::arg(), py::arg().noconvert());
}
