// Philox 4x32-10 and its uniforms and normals, element by element; shared by C++ and CUDA.
// The equations are in kernels/philox/DERIVATION.md.
#pragma once

#ifndef __CUDACC_RTC__
#include <cmath>
#endif

#include "common/macros.h"

struct PhiloxWords {
    unsigned int c0, c1, c2, c3;
};

// The four words of one counter (c0, c1, c2, c3) = (element / 4, sample, datum, step).
BH_HD PhiloxWords philox_words(unsigned int c0, unsigned int c1, unsigned int c2, unsigned int c3,
                               unsigned int k0, unsigned int k1) {
    for (int round = 0; round < 10; ++round) {
        const unsigned long long p0 = 0xD2511F53ull * c0;  // [philox.1]
        const unsigned long long p1 = 0xCD9E8D57ull * c2;  // [philox.1]
        c0 = (unsigned int)(p1 >> 32) ^ c1 ^ k0;           // [philox.2]
        c1 = (unsigned int)p1;                             // [philox.2]
        c2 = (unsigned int)(p0 >> 32) ^ c3 ^ k1;           // [philox.2]
        c3 = (unsigned int)p0;                             // [philox.2]
        k0 += 0x9E3779B9u;                                 // [philox.3]
        k1 += 0xBB67AE85u;                                 // [philox.3]
    }
    return {c0, c1, c2, c3};
}

// Exact in float and in double: an odd multiple of 2**-24.
template <typename REAL>
BH_HD REAL philox_uniform(unsigned int x) {
    return (REAL(int(x >> 9)) + REAL(0.5)) * REAL(1.0 / 8388608.0);  // [philox.4]
}

// 1 with probability p, else 0, from a uniform.
template <typename REAL>
BH_HD REAL philox_bernoulli(REAL u, REAL p) {
    return u < p ? REAL(1) : REAL(0);  // [philox.8]
}

// log u of an odd multiple of 2**-24 below 1, to a relative 2e-10: u = m 2**e with m in
// [0.707, 1.414), log m = 2 artanh((m - 1)/(m + 1)).  No library call, so that loops vectorise.
BH_HD double philox_log(unsigned int x) {
    const double u = philox_uniform<double>(x);
    // u = 2**e0 f with f in [1, 2): e0 by comparing with the float's exponent field.
    union { float value; unsigned int bits; } field{philox_uniform<float>(x)};
    const int shift = int(field.bits - 0x3F3504F3u) >> 23;  // floor(log2(u / 0.7071))
    union { unsigned int bits; float value; } power{(unsigned int)(127 - shift) << 23};
    const double m = u * double(power.value);
    const double s = (m - 1.0) / (m + 1.0);
    const double q = s * s;
    const double series =
        1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0)))));
    return double(shift) * 0.69314718055994530942 + 2.0 * s * series;
}

struct PhiloxPair {
    double first, second;
};

// cos(2 pi u) and sin(2 pi u), to 1e-11: 4u = quadrant + t with |t| <= 1/2, both exact.
BH_HD PhiloxPair philox_circle(unsigned int x) {
    const double turns = 4.0 * philox_uniform<double>(x);
    const int quadrant = int(turns + 0.5);
    const double a = (turns - double(quadrant)) * 1.57079632679489661923;
    const double q = a * a;
    const double s = a * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * (-1.0 / 5040.0
                     + q * (1.0 / 362880.0 + q * (-1.0 / 39916800.0))))));
    const double c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q * (1.0 / 40320.0
                     + q * (-1.0 / 3628800.0 + q * (1.0 / 479001600.0))))));
    const double even_cos = (quadrant & 1) ? s : c;
    const double even_sin = (quadrant & 1) ? c : s;
    return {((quadrant + 1) & 2) ? -even_cos : even_cos, (quadrant & 2) ? -even_sin : even_sin};
}

// The two normals of a pair of words.  For float results: right to 1e-9 before rounding.
BH_HD PhiloxPair philox_normals_float(unsigned int x0, unsigned int x1) {
    const double radius = sqrt(-2.0 * philox_log(x0));  // [philox.5]
    const PhiloxPair circle = philox_circle(x1);  // [philox.5]
    return {radius * circle.first, radius * circle.second};  // [philox.6] [philox.7]
}

BH_HD PhiloxPair philox_normals_double(unsigned int x0, unsigned int x1) {
    const double radius = sqrt(-2.0 * log(philox_uniform<double>(x0)));  // [philox.5]
    const double angle = 6.28318530717958647693 * philox_uniform<double>(x1);  // [philox.5]
    return {radius * cos(angle), radius * sin(angle)};  // [philox.6] [philox.7]
}
