// Reparameterised samples and their KL, element by element; shared by C++ and CUDA.
// The equations are in kernels/gaussian_latent/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

// The standard deviation, and expm1(logvar) = e (e + 2) with e = expm1(logvar / 2).
template <typename REAL>
BH_HD BhExponential<REAL> gaussian_latent_scale(REAL logvar) {
    const BhExponential<REAL> half = bh_exponential(REAL(0.5) * logvar);
    return {half.exp, half.expm1 * (half.expm1 + REAL(2))};
}

template <typename REAL>
BH_HD REAL gaussian_latent_sample(REAL mean, REAL std, REAL eps) {
    return mean + std * eps;  // [gaussian_latent.1]
}

template <typename REAL>
BH_HD REAL gaussian_latent_kl(REAL mean, REAL logvar, REAL expm1) {
    return REAL(0.5) * (mean * mean + (expm1 - logvar));  // [gaussian_latent.2]
}

// dz, dz_eps: the sums of dz and dz eps over the samples.
template <typename REAL>
BH_HD REAL gaussian_latent_dmean(REAL dz, REAL dkl, REAL mean) {
    return dz + dkl * mean;  // [gaussian_latent.3]
}

template <typename REAL>
BH_HD REAL gaussian_latent_dlogvar(REAL dz_eps, REAL dkl, REAL std, REAL expm1) {
    return REAL(0.5) * (dz_eps * std + dkl * expm1);  // [gaussian_latent.4]
}

template <typename REAL>
BH_HD REAL gaussian_latent_deps(REAL dz, REAL std) {
    return dz * std;  // [gaussian_latent.5]
}
