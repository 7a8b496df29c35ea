// Embedding on the CPU: rows are copied, and their gradients added row by row of the table.
#include "embedding/embedding.h"

#include <algorithm>
#include <vector>

#include "common/macros.h"
#include "common/pool.h"
#include "embedding/embedding_math.h"

namespace {

constexpr long BLOCK = 64;         // terms that are added in REAL before the sum goes on in double
constexpr double BYTES_PER_NS = 5;  // of copies, as the pool wants to know them

template <typename REAL>
BH_HD void add_body(REAL* BH_RESTRICT sum, const REAL* BH_RESTRICT row, long cols) {
    for (long d = 0; d < cols; ++d) sum[d] += row[d];  // SIMD [embedding.2]
}

template <typename REAL>
BH_HD void carry_body(double* BH_RESTRICT total, REAL* BH_RESTRICT block, long cols) {
    for (long d = 0; d < cols; ++d) {
        total[d] += double(block[d]);
        block[d] = REAL(0);
    }
}

#define BH_LOOPS(REAL)                                                                            \
    BH_CLONES void add(REAL* sum, const REAL* row, long cols) { add_body(sum, row, cols); }       \
    BH_CLONES void carry(double* total, REAL* block, long cols) { carry_body(total, block, cols); }
BH_LOOPS(float)
BH_LOOPS(double)

}  // namespace

template <typename REAL>
void embedding_forward(REAL* y, const REAL* W, const long long* ids, long N, long D) {
    const double ns = 2 * sizeof(REAL) * double(D) / BYTES_PER_NS;
    bh_parallel(bh_split(N, ns), [&](long begin, long end, int) {
        for (long n = begin; n < end; ++n)
            std::copy(W + ids[n] * D, W + (ids[n] + 1) * D, y + n * D);  // [embedding.1]
    });
}

template <typename REAL>
void embedding_add_at(REAL* W, const long long* ids, const REAL* dy, long N, long V, long D) {
    std::vector<long long> first(V + 1), order(N);
    embedding_order(first.data(), order.data(), ids, N, V);
    const double ns = 3 * sizeof(REAL) * double(N) / BYTES_PER_NS;
    bh_parallel(bh_split(D, ns), [&](long begin, long end, int) {
        const long cols = end - begin;
        std::vector<REAL> block(cols, REAL(0));
        std::vector<double> total(cols);
        for (long use = 0; use < N;) {
            const long v = ids[order[use]], last = first[v + 1];
            REAL* sum = W + v * D + begin;
            if (last - use <= BLOCK) {
                for (; use < last; ++use) add(sum, dy + order[use] * D + begin, cols);
                continue;
            }
            std::copy(sum, sum + cols, total.begin());
            while (use < last) {
                const long stop = std::min(use + BLOCK, last);
                for (; use < stop; ++use) add(block.data(), dy + order[use] * D + begin, cols);
                carry(total.data(), block.data(), cols);
            }
            for (long d = 0; d < cols; ++d) sum[d] = REAL(total[d]);
        }
    });
}

#define BH_INSTANCE(REAL)                                                                        \
    template void embedding_forward<REAL>(REAL*, const REAL*, const long long*, long, long);     \
    template void embedding_add_at<REAL>(REAL*, const long long*, const REAL*, long, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
