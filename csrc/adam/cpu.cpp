// Adam on the CPU: one pass over the parameter vector and its slots.
#include "adam/adam.h"

#include "common/pool.h"

namespace {

template <typename REAL>
BH_HD void update_body(REAL* BH_RESTRICT theta, const REAL* BH_RESTRICT grad, REAL* BH_RESTRICT m,
                       REAL* BH_RESTRICT v, long n, const AdamStep<REAL> s) {
    for (long i = 0; i < n; ++i) adam_update(theta[i], grad[i], m[i], v[i], s);  // SIMD
}

#define BH_UPDATE(REAL)                                                                 \
    BH_CLONES void update(REAL* theta, const REAL* grad, REAL* m, REAL* v, long n,      \
                          const AdamStep<REAL>& s) {                                    \
        update_body(theta, grad, m, v, n, s);                                           \
    }
BH_UPDATE(float)
BH_UPDATE(double)

constexpr double PARAMETER_NS = 0.4;  // on one core

}  // namespace

template <typename REAL>
void adam_update_all(REAL* theta, const REAL* grad, REAL* m, REAL* v, long n,
                     const AdamStep<REAL>& step) {
    bh_parallel(bh_split(n, PARAMETER_NS), [&](long begin, long end, int) {
        update(theta + begin, grad + begin, m + begin, v + begin, end - begin, step);
    });
}

template void adam_update_all<float>(float*, const float*, float*, float*, long,
                                     const AdamStep<float>&);
template void adam_update_all<double>(double*, const double*, double*, double*, long,
                                      const AdamStep<double>&);
