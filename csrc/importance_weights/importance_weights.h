// Host functions of importance_weights/cpu.cpp.  log_w, d_log_w: (K, B); the others (B).
#pragma once

template <typename REAL>
void importance_weights_forward(REAL* bound, REAL* top, REAL* total, const REAL* log_w, long K,
                                long B);

template <typename REAL>
void importance_weights_backward(REAL* d_log_w, const REAL* d_bound, const REAL* log_w,
                                 const REAL* top, const REAL* total, bool dreg, long K, long B);
