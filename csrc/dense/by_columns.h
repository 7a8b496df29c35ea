// Few rows: a phase for each product, cut by the columns that it makes; who has made some adds
// their bias and applies the activation.
#pragma once

#include "bernoulli_logits/bernoulli_logits.h"
#include "dense/products.h"
#include "dense/sparse.h"

namespace bh_dense {

template <typename REAL>
void forward_by_columns(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers,
                        const Bernoulli<REAL>* end) {
    const int last = int(layers.size()) - 1;
    SparseRows<REAL> sparse(x, rows, layers[0].inputs);
    const BhSplit listed = bh_split(rows, double(layers[0].inputs) * FIND_NS);
    std::vector<MatrixWork<REAL>> works;
    std::vector<int> chunks;
    for (const Layer<REAL>& layer : layers) {
        works.emplace_back(forward_product(layer, x, rows), COLUMNS);
        chunks.push_back(works.back().split.chunks);
        x = layer.y;
    }
    std::vector<double> shares(end ? works.back().split.chunks * rows : 0);  // of logp, by columns
    if (sparse.yes) chunks.insert(chunks.begin(), listed.chunks);
    run_phases(chunks, work_of(rows, layers), [&](int phase, int chunk) {
        const int i = phase - int(sparse.yes);
        if (i < 0) return sparse.list(listed.begin(chunk), listed.begin(chunk + 1));
        const Layer<REAL>& layer = layers[i];
        const auto [first, stop] = works[i].range(chunk);
        if (i == 0 && sparse.yes)
            sparse.forward(layer, 0, rows, first, stop);
        else
            works[i].run(chunk);
        bias_activation_columns(layer.y, layer.b, rows, layer.outputs, first, stop, layer.f);
        if (end == nullptr || i < last) return;
        for (long r = 0; r < rows; ++r)
            shares[chunk * rows + r] = bernoulli_slopes(layer.y + r * layer.outputs + first,
                                                       end->x + r % end->data * layer.outputs + first,
                                                       stop - first);
    });
    for (long r = 0; end != nullptr && r < rows; ++r) {
        double total = 0.0;
        for (int c = 0; c < works.back().split.chunks; ++c) total += shares[c * rows + r];
        end->logp[r] = REAL(total);
    }
}

// da and db of the last layer, some of its columns.
template <typename REAL>
void last_columns(REAL* da, const LayerBack<REAL>& top, const REAL* dy, const REAL* factors,
                  long rows, long first, long stop) {
    for (long r = 0; r < rows; ++r)
        for (long i = first; i < stop; ++i)
            da[r * top.outputs + i] = dy[r * top.outputs + i] * (factors ? factors[r] : REAL(1));
    bias_activation_backward_columns(da, top.db, top.y, rows, top.outputs, first, stop, top.f);
}

template <typename REAL>
void sum_last(const LayerBack<REAL>& top, const REAL* dy, long rows) {
    std::vector<double> sums(top.outputs, 0.0);
    bias_activation_backward_rows<REAL>(nullptr, sums.data(), dy, top.y, nullptr, rows,
                                        top.outputs, top.f);
    std::copy(sums.begin(), sums.end(), top.db);
}

// Phase 0: da and db of the last layer; then one for each layer, dW beside dx, which becomes da
// of the layer below in place.
template <typename REAL>
void backward_by_columns(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                         const std::vector<LayerBack<REAL>>& layers) {
    const int count = int(layers.size());
    std::vector<Scratch<REAL>> das(count);  // of each layer
    std::vector<MatrixWork<REAL>> to_W, to_x;
    const LayerBack<REAL>& top = layers.back();
    const bool sparse = is_sparse(layers[0].x, rows, layers[0].inputs);
    const BhSplit of_data = bh_split(layers[0].inputs, sparse_gradient_ns(layers[0], rows));
    const bool as_it_is = top.f == IDENTITY && factors == nullptr;
    const BhSplit first_split = bh_split(as_it_is ? 1 : bh_parts(top.outputs, COLUMNS_AT_ONCE),
                                         double(rows * COLUMNS_AT_ONCE) * ELEMENT_NS);
    std::vector<int> chunks{first_split.chunks};
    if (!as_it_is) das.back().reset(new REAL[rows * top.outputs]);
    const REAL* da = as_it_is ? dy : das.back().get();
    for (int i = count - 1; i >= 0; --i) {
        to_W.emplace_back(gradient_of_W(layers[i], da, rows), ANY);
        chunks.push_back(i == 0 && sparse ? of_data.chunks : to_W.back().split.chunks);
        if (i > 0) das[i - 1].reset(new REAL[rows * layers[i].inputs]);
        REAL* below = i > 0 ? das[i - 1].get() : dx;
        if (below != nullptr) {
            to_x.emplace_back(gradient_of_x(layers[i], below, da, rows), COLUMNS);
            chunks.back() += to_x.back().split.chunks;
        }
        da = below;
    }
    const auto da_of = [&](int i) { return das[i] ? das[i].get() : dy; };
    run_phases(chunks, 2 * work_of(rows, layers), [&](int phase, int chunk) {
        if (phase == 0) {
            if (as_it_is) return sum_last(top, dy, rows);
            const long first = first_split.begin(chunk) * COLUMNS_AT_ONCE;
            const long stop = first_split.begin(chunk + 1) * COLUMNS_AT_ONCE;
            return last_columns(das.back().get(), top, dy, factors, rows, first,
                                std::min(stop, top.outputs));
        }
        const int n = phase - 1, i = count - phase;  // of the works, and of the layers
        const bool left_out = i == 0 && sparse;
        const int of_W = left_out ? of_data.chunks : to_W[n].split.chunks;
        if (chunk < of_W)
            return left_out ? sparse_gradient(layers[0], da_of(0), rows, of_data.begin(chunk),
                                              of_data.begin(chunk + 1))
                            : to_W[n].run(chunk);
        to_x[n].run(chunk - of_W);
        if (i == 0) return;
        const LayerBack<REAL>& below = layers[i - 1];
        const auto [first, stop] = to_x[n].range(chunk - of_W);
        bias_activation_backward_columns(das[i - 1].get(), below.db, below.y, rows, below.outputs,
                                         first, stop, below.f);
    });
}

}  // namespace bh_dense
