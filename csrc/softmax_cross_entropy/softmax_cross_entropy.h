// Host functions of softmax_cross_entropy/cpu.cpp.
// logits, dx: (rows, classes); targets, top, total, nll, d_nll: (rows).
#pragma once

#include <cstdint>

template <typename REAL>
void softmax_cross_entropy_forward(REAL* nll, REAL* top, REAL* total, const REAL* logits,
                                   const std::int64_t* targets, long rows, long classes);

// dx may be logits.
template <typename REAL>
void softmax_cross_entropy_backward(REAL* dx, const REAL* d_nll, const REAL* logits,
                                    const std::int64_t* targets, const REAL* top,
                                    const REAL* total, long rows, long classes);
