// A Gaussian sample with its log-densities, element by element; shared by C++ and CUDA.
// The equations are in kernels/gaussian_sample/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

// T: a number, or a vector of them (no reference to memory: it would be taken as aligned).
template <typename T>
BH_HD void gaussian_sample_z(T& z, const T& mean, const T& std, const T& eps) {
    z = mean + std * eps;  // [gaussian_sample.1]
}

// Of squares, the sum of eps^2 over a row, and log_stds, that of s.
template <typename REAL>
BH_HD REAL gaussian_sample_log_q(REAL squares, REAL log_stds, REAL cols) {
    return REAL(-0.5) * (squares + cols * REAL(1.8378770664093453)) - log_stds;  // [gaussian_sample.2]
}

// Of squares, the sum of z^2 over a row; 1.8... is log 2 pi.
template <typename REAL>
BH_HD REAL gaussian_sample_log_n(REAL squares, REAL cols) {
    return REAL(-0.5) * (squares + cols * REAL(1.8378770664093453));  // [gaussian_sample.3]
}

// The whole gradient t of a sample.
template <typename REAL>
BH_HD REAL gaussian_sample_dz(REAL dz, REAL d_log_n, REAL z) {
    return dz - d_log_n * z;  // [gaussian_sample.4]
}

// t_eps, d_log_q: sums over the samples.
template <typename REAL>
BH_HD REAL gaussian_sample_ds(REAL t_eps, REAL d_log_q, REAL std) {
    return std * t_eps - d_log_q;  // [gaussian_sample.6]
}

template <typename REAL>
BH_HD REAL gaussian_sample_deps(REAL t, REAL d_log_q, REAL std, REAL eps) {
    return t * std - d_log_q * eps;  // [gaussian_sample.7]
}
