// One unit of an LSTM step, shared by C++ and CUDA; kernels/lstm_step/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

template <typename REAL>
struct LstmGates {
    REAL i, f, g, o;
};

// The gates are bh_sigmoid and bh_tanh of u = a + b.  [lstm_step.2]

template <typename REAL>
BH_HD REAL lstm_step_cell(LstmGates<REAL> s, REAL c_prev) {
    return s.f * c_prev + s.i * s.g;  // [lstm_step.3]
}

template <typename REAL>
BH_HD REAL lstm_step_hidden(LstmGates<REAL> s, REAL c) {
    return s.o * bh_tanh(c);  // [lstm_step.4]
}

// da; dc_prev is written.
template <typename REAL>
BH_HD LstmGates<REAL> lstm_step_gradient(REAL* dc_prev, REAL dh, REAL dc, LstmGates<REAL> s,
                                         REAL c_prev, REAL c) {
    const REAL one = REAL(1), t = bh_tanh(c);
    const REAL d_cell = dc + dh * s.o * (one - t * t);                       // [lstm_step.6]
    const LstmGates<REAL> d{d_cell * s.g, d_cell * c_prev, d_cell * s.i, dh * t};  // [lstm_step.7]
    *dc_prev = d_cell * s.f;                                                 // [lstm_step.9]
    return {d.i * s.i * (one - s.i), d.f * s.f * (one - s.f),                // [lstm_step.8]
            d.g * (one - s.g * s.g), d.o * s.o * (one - s.o)};
}
