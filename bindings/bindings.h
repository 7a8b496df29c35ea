// A binding registers itself: BH_BINDING(lstm_step) { module.def(...); } in one file per op
// family makes the submodule backhand._native.lstm_step.
#pragma once

#include <pybind11/pybind11.h>

struct Binding {
    Binding(const char* name, void (*add)(pybind11::module_&));
    const char* name;
    void (*add)(pybind11::module_&);
    Binding* next;
};

#define BH_BINDING(family)                             \
    static void add_##family(pybind11::module_&);      \
    static Binding binding_##family(#family, add_##family); \
    static void add_##family(pybind11::module_& module)

// The last form of a function that is given what nobody has looked at: without it pybind11's own
// TypeError would print the arrays, which takes milliseconds.
inline void refuse_others(pybind11::module_& module, const char* name) {
    module.def(name, [](const pybind11::args&) -> pybind11::object {
        throw pybind11::type_error("arrays must be C-contiguous, of one type, float32 or float64");
    });
}
