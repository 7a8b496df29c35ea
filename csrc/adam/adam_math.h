// Adam and AdamW, parameter by parameter; shared by C++ and CUDA.
// The equations are in kernels/adam/DERIVATION.md.
#pragma once

#ifndef __CUDACC_RTC__  // NVRTC knows the roots without a header
#include <cmath>
#endif

#include "common/macros.h"

BH_HD float adam_sqrt(float x) { return sqrtf(x); }
BH_HD double adam_sqrt(double x) { return sqrt(x); }

// Equal for all parameters of one update.
template <typename REAL>
struct AdamStep {
    REAL scale, beta1, rest1, beta2, rest2;  // rest: 1 - beta
    REAL rate, root, eps, decay;             // [adam.4], [adam.5]; decay = lr * weight_decay
};

template <typename REAL>
BH_HD void adam_update(REAL& theta, REAL grad, REAL& m, REAL& v, const AdamStep<REAL>& s) {
    const REAL g = s.scale * grad;            // [adam.1]
    m = s.beta1 * m + s.rest1 * g;            // [adam.2]
    v = s.beta2 * v + s.rest2 * (g * g);      // [adam.3]
    const REAL step = m / (adam_sqrt(v) * s.root + s.eps) * s.rate;  // [adam.6]
    theta -= step + s.decay * theta;          // [adam.7]
}
