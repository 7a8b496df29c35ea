// What a row of logits has met, block after block; shared by C++ and CUDA.
// The equations are in kernels/linear_cross_entropy/DERIVATION.md.
#pragma once

#include "softmax_cross_entropy/softmax_cross_entropy_math.h"

// What the sum of a row is relative to: the largest logit, or 0 while that is -inf.
template <typename REAL>
BH_HD REAL linear_cross_entropy_shift(REAL top) {
    return top < REAL(0) && top - top != REAL(0) ? REAL(0) : top;
}

// The old sum, relative to a new shift.
template <typename REAL>
BH_HD REAL linear_cross_entropy_rescaled(REAL total, REAL old_top, REAL shift) {
    return total * bh_exp(old_top - shift);  // [linear_cross_entropy.2]
}
