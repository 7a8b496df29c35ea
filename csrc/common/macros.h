// Words that let one text compile as C++ and as CUDA.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define BH_HD __host__ __device__ __forceinline__
#elif defined(_MSC_VER)
#define BH_HD __forceinline
#else
#define BH_HD inline __attribute__((always_inline))
#endif

// On a function of the host: compiled for several instruction sets, the widest that the machine
// has is bound when the module is loaded.  Needs ifunc, so glibc.  g++ ignores it on templates:
// write the body as a BH_HD template and call it from two BH_CLONES overloads, float and double.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(BH_NO_CLONES)
#define BH_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define BH_CLONES
#endif

#if defined(_MSC_VER)
#define BH_RESTRICT __restrict
#else
#define BH_RESTRICT __restrict__
#endif

// Asks for the memory at an address, which may lie behind the end of an array, ahead of its use.
#if defined(__GNUC__)
#define BH_PREFETCH(address) __builtin_prefetch(address)
#else
#define BH_PREFETCH(address)
#endif

// Before a loop whose iterations read nothing that another one writes, where outputs may lie on
// inputs: it is vectorised without a look at the addresses.
#if defined(__clang__)
#define BH_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define BH_IVDEP _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define BH_IVDEP __pragma(loop(ivdep))
#else
#define BH_IVDEP
#endif
