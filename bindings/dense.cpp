// Stacks of layers in two calls: products, bias and activation of them all.
#include "dense/dense.h"

#include "bindings.h"
#include "rows.h"

namespace py = pybind11;

namespace {

template <typename T>
using List = std::vector<T>;

// As many of each.
template <typename... LISTS>
void must_match(size_t layers, const LISTS&... lists) {
    (must_agree(long(layers), long(lists.size())), ...);
}

// The usual calls are checked here alone (kernels/dense/__init__.py).
inline void must_be(const py::array& x, const Shape& shape) {
    if (shape_of(x) != shape) throw py::value_error("dense: a shape does not fit");
}

inline void must_have_axes(const py::array& x) {
    if (x.ndim() == 0) throw py::value_error("dense: an array without axes");
}

inline long columns_of(const py::array& x) {
    must_have_axes(x);
    return long(x.shape(x.ndim() - 1));
}

// y of each layer, f(x W + b), where x is the y before; x (..., I), W (I, O), b (O,)
template <typename REAL>
List<Out<REAL>> forward(const In<REAL>& x, const List<In<REAL>>& Ws, const List<In<REAL>>& bs,
                        const List<int>& fs) {
    if (Ws.empty()) throw py::value_error("dense: no layers");
    must_match(Ws.size(), bs, fs);
    must_have_axes(x);
    List<Out<REAL>> ys;
    List<Layer<REAL>> layers;
    Shape shape = shape_of(x);
    for (size_t i = 0; i < Ws.size(); ++i) {
        const long inputs = long(shape.back()), outputs = columns_of(Ws[i]);
        must_be(Ws[i], {inputs, outputs});
        must_be(bs[i], {outputs});
        shape.back() = outputs;
        ys.emplace_back(shape);
        layers.push_back({Ws[i].data(), bs[i].data(), ys[i].mutable_data(), inputs, outputs,
                          Activation(fs[i])});
    }
    const long rows = Rows<REAL>(x).rows;
    py::gil_scoped_release released;
    dense_forward(x.data(), rows, layers);
    return ys;
}

// dx or None; dWs and dbs are written.
template <typename REAL>
py::object backward(const In<REAL>& dy, const In<REAL>& x, const List<In<REAL>>& Ws,
                    const List<In<REAL>>& ys, const List<int>& fs, List<Out<REAL>>& dWs,
                    List<Out<REAL>>& dbs, bool need_x) {
    if (Ws.empty()) throw py::value_error("dense: no layers");
    must_match(Ws.size(), ys, fs, dWs, dbs);
    must_have_axes(x);
    List<LayerBack<REAL>> layers;
    Shape shape = shape_of(x);
    for (size_t i = 0; i < Ws.size(); ++i) {
        const long inputs = long(shape.back()), outputs = columns_of(Ws[i]);
        must_be(Ws[i], {inputs, outputs});
        must_be(dWs[i], {inputs, outputs});
        must_be(dbs[i], {outputs});
        shape.back() = outputs;
        must_be(ys[i], shape);
        layers.push_back({Ws[i].data(), i > 0 ? ys[i - 1].data() : x.data(), ys[i].data(),
                          dWs[i].mutable_data(), dbs[i].mutable_data(), inputs, outputs,
                          Activation(fs[i])});
    }
    must_be(dy, shape);
    py::object dx = py::none();
    REAL* to_x = nullptr;
    if (need_x) {
        Out<REAL> made(shape_of(x));
        to_x = made.mutable_data();
        dx = made;
    }
    const long rows = Rows<REAL>(x).rows;
    py::gil_scoped_release released;
    dense_backward(to_x, dy.data(), rows, layers);
    return dx;
}

}  // namespace

BH_BINDING(dense) {
    const auto as_it_is = py::arg().noconvert();
    const auto any = py::arg();
    module.def("forward", &forward<float>, as_it_is, as_it_is, as_it_is, any);
    module.def("forward", &forward<double>, as_it_is, as_it_is, as_it_is, any);
    module.def("backward", &backward<float>, as_it_is, as_it_is, as_it_is, as_it_is, any, as_it_is,
               as_it_is, any);
    module.def("backward", &backward<double>, as_it_is, as_it_is, as_it_is, as_it_is, any,
               as_it_is, as_it_is, any);
}
