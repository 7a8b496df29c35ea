// Host functions of attention_write/cpu.cpp.  head, d_head (batch, 5); w, dw (batch, C, N, N);
// c, dc (batch, C, height, width).
#pragma once

struct WriteSizes {
    long batch, C, N, height, width;
    double eps;
};

template <typename REAL>
void attention_write_forward(REAL* c, const REAL* head, const REAL* w, const WriteSizes& sizes);

template <typename REAL>
void attention_write_backward(REAL* d_head, REAL* dw, const REAL* dc, const REAL* head,
                              const REAL* w, const WriteSizes& sizes);
