// What looks where, and the shifted rows of a causal convolution; shared by C++ and CUDA.
// The equations are in kernels/causal_conv/DERIVATION.md.
#pragma once

#include "common/macros.h"

// The row of x (steps, width) that a tap meets at time t, or null before the first.
template <typename REAL>
BH_HD const REAL* conv_past(const REAL* x, long long t, long long shift, long long width) {
    return t < shift ? nullptr : x + (t - shift) * width;  // [causal_conv.1] [causal_conv.6]
}

// The row of da (steps, width) that x_t enters by a tap, or null beyond the last.
template <typename REAL>
BH_HD const REAL* conv_future(const REAL* da, long long t, long long shift, long long steps,
                              long long width) {
    return t + shift < steps ? da + (t + shift) * width : nullptr;  // [causal_conv.5]
}
