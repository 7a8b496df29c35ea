// Between the products of a linear layer and its cross-entropy: one block of logits at a time.
#include "linear_cross_entropy/linear_cross_entropy.h"

#include <algorithm>
#include <vector>

#include "common/pool.h"
#include "common/row_sums.h"
#include "linear_cross_entropy/linear_cross_entropy_math.h"
#include "softmax_cross_entropy/softmax_rows.h"

namespace {

template <typename REAL>
BH_HD void absorb_body(REAL* top, REAL* total, const REAL* x, const REAL* b, long n) {
    const BiasedLogits<REAL> at{x, b};  // [linear_cross_entropy.1]
    const REAL old = *top;
    *top = std::max(old, softmax_top(at, n));
    const REAL shift = linear_cross_entropy_shift(*top);
    const REAL before = linear_cross_entropy_rescaled(*total, old, shift);
    *total = REAL(double(before) + softmax_total(at, shift, n));
}

template <typename REAL>
BH_HD void gradient_body(REAL* BH_RESTRICT x, const REAL* BH_RESTRICT b, REAL top, REAL share,
                         long n) {
    for (long i = 0; i < n; ++i) x[i] = softmax_slope(x[i] + b[i], top, share);  // SIMD [linear_cross_entropy.4]
}

template <typename REAL>
BH_HD void add_body(REAL* BH_RESTRICT sum, const REAL* BH_RESTRICT x, long n) {
    for (long i = 0; i < n; ++i) sum[i] += x[i];  // SIMD [linear_cross_entropy.7]
}

#define BH_ROWS(REAL)                                                                            \
    BH_CLONES void absorb_row(REAL* top, REAL* total, const REAL* x, const REAL* b, long n) {    \
        absorb_body(top, total, x, b, n);                                                        \
    }                                                                                            \
    BH_CLONES void gradient_row(REAL* x, const REAL* b, REAL top, REAL share, long n) {          \
        gradient_body(x, b, top, share, n);                                                      \
    }                                                                                            \
    BH_CLONES void add_row(REAL* sum, const REAL* x, long n) { add_body(sum, x, n); }
BH_ROWS(float)
BH_ROWS(double)

constexpr double ABSORB_NS = 0.7, GRADIENT_NS = 0.7;  // one logit on one core

}  // namespace

template <typename REAL>
void linear_cross_entropy_absorb(REAL* top, REAL* total, REAL* picked, const REAL* x,
                                 const REAL* b, const std::int64_t* targets, long rows,
                                 long classes) {
    bh_parallel(bh_split(rows, ABSORB_NS * double(classes)), [&](long begin, long end, int) {
        for (long r = begin; r < end; ++r) {
            const REAL* row = x + r * classes;
            absorb_row(top + r, total + r, row, b, classes);
            const std::int64_t t = targets[r];
            if (t >= 0 && t < classes) picked[r] = row[t] + b[t];
        }
    });
}

template <typename REAL>
void linear_cross_entropy_gradient(REAL* x, REAL* db, const REAL* b, const std::int64_t* targets,
                                   const REAL* top, const REAL* total, const REAL* d_nll,
                                   long rows, long classes) {
    const BhSplit split = bh_split(rows, GRADIENT_NS * double(classes));
    std::vector<std::vector<double>> sums(split.chunks, std::vector<double>(classes, 0.0));
    bh_parallel(split, [&](long begin, long end, int chunk) {
        BhRowSums<REAL> rows_of_db(classes);
        for (long r = begin; r < end; ++r) {
            REAL* row = x + r * classes;
            gradient_row(row, b, top[r], d_nll[r] / total[r], classes);
            const std::int64_t t = targets[r];
            if (t >= 0 && t < classes) row[t] -= d_nll[r];
            add_row(rows_of_db.row(), row, classes);
        }
        rows_of_db.add_to(sums[chunk].data());
    });
    for (long i = 0; i < classes; ++i) {
        double total_of_db = 0.0;
        for (const auto& sum : sums) total_of_db += sum[i];
        db[i] = REAL(total_of_db);
    }
}

#define BH_INSTANCE(REAL)                                                                          \
    template void linear_cross_entropy_absorb<REAL>(REAL*, REAL*, REAL*, const REAL*, const REAL*, \
                                                    const std::int64_t*, long, long);              \
    template void linear_cross_entropy_gradient<REAL>(REAL*, REAL*, const REAL*,                   \
                                                      const std::int64_t*, const REAL*,            \
                                                      const REAL*, const REAL*, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
