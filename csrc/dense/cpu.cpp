// Layers on the CPU, all in one hand-over to the threads: a phase for each product, in which the
// thread that makes some columns also adds their bias and applies the activation.
#include "dense/dense.h"

#include <deque>
#include <memory>

#include "matrix_product/matrix_product.h"

namespace {

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

bool one_chunk(const std::vector<int>& phases) {
    for (int chunks : phases)
        if (chunks > 1) return false;
    return true;
}

void run_phases(const std::vector<int>& chunks, const std::function<void(int, int)>& run) {
    if (!one_chunk(chunks)) return bh_run_phases(chunks, run);
    for (int p = 0; p < int(chunks.size()); ++p) run(p, 0);
}

}  // namespace

template <typename REAL>
void dense_forward(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers) {
    std::vector<MatrixWork<REAL>> works;
    std::vector<int> chunks;
    for (const Layer<REAL>& layer : layers) {
        works.emplace_back(forward_product(layer, x, rows), COLUMNS);
        chunks.push_back(works.back().split.chunks);
        x = layer.y;
    }
    run_phases(chunks, [&](int i, int chunk) {
        const Layer<REAL>& layer = layers[i];
        works[i].run(chunk);
        const auto [first, last] = works[i].range(chunk);
        bias_activation_columns(layer.y, layer.b, rows, layer.outputs, first, last, layer.f);
    });
}

// Phase 0: da and db of the last layer; then one for each layer, dW beside dx, which becomes da
// of the layer below in place.
template <typename REAL>
void dense_backward(REAL* dx, const REAL* dy, long rows,
                    const std::vector<LayerBack<REAL>>& layers) {
    const int count = int(layers.size());
    std::vector<Scratch<REAL>> das(count);  // of each layer
    std::vector<MatrixWork<REAL>> to_W, to_x;
    std::vector<int> chunks{1};
    const LayerBack<REAL>& top = layers.back();
    if (top.f != IDENTITY) das.back().reset(new REAL[rows * top.outputs]);
    const REAL* da = top.f != IDENTITY ? das.back().get() : dy;
    for (int i = count - 1; i >= 0; --i) {
        to_W.emplace_back(gradient_of_W(layers[i], da, rows), ANY);
        chunks.push_back(to_W.back().split.chunks);
        if (i > 0) das[i - 1].reset(new REAL[rows * layers[i].inputs]);
        REAL* below = i > 0 ? das[i - 1].get() : dx;
        if (below != nullptr) {
            to_x.emplace_back(gradient_of_x(layers[i], below, da, rows), COLUMNS);
            chunks.back() += to_x.back().split.chunks;
        }
        da = below;
    }
    run_phases(chunks, [&](int phase, int chunk) {
        if (phase == 0)
            return bias_activation_backward(das.back().get(), top.db, dy, top.y, rows,
                                            top.outputs, top.f);
        const int n = phase - 1, i = count - phase;  // of the works, and of the layers
        const int of_W = to_W[n].split.chunks;
        if (chunk < of_W) return to_W[n].run(chunk);
        to_x[n].run(chunk - of_W);
        if (i == 0) return;
        const LayerBack<REAL>& below = layers[i - 1];
        const auto [first, last] = to_x[n].range(chunk - of_W);
        bias_activation_backward_columns(das[i - 1].get(), below.db, below.y, rows, below.outputs,
                                         first, last, below.f);
    });
}

#define BH_INSTANCE(REAL)                                                                   \
    template void dense_forward<REAL>(const REAL*, long, const std::vector<Layer<REAL>>&);  \
    template void dense_backward<REAL>(REAL*, const REAL*, long,                            \
                                       const std::vector<LayerBack<REAL>>&);
BH_INSTANCE(float)
BH_INSTANCE(double)
