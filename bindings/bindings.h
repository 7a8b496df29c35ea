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
