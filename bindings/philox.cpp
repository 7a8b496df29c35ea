// Arguments arrive checked by kernels/philox/__init__.py; index is uint32 and contiguous.
#include "philox/philox.h"

#include <vector>

#include "arrays.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

using Index = py::array_t<std::uint32_t, py::array::c_style>;

template <typename OUT>
py::array_t<OUT> draw(void (*fill)(OUT*, const std::uint32_t*, const PhiloxDraw&), const Index& index,
                      std::uint32_t seed, std::uint32_t purpose, std::uint32_t step, std::size_t n,
                      std::size_t count, std::uint32_t first) {
    const PhiloxDraw what{seed, purpose, step, first, count, std::size_t(index.size()), n};
    py::array_t<OUT> out(std::vector<std::size_t>{count, what.rows, n});
    OUT* target = out.mutable_data();
    const std::uint32_t* source = index.data();
    {
        py::gil_scoped_release released;
        fill(target, source, what);
    }
    return out;
}

// p: (rows, n) or (count, rows, n).
template <typename REAL>
py::array_t<REAL> bernoulli(const Index& index, const In<REAL>& p, std::uint32_t seed,
                            std::uint32_t purpose, std::uint32_t step, std::size_t count,
                            std::uint32_t first) {
    const std::size_t n = std::size_t(p.shape(p.ndim() - 1));
    const PhiloxDraw what{seed, purpose, step, first, count, std::size_t(index.size()), n};
    py::array_t<REAL> out(std::vector<std::size_t>{count, what.rows, n});
    REAL* target = out.mutable_data();
    const REAL* odds = p.data();
    const std::uint32_t* source = index.data();
    const std::size_t p_rows = p.ndim() == 2 ? what.rows : count * what.rows;
    {
        py::gil_scoped_release released;
        philox_bernoullis(target, odds, p_rows, source, what);
    }
    return out;
}

template <typename OUT>
void bind(py::module_& module, const char* name,
          void (*fill)(OUT*, const std::uint32_t*, const PhiloxDraw&)) {
    module.def(
        name,
        [fill](const Index& index, std::uint32_t seed, std::uint32_t purpose, std::uint32_t step,
               std::size_t n, std::size_t count, std::uint32_t first) {
            return draw(fill, index, seed, purpose, step, n, count, first);
        },
        py::arg("index").noconvert(), py::arg("seed"), py::arg("purpose"), py::arg("step"),
        py::arg("n"), py::arg("count"), py::arg("first"));
}

}  // namespace

BH_BINDING(philox) {
    bind<std::uint32_t>(module, "integers", philox_integers);
    bind<float>(module, "uniform_float32", philox_uniforms<float>);
    bind<double>(module, "uniform_float64", philox_uniforms<double>);
    bind<float>(module, "normal_float32", philox_normals<float>);
    bind<double>(module, "normal_float64", philox_normals<double>);
    module.def("bernoulli", &bernoulli<float>);
    module.def("bernoulli", &bernoulli<double>);
}
