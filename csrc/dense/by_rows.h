// Many rows: each thread takes a part of them through all layers, block by block, so that what lies
// between two products stays in its caches, and has weight gradients of its own; they are added.
#pragma once

#include "bernoulli_logits/bernoulli_logits.h"
#include "dense/products.h"

namespace bh_dense {

constexpr long BLOCK = 126;  // rows, 21 tiles
constexpr long LEAST = 16;   // rows of a part

// A part for each thread.
inline BhSplit split_rows(long rows) {
    return {rows, int(std::max(1L, std::min<long>(bh_threads(), rows / LEAST)))};
}

// run(first row, last row) for the blocks of a part.
template <typename F>
void each_block(const BhSplit& split, int part, F&& run) {
    const long first = split.begin(part), rows = split.begin(part + 1) - first;
    const long blocks = parts(rows, BLOCK);
    for (long b = 0; b < blocks; ++b) run(first + rows * b / blocks, first + rows * (b + 1) / blocks);
}

// Rows [begin, stop) of a product, by the thread that calls.
template <typename REAL>
void multiply_rows(Product<REAL> p, long begin, long stop) {
    p.out += begin * p.n;
    p.A.data += begin * p.A.row;
    p.m = stop - begin;
    matrix_product_here(p);
}

template <typename REAL>
void forward_by_rows(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers,
                     const Bernoulli<REAL>* end) {
    // Nobody has sums of his own here: each block goes to whoever is free.
    const BhSplit split{rows, std::max(split_rows(rows).chunks, int(parts(rows, BLOCK)))};
    run_phases({split.chunks}, [&](int, int block) {
        const long begin = split.begin(block), stop = split.begin(block + 1);
        const REAL* input = x;
        for (const Layer<REAL>& layer : layers) {
            multiply_rows(forward_product(layer, input, rows), begin, stop);
            bias_activation_columns(layer.y + begin * layer.outputs, layer.b, stop - begin,
                                    layer.outputs, 0, layer.outputs, layer.f);
            input = layer.y;
        }
        const long D = layers.back().outputs;
        for (long r = begin; end != nullptr && r < stop; ++r)
            end->logp[r] = REAL(bernoulli_slopes(layers.back().y + r * D,
                                                 end->x + r % end->data * D, D));
    });
}

// Gradients of the weights and biases from the rows of one part.
template <typename REAL>
struct PartGradients {
    std::vector<Scratch<REAL>> room;  // of dW; the first part's are where all will be
    std::vector<REAL*> dW;
    std::vector<std::vector<double>> db;

    PartGradients(const std::vector<LayerBack<REAL>>& layers, bool first) {
        for (const LayerBack<REAL>& layer : layers) {
            room.emplace_back(first ? nullptr : new REAL[layer.inputs * layer.outputs]);
            dW.push_back(first ? layer.dW : room.back().get());
            db.emplace_back(layer.outputs, 0.0);
        }
    }
};

template <typename REAL>
class BackwardByRows {
public:
    BackwardByRows(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                   const std::vector<LayerBack<REAL>>& layers)
        : dx(dx), dy(dy), factors(factors), layers(layers), count(int(layers.size())),
          split(split_rows(rows)), das(count) {
        for (int i = 0; i < count; ++i) {
            const bool needed = i < count - 1 || layers[i].f != IDENTITY;
            if (needed) das[i].reset(new REAL[rows * layers[i].outputs]);
        }
        for (int p = 0; p < split.chunks; ++p) gradients.emplace_back(layers, p == 0);
    }

    void run() {
        std::vector<std::pair<int, long>> pieces;  // of weight gradients: layer and first number
        for (int i = 0; i < count; ++i)
            for (long j = 0; j < size(i); j += PIECE) pieces.push_back({i, j});
        const int to_add = split.chunks > 1 ? int(pieces.size()) : 0;
        run_phases({split.chunks, to_add}, [&](int phase, int chunk) {
            if (phase == 1) return add(pieces[chunk].first, pieces[chunk].second);
            each_block(split, chunk, [&](long begin, long stop) { go_down(chunk, begin, stop); });
            multiply_terms(chunk);
        });
        for (int i = 0; i < count; ++i)
            for (long j = 0; j < layers[i].outputs; ++j) {
                double total = 0.0;
                for (const auto& part : gradients) total += part.db[i][j];
                layers[i].db[j] = REAL(total);
            }
    }

private:
    static constexpr long PIECE = 1 << 14;

    REAL* const dx;
    const REAL* const dy;
    const REAL* const factors;
    const std::vector<LayerBack<REAL>>& layers;
    const int count;
    const BhSplit split;
    std::vector<Scratch<REAL>> das;  // null where da is dy
    std::vector<PartGradients<REAL>> gradients;

    long size(int i) const { return layers[i].inputs * layers[i].outputs; }
    const REAL* da(int i) const { return das[i] ? das[i].get() : dy; }

    // da and db of layer i from dy, which da may be the place of.
    void through_activation(int part, int i, const REAL* dy, const REAL* factors, long begin,
                            long stop) {
        const LayerBack<REAL>& layer = layers[i];
        const long at = begin * layer.outputs;
        bias_activation_backward_rows(das[i] ? das[i].get() + at : nullptr,
                                      gradients[part].db[i].data(), dy + at, layer.y + at,
                                      factors ? factors + begin : nullptr, stop - begin,
                                      layer.outputs, layer.f);
    }

    void go_down(int part, long begin, long stop) {
        through_activation(part, count - 1, dy, factors, begin, stop);
        for (int i = count - 1; i >= 0; --i) {
            REAL* below = i > 0 ? das[i - 1].get() : dx;
            if (below == nullptr) return;
            const REAL* scale = i == count - 1 ? factors : nullptr;  // da without it is dy
            multiply_rows(gradient_of_x(layers[i], below, da(i), split.items), begin, stop);
            if (i > 0)
                through_activation(part, i - 1, below, scale, begin, stop);
            else if (scale != nullptr)
                for (long r = begin; r < stop; ++r)
                    for (long j = 0; j < layers[0].inputs; ++j)
                        dx[r * layers[0].inputs + j] *= scale[r];
        }
    }

    // The part's weight gradients, over all of its rows.
    void multiply_terms(int part) {
        const long begin = split.begin(part), rows = split.begin(part + 1) - begin;
        for (int i = 0; i < count; ++i) {
            LayerBack<REAL> layer = layers[i];
            layer.dW = gradients[part].dW[i];
            layer.x += begin * layer.inputs;
            const REAL* scale = i == count - 1 && factors ? factors + begin : nullptr;
            matrix_product_here(gradient_of_W(layer, da(i) + begin * layer.outputs, rows, scale));
        }
    }

    void add(int i, long first) {
        const long last = std::min(first + PIECE, size(i));
        for (int p = 1; p < split.chunks; ++p) {
            const REAL* BH_RESTRICT more = gradients[p].dW[i];
            REAL* BH_RESTRICT sum = layers[i].dW;
            for (long j = first; j < last; ++j) sum[j] += more[j];
        }
    }
};

template <typename REAL>
void backward_by_rows(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                      const std::vector<LayerBack<REAL>>& layers) {
    BackwardByRows<REAL>(dx, dy, factors, rows, layers).run();
}

}  // namespace bh_dense
