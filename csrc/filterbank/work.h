// What reading and writing a channel have in common.
#pragma once

#include <algorithm>

#include "common/pool.h"
#include "filterbank/bank.h"

// One thread's bank and buffers, used for one datum after another.
template <typename REAL>
struct Work {
    Bank<REAL> bank;
    long vectors;         // of a row of the image
    REAL *T, *D;          // (N, X.lanes)
    REAL* P;              // (N, bank.filters)
    REAL *dF_Y, *dF_X;    // (N, Y.lanes), (N, X.lanes)
    REAL* narrow;         // (height, LANES), for an image narrower than a vector

    static long numbers(const Grid<REAL>& g) {
        return Bank<REAL>::numbers(g) + g.N * (3 * padded<REAL>(g.width) + padded<REAL>(g.height)) +
               g.N * padded<REAL>(g.N) + g.height * LANES<REAL>;
    }

    Work(Scratch<REAL>& scratch, const Grid<REAL>& g)
        : bank(scratch, g, true), vectors(bank.X.lanes / LANES<REAL>),
          T(scratch.take(g.N * bank.X.lanes)), D(scratch.take(g.N * bank.X.lanes)),
          P(scratch.take(g.N * bank.filters)), dF_Y(scratch.take(g.N * bank.Y.lanes)),
          dF_X(scratch.take(g.N * bank.X.lanes)), narrow(scratch.take(g.height * LANES<REAL>)) {}

    // Where no channel adds to them.
    void clear() {
        std::fill(dF_Y, dF_Y + bank.grid.N * bank.Y.lanes, REAL(0));
        std::fill(dF_X, dF_X + bank.grid.N * bank.X.lanes, REAL(0));
    }
};

// Rows (N, vectors) as long as those of F_X.
template <typename REAL>
BH_HD Rows<REAL> wide(REAL* data, const Work<REAL>& work) {
    return packed(data, work.bank.X.lanes);
}

template <typename REAL>
BH_HD Rows<const REAL> wide_input(const REAL* data, const Work<REAL>& work) {
    return packed(data, work.bank.X.lanes);
}

template <typename REAL>
BH_HD Rows<const REAL> input_rows(const REAL* image, const Work<REAL>& work) {
    const Grid<REAL>& g = work.bank.grid;
    if (g.width >= LANES<REAL>) return image_rows(image, g.width);
    for (long b = 0; b < g.height; ++b)
        for (long a = 0; a < LANES<REAL>; ++a)
            work.narrow[b * LANES<REAL> + a] = a < g.width ? image[b * g.width + a] : REAL(0);
    return packed(static_cast<const REAL*>(work.narrow), LANES<REAL>);
}

// out (N, width) = F_Y image
template <typename REAL>
BH_HD void gather(REAL* out, const Rows<const REAL>& image, const Work<REAL>& work) {
    const Bank<REAL>& bank = work.bank;
    product(wide(out, work), Left<REAL>{bank.F_Y, bank.Y.lanes, 1}, image, bank.grid.N,
            bank.grid.height, work.vectors);
}

// out (N, width) = patch F_X
template <typename REAL>
BH_HD void mix(REAL* out, const REAL* patch, const Work<REAL>& work) {
    const long N = work.bank.grid.N;
    product(wide(out, work), Left<REAL>{patch, N, 1}, wide_input(work.bank.F_X, work), N, N,
            work.vectors);
}

// image (height, width) = F_Y^T rows
template <typename REAL>
BH_HD void paint(REAL* image, const REAL* rows, const Work<REAL>& work) {
    const Bank<REAL>& bank = work.bank;
    const Grid<REAL>& g = bank.grid;
    const Left<REAL> columns{bank.F_Y, 1, bank.Y.lanes};
    const bool narrow = g.width < LANES<REAL>;
    const Rows<REAL> out = narrow ? packed(work.narrow, LANES<REAL>) : image_rows(image, g.width);
    product(out, columns, wide_input(rows, work), g.height, g.N, work.vectors);
    for (long b = 0; narrow && b < g.height; ++b)
        std::copy(out.data + b * out.stride, out.data + b * out.stride + g.width,
                  image + b * g.width);
}

// patch (N, bank.filters) = rows F_X^T
template <typename REAL>
BH_HD void look(REAL* patch, const REAL* rows, const Work<REAL>& work) {
    const long N = work.bank.grid.N;
    dots(patch, wide_input(rows, work), wide_input(work.bank.F_X, work), N, N, work.vectors);
}

// Adds to dF_Y, dF_X of ``sum_ba image_ba sum_ji F_Y,jb patch_ji F_X,ia``, or sets them: rows of
// patch F_X, and of F_Y image.
template <typename REAL>
BH_HD void add_dF(const REAL* mixed, const REAL* gathered, const REAL* patch,
                  const Rows<const REAL>& image, bool add, Work<REAL>& work) {
    const Grid<REAL>& g = work.bank.grid;
    dots(work.dF_Y, wide_input(mixed, work), image, g.N, g.height, work.vectors, add);
    product(wide(work.dF_X, work), Left<REAL>{patch, 1, g.N}, wide_input(gathered, work), g.N, g.N,
            work.vectors, add);
}

// How a batch is shared out.  passes: over each channel of the image.
template <typename REAL>
BhSplit split_data(const Grid<REAL>& g, long batch, long channels, double passes) {
    constexpr double WEIGHT_NS = 1.0, PRODUCT_NS = 0.05;  // on one core
    const double image = double(channels) * double(g.height * g.width);
    return bh_split(batch, double(g.N) * (WEIGHT_NS * double(g.height + g.width) +
                                          PRODUCT_NS * passes * image));
}
