// Host functions of embedding/cpu.cpp.  W: (V, D), ids: (N) in [0, V), y and dy: (N, D).
#pragma once

template <typename REAL>
void embedding_forward(REAL* y, const REAL* W, const long long* ids, long N, long D);

// W[ids[n]] += dy[n].
template <typename REAL>
void embedding_add_at(REAL* W, const long long* ids, const REAL* dy, long N, long V, long D);
