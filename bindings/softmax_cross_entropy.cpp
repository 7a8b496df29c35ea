// Arguments arrive checked by kernels/softmax_cross_entropy/__init__.py: targets are classes.
#include "softmax_cross_entropy/softmax_cross_entropy.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

using Targets = In<std::int64_t>;

template <typename REAL>
py::tuple forward(const In<REAL>& logits, const Targets& targets) {
    const Shape shape = shape_of(targets);
    Out<REAL> nll(shape), top(shape), total(shape);
    const long rows = long(targets.size()), classes = long(logits.shape(logits.ndim() - 1));
    REAL *to_nll = nll.mutable_data(), *to_top = top.mutable_data();
    REAL* to_total = total.mutable_data();
    const REAL* x = logits.data();
    const std::int64_t* t = targets.data();
    {
        py::gil_scoped_release released;
        softmax_cross_entropy_forward(to_nll, to_top, to_total, x, t, rows, classes);
    }
    return py::make_tuple(nll, top, total);
}

// dx: contiguous, made by the caller.
template <typename REAL>
void backward(Out<REAL> dx, const In<REAL>& d_nll, const In<REAL>& logits, const Targets& targets,
              const In<REAL>& top, const In<REAL>& total) {
    const long rows = long(targets.size()), classes = long(logits.shape(logits.ndim() - 1));
    REAL* out = dx.mutable_data();
    const REAL *d = d_nll.data(), *x = logits.data(), *m = top.data(), *sum = total.data();
    const std::int64_t* t = targets.data();
    py::gil_scoped_release released;
    softmax_cross_entropy_backward(out, d, x, t, m, sum, rows, classes);
}

}  // namespace

BH_BINDING(softmax_cross_entropy) {
    const py::arg into = py::arg().noconvert(), from;
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>, into, from, from, from, from, from);
    module.def("backward", &backward<double>, into, from, from, from, from, from);
}
