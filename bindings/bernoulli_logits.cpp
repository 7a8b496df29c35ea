#include "bernoulli_logits/bernoulli_logits.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

template <typename REAL>
BernoulliSizes sizes_of(const In<REAL>& x, const In<REAL>& logits) {
    const long cols = long(x.shape(x.ndim() - 1));
    long rows = 1, all = 1;
    for (py::ssize_t i = 0; i + 1 < x.ndim(); ++i) rows *= long(x.shape(i));
    for (py::ssize_t i = 0; i + 1 < logits.ndim(); ++i) all *= long(logits.shape(i));
    return {rows ? all / rows : 0, rows, cols};
}

template <typename REAL>
Out<REAL> forward(const In<REAL>& x, const In<REAL>& logits) {
    Shape shape = shape_of(logits);
    shape.pop_back();
    Out<REAL> logp(shape);
    const BernoulliSizes sizes = sizes_of(x, logits);
    REAL* out = logp.mutable_data();
    const REAL *data = x.data(), *l = logits.data();
    {
        py::gil_scoped_release released;
        bernoulli_logits_forward(out, data, l, sizes);
    }
    return logp;
}

template <typename REAL>
py::tuple backward(const In<REAL>& d_logp, const In<REAL>& x, const In<REAL>& logits, bool need_x) {
    Out<REAL> d_logits(shape_of(logits));
    const BernoulliSizes sizes = sizes_of(x, logits);
    REAL *dl = d_logits.mutable_data(), *to_x = nullptr;
    py::object dx = py::none();
    if (need_x) {
        Out<REAL> made(shape_of(x));
        to_x = made.mutable_data();
        dx = made;
    }
    const REAL *d = d_logp.data(), *data = x.data(), *l = logits.data();
    {
        py::gil_scoped_release released;
        bernoulli_logits_backward(to_x, dl, d, data, l, sizes);
    }
    return py::make_tuple(dx, d_logits);
}

}  // namespace

BH_BINDING(bernoulli_logits) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
