#include "bias_activation/bias_activation.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

template <typename REAL>
Out<REAL> forward(const In<REAL>& a, const std::optional<In<REAL>>& b, int activation) {
    Out<REAL> y(shape_of(a));
    const long cols = a.shape(a.ndim() - 1), rows = cols ? a.size() / cols : 0;
    REAL* out = y.mutable_data();
    const REAL *in = a.data(), *bias = data_or_null(b);
    {
        py::gil_scoped_release released;
        bias_activation_forward(out, in, bias, rows, cols, Activation(activation));
    }
    return y;
}

template <typename REAL>
py::tuple backward(const In<REAL>& dy, const In<REAL>& y, int activation, bool has_bias) {
    const long cols = y.shape(y.ndim() - 1), rows = cols ? y.size() / cols : 0;
    Out<REAL> da(shape_of(y));
    py::object db = py::none();
    REAL *out = da.mutable_data(), *sums = nullptr;
    if (has_bias) {
        Out<REAL> made(cols);
        sums = made.mutable_data();
        db = made;
    }
    const REAL *d = dy.data(), *saved = y.data();
    {
        py::gil_scoped_release released;
        bias_activation_backward(out, sums, d, saved, rows, cols, Activation(activation));
    }
    return py::make_tuple(da, db);
}

}  // namespace

BH_BINDING(bias_activation) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
