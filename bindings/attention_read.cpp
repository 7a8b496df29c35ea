#include "attention_read/attention_read.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// head: (..., 5); x: (..., C, height, width)
template <typename REAL>
ReadSizes sizes_of(const In<REAL>& head, const In<REAL>& x, const std::optional<In<REAL>>& x_hat,
                   long N, double eps) {
    const py::ssize_t n = x.ndim();
    return {long(head.size() / 5), x.shape(n - 3), x_hat ? long(x_hat->shape(n - 3)) : 0, N,
            x.shape(n - 2), x.shape(n - 1), eps};
}

template <typename REAL>
Out<REAL> forward(const In<REAL>& head, const In<REAL>& x, const std::optional<In<REAL>>& x_hat,
                  long N, double eps) {
    const ReadSizes sizes = sizes_of(head, x, x_hat, N, eps);
    Shape shape = shape_of(head);
    shape.back() = sizes.C + sizes.D;
    shape.insert(shape.end(), {N, N});
    Out<REAL> made(shape);
    REAL* r = made.mutable_data();
    const REAL *h = head.data(), *image = x.data(), *other = data_or_null(x_hat);
    {
        py::gil_scoped_release released;
        attention_read_forward(r, h, image, other, sizes);
    }
    return made;
}

template <typename REAL>
py::tuple backward(const In<REAL>& dr, const In<REAL>& head, const In<REAL>& x,
                   const std::optional<In<REAL>>& x_hat, long N, double eps, bool need_x,
                   bool need_x_hat) {
    const ReadSizes sizes = sizes_of(head, x, x_hat, N, eps);
    Out<REAL> d_head(shape_of(head));
    py::object dx = py::none(), dx_hat = py::none();
    REAL *out = d_head.mutable_data(), *out_x = nullptr, *out_x_hat = nullptr;
    if (need_x) {
        Out<REAL> made(shape_of(x));
        out_x = made.mutable_data();
        dx = made;
    }
    if (need_x_hat && x_hat) {
        Out<REAL> made(shape_of(*x_hat));
        out_x_hat = made.mutable_data();
        dx_hat = made;
    }
    const REAL *d = dr.data(), *h = head.data(), *image = x.data(), *other = data_or_null(x_hat);
    {
        py::gil_scoped_release released;
        attention_read_backward(out, out_x, out_x_hat, d, h, image, other, sizes);
    }
    return py::make_tuple(d_head, dx, dx_hat);
}

}  // namespace

BH_BINDING(attention_read) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
