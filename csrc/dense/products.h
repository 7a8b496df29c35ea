// What the two ways through the layers share.
#pragma once

#include <algorithm>
#include <memory>

#include "common/pool.h"
#include "dense/dense.h"
#include "matrix_product/matrix_product.h"

namespace bh_dense {

constexpr long COLUMNS_AT_ONCE = 32;
constexpr double ELEMENT_NS = 0.5;  // of a pass between products, on one core

template <typename REAL>
using Scratch = std::unique_ptr<REAL[]>;

template <typename REAL>
Product<REAL> forward_product(const Layer<REAL>& layer, const REAL* x, long rows) {
    return {layer.y, {x, layer.inputs, 1}, {layer.W, layer.outputs, 1},
            rows,    layer.outputs,        layer.inputs};
}

template <typename REAL>
Product<REAL> gradient_of_W(const LayerBack<REAL>& layer, const REAL* da, long rows) {
    return {layer.dW,     {layer.x, 1, layer.inputs}, {da, layer.outputs, 1},
            layer.inputs, layer.outputs,              rows};
}

template <typename REAL>
Product<REAL> gradient_of_x(const LayerBack<REAL>& layer, REAL* dx, const REAL* da, long rows) {
    return {dx,   {da, layer.outputs, 1}, {layer.W, 1, layer.outputs},
            rows, layer.inputs,           layer.outputs};
}

// Nanoseconds on one core, about, of the products of one pass.
template <typename LAYER>
double work_of(long rows, const std::vector<LAYER>& layers) {
    double terms = 0.0;
    for (const LAYER& layer : layers) terms += double(layer.inputs * layer.outputs);
    return double(rows) * terms * MATRIX_TERM_NS;
}

// On one thread where others would have nothing to do, or the work would not repay them.
inline void run_phases(const std::vector<int>& chunks, double work,
                       const std::function<void(int, int)>& run) {
    const bool shared = *std::max_element(chunks.begin(), chunks.end()) > 1;
    if (shared && bh_split(2, work / 2).chunks > 1) return bh_run_phases(chunks, run);
    for (int p = 0; p < int(chunks.size()); ++p)
        for (int c = 0; c < chunks[p]; ++c) run(p, c);
}

}  // namespace bh_dense
