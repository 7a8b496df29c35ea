// Host functions of filterbank/cpu.cpp.  head, d_head (batch, 5); F_Y, dF_Y (batch, N, height);
// F_X, dF_X (batch, N, width); gamma, dgamma (batch).
#pragma once

struct FilterSizes {
    long batch, N, height, width;
};

template <typename REAL>
void filterbank_forward(REAL* F_Y, REAL* F_X, REAL* gamma, const REAL* head, double eps,
                        const FilterSizes& sizes);

template <typename REAL>
void filterbank_backward(REAL* d_head, const REAL* dF_Y, const REAL* dF_X, const REAL* dgamma,
                         const REAL* head, const REAL* F_Y, const REAL* F_X,
                         const FilterSizes& sizes);
