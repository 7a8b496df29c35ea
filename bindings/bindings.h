// One function for each op family: it adds its submodule to backhand._native.
#pragma once

#include <pybind11/pybind11.h>

void bind_philox(pybind11::module_& native);
