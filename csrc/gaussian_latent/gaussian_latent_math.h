// Reparameterised samples and their KL, element by element; shared by C++ and CUDA.
// The equations are in kernels/gaussian_latent/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

template <typename REAL>
BH_HD REAL gaussian_latent_std(REAL logvar) {
    return bh_exp(REAL(0.5) * logvar);
}

template <typename REAL>
BH_HD REAL gaussian_latent_sample(REAL mean, REAL std, REAL eps) {
    return mean + std * eps;  // [gaussian_latent.1]
}

template <typename REAL>
BH_HD REAL gaussian_latent_kl(REAL mean, REAL logvar) {
    return REAL(0.5) * (mean * mean + (bh_expm1(logvar) - logvar));  // [gaussian_latent.2]
}

// dz, dz_eps: the sums of dz and dz eps over the samples.
template <typename REAL>
BH_HD REAL gaussian_latent_dmean(REAL dz, REAL dkl, REAL mean) {
    return dz + dkl * mean;  // [gaussian_latent.3]
}

template <typename REAL>
BH_HD REAL gaussian_latent_dlogvar(REAL dz_eps, REAL dkl, REAL std, REAL logvar) {
    return REAL(0.5) * (dz_eps * std + dkl * bh_expm1(logvar));  // [gaussian_latent.4]
}

template <typename REAL>
BH_HD REAL gaussian_latent_deps(REAL dz, REAL std) {
    return dz * std;  // [gaussian_latent.5]
}
