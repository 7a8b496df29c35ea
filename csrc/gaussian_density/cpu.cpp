// Gaussian log-density on the CPU: one pass over the rows, forward and backward.
#include "gaussian_density/gaussian_density.h"

#include <algorithm>
#include <vector>

#include "common/pool.h"
#include "common/row_sums.h"
#include "gaussian_density/gaussian_density_math.h"

namespace {

constexpr int LANES = 32;       // running sums
constexpr long BLOCK = 64 * LANES;  // elements that are added before a sum goes on in double

template <typename REAL>
BH_HD REAL element(REAL x, REAL mean, REAL logvar) {
    return gaussian_term(gaussian_residual(x, mean, gaussian_inverse_std(logvar)), logvar);
}

template <typename REAL>
BH_HD REAL forward_body(const REAL* BH_RESTRICT x, const REAL* BH_RESTRICT mean,
                        const REAL* BH_RESTRICT logvar, long cols) {
    double total = 0.0;
    for (long block = 0; block < cols; block += BLOCK) {
        const long stop = std::min(cols, block + BLOCK);
        REAL sum[LANES] = {};
        long i = block;
        for (; i + LANES <= stop; i += LANES)
            for (int j = 0; j < LANES; ++j) sum[j] += element(x[i + j], mean[i + j], logvar[i + j]);  // SIMD
        for (int j = 0; i + j < stop; ++j) sum[j] += element(x[i + j], mean[i + j], logvar[i + j]);
        for (int j = 0; j < LANES; ++j) total += double(sum[j]);
    }
    return REAL(-0.5 * total);
}

// dlogvar is overwritten, or added to where it is shared.
template <bool SHARED, typename REAL>
BH_HD void backward_body(REAL* BH_RESTRICT dmean, REAL* BH_RESTRICT dlogvar, REAL d,
                         const REAL* BH_RESTRICT x, const REAL* BH_RESTRICT mean,
                         const REAL* BH_RESTRICT logvar, long cols) {
    for (long i = 0; i < cols; ++i) {  // SIMD
        const REAL inverse_std = gaussian_inverse_std(logvar[i]);
        const REAL u = gaussian_residual(x[i], mean[i], inverse_std);
        dmean[i] = gaussian_dmean(d, u, inverse_std);
        dlogvar[i] = (SHARED ? dlogvar[i] : REAL(0)) + gaussian_dlogvar(d, u);
    }
}

template <typename REAL>
BH_HD void subtract_body(REAL* BH_RESTRICT dx, const REAL* BH_RESTRICT dmean, long cols) {
    for (long i = 0; i < cols; ++i) dx[i] -= dmean[i];  // SIMD [gaussian_density.5]
}

#define BH_ROWS(REAL)                                                                             \
    BH_CLONES REAL forward_row(const REAL* x, const REAL* mean, const REAL* logvar, long cols) {  \
        return forward_body(x, mean, logvar, cols);                                               \
    }                                                                                             \
    BH_CLONES void backward_row(bool shared, REAL* dmean, REAL* dlogvar, REAL d, const REAL* x,   \
                                const REAL* mean, const REAL* logvar, long cols) {                \
        if (shared)                                                                               \
            backward_body<true>(dmean, dlogvar, d, x, mean, logvar, cols);                        \
        else                                                                                      \
            backward_body<false>(dmean, dlogvar, d, x, mean, logvar, cols);                       \
    }                                                                                             \
    BH_CLONES void subtract_row(REAL* dx, const REAL* dmean, long cols) {                         \
        subtract_body(dx, dmean, cols);                                                           \
    }
BH_ROWS(float)
BH_ROWS(double)

constexpr double ELEMENT_NS = 1.0;  // on one core

}  // namespace

template <typename REAL>
void gaussian_density_forward(REAL* logp, const REAL* x, const REAL* mean, const REAL* logvar,
                              GaussianSizes s) {
    const BhSplit split = bh_split(s.samples * s.rows, ELEMENT_NS * double(s.cols));
    bh_parallel(split, [&](long begin, long end, int) {
        for (long r = begin; r < end; ++r) {
            const REAL* l = s.shared ? logvar : logvar + r * s.cols;
            logp[r] = forward_row(x + r % s.rows * s.cols, mean + r * s.cols, l, s.cols);
        }
    });
}

template <typename REAL>
void gaussian_density_backward(REAL* dx, REAL* dmean, REAL* dlogvar, const REAL* d_logp,
                               const REAL* x, const REAL* mean, const REAL* logvar,
                               GaussianSizes s) {
    const BhSplit split = bh_split(s.rows, ELEMENT_NS * double(s.samples * s.cols));
    const long width = s.shared ? s.cols : 0, x_cols = dx != nullptr ? s.cols : 0;
    std::vector<std::vector<double>> sums(split.chunks, std::vector<double>(width, 0.0));
    bh_parallel(split, [&](long begin, long end, int chunk) {
        BhRowSums<REAL> shared(width);
        std::vector<double> total;
        for (long r = begin; r < end; ++r) {
            REAL* dx_r = dx + r * x_cols;
            bh_sum_blocked(dx_r, x_cols, s.samples, total, [&](long k) {
                const long row = k * s.rows + r, at = row * s.cols;
                const REAL* l = s.shared ? logvar : logvar + at;
                REAL* dl = s.shared ? shared.row() : dlogvar + at;
                backward_row(s.shared, dmean + at, dl, d_logp[row], x + r * s.cols, mean + at, l,
                             s.cols);
                subtract_row(dx_r, dmean + at, x_cols);
            });
        }
        shared.add_to(sums[chunk].data());
    });
    for (long i = 0; i < width; ++i) {
        double total = 0.0;
        for (const auto& chunk : sums) total += chunk[i];
        dlogvar[i] = REAL(total);
    }
}

#define BH_INSTANCE(REAL)                                                                        \
    template void gaussian_density_forward<REAL>(REAL*, const REAL*, const REAL*, const REAL*,   \
                                                 GaussianSizes);                                 \
    template void gaussian_density_backward<REAL>(REAL*, REAL*, REAL*, const REAL*, const REAL*, \
                                                  const REAL*, const REAL*, GaussianSizes);
BH_INSTANCE(float)
BH_INSTANCE(double)
