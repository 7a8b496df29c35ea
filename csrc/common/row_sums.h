// The sum over rows, of a bias gradient for instance, in the passes that make the rows anyway.
#pragma once

#include <vector>

// Up to BLOCK rows are added in REAL, the blocks in double: no digits are lost over long sums.
template <typename REAL>
class BhRowSums {
public:
    explicit BhRowSums(long cols) : block(cols, REAL(0)), total(cols, 0.0) {}

    // Where the next row is added to.
    REAL* row() {
        if (rows++ == BLOCK) flush();
        return block.data();
    }

    void add_to(double* out) {
        flush();
        for (std::size_t i = 0; i < total.size(); ++i) out[i] += total[i];
    }

private:
    static constexpr long BLOCK = 64;
    std::vector<REAL> block;
    std::vector<double> total;
    long rows = 0;

    void flush() {
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += double(block[i]);
        block.assign(block.size(), REAL(0));
        rows = 1;
    }
};
