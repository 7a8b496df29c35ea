// Philox on the CPU: words for a tile of one row at a time, converted while they are in cache.
#include "philox/philox.h"

#include <algorithm>

#include "philox/philox_math.h"

namespace {

constexpr std::size_t TILE = 256;  // counters, four words each

// words[4 i + j]: word j of the counter (block + i, sample, datum, step).
BH_CLONES void tile_words(std::uint32_t* BH_RESTRICT words, std::size_t counters,
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

// Elementwise conversions of a tile, n words; normals take pairs, and n is even there.

void convert_integers(std::uint32_t* out, const std::uint32_t* words, std::size_t n) {
    std::copy(words, words + n, out);
}

BH_CLONES void convert_uniforms_float(float* BH_RESTRICT out,
                                      const std::uint32_t* BH_RESTRICT words, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = philox_uniform<float>(words[i]);
}

BH_CLONES void convert_uniforms_double(double* BH_RESTRICT out,
                                       const std::uint32_t* BH_RESTRICT words, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = philox_uniform<double>(words[i]);
}

BH_CLONES void convert_normals_float(float* BH_RESTRICT out,
                                     const std::uint32_t* BH_RESTRICT words, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 2) {
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

template <typename OUT>
void fill(OUT* out, const std::uint32_t* index, const PhiloxDraw& d,
          void (*convert)(OUT*, const std::uint32_t*, std::size_t)) {
    std::uint32_t words[4 * TILE];
    OUT last[4];
    for (std::size_t k = 0; k < d.count; ++k) {
        const auto sample = std::uint32_t(d.first + k);
        for (std::size_t b = 0; b < d.rows; ++b) {
            OUT* row = out + (k * d.rows + b) * d.n;
            for (std::size_t at = 0; at < d.n; at += 4 * TILE) {
                const std::size_t size = std::min(4 * TILE, d.n - at);
                const std::size_t whole = size - size % 4;
                tile_words(words, (size + 3) / 4, std::uint32_t(at / 4), sample, index[b], d.step,
                           d.seed, d.purpose);
                convert(row + at, words, whole);
                if (whole < size) {  // the last counter's four, of which the row takes some
                    convert(last, words + whole, 4);
                    std::copy(last, last + (size - whole), row + at + whole);
                }
            }
        }
    }
}

}  // namespace

void philox_integers(std::uint32_t* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, convert_integers);
}

template <>
void philox_uniforms<float>(float* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, convert_uniforms_float);
}

template <>
void philox_uniforms<double>(double* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, convert_uniforms_double);
}

template <>
void philox_normals<float>(float* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, convert_normals_float);
}

template <>
void philox_normals<double>(double* out, const std::uint32_t* index, const PhiloxDraw& draw) {
    fill(out, index, draw, convert_normals_double);
}
