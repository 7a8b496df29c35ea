// Where the uses of each row of an embedding are; kernels/embedding/DERIVATION.md.
#pragma once

// A stable counting sort of ids (N), in [0, V): the uses of row v, in their order, are
// order[first[v]] .. order[first[v + 1] - 1].  first has V + 1 entries.
template <typename INDEX>
void embedding_order(INDEX* first, INDEX* order, const INDEX* ids, long N, long V) {
    for (long v = 0; v <= V; ++v) first[v] = 0;
    for (long n = 0; n < N; ++n) ++first[ids[n]];
    INDEX sum = 0;
    for (long v = 0; v <= V; ++v) first[v] = sum += first[v];  // one past the uses of v
    for (long n = N - 1; n >= 0; --n) order[--first[ids[n]]] = n;
}
