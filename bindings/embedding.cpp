// Arguments arrive checked by kernels/embedding/__init__.py: ids lie in the table, and the table
// that is added to is contiguous.
#include "embedding/embedding.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

using Ids = In<long long>;

template <typename REAL>
Out<REAL> forward(const In<REAL>& W, const Ids& ids) {
    Shape shape = shape_of(ids);
    shape.push_back(W.shape(1));
    Out<REAL> y(shape);
    REAL* to = y.mutable_data();
    const REAL* from = W.data();
    const long long* rows = ids.data();
    const long N = ids.size(), D = W.shape(1);
    py::gil_scoped_release released;
    embedding_forward(to, from, rows, N, D);
    return y;
}

template <typename REAL>
void add_at(Out<REAL> W, const Ids& ids, const In<REAL>& dy) {
    REAL* to = W.mutable_data();
    const REAL* from = dy.data();
    const long long* rows = ids.data();
    const long N = ids.size(), V = W.shape(0), D = W.shape(1);
    py::gil_scoped_release released;
    embedding_add_at(to, rows, from, N, V, D);
}

}  // namespace

BH_BINDING(embedding) {
    module.def("forward", &forward<float>);
    module.def("forward", &forward<double>);
    module.def("add_at", &add_at<float>, py::arg().noconvert(), py::arg(), py::arg());
    module.def("add_at", &add_at<double>, py::arg().noconvert(), py::arg(), py::arg());
}
