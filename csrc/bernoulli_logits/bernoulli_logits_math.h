// Bernoulli log-likelihood from logits, element by element; shared by C++ and CUDA.
// The equations are in kernels/bernoulli_logits/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

// x l - softplus(l) = x l - max(l, 0) - log(1 + exp(-|l|)): the part without the logarithm ...
template <typename REAL>
BH_HD REAL bernoulli_linear(REAL x, REAL l) {
    return x * l - (l > REAL(0) ? l : REAL(0));  // [bernoulli_logits.1]
}

// ... and what the logarithm is of, in (1, 2].  The factors of up to BERNOULLI_FACTORS elements
// are multiplied before one logarithm is taken of the product; it stays below 2**100.
template <typename REAL>
BH_HD REAL bernoulli_tail(REAL l) {
    return bh_exp_below(l > REAL(0) ? -l : l);
}

template <typename REAL>
BH_HD REAL bernoulli_factor(REAL l) {
    return REAL(1) + bernoulli_tail(l);  // [bernoulli_logits.1]
}

constexpr int BERNOULLI_FACTORS = 96;

template <typename REAL>
BH_HD REAL bernoulli_slope(REAL d, REAL x, REAL l) {
    return d * (x - bh_sigmoid(l));  // [bernoulli_logits.2]
}

// The same for d = 1, from exp(-|l|), which is there already.
template <typename REAL>
BH_HD REAL bernoulli_slope_from(REAL x, REAL l, REAL tail) {
    return x - (l > REAL(0) ? REAL(1) : tail) / (REAL(1) + tail);  // [bernoulli_logits.2]
}
