// backhand._native: the compiled forms of the kernels, one submodule for each op family.
#include "bindings.h"

#include <string>

namespace {

Binding*& first_binding() {
    static Binding* first = nullptr;
    return first;
}

std::string compiler() {
#if defined(__clang__)
    return std::string("clang++ ") + std::to_string(__clang_major__) + "." +
           std::to_string(__clang_minor__) + "." + std::to_string(__clang_patchlevel__);
#elif defined(__GNUC__)
    return std::string("g++ ") + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__) +
           "." + std::to_string(__GNUC_PATCHLEVEL__);
#elif defined(_MSC_VER)
    return "MSVC " + std::to_string(_MSC_VER);
#else
    return "an unknown compiler";
#endif
}

}  // namespace

Binding::Binding(const char* name, void (*add)(pybind11::module_&))
    : name(name), add(add), next(first_binding()) {
    first_binding() = this;
}

PYBIND11_MODULE(_native, native) {
    native.attr("compiler") = compiler();
    for (const Binding* b = first_binding(); b != nullptr; b = b->next) {
        pybind11::module_ module = native.def_submodule(b->name);
        b->add(module);
    }
}
