// Elementary functions that a compiler can vectorise: float by branch-free polynomials (exp and
// log to 1 ulp, tanh and sigmoid to 2.5, softplus to 3, the others to 2), double by the library.
// Overflow, underflow, infinities and NaN come out as in the library, but for exp_below.
// Proven in tests/kernels/test_vec_math.py.
#pragma once

#ifndef __CUDACC_RTC__  // NVRTC knows these functions without a header
#include <cmath>
#endif

#include "common/macros.h"

BH_HD float bh_from_bits(int bits) {
    union { int bits; float value; } word{bits};
    return word.value;
}

BH_HD int bh_to_bits(float value) {
    union { float value; int bits; } word{value};
    return word.bits;
}

// 2**n for n in [-126, 128]; the last is infinity.  A NaN brings any n: unsigned wraps around.
BH_HD float bh_power(int n) { return bh_from_bits(int(unsigned(n + 127) << 23)); }

// 2**n x for n in [-160, 160], in two steps so that no factor leaves the range of float.
BH_HD float bh_scale(float x, int n) {
    const int half = n >> 1;
    return x * bh_power(half) * bh_power(n - half);
}

// x = n log 2 + r with |r| <= log(2) / 2: exp x = 2**n (1 + expm1 r).
struct BhReduced {
    int n;
    float expm1;
};

BH_HD BhReduced bh_reduce(float x) {
    const float shifted = x * 1.44269504f + 12582912.0f;  // adding 1.5 * 2**23 rounds to integers
    const float whole = shifted - 12582912.0f;
    const float r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return {bh_to_bits(shifted) - 0x4B400000, p * (r * r) + r};
}

BH_HD BhReduced bh_reduce_clamped(float x) {  // exp is 0 or infinity beyond
    x = x > 89.0f ? 89.0f : x;
    return bh_reduce(x < -104.0f ? -104.0f : x);
}

BH_HD float bh_exp(BhReduced e) { return bh_scale(e.expm1 + 1.0f, e.n); }

BH_HD float bh_expm1(BhReduced e) {
    const int half = e.n >> 1, rest = e.n - half;  // 2**n itself may be beyond float
    const float s = bh_power(half);
    return (e.expm1 * s + (s - bh_power(-rest))) * bh_power(rest);
}

BH_HD float bh_exp(float x) { return bh_exp(bh_reduce_clamped(x)); }

// exp x for x <= 0 (or NaN), 0 where it is below 2**-126.5: less work.
BH_HD float bh_exp_below(float x) {
    const BhReduced e = bh_reduce(x < -88.0f ? -88.0f : x);
    return (e.expm1 + 1.0f) * bh_power(e.n);
}

// exp x - 1, also for small x.
BH_HD float bh_expm1(float x) { return bh_expm1(bh_reduce_clamped(x)); }

// Both, for little more than one of them.
template <typename REAL>
struct BhExponential {
    REAL exp, expm1;
};

BH_HD BhExponential<float> bh_exponential(float x) {
    const BhReduced e = bh_reduce_clamped(x);
    return {bh_exp(e), bh_expm1(e)};
}

// log x = n log 2 + log(1 + f), with 1 + f in [sqrt(1/2), sqrt(2)).
BH_HD float bh_log(float x) {
    const float normal = x < 1.17549435e-38f ? x * 8388608.0f : x;
    const unsigned bits = unsigned(bh_to_bits(normal)), above = bits - 0x3F3504F3u;
    const int n = (int(above) >> 23) + (x < 1.17549435e-38f ? -23 : 0);
    const float f = bh_from_bits(int(bits - (above & 0xFF800000u))) - 1.0f;
    const float whole = float(n);
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float y = p * f * (f * f) - whole * 2.12194440e-4f - 0.5f * (f * f);
    y = f + y + whole * 0.693359375f;
    y = x < 3.4e38f ? y : (x > 3.4028234e38f ? x : y);  // infinity
    y = x > 0.0f ? y : (x < 0.0f ? bh_from_bits(0x7FC00000) : bh_from_bits(int(0xFF800000u)));
    return x == x ? y : x;
}

// log(1 + e) for e in [0, 1]: 2 artanh s with s = e / (2 + e) <= 1/3.
BH_HD float bh_log1p_unit(float e) {
    const float s = e / (2.0f + e);
    const float q = s * s;
    float p = 0.14798198f;  // 2/13 + what the terms behind it add over [0, 1/9]
    p = p * q + 0.18181818f;
    p = p * q + 0.22222222f;
    p = p * q + 0.28571429f;
    p = p * q + 0.4f;
    p = p * q + 0.66666667f;
    return p * q * s + 2.0f * s;
}

// expm1(2 a) / (expm1(2 a) + 2) with a = |x|; from 9.5 on it is 1.
BH_HD float bh_tanh(float x) {
    const float a = x < 0.0f ? -x : x;
    const BhReduced e = bh_reduce(a > 9.5f ? 19.0f : a + a);
    const float s = bh_power(e.n);
    const float expm1 = s * e.expm1 + (s - 1.0f);
    const float y = expm1 / (expm1 + 2.0f);
    return bh_from_bits(bh_to_bits(y) | (bh_to_bits(x) & int(0x80000000u)));  // keeps -0
}

// 1 / (1 + exp(-x)), exact in both tails; below 4e-39 it is 0.
BH_HD float bh_sigmoid(float x) {
    float y = x < -89.0f ? 89.0f : -x;
    y = y < -87.0f ? -87.0f : y;
    const BhReduced e = bh_reduce(y);
    return 1.0f / (1.0f + bh_power(e.n) * (e.expm1 + 1.0f));
}

BH_HD double bh_exp(double x) { return exp(x); }
BH_HD double bh_exp_below(double x) { return exp(x); }
BH_HD double bh_expm1(double x) { return expm1(x); }
BH_HD BhExponential<double> bh_exponential(double x) { return {exp(x), expm1(x)}; }
BH_HD double bh_log(double x) { return log(x); }
BH_HD double bh_log1p_unit(double x) { return log1p(x); }
BH_HD double bh_tanh(double x) { return tanh(x); }
BH_HD double bh_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// log(1 + exp x) = max(x, 0) + log(1 + exp(-|x|)).
template <typename REAL>
BH_HD REAL bh_softplus(REAL x) {
    const REAL a = x < REAL(0) ? x : -x;
    return (x > REAL(0) ? x : REAL(0)) + bh_log1p_unit(bh_exp(a));
}
