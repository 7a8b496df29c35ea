// Blocks come from kernels/linear_cross_entropy/reference.py: contiguous, of sizes that agree.
#include "linear_cross_entropy/linear_cross_entropy.h"

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

using Targets = In<std::int64_t>;

template <typename REAL>
void absorb(const In<REAL>& x, const In<REAL>& b, const Targets& targets, Out<REAL> top,
            Out<REAL> total, Out<REAL> picked) {
    const long rows = long(x.shape(0)), classes = long(x.shape(1));
    REAL *m = top.mutable_data(), *sum = total.mutable_data(), *mine = picked.mutable_data();
    const REAL *logits = x.data(), *bias = b.data();
    const std::int64_t* t = targets.data();
    py::gil_scoped_release released;
    linear_cross_entropy_absorb(m, sum, mine, logits, bias, t, rows, classes);
}

template <typename REAL>
Out<REAL> gradient(Out<REAL> x, const In<REAL>& b, const Targets& targets, const In<REAL>& top,
                   const In<REAL>& total, const In<REAL>& d_nll) {
    const long rows = long(x.shape(0)), classes = long(x.shape(1));
    Out<REAL> db(classes);
    REAL *logits = x.mutable_data(), *sums = db.mutable_data();
    const REAL *bias = b.data(), *m = top.data(), *sum = total.data(), *d = d_nll.data();
    const std::int64_t* t = targets.data();
    {
        py::gil_scoped_release released;
        linear_cross_entropy_gradient(logits, sums, bias, t, m, sum, d, rows, classes);
    }
    return db;
}

}  // namespace

BH_BINDING(linear_cross_entropy) {
    const py::arg into = py::arg().noconvert(), from;
    module.def("absorb", &absorb<float>, from, from, from, into, into, into);
    module.def("absorb", &absorb<double>, from, from, from, into, into, into);
    module.def("gradient", &gradient<float>, into, from, from, from, from, from);
    module.def("gradient", &gradient<double>, into, from, from, from, from, from);
}
