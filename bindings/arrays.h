// Arrays that go in and out of the kernels.  The front doors have checked shapes and types; of
// two overloads, float and double, pybind11 takes the one that fits without conversion, and
// copies what is not contiguous.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <vector>

template <typename T>
using In = pybind11::array_t<T, pybind11::array::c_style>;

template <typename T>
using Out = pybind11::array_t<T, pybind11::array::c_style>;

using Shape = std::vector<pybind11::ssize_t>;

inline Shape shape_of(const pybind11::array& x) { return Shape(x.shape(), x.shape() + x.ndim()); }

// The pointer, or null for None.
template <typename T>
const T* data_or_null(const std::optional<In<T>>& x) {
    return x ? x->data() : nullptr;
}
