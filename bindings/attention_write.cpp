#include "attention_write/attention_write.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// head: (..., 5); w: (..., C, N, N)
template <typename REAL>
WriteSizes sizes_of(const In<REAL>& head, const In<REAL>& w, long height, long width, double eps) {
    const py::ssize_t n = w.ndim();
    return {long(head.size() / 5), w.shape(n - 3), w.shape(n - 1), height, width, eps};
}

template <typename REAL>
Out<REAL> forward(const In<REAL>& head, const In<REAL>& w, long height, long width, double eps) {
    Shape shape = shape_of(w);
    shape.resize(shape.size() - 2);
    shape.insert(shape.end(), {height, width});
    Out<REAL> made(shape);
    REAL* c = made.mutable_data();
    const REAL *h = head.data(), *patch = w.data();
    const WriteSizes sizes = sizes_of(head, w, height, width, eps);
    {
        py::gil_scoped_release released;
        attention_write_forward(c, h, patch, sizes);
    }
    return made;
}

template <typename REAL>
py::tuple backward(const In<REAL>& dc, const In<REAL>& head, const In<REAL>& w, long height,
                   long width, double eps) {
    Out<REAL> d_head(shape_of(head)), dw(shape_of(w));
    REAL *out_head = d_head.mutable_data(), *out = dw.mutable_data();
    const REAL *d = dc.data(), *h = head.data(), *patch = w.data();
    const WriteSizes sizes = sizes_of(head, w, height, width, eps);
    {
        py::gil_scoped_release released;
        attention_write_backward(out_head, out, d, h, patch, sizes);
    }
    return py::make_tuple(d_head, dw);
}

}  // namespace

BH_BINDING(attention_write) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("backward", &backward<float>);
    module.def("backward", &backward<double>);
}
