#include "filterbank/filterbank.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// (..., 5) -> (..., *tail)
Shape with_tail(const py::array& head, const Shape& tail) {
    Shape shape = shape_of(head);
    shape.pop_back();
    shape.insert(shape.end(), tail.begin(), tail.end());
    return shape;
}

template <typename REAL>
py::tuple forward(const In<REAL>& head, long N, long height, long width, double eps) {
    Out<REAL> F_Y(with_tail(head, {N, height})), F_X(with_tail(head, {N, width}));
    Out<REAL> gamma(with_tail(head, {}));
    REAL *y = F_Y.mutable_data(), *x = F_X.mutable_data(), *g = gamma.mutable_data();
    const REAL* h = head.data();
    const FilterSizes sizes{long(head.size() / 5), N, height, width};
    {
        py::gil_scoped_release released;
        filterbank_forward(y, x, g, h, eps, sizes);
    }
    return py::make_tuple(F_Y, F_X, gamma);
}

template <typename REAL>
Out<REAL> backward(const In<REAL>& dF_Y, const In<REAL>& dF_X, const In<REAL>& dgamma,
                   const In<REAL>& head, const In<REAL>& F_Y, const In<REAL>& F_X) {
    Out<REAL> made(shape_of(head));
    REAL* d_head = made.mutable_data();
    const REAL *dy = dF_Y.data(), *dx = dF_X.data(), *dg = dgamma.data();
    const REAL *h = head.data(), *y = F_Y.data(), *x = F_X.data();
    const py::ssize_t n = F_Y.ndim();
    const FilterSizes sizes{long(head.size() / 5), F_Y.shape(n - 2), F_Y.shape(n - 1),
                            F_X.shape(n - 1)};
    {
        py::gil_scoped_release released;
        filterbank_backward(d_head, dy, dx, dg, h, y, x, sizes);
    }
    return made;
}

}  // namespace

BH_BINDING(filterbank) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
