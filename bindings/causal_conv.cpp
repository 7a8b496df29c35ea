#include "causal_conv/causal_conv.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// x: (..., steps, channels)
ConvSizes sizes_of(const py::array& x, long taps, long dilation, long inputs, long outputs) {
    long sequences = 1;
    for (py::ssize_t axis = 0; axis + 2 < x.ndim(); ++axis) sequences *= x.shape(axis);
    const long steps = x.shape(x.ndim() - 2);
    return {sequences, steps, taps, dilation, inputs, outputs};
}

Shape with_last(const py::array& x, py::ssize_t size) {
    Shape shape = shape_of(x);
    shape.back() = size;
    return shape;
}

template <typename REAL>
Out<REAL> forward(const In<REAL>& x, const In<REAL>& W, const std::optional<In<REAL>>& b,
                  long dilation, int activation) {
    const ConvSizes sizes = sizes_of(x, W.shape(0), dilation, W.shape(1), W.shape(2));
    Out<REAL> y(with_last(x, sizes.outputs));
    REAL* out = y.mutable_data();
    const REAL *in = x.data(), *filter = W.data(), *bias = data_or_null(b);
    {
        py::gil_scoped_release released;
        causal_conv_forward(out, in, filter, bias, Activation(activation), sizes);
    }
    return y;
}

template <typename REAL>
Out<REAL> dx(const In<REAL>& da, const In<REAL>& W, long dilation) {
    const ConvSizes sizes = sizes_of(da, W.shape(0), dilation, W.shape(1), W.shape(2));
    Out<REAL> made(with_last(da, sizes.inputs));
    REAL* out = made.mutable_data();
    const REAL *in = da.data(), *filter = W.data();
    {
        py::gil_scoped_release released;
        causal_conv_dx(out, in, filter, sizes);
    }
    return made;
}

template <typename REAL>
Out<REAL> dW(const In<REAL>& x, const In<REAL>& da, long taps, long dilation) {
    const ConvSizes sizes =
        sizes_of(x, taps, dilation, x.shape(x.ndim() - 1), da.shape(da.ndim() - 1));
    Out<REAL> made(Shape{taps, sizes.inputs, sizes.outputs});
    REAL* out = made.mutable_data();
    const REAL *in = x.data(), *d = da.data();
    {
        py::gil_scoped_release released;
        causal_conv_dW(out, in, d, sizes);
    }
    return made;
}

template <typename REAL>
void add(In<REAL>& y, const std::optional<In<REAL>>& v, long shift,
         const std::optional<In<REAL>>& b, int activation) {
    const ConvSizes sizes = sizes_of(y, 0, 1, 0, y.shape(y.ndim() - 1));
    REAL* out = y.mutable_data();
    const REAL *other = data_or_null(v), *bias = data_or_null(b);
    {
        py::gil_scoped_release released;
        causal_conv_add(out, other, shift, bias, Activation(activation), sizes.sequences,
                        sizes.steps, sizes.outputs);
    }
}

template <typename REAL>
void bind(py::module_& module) {
    module.def("forward", &forward<REAL>);
    module.def("dx", &dx<REAL>);
    module.def("dW", &dW<REAL>);
    module.def("add", &add<REAL>, py::arg("y").noconvert(), py::arg("v").noconvert(),
               py::arg("shift"), py::arg("b"), py::arg("activation"));
}

}  // namespace

BH_BINDING(causal_conv) {
    bind<float>(module);
    bind<double>(module);
}
