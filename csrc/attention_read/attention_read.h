// Host functions of attention_read/cpu.cpp.  head, d_head (batch, 5); x, dx (batch, C, height,
// width); x_hat likewise with D channels, null where D is 0; dx and dx_hat null where they are
// not needed; r, dr (batch, C + D, N, N).
#pragma once

struct ReadSizes {
    long batch, C, D, N, height, width;
    double eps;
};

template <typename REAL>
void attention_read_forward(REAL* r, const REAL* head, const REAL* x, const REAL* x_hat,
                            const ReadSizes& sizes);

template <typename REAL>
void attention_read_backward(REAL* d_head, REAL* dx, REAL* dx_hat, const REAL* dr,
                             const REAL* head, const REAL* x, const REAL* x_hat,
                             const ReadSizes& sizes);
