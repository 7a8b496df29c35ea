// What a kernel.cu sees in place of CUDA: a thread of a kernel is a fiber on the CPU.
//
// Only this subset is offered, and what is not here does not compile: threadIdx and its kin,
// __syncthreads, __syncwarp, shuffles and votes with a mask, relaxed atomics, BH_SHARED and
// BH_DYNAMIC_SHARED.  No __activemask, no __threadfence, no bare __shared__.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__ static  // each unit has its own: float and double come to one library
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

namespace bh_emulator {

struct Index {
    unsigned x, y, z;
};

struct Site {  // a call in a kernel's text; its address tells two calls on one line apart
    const char* file;
    int line;
};

enum class Meeting : char { SYNC, SHUFFLE, UP, DOWN, XOR, BALLOT };

extern const Index* thread_index;  // of the fiber that runs
extern Index block_index, block_size, grid_size;

void barrier(const Site* site);
// Waits for the lanes of the mask; the value that the lane numbered `source` brought.
std::uint64_t meet(const Site* site, Meeting kind, unsigned mask, std::uint64_t value, int source);
int lane_number();  // 0 .. 31
void* shared(const void* key, std::size_t bytes);  // the block's memory for one declaration
void* dynamic_shared();

template <typename T>
T exchange(const Site* site, Meeting kind, unsigned mask, T value, int source) {
    static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= 8, "4 or 8 bytes");
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof(T));
    word = meet(site, kind, mask, word, source);
    std::memcpy(&value, &word, sizeof(T));
    return value;
}

// Lanes outside the segment of `width` lanes give one's own value, as on the device.
template <typename T>
T shuffle(const Site* site, unsigned mask, T value, int from, int width = 32) {
    const int base = lane_number() & ~(width - 1);
    return exchange(site, Meeting::SHUFFLE, mask, value, base | (from & (width - 1)));
}

template <typename T>
T shuffle_up(const Site* site, unsigned mask, T value, unsigned delta, int width = 32) {
    const int me = lane_number(), from = me - int(delta);
    return exchange(site, Meeting::UP, mask, value, from < (me & ~(width - 1)) ? me : from);
}

template <typename T>
T shuffle_down(const Site* site, unsigned mask, T value, unsigned delta, int width = 32) {
    const int me = lane_number(), from = me + int(delta);
    return exchange(site, Meeting::DOWN, mask, value, from > (me | (width - 1)) ? me : from);
}

template <typename T>
T shuffle_xor(const Site* site, unsigned mask, T value, int bits, int width = 32) {
    const int me = lane_number(), from = me ^ bits;
    return exchange(site, Meeting::XOR, mask, value, from > (me | (width - 1)) ? me : from);
}

struct SyncWarp {
    const Site* site;
    void operator()(unsigned mask = 0xFFFFFFFFu) const {
        meet(site, Meeting::SYNC, mask, 0, lane_number());
    }
};

inline unsigned ballot(const Site* site, unsigned mask, int predicate) {
    return unsigned(meet(site, Meeting::BALLOT, mask, predicate != 0, lane_number()));
}

// -- registration: one object for each kernel and type --------------------------------------

template <typename T>
struct Name;
#define BH_TYPE(type) \
    template <> struct Name<type> { static constexpr const char* value = #type; };
BH_TYPE(float)
BH_TYPE(double)
BH_TYPE(int)
BH_TYPE(unsigned int)
BH_TYPE(long long)
BH_TYPE(unsigned long long)
#undef BH_TYPE

struct Parameter {
    const char* type;
    bool pointer, constant;
};

struct Kernel {
    Kernel(const char* name, const char* real, const Parameter* parameters, int count,
           void (*call)(void** arguments));
    const char *name, *real;
    const Parameter* parameters;
    int count;
    void (*call)(void** arguments);  // each points at a value: an address or a number
    const Kernel* next;
};

template <auto KERNEL>
struct Caller;

template <typename... A, void (*KERNEL)(A...)>
struct Caller<KERNEL> {
    template <typename T>
    static constexpr Parameter describe() {
        using Pointed = std::remove_pointer_t<T>;
        return {Name<std::remove_const_t<Pointed>>::value, std::is_pointer<T>::value,
                std::is_pointer<T>::value && std::is_const<Pointed>::value};
    }
    static constexpr int count = sizeof...(A);
    static constexpr Parameter parameters[] = {describe<A>()...};

    template <std::size_t... I>
    static void call(void** a, std::index_sequence<I...>) {
        KERNEL(*static_cast<std::remove_const_t<A>*>(a[I])...);
    }
    static void call(void** a) { call(a, std::index_sequence_for<A...>{}); }
};

}  // namespace bh_emulator

#define BH_KERNEL(name, real, symbol)                                             \
    static const bh_emulator::Kernel registered_##symbol(                         \
        name, real, bh_emulator::Caller<&symbol>::parameters,                     \
        bh_emulator::Caller<&symbol>::count, &bh_emulator::Caller<&symbol>::call);

// -- the words of CUDA ------------------------------------------------------------------------

#define threadIdx (*::bh_emulator::thread_index)
#define blockIdx (::bh_emulator::block_index)
#define blockDim (::bh_emulator::block_size)
#define gridDim (::bh_emulator::grid_size)

#define BH_SITE                                                         \
    ([]() -> const ::bh_emulator::Site* {                               \
        static const ::bh_emulator::Site site = {__FILE__, __LINE__};   \
        return &site;                                                   \
    }())
#define __syncthreads() ::bh_emulator::barrier(BH_SITE)
#define __syncwarp(...) ::bh_emulator::SyncWarp{BH_SITE}(__VA_ARGS__)
#define __shfl_sync(...) ::bh_emulator::shuffle(BH_SITE, __VA_ARGS__)
#define __shfl_up_sync(...) ::bh_emulator::shuffle_up(BH_SITE, __VA_ARGS__)
#define __shfl_down_sync(...) ::bh_emulator::shuffle_down(BH_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) ::bh_emulator::shuffle_xor(BH_SITE, __VA_ARGS__)
#define __ballot_sync(...) ::bh_emulator::ballot(BH_SITE, __VA_ARGS__)

// A heap block of exactly this size, new for each block of the grid, filled with NaN.
#define BH_SHARED(type, name, dims)   \
    static char name##_key;           \
    using name##_type = type dims;    \
    name##_type& name = *static_cast<name##_type*>( \
        ::bh_emulator::shared(&name##_key, sizeof(name##_type)))
#define BH_DYNAMIC_SHARED(type, name) \
    type* const name = static_cast<type*>(::bh_emulator::dynamic_shared())

using std::max;
using std::min;

// Relaxed, so that ThreadSanitizer sees that they order nothing else.  None for float: the sum
// would depend on the order of the threads.
template <typename T>
T bh_atomic_update(T* at, T (*change)(T, T), T operand) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(at, &old, change(old, operand), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    return old;
}

#define BH_ATOMICS(type)                                                                     \
    inline type atomicAdd(type* at, type v) {                                                \
        return __atomic_fetch_add(at, v, __ATOMIC_RELAXED);                                  \
    }                                                                                        \
    inline type atomicMax(type* at, type v) {                                                \
        return bh_atomic_update<type>(at, [](type a, type b) { return a > b ? a : b; }, v);  \
    }                                                                                        \
    inline type atomicMin(type* at, type v) {                                                \
        return bh_atomic_update<type>(at, [](type a, type b) { return a < b ? a : b; }, v);  \
    }                                                                                        \
    inline type atomicExch(type* at, type v) {                                               \
        return __atomic_exchange_n(at, v, __ATOMIC_RELAXED);                                 \
    }
BH_ATOMICS(int)
BH_ATOMICS(unsigned int)
BH_ATOMICS(unsigned long long)
#undef BH_ATOMICS
