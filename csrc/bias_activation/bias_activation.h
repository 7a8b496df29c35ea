// Host functions of bias_activation/cpu.cpp.  a, y, dy, da: (rows, cols); b, db: (cols) or null.
// da may be null for the identity, whose da is dy: db alone.
#pragma once

#include "bias_activation/bias_activation_math.h"

template <typename REAL>
void bias_activation_forward(REAL* y, const REAL* a, const REAL* b, long rows, long cols,
                             Activation f);

template <typename REAL>
void bias_activation_backward(REAL* da, REAL* db, const REAL* dy, const REAL* y, long rows,
                              long cols, Activation f);

// In place, columns [first, last) alone, by the thread that calls.
template <typename REAL>
void bias_activation_columns(REAL* y, const REAL* b, long rows, long cols, long first, long last,
                             Activation f);

// dy in d becomes da.
template <typename REAL>
void bias_activation_backward_columns(REAL* d, REAL* db, const REAL* y, long rows, long cols,
                                      long first, long last, Activation f);

// Rows by the thread that calls; db gets the sums added.  da may be dy, or null for the identity,
// whose da is dy times factors (rows) or null: db alone.  Where da is another array there are none.
template <typename REAL>
void bias_activation_backward_rows(REAL* da, double* db, const REAL* dy, const REAL* y,
                                   const REAL* factors, long rows, long cols, Activation f);
