// The sum over rows, of a bias gradient for instance, in the passes that make the rows anyway.
#pragma once

#include <algorithm>
#include <vector>

constexpr long BH_BLOCK = 64;  // rows that are added in REAL before a sum goes on in double

// out (cols) = what add(k), for every k < count, adds to it; total is memory for the blocks.
template <typename REAL, typename F>
void bh_sum_blocked(REAL* out, long cols, long count, std::vector<double>& total, const F& add) {
    const bool more = count > BH_BLOCK;
    if (more) total.assign(cols, 0.0);
    std::fill(out, out + cols, REAL(0));
    for (long k = 0; k < count; ++k) {
        add(k);
        if (!more || (k + 1 < count && (k + 1) % BH_BLOCK != 0)) continue;
        for (long i = 0; i < cols; ++i) {
            total[i] += double(out[i]);
            out[i] = k + 1 < count ? REAL(0) : REAL(total[i]);
        }
    }
}

// Up to BH_BLOCK rows are added in REAL, the blocks in double: no digits are lost over long sums.
template <typename REAL>
class BhRowSums {
public:
    explicit BhRowSums(long cols) : block(cols, REAL(0)), total(cols, 0.0) {}

    // Where the next row is added to.
    REAL* row() {
        if (rows++ == BH_BLOCK) flush();
        return block.data();
    }

    void add_to(double* out) {
        flush();
        for (std::size_t i = 0; i < total.size(); ++i) out[i] += total[i];
    }

private:
    std::vector<REAL> block;
    std::vector<double> total;
    long rows = 0;

    void flush() {
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += double(block[i]);
        block.assign(block.size(), REAL(0));
        rows = 1;
    }
};
