// Arguments arrive checked by kernels/lstm_step/__init__.py; the arrays to write into are
// contiguous, and made by its caller or by native.py.
#include "lstm_step/lstm_step.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

template <typename REAL>
void forward(Out<REAL> h, Out<REAL> c, Out<REAL> gates, const In<REAL>& a, const In<REAL>& c_prev,
             const std::optional<In<REAL>>& b, const std::optional<In<REAL>>& h_prev,
             const std::optional<In<bool>>& mask, double forget_bias) {
    const long H = c_prev.shape(c_prev.ndim() - 1), rows = H ? c_prev.size() / H : 0;
    REAL *to_h = h.mutable_data(), *to_c = c.mutable_data(), *to_gates = gates.mutable_data();
    const REAL *from_a = a.data(), *from_c = c_prev.data(), *bias = data_or_null(b),
               *from_h = data_or_null(h_prev);
    const bool* on = data_or_null(mask);
    py::gil_scoped_release released;
    lstm_step_forward(to_h, to_c, to_gates, from_a, from_c, bias, from_h, on, REAL(forget_bias),
                      rows, H);
}

template <typename REAL>
void backward(Out<REAL> da, Out<REAL> dc_prev, std::optional<Out<REAL>> db,
              std::optional<Out<REAL>> dh_prev, const In<REAL>& dh, const In<REAL>& dc,
              const In<REAL>& gates, const In<REAL>& c_prev, const In<REAL>& c,
              const std::optional<In<bool>>& mask) {
    const long H = c.shape(c.ndim() - 1), rows = H ? c.size() / H : 0;
    REAL *to_a = da.mutable_data(), *to_c = dc_prev.mutable_data(),
         *to_b = db ? db->mutable_data() : nullptr, *to_h = dh_prev ? dh_prev->mutable_data() : nullptr;
    const REAL *d_h = dh.data(), *d_c = dc.data(), *s = gates.data(), *before = c_prev.data(),
               *after = c.data();
    const bool* on = data_or_null(mask);
    py::gil_scoped_release released;
    lstm_step_backward(to_a, to_c, to_b, to_h, d_h, d_c, s, before, after, on, rows, H);
}

template <typename REAL>
void bind(py::module_& module) {
    const py::arg into = py::arg().noconvert(), from;
    module.def("forward", &forward<REAL>, into, into, into, from, from, from, from, from, from);
    module.def("backward", &backward<REAL>, into, into, into, into, from, from, from, from, from,
               from);
}

}  // namespace

BH_BINDING(lstm_step) {
    bind<float>(module);
    bind<double>(module);
}
