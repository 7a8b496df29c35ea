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

template <typename REAL>
void dense_forward(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers);

// What a layer's backward reads, and where it writes.
template <typename REAL>
struct LayerBack {
    const REAL *W, *x, *y;
    REAL *dW, *db;
    long inputs, outputs;
    Activation f;
};

// dy: of the last layer; dx: of the first, or null.
template <typename REAL>
void dense_backward(REAL* dx, const REAL* dy, long rows, const std::vector<LayerBack<REAL>>& layers);
