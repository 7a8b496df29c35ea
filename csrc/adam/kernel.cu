// Adam in CUDA: a thread for each parameter.
#include "adam/adam_math.h"
#include "common/device.h"

// theta, grad, m, v: (n); the rest is AdamStep, in its order.
extern "C" __global__ void __launch_bounds__(256) adam_update_all(
    REAL* __restrict__ theta, const REAL* __restrict__ grad, REAL* __restrict__ m,
    REAL* __restrict__ v, long long n, REAL scale, REAL beta1, REAL rest1, REAL beta2, REAL rest2,
    REAL rate, REAL root, REAL eps, REAL decay) {
    const AdamStep<REAL> step{scale, beta1, rest1, beta2, rest2, rate, root, eps, decay};
    for (long long i = bh_first(); i < n; i += bh_stride()) {
        REAL p = theta[i], first = m[i], second = v[i];
        adam_update(p, grad[i], first, second, step);
        theta[i] = p;
        m[i] = first;
        v[i] = second;
    }
}
