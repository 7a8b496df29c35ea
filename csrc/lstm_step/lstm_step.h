// Host functions of lstm_step/cpu.cpp.  Matrices are (rows, H), those of gates (rows, 4*H).
#pragma once

// gates may be a.  b (4*H) may be null; mask (rows) and h_prev are null together.
template <typename REAL>
void lstm_step_forward(REAL* h, REAL* c, REAL* gates, const REAL* a, const REAL* c_prev,
                       const REAL* b, const REAL* h_prev, const bool* mask, REAL forget_bias,
                       long rows, long H);

// da may be gates, dc_prev may be dc, dh_prev may be dh.  db (4*H) is null without a bias; mask
// and dh_prev are null together.
template <typename REAL>
void lstm_step_backward(REAL* da, REAL* dc_prev, REAL* db, REAL* dh_prev, const REAL* dh,
                        const REAL* dc, const REAL* gates, const REAL* c_prev, const REAL* c,
                        const bool* mask, long rows, long H);
