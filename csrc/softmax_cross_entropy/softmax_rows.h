// Loops over one row of logits, with b (classes) added to them where it is not null; a softmax
// alone and one behind a linear layer share them.
#pragma once

#include <algorithm>
#include <limits>

#include "softmax_cross_entropy/softmax_cross_entropy_math.h"

constexpr int SOFTMAX_LANES = 32;                    // running values
constexpr long SOFTMAX_BLOCK = 64 * SOFTMAX_LANES;  // terms that are added before double

// The largest logit; NaN does not count here, but makes the sum NaN.
template <typename AT>
BH_HD auto softmax_top(const AT& at, long n) -> decltype(at(0L)) {
    using REAL = decltype(at(0L));
    REAL most[SOFTMAX_LANES];
    for (int j = 0; j < SOFTMAX_LANES; ++j) most[j] = -std::numeric_limits<REAL>::infinity();
    long i = 0;
    for (; i + SOFTMAX_LANES <= n; i += SOFTMAX_LANES)
        for (int j = 0; j < SOFTMAX_LANES; ++j) {  // SIMD
            const REAL x = at(i + j);
            most[j] = x > most[j] ? x : most[j];
        }
    for (int j = 0; i + j < n; ++j) most[j] = at(i + j) > most[j] ? at(i + j) : most[j];
    return *std::max_element(most, most + SOFTMAX_LANES);
}

// The sum of exp(logit - top).
template <typename REAL, typename AT>
BH_HD double softmax_total(const AT& at, REAL top, long n) {
    double total = 0.0;
    for (long block = 0; block < n; block += SOFTMAX_BLOCK) {
        const long stop = std::min(n, block + SOFTMAX_BLOCK);
        REAL sum[SOFTMAX_LANES] = {};
        long i = block;
        for (; i + SOFTMAX_LANES <= stop; i += SOFTMAX_LANES)
            for (int j = 0; j < SOFTMAX_LANES; ++j) sum[j] += softmax_term(at(i + j), top);  // SIMD
        for (int j = 0; i + j < stop; ++j) sum[j] += softmax_term(at(i + j), top);
        for (int j = 0; j < SOFTMAX_LANES; ++j) total += double(sum[j]);
    }
    return total;
}

template <typename REAL>
struct PlainLogits {
    const REAL* x;
    BH_HD REAL operator()(long i) const { return x[i]; }
};

template <typename REAL>
struct BiasedLogits {
    const REAL *x, *b;
    BH_HD REAL operator()(long i) const { return x[i] + b[i]; }
};
