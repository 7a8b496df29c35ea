// The Gaussian latent in CUDA: a thread for each element of the mean, or several that share its
// samples.  mean, logvar, kl, dkl: (n); z, eps, dz, deps: (samples, n).
#include "common/device.h"
#include "common/sums.h"
#include "gaussian_latent/gaussian_latent_math.h"

// Blocks along y share the samples.
extern "C" __global__ void __launch_bounds__(128) gaussian_latent_forward(
    REAL* __restrict__ z, REAL* __restrict__ kl, const REAL* __restrict__ mean,
    const REAL* __restrict__ logvar, const REAL* __restrict__ eps, long long samples,
    long long n) {
    for (long long i = bh_first(); i < n; i += bh_stride()) {
        const REAL m = mean[i], l = logvar[i];
        const BhExponential<REAL> scale = gaussian_latent_scale(l);
        if (blockIdx.y == 0) kl[i] = gaussian_latent_kl(m, l, scale.expm1);  // [gaussian_latent.2]
        for (long long k = blockIdx.y; k < samples; k += gridDim.y)
            z[k * n + i] =
                gaussian_latent_sample(m, scale.exp, eps[k * n + i]);  // [gaussian_latent.1]
    }
}

// Threads along y share the samples; deps is null where eps is noise.
extern "C" __global__ void __launch_bounds__(256) gaussian_latent_backward(
    REAL* __restrict__ dmean, REAL* __restrict__ dlogvar, REAL* __restrict__ deps,
    const REAL* __restrict__ dz, const REAL* __restrict__ dkl, const REAL* __restrict__ mean,
    const REAL* __restrict__ logvar, const REAL* __restrict__ eps, long long samples,
    long long n) {
    for (long long first = (long long)blockIdx.x * blockDim.x; first < n; first += bh_stride()) {
        const long long i = first + threadIdx.x;
        BhExponential<REAL> scale = {};
        BhSum sum, sum_eps;
        if (i < n) {
            scale = gaussian_latent_scale(logvar[i]);
            BH_NO_UNROLL
            for (long long k = threadIdx.y; k < samples; k += blockDim.y) {
                const REAL d = dz[k * n + i];
                sum.add(d);
                sum_eps.add(d * eps[k * n + i]);
                if (deps != nullptr)
                    deps[k * n + i] = gaussian_latent_deps(d, scale.exp);  // [gaussian_latent.5]
            }
        }
        const REAL all = bh_sample_sum(sum.total()), all_eps = bh_sample_sum(sum_eps.total());
        if (i >= n || threadIdx.y > 0) continue;
        const REAL d = dkl[i];
        dmean[i] = gaussian_latent_dmean(all, d, mean[i]);  // [gaussian_latent.3]
        dlogvar[i] =
            gaussian_latent_dlogvar(all_eps, d, scale.exp, scale.expm1);  // [gaussian_latent.4]
    }
}
