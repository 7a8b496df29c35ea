// Threads of the compiled kernels (csrc/common/pool.h).
#include "bindings.h"
#include "common/pool.h"

BH_BINDING(threads) {
    module.def("set", &bh_set_threads);
    module.def("get", &bh_threads);
    module.def("handed_over", &bh_handed_over);
}
