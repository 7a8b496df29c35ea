// The functions of csrc/common/vec_math.h over an array of float: for the tests of their
// accuracy, and as the rate that a benchmark may expect.
#include "common/vec_math.h"

#include "arrays.h"
#include "bindings.h"

namespace {

#define BH_MAP(f)                                                                        \
    BH_CLONES void loop_##f(float* BH_RESTRICT y, const float* BH_RESTRICT x, long n) {  \
        for (long i = 0; i < n; ++i) y[i] = bh_##f(x[i]);                                \
    }
BH_MAP(exp)
BH_MAP(exp_below)
BH_MAP(expm1)
BH_MAP(log)
BH_MAP(log1p_unit)
BH_MAP(tanh)
BH_MAP(sigmoid)
BH_MAP(softplus)

template <void (*LOOP)(float*, const float*, long)>
Out<float> map(const In<float>& x) {
    Out<float> y(shape_of(x));
    LOOP(y.mutable_data(), x.data(), long(x.size()));
    return y;
}

}  // namespace

BH_BINDING(vec_math) {
    module.def("exp", &map<loop_exp>);
    module.def("exp_below", &map<loop_exp_below>);
    module.def("expm1", &map<loop_expm1>);
    module.def("log", &map<loop_log>);
    module.def("log1p_unit", &map<loop_log1p_unit>);
    module.def("tanh", &map<loop_tanh>);
    module.def("sigmoid", &map<loop_sigmoid>);
    module.def("softplus", &map<loop_softplus>);
}
