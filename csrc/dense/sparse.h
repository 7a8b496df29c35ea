// A first layer whose x is mostly zeros, as pictures in black and white are: the terms that are
// zero are left out of x W and of dW.  Layers 784-200-200-100, 100 rows, 13 % of x, one thread:
// forward 541 to 411 microseconds, backward 681 to 530; 20 rows 128 to 87 and 154 to 123.
#pragma once

#include <algorithm>

#include "common/lanes.h"
#include "dense/products.h"

namespace bh_dense {

constexpr long WIDE = 128;      // columns of x, or there is little to leave out
constexpr long LOOK = 4096;     // numbers that are counted at once
constexpr double FIND_NS = 1.3; // to look at a number
constexpr double SHARE = 0.25;  // of x that may be something: more costs more than products do

// Some numbers of x, `step` apart: those that are not zero are listed.
template <typename REAL>
struct Terms {
    const REAL* x;
    long step;
    const int* list;
    long count;
};

// V vectors of columns of out, = or += sum over the terms of x times that row of the matrix.
template <int V, typename REAL>
BH_HD void add_terms(REAL* out, const REAL* matrix, long stride, const Terms<REAL>& terms,
                     bool add) {
    constexpr long L = 32 / long(sizeof(REAL));
    BhLanes<REAL> sum[V] = {};
    for (long t = 0; t < terms.count; ++t) {
        const REAL factor = terms.x[terms.list[t] * terms.step];
        const REAL* row = matrix + terms.list[t] * stride;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[v] += factor * bh_lanes(row + v * L);
    }
    for (int v = 0; v < V; ++v)
        bh_lanes(out + v * L) = add ? bh_lanes(out + v * L) + sum[v] : sum[v];
}

template <typename REAL>
BH_HD void combine_body(REAL* out, const REAL* matrix, long stride, long columns,
                        const Terms<REAL>& terms, bool add) {
    constexpr long L = 32 / long(sizeof(REAL));
    long j = 0;
    for (; j + 8 * L <= columns; j += 8 * L)
        add_terms<8>(out + j, matrix + j, stride, terms, add);
    for (; j + L <= columns; j += L) add_terms<1>(out + j, matrix + j, stride, terms, add);
    for (; j < columns; ++j) {
        REAL sum = add ? out[j] : REAL(0);
        for (long t = 0; t < terms.count; ++t) {
            const long k = terms.list[t];
            sum += terms.x[k * terms.step] * matrix[k * stride + j];
        }
        out[j] = sum;
    }
}

// Lists where x is not zero and returns how often.  No branch: it comes as if by chance.
template <typename REAL>
BH_HD long find_body(int* list, const REAL* x, long step, long count) {
    long found = 0;
    for (long i = 0; i < count; ++i) {
        list[found] = int(i);
        found += x[i * step] != REAL(0);
    }
    return found;
}

template <typename REAL>
BH_HD long count_body(const REAL* x, long count) {
    int found = 0;
    for (long i = 0; i < count; ++i) found += x[i] != REAL(0);
    return found;
}

#define BH_SPARSE(REAL)                                                                    \
    BH_CLONES void combine(REAL* out, const REAL* matrix, long stride, long columns,       \
                           const Terms<REAL>& terms, bool add) {                           \
        combine_body(out, matrix, stride, columns, terms, add);                            \
    }                                                                                      \
    BH_CLONES long find(int* list, const REAL* x, long step, long count) {                 \
        return find_body(list, x, step, count);                                            \
    }                                                                                      \
    BH_CLONES long count_of(const REAL* x, long count) { return count_body(x, count); }
BH_SPARSE(float)
BH_SPARSE(double)

template <typename REAL>
bool is_sparse(const REAL* x, long rows, long columns) {
    if (columns < WIDE) return false;
    const long all = rows * columns, most = long(SHARE * double(all));
    long found = 0;
    for (long at = 0; at < all && found <= most; at += LOOK)
        found += count_of(x + at, std::min(LOOK, all - at));
    return found <= most;
}

// The first x, where it is sparse, with its lists.
template <typename REAL>
class SparseRows {
public:
    SparseRows(const REAL* x, long rows, long columns)
        : yes(is_sparse(x, rows, columns)), x(x), columns(columns),
          lists(yes ? new int[rows * columns] : nullptr), counts(yes ? rows : 0) {}

    const bool yes;

    void list(long begin, long stop) {
        for (long r = begin; r < stop; ++r)
            counts[r] = find(lists.get() + r * columns, x + r * columns, 1L, columns);
    }

    // Rows [begin, stop), which are listed, and columns [first, last) of y = x W.
    void forward(const Layer<REAL>& layer, long begin, long stop, long first, long last) const {
        for (long r = begin; r < stop; ++r) {
            const Terms<REAL> terms{x + r * columns, 1, lists.get() + r * columns, counts[r]};
            combine(layer.y + r * layer.outputs + first, layer.W + first, layer.outputs,
                    last - first, terms, false);
        }
    }

private:
    const REAL* x;
    long columns;
    std::unique_ptr<int[]> lists;
    std::vector<long> counts;  // of each row
};

// Nanoseconds on one core, about, for a row of dW.
template <typename REAL>
double sparse_gradient_ns(const LayerBack<REAL>& layer, long rows) {
    return double(rows) * (FIND_NS + SHARE * double(layer.outputs) * MATRIX_TERM_NS);
}

// Rows [first, last) of dW = x^T da, its terms in groups as a product has them.
template <typename REAL>
void sparse_gradient(const LayerBack<REAL>& layer, const REAL* da, long rows, long first,
                     long last) {
    const BhSplit groups = matrix_groups(rows);
    const std::unique_ptr<int[]> list(new int[bh_parts(rows, groups.chunks)]);
    for (int g = 0; g < groups.chunks; ++g) {
        const long begin = groups.begin(g), count = groups.begin(g + 1) - begin;
        for (long i = first; i < last; ++i) {
            const REAL* x = layer.x + begin * layer.inputs + i;
            const Terms<REAL> terms{x, layer.inputs, list.get(),
                                    find(list.get(), x, layer.inputs, count)};
            combine(layer.dW + i * layer.outputs, da + begin * layer.outputs, layer.outputs,
                    layer.outputs, terms, g > 0);
        }
    }
}

}  // namespace bh_dense
