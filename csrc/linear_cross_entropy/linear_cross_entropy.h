// Host functions of linear_cross_entropy/cpu.cpp, for one block of products h W without their bias.
// x: (rows, classes); b, db: (classes); the others (rows).  targets count from the block's first
// class, so that most of them lie outside.
#pragma once

#include <cstdint>

// top, total, picked: what the rows have met so far, brought up to date.
template <typename REAL>
void linear_cross_entropy_absorb(REAL* top, REAL* total, REAL* picked, const REAL* x,
                                 const REAL* b, const std::int64_t* targets, long rows,
                                 long classes);

// The gradient takes the place of x.
template <typename REAL>
void linear_cross_entropy_gradient(REAL* x, REAL* db, const REAL* b, const std::int64_t* targets,
                                   const REAL* top, const REAL* total, const REAL* d_nll,
                                   long rows, long classes);
