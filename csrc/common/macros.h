// Words that let one text compile as C++ and as CUDA.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define BH_HD __host__ __device__ __forceinline__
#elif defined(_MSC_VER)
#define BH_HD __forceinline
#else
#define BH_HD inline __attribute__((always_inline))
#endif

// On a function definition of the host: compiled for several instruction sets, the widest that
// the machine has is bound when the module is loaded.  Needs ifunc, so glibc.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define BH_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BH_CLONES
#endif

#if defined(_MSC_VER)
#define BH_RESTRICT __restrict
#else
#define BH_RESTRICT __restrict__
#endif
