// The Gaussian latent on the CPU: BLOCK elements at a time, all their samples while in cache.
#include "gaussian_latent/gaussian_latent.h"

#include <algorithm>

#include "common/pool.h"
#include "gaussian_latent/gaussian_latent_math.h"

namespace {

constexpr long BLOCK = 256;
constexpr long SAMPLES = 64;  // that are added before a sum goes on in double

template <typename REAL>
BH_HD void forward_body(REAL* BH_RESTRICT z, REAL* BH_RESTRICT kl, const REAL* BH_RESTRICT mean,
                        const REAL* BH_RESTRICT logvar, const REAL* BH_RESTRICT eps, long samples,
                        long n, long size) {
    REAL std[BLOCK];
    for (long i = 0; i < size; ++i) {  // SIMD
        const BhExponential<REAL> scale = gaussian_latent_scale(logvar[i]);
        std[i] = scale.exp;
        kl[i] = gaussian_latent_kl(mean[i], logvar[i], scale.expm1);
    }
    for (long k = 0; k < samples; ++k, z += n, eps += n)
        for (long i = 0; i < size; ++i) z[i] = gaussian_latent_sample(mean[i], std[i], eps[i]);  // SIMD
}

// The sums of dz and of dz eps over samples, of at most SAMPLES at a time; deps may be null.
template <typename REAL>
BH_HD void add_samples(REAL* BH_RESTRICT sum, REAL* BH_RESTRICT sum_eps, REAL* BH_RESTRICT deps,
                       const REAL* BH_RESTRICT dz, const REAL* BH_RESTRICT eps,
                       const REAL* BH_RESTRICT std, long samples, long n, long size) {
    for (long i = 0; i < size; ++i) sum[i] = sum_eps[i] = REAL(0);
    for (long k = 0; k < samples; ++k) {
        for (long i = 0; i < size; ++i) {  // SIMD
            sum[i] += dz[k * n + i];
            sum_eps[i] += dz[k * n + i] * eps[k * n + i];
        }
        if (deps == nullptr) continue;
        for (long i = 0; i < size; ++i)  // SIMD
            deps[k * n + i] = gaussian_latent_deps(dz[k * n + i], std[i]);
    }
}

// The same for any number of samples: blocks of them are added in double.
template <typename REAL>
BH_HD void add_many(REAL* sum, REAL* sum_eps, REAL* deps, const REAL* dz, const REAL* eps,
                    const REAL* std, long samples, long n, long size) {
    double total[BLOCK] = {}, total_eps[BLOCK] = {};
    for (long k = 0; k < samples; k += SAMPLES) {
        add_samples(sum, sum_eps, deps ? deps + k * n : nullptr, dz + k * n, eps + k * n, std,
                    std::min(SAMPLES, samples - k), n, size);
        for (long i = 0; i < size; ++i) {
            total[i] += double(sum[i]);
            total_eps[i] += double(sum_eps[i]);
        }
    }
    for (long i = 0; i < size; ++i) sum[i] = REAL(total[i]), sum_eps[i] = REAL(total_eps[i]);
}

template <typename REAL>
BH_HD void backward_body(REAL* BH_RESTRICT dmean, REAL* BH_RESTRICT dlogvar,
                         REAL* BH_RESTRICT deps, const REAL* BH_RESTRICT dz,
                         const REAL* BH_RESTRICT dkl, const REAL* BH_RESTRICT mean,
                         const REAL* BH_RESTRICT logvar, const REAL* BH_RESTRICT eps, long samples,
                         long n, long size) {
    REAL std[BLOCK], expm1[BLOCK], sum[BLOCK], sum_eps[BLOCK];
    for (long i = 0; i < size; ++i) {  // SIMD
        const BhExponential<REAL> scale = gaussian_latent_scale(logvar[i]);
        std[i] = scale.exp;
        expm1[i] = scale.expm1;
    }
    if (samples <= SAMPLES)
        add_samples(sum, sum_eps, deps, dz, eps, std, samples, n, size);
    else
        add_many(sum, sum_eps, deps, dz, eps, std, samples, n, size);
    for (long i = 0; i < size; ++i) {  // SIMD
        dmean[i] = gaussian_latent_dmean(sum[i], dkl[i], mean[i]);
        dlogvar[i] = gaussian_latent_dlogvar(sum_eps[i], dkl[i], std[i], expm1[i]);
    }
}

#define BH_BLOCKS(REAL)                                                                           \
    BH_CLONES void forward_block(REAL* z, REAL* kl, const REAL* mean, const REAL* logvar,         \
                                 const REAL* eps, long samples, long n, long size) {              \
        forward_body(z, kl, mean, logvar, eps, samples, n, size);                                 \
    }                                                                                             \
    BH_CLONES void backward_block(REAL* dmean, REAL* dlogvar, REAL* deps, const REAL* dz,         \
                                  const REAL* dkl, const REAL* mean, const REAL* logvar,          \
                                  const REAL* eps, long samples, long n, long size) {             \
        backward_body(dmean, dlogvar, deps, dz, dkl, mean, logvar, eps, samples, n, size);        \
    }
BH_BLOCKS(float)
BH_BLOCKS(double)

constexpr double ELEMENT_NS = 1.5, SAMPLE_NS = 0.5;  // on one core

// run(first element, number of elements) for every block, shared among threads.
template <typename F>
void each_block(long samples, long n, F&& run) {
    const double each = double(BLOCK) * (ELEMENT_NS + SAMPLE_NS * double(samples));
    bh_parallel(bh_split((n + BLOCK - 1) / BLOCK, each), [&](long begin, long end, int) {
        for (long b = begin; b < end; ++b) run(b * BLOCK, std::min(BLOCK, n - b * BLOCK));
    });
}

}  // namespace

template <typename REAL>
void gaussian_latent_forward(REAL* z, REAL* kl, const REAL* mean, const REAL* logvar,
                             const REAL* eps, long samples, long n) {
    each_block(samples, n, [=](long i, long size) {
        forward_block(z + i, kl + i, mean + i, logvar + i, eps + i, samples, n, size);
    });
}

template <typename REAL>
void gaussian_latent_backward(REAL* dmean, REAL* dlogvar, REAL* deps, const REAL* dz,
                              const REAL* dkl, const REAL* mean, const REAL* logvar,
                              const REAL* eps, long samples, long n) {
    each_block(samples, n, [=](long i, long size) {
        backward_block(dmean + i, dlogvar + i, deps ? deps + i : nullptr, dz + i, dkl + i,
                       mean + i, logvar + i, eps + i, samples, n, size);
    });
}

#define BH_INSTANCE(REAL)                                                                         \
    template void gaussian_latent_forward<REAL>(REAL*, REAL*, const REAL*, const REAL*,           \
                                                const REAL*, long, long);                         \
    template void gaussian_latent_backward<REAL>(REAL*, REAL*, REAL*, const REAL*, const REAL*,   \
                                                 const REAL*, const REAL*, const REAL*, long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
