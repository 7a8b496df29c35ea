// Host functions of causal_conv/cpu.cpp.  For each of ``sequences``: x, dx (steps, inputs) and
// y, da (steps, outputs); W, dW (taps, inputs, outputs); b (outputs) or null.
#pragma once

#include "bias_activation/bias_activation_math.h"

// dilation: at most steps, beyond which no tap meets anything.
struct ConvSizes {
    long sequences, steps, taps, dilation, inputs, outputs;
};

template <typename REAL>
void causal_conv_forward(REAL* y, const REAL* x, const REAL* W, const REAL* b, Activation f,
                         const ConvSizes& sizes);

template <typename REAL>
void causal_conv_dx(REAL* dx, const REAL* da, const REAL* W, const ConvSizes& sizes);

template <typename REAL>
void causal_conv_dW(REAL* dW, const REAL* x, const REAL* da, const ConvSizes& sizes);

// y_t = f(y_t + v_{t - shift} + b) in place, y and v (sequences, steps, cols); shift < 0 looks
// ahead; v may be null, and b.
template <typename REAL>
void causal_conv_add(REAL* y, const REAL* v, long shift, const REAL* b, Activation f,
                     long sequences, long steps, long cols);
