// Bias and activation on the CPU: one pass over the rows, forward and backward.
#include "bias_activation/bias_activation.h"

#include <vector>

#include "common/pool.h"
#include "common/row_sums.h"

namespace {

template <Activation F, typename REAL>
BH_HD void forward_body(REAL* BH_RESTRICT y, const REAL* BH_RESTRICT a, const REAL* BH_RESTRICT b,
                        long rows, long cols) {
    for (long r = 0; r < rows; ++r, y += cols, a += cols)
        for (long i = 0; i < cols; ++i) y[i] = activation<F>(a[i] + b[i]);  // SIMD [bias_activation.1]
}

template <Activation F, typename REAL>
BH_HD void in_place_body(REAL* BH_RESTRICT y, const REAL* BH_RESTRICT b, long rows, long row,
                         long cols) {
    for (long r = 0; r < rows; ++r, y += row)
        for (long i = 0; i < cols; ++i) y[i] = activation<F>(y[i] + b[i]);  // SIMD [bias_activation.1]
}

template <Activation F, typename REAL>
BH_HD void forward_flat_body(REAL* BH_RESTRICT y, const REAL* BH_RESTRICT a, long n) {
    for (long i = 0; i < n; ++i) y[i] = activation<F>(a[i]);  // SIMD
}

// One row; db is where it is added.
template <Activation F, typename REAL>
BH_HD void backward_body(REAL* BH_RESTRICT da, REAL* BH_RESTRICT db, const REAL* BH_RESTRICT dy,
                         const REAL* BH_RESTRICT y, long cols) {
    for (long i = 0; i < cols; ++i) {  // SIMD
        const REAL d = dy[i] * activation_slope<F>(y[i]);  // [bias_activation.3]
        da[i] = d;
        db[i] += d;  // [bias_activation.4]
    }
}

template <typename REAL>
BH_HD void add_body(REAL* BH_RESTRICT db, const REAL* BH_RESTRICT dy, REAL factor, long cols) {
    for (long i = 0; i < cols; ++i) db[i] += factor * dy[i];  // SIMD [bias_activation.4]
}

// The same of dy times factor, where da is in the place of dy.
template <Activation F, typename REAL>
BH_HD void backward_in_place_body(REAL* BH_RESTRICT d, REAL* BH_RESTRICT db,
                                  const REAL* BH_RESTRICT y, REAL factor, long cols) {
    for (long i = 0; i < cols; ++i) {  // SIMD
        d[i] *= factor * activation_slope<F>(y[i]);  // [bias_activation.3]
        db[i] += d[i];  // [bias_activation.4]
    }
}

template <Activation F, typename REAL>
BH_HD void backward_flat_body(REAL* BH_RESTRICT da, const REAL* BH_RESTRICT dy,
                              const REAL* BH_RESTRICT y, long n) {
    for (long i = 0; i < n; ++i) da[i] = dy[i] * activation_slope<F>(y[i]);  // SIMD
}

#define BH_ROWS(REAL)                                                                             \
    BH_CLONES void forward_rows(Activation f, REAL* y, const REAL* a, const REAL* b, long rows,   \
                                long cols) {                                                      \
        BH_WITH_ACTIVATION(f, forward_body<F>(y, a, b, rows, cols))                               \
    }                                                                                             \
    BH_CLONES void in_place_rows(Activation f, REAL* y, const REAL* b, long rows, long row,       \
                                 long cols) {                                                     \
        BH_WITH_ACTIVATION(f, in_place_body<F>(y, b, rows, row, cols))                            \
    }                                                                                             \
    BH_CLONES void backward_in_place(Activation f, REAL* d, REAL* db, const REAL* y, REAL factor, \
                                     long cols) {                                                 \
        BH_WITH_ACTIVATION(f, backward_in_place_body<F>(d, db, y, factor, cols))                  \
    }                                                                                             \
    BH_CLONES void add_row(REAL* db, const REAL* dy, REAL factor, long cols) {                    \
        add_body(db, dy, factor, cols);                                                           \
    }                                                                                             \
    BH_CLONES void forward_flat(Activation f, REAL* y, const REAL* a, long n) {                   \
        BH_WITH_ACTIVATION(f, forward_flat_body<F>(y, a, n))                                      \
    }                                                                                             \
    BH_CLONES void backward_row(Activation f, REAL* da, REAL* db, const REAL* dy, const REAL* y,  \
                                long cols) {                                                      \
        BH_WITH_ACTIVATION(f, backward_body<F>(da, db, dy, y, cols))                              \
    }                                                                                             \
    BH_CLONES void backward_flat(Activation f, REAL* da, const REAL* dy, const REAL* y, long n) { \
        BH_WITH_ACTIVATION(f, backward_flat_body<F>(da, dy, y, n))                                \
    }
BH_ROWS(float)
BH_ROWS(double)

// Nanoseconds for one element on one core, as the pool wants to know them.
constexpr double FORWARD_NS = 1.0, BACKWARD_NS = 0.4;

}  // namespace

template <typename REAL>
void bias_activation_forward(REAL* y, const REAL* a, const REAL* b, long rows, long cols,
                             Activation f) {
    bh_parallel(bh_split(rows, FORWARD_NS * double(cols)), [&](long begin, long end, int) {
        const long at = begin * cols;
        if (b == nullptr)
            forward_flat(f, y + at, a + at, (end - begin) * cols);
        else
            forward_rows(f, y + at, a + at, b, end - begin, cols);
    });
}

template <typename REAL>
void bias_activation_backward_rows(REAL* da, double* db, const REAL* dy, const REAL* y,
                                   const REAL* factors, long rows, long cols, Activation f) {
    BhRowSums<REAL> sums(cols);
    for (long r = 0, at = 0; r < rows; ++r, at += cols) {
        const REAL factor = factors ? factors[r] : REAL(1);
        if (da == nullptr)
            add_row(sums.row(), dy + at, factor, cols);
        else if (da == dy)
            backward_in_place(f, da + at, sums.row(), y + at, factor, cols);
        else
            backward_row(f, da + at, sums.row(), dy + at, y + at, cols);
    }
    sums.add_to(db);
}

template <typename REAL>
void bias_activation_backward(REAL* da, REAL* db, const REAL* dy, const REAL* y, long rows,
                              long cols, Activation f) {
    const BhSplit split = bh_split(rows, BACKWARD_NS * double(cols));
    std::vector<std::vector<double>> sums(split.chunks, std::vector<double>(db ? cols : 0, 0.0));
    bh_parallel(split, [&](long begin, long end, int chunk) {
        if (db == nullptr) {
            const long at = begin * cols;
            return backward_flat(f, da + at, dy + at, y + at, (end - begin) * cols);
        }
        const long at = begin * cols;
        bias_activation_backward_rows<REAL>(da ? da + at : nullptr, sums[chunk].data(), dy + at,
                                            y + at, nullptr, end - begin, cols, f);
    });
    if (db == nullptr) return;
    for (long i = 0; i < cols; ++i) {
        double total = 0.0;
        for (const auto& chunk : sums) total += chunk[i];
        db[i] = REAL(total);
    }
}

template <typename REAL>
void bias_activation_columns(REAL* y, const REAL* b, long rows, long cols, long first, long last,
                             Activation f) {
    in_place_rows(f, y + first, b + first, rows, cols, last - first);
}

template <typename REAL>
void bias_activation_backward_columns(REAL* d, REAL* db, const REAL* y, long rows, long cols,
                                      long first, long last, Activation f) {
    BhRowSums<REAL> sums(last - first);
    for (long at = first; at < rows * cols; at += cols)
        backward_in_place(f, d + at, sums.row(), y + at, REAL(1), last - first);
    std::vector<double> total(last - first, 0.0);
    sums.add_to(total.data());
    for (long i = first; i < last; ++i) db[i] = REAL(total[i - first]);
}

#define BH_INSTANCE(REAL)                                                                       \
    template void bias_activation_backward_rows<REAL>(REAL*, double*, const REAL*, const REAL*, \
                                                      const REAL*, long, long, Activation);     \
    template void bias_activation_forward<REAL>(REAL*, const REAL*, const REAL*, long, long,    \
                                                Activation);                                    \
    template void bias_activation_backward<REAL>(REAL*, REAL*, const REAL*, const REAL*, long,  \
                                                 long, Activation);                             \
    template void bias_activation_columns<REAL>(REAL*, const REAL*, long, long, long, long,     \
                                                Activation);                                    \
    template void bias_activation_backward_columns<REAL>(REAL*, REAL*, const REAL*, long, long, \
                                                         long, long, Activation);
BH_INSTANCE(float)
BH_INSTANCE(double)
