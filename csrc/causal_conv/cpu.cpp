// Causal convolution on the CPU.  Few channels: a tile of outputs stays in registers while it goes
// over taps and inputs, straight from x.  Many channels: BLAS makes the products of the taps, and
// what is here adds them, shifted, with bias and activation.
#include "causal_conv/causal_conv.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "causal_conv/causal_conv_math.h"
#include "common/lanes.h"
#include "common/pool.h"

namespace {

constexpr long ROWS = 6;     // of a tile; with two registers a row, twelve sums are under way
constexpr long BLOCK = 120;   // steps that are done at a time, and added in REAL by dW
template <typename REAL>
constexpr long PANEL = 64 / long(sizeof(REAL));  // columns of a tile: two registers

// A tile of sums: R rows of PANEL columns.
template <long R, typename REAL>
struct Tile {
    using Lanes = BhLanes<REAL>;
    Lanes left[R] = {}, right[R] = {};

    // += sum over n of at(r, n) panel[n]
    template <typename AT>
    BH_HD void add(const AT& at, const REAL* panel, long count) {
        for (long n = 0; n < count; ++n, panel += PANEL<REAL>) {
            const Lanes a = *reinterpret_cast<const Lanes*>(panel);
            const Lanes b = *reinterpret_cast<const Lanes*>(panel + PANEL<REAL> / 2);
#pragma GCC unroll 8
            for (long r = 0; r < R; ++r) {
                left[r] += at(r, n) * a;
                right[r] += at(r, n) * b;
            }
        }
    }

    BH_HD void take(long r, const Tile& other) {
        left[r] = other.left[r];
        right[r] = other.right[r];
    }

    BH_HD void write(REAL* sums) const {  // (R, PANEL)
        Lanes* out = reinterpret_cast<Lanes*>(sums);
#pragma GCC unroll 8
        for (long r = 0; r < R; ++r) {
            out[2 * r] = left[r];
            out[2 * r + 1] = right[r];
        }
    }
};

template <typename REAL>
struct ByRow {  // one pointer for each row
    const REAL* const* row;
    BH_HD REAL operator()(long r, long n) const { return row[r][n]; }
};

template <typename REAL>
struct ByColumn {  // neighbours
    const REAL* x;
    long width;
    BH_HD REAL operator()(long r, long n) const { return x[n * width + r]; }
};

// Columns [first, first + PANEL) of ``rows`` rows, with zeros beyond the last column.
template <typename REAL>
BH_HD void pack(REAL* panel, const REAL* matrix, long rows, long cols, long first) {
    const long have = std::min(PANEL<REAL>, cols - first);
    for (long r = 0; r < rows; ++r, panel += PANEL<REAL>) {
        const REAL* from = matrix + r * cols + first;
        if (have == PANEL<REAL>) {
            std::copy(from, from + PANEL<REAL>, panel);
        } else {
            std::fill(panel, panel + PANEL<REAL>, REAL(0));
            std::copy(from, from + have, panel);
        }
    }
}

// [causal_conv.1] AHEAD false: in is x, out is u.  [causal_conv.5] AHEAD true: in is da, out dx.
// One sequence, steps [begin, end); panels: of W_k or its transpose, (panel, taps, width, PANEL).
template <bool AHEAD, typename REAL>
BH_HD void correlate_body(REAL* out, const REAL* in, const REAL* panels, const REAL* zeros,
                          long begin, long end, long width, long cols, const ConvSizes& s) {
    for (long first = 0; first < cols; first += PANEL<REAL>) {
        const long have = std::min(PANEL<REAL>, cols - first);
        for (long t = begin; t < end; t += ROWS) {
            const long rows = std::min(ROWS, end - t);
            Tile<ROWS, REAL> tile;
            const REAL* panel = panels + first * s.taps * width;
            for (long k = 0; k < s.taps; ++k, panel += PANEL<REAL> * width) {
                const long shift = k * s.dilation;
                if (AHEAD ? t + shift >= s.steps : t + rows <= shift) break;
                const REAL* row[ROWS];
                bool absent[ROWS], some = false;
                for (long r = 0; r < ROWS; ++r) {
                    const REAL* there = AHEAD ? conv_future(in, t + r, shift, s.steps, width)
                                              : conv_past(in, t + r, shift, width);
                    absent[r] = !there || r >= rows;
                    row[r] = absent[r] ? zeros : there;
                    some |= absent[r];
                }
                if (some) {  // zeros would do, but for infinities in the panel
                    Tile<ROWS, REAL> sum = tile;
                    sum.add(ByRow<REAL>{row}, panel, width);
                    for (long r = 0; r < ROWS; ++r)
                        if (!absent[r]) tile.take(r, sum);
                } else {
                    tile.add(ByRow<REAL>{row}, panel, width);
                }
            }
            REAL sums[ROWS * PANEL<REAL>];
            tile.write(sums);
            for (long r = 0; r < rows; ++r) {
                REAL* to = out + (t + r) * cols + first;
                const REAL* from = sums + r * PANEL<REAL>;
                if (have == PANEL<REAL>)  // the length is a constant: a few registers
                    std::copy(from, from + PANEL<REAL>, to);
                else
                    std::copy(from, from + have, to);
            }
        }
    }
}

template <Activation F, typename REAL>
BH_HD void finish_body(REAL* BH_RESTRICT y, const REAL* BH_RESTRICT b, long rows, long cols) {
    for (long r = 0; r < rows; ++r, y += cols)
        for (long o = 0; o < cols; ++o) y[o] = activation<F>(y[o] + b[o]);  // SIMD [causal_conv.2]
}

template <typename REAL>
BH_HD void add_body(REAL* BH_RESTRICT y, const REAL* BH_RESTRICT v, long cols) {
    for (long o = 0; o < cols; ++o) y[o] += v[o];  // SIMD
}

// total (R, have) += the sums over ``count`` steps; past: x shifted, rows: da by panel.
template <long R, typename REAL>
BH_HD void outer_tile(double* total, const REAL* past, const REAL* rows, long count, long have,
                      const ConvSizes& s) {
    Tile<R, REAL> tile;
    tile.add(ByColumn<REAL>{past, s.inputs}, rows, count);
    REAL sums[R * PANEL<REAL>];
    tile.write(sums);
    for (long r = 0; r < R; ++r)
        for (long c = 0; c < have; ++c)
            total[r * s.outputs + c] += double(sums[r * PANEL<REAL> + c]);
}

// [causal_conv.6] total (taps, inputs, outputs) += the products of one sequence, steps [begin, end).
template <typename REAL>
BH_HD void outer_body(double* total, const REAL* x, const REAL* da, REAL* panel, long begin,
                      long end, const ConvSizes& s) {
    const long tiles = (s.inputs + ROWS - 1) / ROWS;
    for (long first = 0; first < s.outputs; first += PANEL<REAL>) {
        const long have = std::min(PANEL<REAL>, s.outputs - first);
        pack(panel, da + begin * s.outputs, end - begin, s.outputs, first);
        for (long k = 0; k < s.taps; ++k) {
            const long shift = k * s.dilation, t = std::max(begin, shift), count = end - t;
            if (count <= 0) break;
            const REAL* past = conv_past(x, t, shift, s.inputs);
            const REAL* rows = panel + (t - begin) * PANEL<REAL>;
            for (long i = 0; i < tiles; ++i) {
                const long at = s.inputs * i / tiles, size = s.inputs * (i + 1) / tiles - at;
                double* to = total + (k * s.inputs + at) * s.outputs + first;
                switch (size) {
                    case 1: outer_tile<1>(to, past + at, rows, count, have, s); break;
                    case 2: outer_tile<2>(to, past + at, rows, count, have, s); break;
                    case 3: outer_tile<3>(to, past + at, rows, count, have, s); break;
                    case 4: outer_tile<4>(to, past + at, rows, count, have, s); break;
                    case 5: outer_tile<5>(to, past + at, rows, count, have, s); break;
                    default: outer_tile<6>(to, past + at, rows, count, have, s);
                }
            }
        }
    }
}

#define BH_CONV(REAL)                                                                             \
    BH_CLONES void look_back(REAL* u, const REAL* x, const REAL* panels, const REAL* zeros,       \
                             long begin, long end, const ConvSizes& s) {                          \
        correlate_body<false>(u, x, panels, zeros, begin, end, s.inputs, s.outputs, s);           \
    }                                                                                             \
    BH_CLONES void look_ahead(REAL* dx, const REAL* da, const REAL* panels, const REAL* zeros,    \
                              long begin, long end, const ConvSizes& s) {                         \
        correlate_body<true>(dx, da, panels, zeros, begin, end, s.outputs, s.inputs, s);          \
    }                                                                                             \
    BH_CLONES void finish(Activation f, REAL* y, const REAL* b, long rows, long cols) {           \
        BH_WITH_ACTIVATION(f, finish_body<F>(y, b, rows, cols))                                   \
    }                                                                                             \
    BH_CLONES void add_row(REAL* y, const REAL* v, long cols) { add_body(y, v, cols); }           \
    BH_CLONES void outer(double* total, const REAL* x, const REAL* da, REAL* panel, long begin,   \
                         long end, const ConvSizes& s) {                                          \
        outer_body(total, x, da, panel, begin, end, s);                                           \
    }
BH_CONV(float)
BH_CONV(double)

// Nanoseconds for one product and sum, one copied number, one activation, on one core.
constexpr double PRODUCT_NS = 0.03, COPY_NS = 0.2, ACTIVATION_NS = 0.4;

// f(sequence, begin, end, chunk) for all steps of all sequences, a block at a time.
template <typename F>
void over_blocks(const BhSplit& split, long steps, const F& f) {
    const long blocks = (steps + BLOCK - 1) / BLOCK;
    bh_parallel(split, [&](long first, long last, int chunk) {
        for (long i = first; i < last; ++i) {
            const long begin = i % blocks * BLOCK;
            f(i / blocks, begin, std::min(begin + BLOCK, steps), chunk);
        }
    });
}

BhSplit split_blocks(const ConvSizes& s, double ns_each_step) {
    return bh_split(s.sequences * ((s.steps + BLOCK - 1) / BLOCK), BLOCK * ns_each_step);
}

double products_ns(const ConvSizes& s) {
    return PRODUCT_NS * double(s.taps) * double(s.inputs) * double(s.outputs);
}

long padded(long cols, long panel) { return (cols + panel - 1) / panel * panel; }

}  // namespace

template <typename REAL>
void causal_conv_forward(REAL* y, const REAL* x, const REAL* W, const REAL* b, Activation f,
                         const ConvSizes& s) {
    std::vector<REAL> panels(s.taps * s.inputs * padded(s.outputs, PANEL<REAL>));
    for (long o = 0; o < s.outputs; o += PANEL<REAL>)  // all taps of one panel lie together
        pack(panels.data() + o * s.taps * s.inputs, W, s.taps * s.inputs, s.outputs, o);
    const std::vector<REAL> zeros(std::max(s.inputs, s.outputs));
    const REAL* bias = b ? b : zeros.data();
    over_blocks(split_blocks(s, products_ns(s) + ACTIVATION_NS * double(s.outputs)), s.steps,
                [&](long n, long begin, long end, int) {
                    REAL* out = y + n * s.steps * s.outputs;
                    look_back(out, x + n * s.steps * s.inputs, panels.data(), zeros.data(), begin,
                              end, s);
                    if (b || f != IDENTITY)
                        finish(f, out + begin * s.outputs, bias, end - begin, s.outputs);
                });
}

template <typename REAL>
void causal_conv_dx(REAL* dx, const REAL* da, const REAL* W, const ConvSizes& s) {
    std::vector<REAL> turned(s.outputs * s.inputs);  // W_k^T, one after the other
    std::vector<REAL> panels(s.taps * s.outputs * padded(s.inputs, PANEL<REAL>));
    for (long k = 0; k < s.taps; ++k) {
        for (long i = 0; i < s.inputs; ++i)
            for (long o = 0; o < s.outputs; ++o)
                turned[o * s.inputs + i] = W[(k * s.inputs + i) * s.outputs + o];
        for (long i = 0; i < s.inputs; i += PANEL<REAL>)
            pack(panels.data() + (i * s.taps + k * PANEL<REAL>) * s.outputs, turned.data(),
                 s.outputs, s.inputs, i);
    }
    const std::vector<REAL> zeros(s.outputs);
    over_blocks(split_blocks(s, products_ns(s)), s.steps, [&](long n, long begin, long end, int) {
        look_ahead(dx + n * s.steps * s.inputs, da + n * s.steps * s.outputs, panels.data(),
                   zeros.data(), begin, end, s);
    });
}

template <typename REAL>
void causal_conv_dW(REAL* dW, const REAL* x, const REAL* da, const ConvSizes& s) {
    const long size = s.taps * s.inputs * s.outputs;
    const BhSplit split = split_blocks(s, products_ns(s));
    std::vector<std::vector<double>> totals(split.chunks, std::vector<double>(size, 0.0));
    std::vector<std::vector<REAL>> panels(split.chunks, std::vector<REAL>(BLOCK * PANEL<REAL>));
    over_blocks(split, s.steps, [&](long n, long begin, long end, int chunk) {
        outer(totals[chunk].data(), x + n * s.steps * s.inputs, da + n * s.steps * s.outputs,
              panels[chunk].data(), begin, end, s);
    });
    for (long i = 0; i < size; ++i) {
        double sum = 0.0;
        for (const auto& total : totals) sum += total[i];
        dW[i] = REAL(sum);
    }
}

template <typename REAL>
void causal_conv_add(REAL* y, const REAL* v, long shift, const REAL* b, Activation f,
                     long sequences, long steps, long cols) {
    const std::vector<REAL> zeros(b ? 0 : cols);
    const REAL* bias = b ? b : zeros.data();
    const bool more = b || f != IDENTITY;
    const double ns = COPY_NS + (more ? ACTIVATION_NS : 0.0);
    bh_parallel(bh_split(sequences * steps, ns * double(cols)), [&](long row, long end, int) {
        for (long t = row < end ? row % steps : 0; row < end; ++row, t = t + 1 < steps ? t + 1 : 0) {
            REAL* out = y + row * cols;
            if (v && t >= shift && t - shift < steps) add_row(out, v + (row - shift) * cols, cols);
            if (more) finish(f, out, bias, 1, cols);
        }
    });
}

#define BH_INSTANCE(REAL)                                                                       \
    template void causal_conv_forward<REAL>(REAL*, const REAL*, const REAL*, const REAL*,       \
                                            Activation, const ConvSizes&);                      \
    template void causal_conv_dx<REAL>(REAL*, const REAL*, const REAL*, const ConvSizes&);      \
    template void causal_conv_dW<REAL>(REAL*, const REAL*, const REAL*, const ConvSizes&);      \
    template void causal_conv_add<REAL>(REAL*, const REAL*, long, const REAL*, Activation,      \
                                        long, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
