// A layer in two calls: its products, bias and activation between them.
#include <memory>

#include "bias_activation/bias_activation.h"
#include "bindings.h"
#include "rows.h"

namespace py = pybind11;

namespace {

template <typename REAL>
using Scratch = std::unique_ptr<REAL[]>;

// f(x W + b); x (..., I), W (I, O), b (O)
template <typename REAL>
Out<REAL> forward(const In<REAL>& x, const In<REAL>& W, const In<REAL>& b, int f) {
    const Rows<REAL> in(x), w(W), bias(b);
    must_agree(in.columns, w.rows);
    must_agree(bias.columns, w.columns);
    Out<REAL> y = with_columns(x, w.columns);
    REAL* out = y.mutable_data();
    {
        py::gil_scoped_release released;
        matrix_product(out, in.matrix(), w.matrix(), in.rows, w.columns, in.columns);
        bias_activation_forward(out, out, bias.data, in.rows, w.columns, Activation(f));
    }
    return y;
}

// The array that is given, or a new one.
template <typename REAL>
Out<REAL> or_new(std::optional<Out<REAL>>& given, Shape shape) {
    return given ? *given : Out<REAL>(shape);
}

// (dx or None, dW, db), the latter two written into what is given for them.
template <typename REAL>
py::tuple backward(const In<REAL>& dy, const In<REAL>& x, const In<REAL>& W, const In<REAL>& y,
                   int f, std::optional<Out<REAL>>& dW, std::optional<Out<REAL>>& db, bool need_x) {
    const Rows<REAL> in(x), w(W), out(y), d(dy);
    must_agree(in.columns, w.rows);
    must_agree(out.columns, w.columns);
    must_agree(in.rows, out.rows);
    must_agree(d.rows, out.rows);
    must_agree(d.columns, out.columns);
    Out<REAL> to_W = or_new(dW, {w.rows, w.columns}), to_b = or_new(db, {w.columns});
    const Rows<REAL> shape_W(to_W), shape_b(to_b);
    must_agree(shape_W.rows, w.rows);
    must_agree(shape_W.columns, w.columns);
    must_agree(shape_b.columns, w.columns);
    py::object dx = py::none();
    REAL *to_x = nullptr, *for_W = to_W.mutable_data(), *for_b = to_b.mutable_data();
    if (need_x) {
        Out<REAL> made(shape_of(x));
        to_x = made.mutable_data();
        dx = made;
    }
    {
        py::gil_scoped_release released;
        const bool linear = Activation(f) == IDENTITY;  // da is dy
        const Scratch<REAL> made(linear ? nullptr : new REAL[out.rows * out.columns]);
        bias_activation_backward(made.get(), for_b, d.data, out.data, out.rows, out.columns,
                                 Activation(f));
        const Matrix<REAL> da = linear ? d.matrix() : Matrix<REAL>{made.get(), out.columns, 1};
        matrix_product(for_W, in.transposed(), da, in.columns, out.columns, in.rows);
        if (to_x != nullptr)
            matrix_product(to_x, da, w.transposed(), in.rows, in.columns, out.columns);
    }
    return py::make_tuple(dx, to_W, to_b);
}

}  // namespace

BH_BINDING(dense) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    const auto written = py::arg().noconvert().none();
    module.def("backward", &backward<float>, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
               written, written, py::arg());
    module.def("backward", &backward<double>, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
               written, written, py::arg());
}
