// Gaussian filters, entry by entry, and their derivatives; shared by C++ and CUDA.  Pixels and
// filters are counted from the centre of the image.
// The equations are in kernels/filterbank/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

// The nearest whole number to |x| < 2**22, 2**51: adding 1.5 times the range rounds.
BH_HD float filter_round(float x) { return (x + 12582912.0f) - 12582912.0f; }
BH_HD double filter_round(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }

// The first pixel, or the first filter in units of the stride.
template <typename REAL>
BH_HD REAL filter_first(long count) {
    return REAL(-0.5) * REAL(count - 1);
}

template <typename REAL>
BH_HD REAL filter_center(REAL g, long size) {
    return REAL(0.5) * REAL(size + 1) * g;  // [filterbank.1]
}

template <typename REAL>
BH_HD REAL filter_stride(REAL log_d, long N, long height, long width) {
    const long longer = height > width ? height : width;
    return REAL(longer - 1) / REAL(N - 1) * bh_exp(log_d);  // [filterbank.2]
}

template <typename REAL>
BH_HD REAL filter_mean(REAL center, REAL delta, REAL offset) {
    return center + delta * offset;  // [filterbank.3]
}

// 1 / (2 s2); below log s2 = -60 no filter is narrower.
template <typename REAL>
BH_HD REAL filter_half(REAL log_s2) {
    return REAL(0.5) * bh_exp(-(log_s2 < REAL(-60) ? REAL(-60) : log_s2));
}

// What the entries of a row share: the nearest pixel n, f = mu - n, and what the largest logit
// and the outside are once the larger of the two is removed.
template <typename REAL>
struct FilterRow {
    REAL mu, n, f, top, outside;
};

template <typename REAL>
BH_HD FilterRow<REAL> filter_row(REAL mu, REAL half, long size, REAL log_eps) {
    const REAL first = filter_first<REAL>(size), last = REAL(size - 1);
    REAL at = mu - first;
    at = at > REAL(0) ? at : REAL(0);
    at = at < last ? at : last;
    const REAL n = filter_round(at) + first;
    const REAL f = mu - n;
    const REAL largest = -f * f * half;  // [filterbank.4]
    const REAL outside = log_eps - largest;
    return {mu, n, f, outside > REAL(0) ? -outside : REAL(0),
            bh_exp_below(outside > REAL(0) ? REAL(0) : outside)};
}

// exp(l_ia), up to the factor that is removed; a weight is this over the sum of all and the outside.
template <typename REAL>
BH_HD REAL filter_entry(REAL a, REAL n, REAL f, REAL top, REAL half) {
    const REAL k = a - n;
    return bh_exp_below(top - k * (k - REAL(2) * f) * half);  // [filterbank.5]
}

template <typename REAL>
BH_HD REAL filter_gamma(REAL log_gamma) {
    return bh_exp(log_gamma);  // [filterbank.6]
}

// dl of an entry, or of a vector of them; seen = sum of dF F over the row.
template <typename T, typename REAL>
BH_HD void filter_dlogit(T& E, const T& dF, const T& F, REAL seen) {
    E = F * (dF - seen);  // [filterbank.7]
}

// The gradients of the head, from sums over the rows i of each side: E (a - mu) / s2 in dmu,
// E (a - mu)^2 in square, offset dmu in stretch, and dlog_gamma.
template <typename REAL>
BH_HD REAL filter_dmu(REAL sum, REAL half) {
    return (half + half) * sum;  // [filterbank.8]
}

template <typename REAL>
BH_HD REAL filter_dlog_s2(REAL square, REAL half) {
    return half * square;  // [filterbank.9]
}

template <typename REAL>
BH_HD REAL filter_dcenter(REAL dmu, long size) {
    return REAL(0.5) * REAL(size + 1) * dmu;  // [filterbank.10]
}

template <typename REAL>
BH_HD REAL filter_dlog_d(REAL stretch, REAL delta) {
    return delta * stretch;  // [filterbank.11]
}

template <typename REAL>
BH_HD REAL filter_dlog_gamma(REAL dgamma, REAL gamma) {
    return dgamma * gamma;  // [filterbank.12]
}
