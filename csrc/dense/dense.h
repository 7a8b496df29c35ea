// Host functions of dense/cpu.cpp: layers that follow each other.
#pragma once

#include <vector>

#include "bias_activation/bias_activation.h"

// y (rows, outputs) = f(x W + b), x (rows, inputs) being the y of the layer before.
template <typename REAL>
struct Layer {
    const REAL *W, *b;
    REAL* y;
    long inputs, outputs;
    Activation f;
};

// What becomes of the last y, logits of data x (data, outputs): row r is for x[r % data], and
// logp (rows) its log-likelihood; the slopes x - sigmoid(y) take the place of the logits.
template <typename REAL>
struct Bernoulli {
    const REAL* x;
    long data;
    REAL* logp;
};

// end: null, or how the layers end.
template <typename REAL>
void dense_forward(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers,
                   const Bernoulli<REAL>* end = nullptr);

// What a layer's backward reads, and where it writes.
template <typename REAL>
struct LayerBack {
    const REAL *W, *x, *y;
    REAL *dW, *db;
    long inputs, outputs;
    Activation f;
};

// dy: of the last layer, whose rows are multiplied by factors (rows), or null; its f is the
// identity where there are factors.  dx: of the first, or null.
template <typename REAL>
void dense_backward(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                    const std::vector<LayerBack<REAL>>& layers);
