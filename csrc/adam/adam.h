// Host function of adam/cpu.cpp: theta, grad, m, v (n).
#pragma once

#include "adam/adam_math.h"

template <typename REAL>
void adam_update_all(REAL* theta, const REAL* grad, REAL* m, REAL* v, long n,
                     const AdamStep<REAL>& step);
