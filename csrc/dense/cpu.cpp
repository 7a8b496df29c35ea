// Layers on the CPU, all in one hand-over to the threads.
#include "dense/dense.h"

#include "dense/by_columns.h"
#include "dense/by_rows.h"

namespace {

constexpr long MANY_ROWS = 64;

}  // namespace

template <typename REAL>
void dense_forward(const REAL* x, long rows, const std::vector<Layer<REAL>>& layers,
                   const Bernoulli<REAL>* end) {
    if (rows >= MANY_ROWS)
        bh_dense::forward_by_rows(x, rows, layers, end);
    else
        bh_dense::forward_by_columns(x, rows, layers, end);
}

template <typename REAL>
void dense_backward(REAL* dx, const REAL* dy, const REAL* factors, long rows,
                    const std::vector<LayerBack<REAL>>& layers) {
    if (rows >= MANY_ROWS)
        bh_dense::backward_by_rows(dx, dy, factors, rows, layers);
    else
        bh_dense::backward_by_columns(dx, dy, factors, rows, layers);
}

#define BH_INSTANCE(REAL)                                                                    \
    template void dense_forward<REAL>(const REAL*, long, const std::vector<Layer<REAL>>&,    \
                                      const Bernoulli<REAL>*);                               \
    template void dense_backward<REAL>(REAL*, const REAL*, const REAL*, long,                \
                                       const std::vector<LayerBack<REAL>>&);
BH_INSTANCE(float)
BH_INSTANCE(double)
