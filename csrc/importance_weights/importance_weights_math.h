// Importance weights, number by number; shared by C++ and CUDA.
// The equations are in kernels/importance_weights/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

// What a column is taken relative to: its largest log weight, 0 where that is not finite.
template <typename REAL>
BH_HD REAL importance_weights_top(REAL largest) {
    return largest - largest == REAL(0) ? largest : REAL(0);
}

template <typename REAL>
BH_HD REAL importance_weights_e(REAL log_w, REAL top) {  // [importance_weights.1]
    return bh_exp_below(log_w - top);
}

// The sum of a column; NaN where it is not finite.
template <typename REAL>
BH_HD REAL importance_weights_total(REAL sum) {
    return sum - sum == REAL(0) ? sum : sum - sum;
}

template <typename REAL>
BH_HD REAL importance_weights_bound(REAL top, REAL total, REAL K) {  // [importance_weights.2]
    return top + bh_log(total / K);
}

// 0 where there is no weight at all.
template <typename REAL>
BH_HD REAL importance_weights_w(REAL e, REAL total) {  // [importance_weights.3]
    return total == REAL(0) ? REAL(0) : e / total;
}

template <typename REAL>
BH_HD REAL importance_weights_iwae(REAL w, REAL d_bound) {  // [importance_weights.5]
    return w * d_bound;
}

template <typename REAL>
BH_HD REAL importance_weights_dreg(REAL w, REAL d_bound) {  // [importance_weights.6]
    return w * (w * d_bound);
}
