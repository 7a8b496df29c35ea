// Host functions of bernoulli_logits/cpu.cpp.
// x, dx: (rows, cols); logits, d_logits: (samples, rows, cols); logp, d_logp: (samples, rows).
#pragma once

struct BernoulliSizes {
    long samples, rows, cols;
};

template <typename REAL>
void bernoulli_logits_forward(REAL* logp, const REAL* x, const REAL* logits, BernoulliSizes sizes);

// dx may be null: x is data.
template <typename REAL>
void bernoulli_logits_backward(REAL* dx, REAL* d_logits, const REAL* d_logp, const REAL* x,
                               const REAL* logits, BernoulliSizes sizes);

// log p(x | l) of one row, whose logits become the slopes x - sigmoid(l); by the thread that calls.
template <typename REAL>
double bernoulli_slopes(REAL* l, const REAL* x, long cols);
