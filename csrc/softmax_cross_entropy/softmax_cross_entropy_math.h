// Softmax cross-entropy, element by element; shared by C++ and CUDA.
// The equations are in kernels/softmax_cross_entropy/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

template <typename REAL>
BH_HD REAL softmax_term(REAL x, REAL top) {
    return bh_exp(x - top);  // [softmax_cross_entropy.1]
}

template <typename REAL>
BH_HD REAL softmax_nll(REAL total, REAL target, REAL top) {
    return bh_log(total) - (target - top);  // [softmax_cross_entropy.2]
}

// share: d_nll / total.  The gradient of the target's logit is this less d_nll.
template <typename REAL>
BH_HD REAL softmax_slope(REAL x, REAL top, REAL share) {
    return softmax_term(x, top) * share;  // [softmax_cross_entropy.3]
}
