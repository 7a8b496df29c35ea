// Host functions of philox/cpu.cpp.  out: (count, rows, n), C order; index: (rows,) datum numbers.
#pragma once

#include <cstddef>
#include <cstdint>

struct PhiloxDraw {
    std::uint32_t seed, purpose, step, first;
    std::size_t count, rows, n;
};

void philox_integers(std::uint32_t* out, const std::uint32_t* index, const PhiloxDraw& draw);

// REAL: float or double.
template <typename REAL>
void philox_uniforms(REAL* out, const std::uint32_t* index, const PhiloxDraw& draw);
template <typename REAL>
void philox_normals(REAL* out, const std::uint32_t* index, const PhiloxDraw& draw);

// p: (p_rows, n) with p_rows = rows, shared by the samples, or count * rows.
template <typename REAL>
void philox_bernoullis(REAL* out, const REAL* p, std::size_t p_rows, const std::uint32_t* index,
                       const PhiloxDraw& draw);
