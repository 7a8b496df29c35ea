// A stack of its own that code can be entered on and left from.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(BH_UCONTEXT)
#define BH_USES_UCONTEXT
#include <ucontext.h>
#endif

// The emulator itself is compiled without sanitizers.  Where the kernels are with AddressSanitizer
// it has BH_ASAN, and names the stack that is entered; where they are with ThreadSanitizer it has
// BH_TSAN: then each fiber is a thread to it, and a switch orders nothing (flag 1).
#ifdef BH_TSAN
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* object);
void __tsan_release(void* object);
}
#define BH_ACQUIRE(object) __tsan_acquire(object)
#define BH_RELEASE(object) __tsan_release(object)
#else
#define BH_ACQUIRE(object) (void)(object)
#define BH_RELEASE(object) (void)(object)
#endif

namespace bh_emulator {

class Fiber {
public:
    Fiber();
    Fiber(const Fiber&) = delete;
    ~Fiber();

    void prepare(void (*entry)());  // entry never returns: it ends with leave(true)
    void forget();                  // a function that was left for ever half-way
    void enter();                   // from the scheduler
    void leave(bool for_good);      // back to it

private:
    static constexpr std::size_t STACK = 256 * 1024, GUARD = 16 * 1024;

    char* memory;  // GUARD bytes that must not be touched, then STACK bytes
    void (*entry)() = nullptr;
#ifdef BH_USES_UCONTEXT
    ucontext_t context;
#else
    void* top = nullptr;  // the stack pointer, where it stopped
#endif
    void* fake_stack = nullptr;  // AddressSanitizer's
    void* tsan = nullptr;

    static void start();
    void entered();
};

}  // namespace bh_emulator
