// Stacks of layers in two calls: products, bias and activation of them all.
#include "dense/dense.h"

#include <algorithm>

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

inline Shape leading(const py::array& x) {
    Shape shape = shape_of(x);
    shape.pop_back();
    return shape;
}

inline void must_end_with(const py::array& x, const py::array& last) {
    const Shape all = shape_of(x), some = shape_of(last);
    if (some.empty() || some.size() > all.size() ||
        !std::equal(some.rbegin(), some.rend(), all.rbegin()))
        throw py::value_error("dense: the data do not fit");
}

inline long columns_of(const py::array& x) {
    must_have_axes(x);
    return long(x.shape(x.ndim() - 1));
}

// The layers and their y, f(x W + b), where x is the y before; x (..., I), W (I, O), b (O,)
template <typename REAL>
List<Out<REAL>> prepare(List<Layer<REAL>>& layers, const In<REAL>& x, const List<In<REAL>>& Ws,
                        const List<In<REAL>>& bs, const List<int>& fs) {
    if (Ws.empty()) throw py::value_error("dense: no layers");
    must_match(Ws.size(), bs, fs);
    must_have_axes(x);
    List<Out<REAL>> ys;
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
    return ys;
}

template <typename REAL>
List<Out<REAL>> forward(const In<REAL>& x, const List<In<REAL>>& Ws, const List<In<REAL>>& bs,
                        const List<int>& fs) {
    List<Layer<REAL>> layers;
    List<Out<REAL>> ys = prepare(layers, x, Ws, bs, fs);
    const long rows = Rows<REAL>(x).rows;
    py::gil_scoped_release released;
    dense_forward<REAL>(x.data(), rows, layers);
    return ys;
}

// (log p(data), the ys with slopes in the place of logits); data (..., O), x has samples in front.
template <typename REAL>
py::tuple forward_bernoulli(const In<REAL>& x, const List<In<REAL>>& Ws, const List<In<REAL>>& bs,
                            const List<int>& fs, const In<REAL>& data) {
    List<Layer<REAL>> layers;
    List<Out<REAL>> ys = prepare(layers, x, Ws, bs, fs);
    if (fs.back() != IDENTITY) throw py::value_error("dense: logits are the last layer's own");
    const Shape of_rows = leading(x);
    must_end_with(ys.back(), data);
    Out<REAL> logp(of_rows);
    const long rows = Rows<REAL>(x).rows;
    const Bernoulli<REAL> end{data.data(), Rows<REAL>(data).rows, logp.mutable_data()};
    {
        py::gil_scoped_release released;
        dense_forward(x.data(), rows, layers, &end);
    }
    return py::make_tuple(logp, ys);
}

// dx or None; dWs and dbs are written.  dy is of the last y, or of its rows' log-likelihoods.
template <typename REAL, bool BERNOULLI>
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
    must_be(dy, BERNOULLI ? leading(x) : shape);
    if (BERNOULLI && fs.back() != IDENTITY) throw py::value_error("dense: these are no logits");
    py::object dx = py::none();
    REAL* to_x = nullptr;
    if (need_x) {
        Out<REAL> made(shape_of(x));
        to_x = made.mutable_data();
        dx = made;
    }
    const long rows = Rows<REAL>(x).rows;
    py::gil_scoped_release released;
    if (BERNOULLI)
        dense_backward<REAL>(to_x, layers.back().y, dy.data(), rows, layers);
    else
        dense_backward<REAL>(to_x, dy.data(), nullptr, rows, layers);
    return dx;
}

}  // namespace

BH_BINDING(dense) {
    const auto as_it_is = py::arg().noconvert();
    const auto any = py::arg();
    module.def("forward", &forward<float>, as_it_is, as_it_is, as_it_is, any);
    module.def("forward", &forward<double>, as_it_is, as_it_is, as_it_is, any);
    module.def("backward", &backward<float, false>, as_it_is, as_it_is, as_it_is, as_it_is, any,
               as_it_is, as_it_is, any);
    module.def("backward", &backward<double, false>, as_it_is, as_it_is, as_it_is, as_it_is, any,
               as_it_is, as_it_is, any);
    module.def("forward_bernoulli", &forward_bernoulli<float>, as_it_is, as_it_is, as_it_is, any,
               as_it_is);
    module.def("forward_bernoulli", &forward_bernoulli<double>, as_it_is, as_it_is, as_it_is, any,
               as_it_is);
    module.def("backward_bernoulli", &backward<float, true>, as_it_is, as_it_is, as_it_is, as_it_is,
               any, as_it_is, as_it_is, any);
    module.def("backward_bernoulli", &backward<double, true>, as_it_is, as_it_is, as_it_is,
               as_it_is, any, as_it_is, as_it_is, any);
    for (const char* name : {"forward", "backward", "forward_bernoulli", "backward_bernoulli"})
        refuse_others(module, name);
}
