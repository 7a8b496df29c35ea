// Many rows: blocks of them go through all layers, so that what lies between two products stays in
// the caches, each to whoever is free.  The matrices are packed before, once for all blocks.  How
// rows are cut depends on their number alone: any number of threads gives the same sums.
#pragma once

#include "bernoulli_logits/bernoulli_logits.h"
#include "dense/products.h"
#include "dense/sparse.h"

namespace bh_dense {

constexpr long SMALL = 24, LARGE = 48;  // rows of a block, nearly
constexpr double PACK_NS = 0.5;         // for a number
constexpr double PIECE_NS = 8e3, RANGE_NS = 2e5;  // of what is packed, or multiplied, in one go

// Blocks of rows, and the groups of terms of the weight gradients that they lie in.
struct Blocks {
    explicit Blocks(long rows)
        : groups(matrix_groups(rows)),
          each(2 * int(std::max(1L, rows / groups.chunks /
                                        (2 * std::clamp(rows / 16, SMALL, LARGE))))) {}

    const BhSplit groups;
    const int each;  // of a group

    int count() const { return groups.chunks * each; }
    int group(int block) const { return block / each; }
    long begin(int block) const {
        const int g = std::min(group(block), groups.chunks - 1);
        const BhSplit inside{groups.begin(g + 1) - groups.begin(g), each};
        return groups.begin(g) + inside.begin(block - g * each);
    }
};

// Some of the columns of what belongs to one layer.
struct Columns {
    int layer;
    long first, last;
};

// All columns of a matrix of a layer, whole panels, so many nanoseconds of them at once.
inline void cut(std::vector<Columns>& to, int layer, long columns, long panel, double at_once,
                double of_a_column) {
    const long panels = bh_parts(columns, panel);
    const long each = std::max(1L, long(at_once / (of_a_column * double(panel))));
    const BhSplit split{panels, int(bh_parts(panels, each))};
    for (int c = 0; c < split.chunks; ++c)
        to.push_back({layer, split.begin(c) * panel, std::min(split.begin(c + 1) * panel, columns)});
}

// The panels of a matrix of each layer; run(piece) makes some of them.
template <typename REAL>
class Packed {
public:
    static constexpr long PANEL = MATRIX_PANEL / long(sizeof(REAL));

    void add(int layer, const Matrix<REAL>& B, long n, long k) {
        matrices.push_back({B, n, k, Scratch<REAL>(new REAL[matrix_packed_size<REAL>(n, k)])});
        at.resize(layer + 1, -1);
        at[layer] = int(matrices.size()) - 1;
        cut(columns, layer, n, PANEL, PIECE_NS, PACK_NS * double(k));
    }

    int pieces() const { return int(columns.size()); }
    const REAL* of(int layer) const { return matrices[at[layer]].panels.get(); }

    void run(int piece) const {
        const auto [layer, first, last] = columns[piece];
        const auto& [B, n, k, panels] = matrices[at[layer]];
        matrix_pack(panels.get(), B, n, k, first, last);
    }

private:
    struct Entry {
        Matrix<REAL> B;
        long n, k;
        Scratch<REAL> panels;
    };
    std::vector<Entry> matrices;
    std::vector<int> at;  // of each layer
    std::vector<Columns> columns;
};

// Rows [begin, stop) of a product, by the thread that calls.
template <typename REAL>
void multiply_rows(Product<REAL> p, const REAL* packed, long begin, long stop) {
    p.out += begin * p.n;
    p.A.data += begin * p.A.row;
    p.m = stop - begin;
    matrix_product_here(p, packed);
}

template <typename REAL>
void forward_by_rows(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers,
                     const Bernoulli<REAL>* end) {
    const Blocks blocks(rows);
    const int count = int(layers.size());
    SparseRows<REAL> sparse(x, rows, layers[0].inputs);
    Packed<REAL> packed;
    for (int i = sparse.yes ? 1 : 0; i < count; ++i) {
        const Product<REAL> p = forward_product(layers[i], x, rows);
        packed.add(i, p.B, p.n, p.k);
    }
    run_phases({packed.pieces(), blocks.count()}, work_of(rows, layers), [&](int phase, int chunk) {
        if (phase == 0) return packed.run(chunk);
        const long begin = blocks.begin(chunk), stop = blocks.begin(chunk + 1);
        const REAL* input = x;
        for (int i = 0; i < count; ++i) {
            const Layer<REAL>& layer = layers[i];
            if (i == 0 && sparse.yes) {
                sparse.list(begin, stop);
                sparse.forward(layer, begin, stop, 0, layer.outputs);
            } else {
                multiply_rows(forward_product(layer, input, rows), packed.of(i), begin, stop);
            }
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

template <typename REAL>
class BackwardByRows {
public:
    BackwardByRows(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                   const std::vector<LayerBack<REAL>>& layers)
        : dx(dx), dy(dy), factors(factors), rows(rows), layers(layers), count(int(layers.size())),
          blocks(rows), sparse(is_sparse(layers[0].x, rows, layers[0].inputs)), das(count) {
        for (int i = 0; i < count; ++i) {
            const LayerBack<REAL>& layer = layers[i];
            if (i < count - 1 || layer.f != IDENTITY) das[i].reset(new REAL[rows * layer.outputs]);
            if (i > 0 || dx != nullptr) {
                const Product<REAL> p = gradient_of_x(layer, dx, dy, rows);
                packed.add(i, p.B, p.n, p.k);
            }
            sums.emplace_back(blocks.count() * layer.outputs, 0.0);
            const bool left_out = i == 0 && sparse;
            tiles.emplace_back(left_out ? nullptr : new REAL[rows * layer.inputs]);
            if (left_out)  // rows of dW, and of the layer's db all
                cut(ranges, 0, layer.inputs, 1, RANGE_NS, sparse_gradient_ns(layer, rows));
            else
                cut(ranges, i, layer.outputs, Packed<REAL>::PANEL, RANGE_NS,
                    MATRIX_TERM_NS * double(rows * layer.inputs));
        }
    }

    void run() {
        const std::vector<int> chunks{packed.pieces(), blocks.count(), int(ranges.size())};
        run_phases(chunks, 2 * work_of(rows, layers), [&](int phase, int chunk) {
            if (phase == 0) packed.run(chunk);
            if (phase == 1) go_down(chunk, blocks.begin(chunk), blocks.begin(chunk + 1));
            if (phase == 2) add_rows(ranges[chunk]);
        });
    }

private:
    REAL* const dx;
    const REAL* const dy;
    const REAL* const factors;
    const long rows;
    const std::vector<LayerBack<REAL>>& layers;
    const int count;
    const Blocks blocks;
    const bool sparse;  // the first x
    std::vector<Scratch<REAL>> das;    // of each layer; null where da is dy
    std::vector<Scratch<REAL>> tiles;  // x, packed for dW
    std::vector<std::vector<double>> sums;  // of da over each block
    Packed<REAL> packed;
    std::vector<Columns> ranges;  // of the weight gradients

    const REAL* da(int i) const { return das[i] ? das[i].get() : dy; }
    Product<REAL> to_W(int i) const { return gradient_of_W(layers[i], da(i), rows); }
    // of the rows of da, where it is without them
    const REAL* scale(int i) const { return i == count - 1 ? factors : nullptr; }

    // da and the sums of layer i from dy, which da may be the place of.
    void through_activation(int block, int i, const REAL* dy, const REAL* factors, long begin,
                            long stop) {
        const LayerBack<REAL>& layer = layers[i];
        const long at = begin * layer.outputs;
        bias_activation_backward_rows(das[i] ? das[i].get() + at : nullptr,
                                      &sums[i][block * layer.outputs], dy + at, layer.y + at,
                                      factors ? factors + begin : nullptr, stop - begin,
                                      layer.outputs, layer.f);
    }

    void go_down(int block, long begin, long stop) {
        through_activation(block, count - 1, dy, factors, begin, stop);
        for (int i = count - 1; i >= 0; --i) {
            if (tiles[i])
                matrix_pack_terms(tiles[i].get(), to_W(i), scale(i), blocks.group(block), begin,
                                  stop);
            REAL* below = i > 0 ? das[i - 1].get() : dx;
            if (below == nullptr) return;
            multiply_rows(gradient_of_x(layers[i], below, da(i), rows), packed.of(i), begin, stop);
            if (i > 0)
                through_activation(block, i - 1, below, scale(i), begin, stop);
            else if (scale(i) != nullptr)
                for (long r = begin; r < stop; ++r)
                    for (long j = 0; j < layers[0].inputs; ++j)
                        dx[r * layers[0].inputs + j] *= factors[r];
        }
    }

    // Some columns of dW and db, over all rows; some rows of a dW of which terms are left out.
    void add_rows(const Columns& c) {
        const LayerBack<REAL>& layer = layers[c.layer];
        if (tiles[c.layer]) {
            matrix_product_of_terms(to_W(c.layer), tiles[c.layer].get(), c.first, c.last);
            return sum_columns(c.layer, c.first, c.last);
        }
        sparse_gradient(layer, da(0), rows, c.first, c.last);
        if (c.first == 0) sum_columns(0, 0, layer.outputs);
    }

    void sum_columns(int i, long first, long last) {
        for (long j = first; j < last; ++j) {
            double total = 0.0;
            for (int b = 0; b < blocks.count(); ++b) total += sums[i][b * layers[i].outputs + j];
            layers[i].db[j] = REAL(total);
        }
    }
};

template <typename REAL>
void backward_by_rows(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                      const std::vector<LayerBack<REAL>>& layers) {
    BackwardByRows<REAL>(dx, dy, factors, rows, layers).run();
}

}  // namespace bh_dense
