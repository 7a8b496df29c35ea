// Host functions of gaussian_sample/cpu.cpp.
// stats, dstats: (rows, 2 cols), a row's means and then its logarithms of standard deviations;
// eps, z and their gradients: (samples, rows, cols); log_q, log_n and theirs: (samples, rows).
#pragma once

struct SampleSizes {
    long samples, rows, cols;
};

template <typename REAL>
void gaussian_sample_forward(REAL* z, REAL* log_q, REAL* log_n, const REAL* stats, const REAL* eps,
                             SampleSizes sizes);

// deps may be null: eps is noise.
template <typename REAL>
void gaussian_sample_backward(REAL* dstats, REAL* deps, const REAL* dz, const REAL* d_log_q,
                              const REAL* d_log_n, const REAL* stats, const REAL* eps,
                              const REAL* z, SampleSizes sizes);
