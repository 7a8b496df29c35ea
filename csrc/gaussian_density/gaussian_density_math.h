// Log-density of a diagonal Gaussian, element by element; shared by C++ and CUDA.
// The equations are in kernels/gaussian_density/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

template <typename REAL>
BH_HD REAL gaussian_inverse_std(REAL logvar) {
    return bh_exp(REAL(-0.5) * logvar);
}

template <typename REAL>
BH_HD REAL gaussian_residual(REAL x, REAL mean, REAL inverse_std) {
    return (x - mean) * inverse_std;  // [gaussian_density.1]
}

template <typename REAL>
BH_HD REAL gaussian_term(REAL u, REAL logvar) {
    return u * u + logvar + REAL(1.8378770664093453);  // [gaussian_density.2] log 2 pi
}

template <typename REAL>
BH_HD REAL gaussian_dmean(REAL d, REAL u, REAL inverse_std) {
    return d * u * inverse_std;  // [gaussian_density.3]
}

template <typename REAL>
BH_HD REAL gaussian_dlogvar(REAL d, REAL u) {
    return d * REAL(0.5) * (u * u - REAL(1));  // [gaussian_density.4]
}
