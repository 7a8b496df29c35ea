// Philox on the CPU: words for a tile of one row at a time, converted while they are in cache.
#include "philox/philox.h"

#include <algorithm>

#include "common/pool.h"
#include "philox/philox_math.h"
#include "philox/words_avx2.h"

namespace {

constexpr std::size_t TILE = 256;  // counters, four words each

// words[4 i + j]: word j of the counter (block + i, sample, datum, step).
BH_CLONES void tile_words_plain(std::uint32_t* BH_RESTRICT words, std::size_t counters,
                                std::uint32_t block, std::uint32_t sample, std::uint32_t datum,
                                std::uint32_t step, std::uint32_t seed, std::uint32_t purpose) {
    for (std::size_t i = 0; i < counters; ++i) {
        const PhiloxWords w =
            philox_words(block + std::uint32_t(i), sample, datum, step, seed, purpose);
        words[4 * i] = w.c0;
        words[4 * i + 1] = w.c1;
        words[4 * i + 2] = w.c2;
        words[4 * i + 3] = w.c3;
    }
}

#ifdef BH_PHILOX_AVX2
const auto tile_words = __builtin_cpu_supports("avx2") ? philox_words_avx2 : tile_words_plain;
#else
const auto tile_words = tile_words_plain;
#endif

// Elementwise conversions of a tile, n words; normals take pairs, and n is even.

void convert_integers(std::uint32_t* out, const std::uint32_t* words, std::size_t n) {
    std::copy(words, words + n, out);
}

BH_CLONES void convert_uniforms_float(float* BH_RESTRICT out,
                                      const std::uint32_t* BH_RESTRICT words, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = philox_uniform<float>(words[i]);  // SIMD
}

BH_CLONES void convert_uniforms_double(double* BH_RESTRICT out,
                                       const std::uint32_t* BH_RESTRICT words, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = philox_uniform<double>(words[i]);
}

BH_CLONES void convert_normals_float(float* BH_RESTRICT out,
                                     const std::uint32_t* BH_RESTRICT words, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 2) {  // SIMD
        const PhiloxPair z = philox_normals_float(words[i], words[i + 1]);
        out[i] = float(z.first);
        out[i + 1] = float(z.second);
    }
}

void convert_normals_double(double* out, const std::uint32_t* words, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 2) {
        const PhiloxPair z = philox_normals_double(words[i], words[i + 1]);
        out[i] = z.first;
        out[i + 1] = z.second;
    }
}

template <typename REAL>
BH_HD void compare_body(REAL* BH_RESTRICT out, const REAL* BH_RESTRICT p, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = philox_bernoulli(out[i], p[i]);  // SIMD
}

BH_CLONES void compare(float* out, const float* p, std::size_t n) { compare_body(out, p, n); }
BH_CLONES void compare(double* out, const double* p, std::size_t n) { compare_body(out, p, n); }

template <typename OUT>
using Convert = void (*)(OUT*, const std::uint32_t*, std::size_t);

template <typename OUT>
void fill_row(OUT* row, std::uint32_t sample, std::uint32_t datum, const PhiloxDraw& d,
              Convert<OUT> convert) {
    std::uint32_t words[4 * TILE];
    OUT part[4 * TILE];
    for (std::size_t at = 0; at < d.n; at += 4 * TILE) {
        const std::size_t size = std::min(4 * TILE, d.n - at);
        const std::size_t made = (size + 31) / 32 * 32;  // whole vectors; the rest is dropped
        tile_words(words, made / 4, std::uint32_t(at / 4), sample, datum, d.step, d.seed, d.purpose);
        if (made == size) {
            convert(row + at, words, size);
        } else {
            convert(part, words, made);
            std::copy(part, part + size, row + at);
        }
    }
}

// Row by row, shared among threads; then(row, its number) while it is in cache.
template <typename OUT, typename F>
void fill(OUT* out, const std::uint32_t* index, const PhiloxDraw& d, double nanoseconds,
          Convert<OUT> convert, F&& then) {
    const BhSplit split = bh_split(long(d.count * d.rows), nanoseconds * double(d.n));
    bh_parallel(split, [&](long begin, long end, int) {
        for (std::size_t r = std::size_t(begin); r < std::size_t(end); ++r) {
            OUT* row = out + r * d.n;
            fill_row(row, std::uint32_t(d.first + r / d.rows), index[r % d.rows], d, convert);
            then(row, r);
        }
    });
}

template <typename OUT>
void fill(OUT* out, const std::uint32_t* index, const PhiloxDraw& d, double nanoseconds,
          Convert<OUT> convert) {
    fill(out, index, d, nanoseconds, convert, [](OUT*, std::size_t) {});
}

// For one element on one core.
constexpr double WORD_NS = 1.5, NORMAL_NS = 4.0, DOUBLE_NORMAL_NS = 25.0;

Convert<float> uniforms_as(float) { return convert_uniforms_float; }
Convert<double> uniforms_as(double) { return convert_uniforms_double; }

}  // namespace

void philox_integers(std::uint32_t* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, WORD_NS, convert_integers);
}

template <typename REAL>
void philox_uniforms(REAL* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, WORD_NS, uniforms_as(REAL()));
}

template <>
void philox_normals<float>(float* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, NORMAL_NS, convert_normals_float);
}

template <>
void philox_normals<double>(double* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, DOUBLE_NORMAL_NS, convert_normals_double);
}

template <typename REAL>
void philox_bernoullis(REAL* out, const REAL* p, std::size_t p_rows, const std::uint32_t* index,
                       const PhiloxDraw& draw) {
    fill(out, index, draw, WORD_NS, uniforms_as(REAL()), [=](REAL* row, std::size_t r) {
        compare(row, p + r % p_rows * draw.n, draw.n);
    });
}

#define BH_INSTANCE(REAL)                                                                        \
    template void philox_uniforms<REAL>(REAL*, const std::uint32_t*, const PhiloxDraw&);         \
    template void philox_bernoullis<REAL>(REAL*, const REAL*, std::size_t, const std::uint32_t*, \
                                          const PhiloxDraw&);
BH_INSTANCE(float)
BH_INSTANCE(double)
