// Host functions of gaussian_density/cpu.cpp.
// x, dx: (rows, cols); mean, dmean: (samples, rows, cols); logp, d_logp: (samples, rows);
// logvar, dlogvar: like mean, or (cols) where it is shared.
#pragma once

struct GaussianSizes {
    long samples, rows, cols;
    bool shared;
};

template <typename REAL>
void gaussian_density_forward(REAL* logp, const REAL* x, const REAL* mean, const REAL* logvar,
                              GaussianSizes sizes);

// dx may be null: x is data.
template <typename REAL>
void gaussian_density_backward(REAL* dx, REAL* dmean, REAL* dlogvar, const REAL* d_logp,
                               const REAL* x, const REAL* mean, const REAL* logvar,
                               GaussianSizes sizes);
