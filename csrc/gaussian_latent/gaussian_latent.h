// Host functions of gaussian_latent/cpu.cpp.
// mean, logvar, kl and their gradients: (n); eps, z and theirs: (samples, n).
#pragma once

template <typename REAL>
void gaussian_latent_forward(REAL* z, REAL* kl, const REAL* mean, const REAL* logvar,
                             const REAL* eps, long samples, long n);

// deps may be null: eps is noise.
template <typename REAL>
void gaussian_latent_backward(REAL* dmean, REAL* dlogvar, REAL* deps, const REAL* dz,
                              const REAL* dkl, const REAL* mean, const REAL* logvar,
                              const REAL* eps, long samples, long n);
