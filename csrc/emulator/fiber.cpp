// Switching stacks: 14 instructions on x86-64, the system's ucontext elsewhere.
#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#ifdef BH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef BH_USES_UCONTEXT
// Saves what a function must preserve, and continues where `to` stopped.
extern "C" void bh_switch_stack(void** from, void* to) __asm__("bh_switch_stack")
    __attribute__((visibility("hidden")));
__asm__(
    ".text\n"
    "bh_switch_stack:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rdi)\n"
    "  mov %rsi, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n");
#endif

namespace bh_emulator {

namespace {

Fiber* running = nullptr;
#ifdef BH_USES_UCONTEXT
ucontext_t scheduler;
#else
void* scheduler = nullptr;
#endif
#ifdef BH_ASAN
const void* scheduler_stack = nullptr;
std::size_t scheduler_size = 0;
#endif
#ifdef BH_TSAN
void* scheduler_tsan = nullptr;
#endif

}  // namespace

Fiber::Fiber() {
    void* got = mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) throw std::bad_alloc();
    memory = static_cast<char*>(got);
    mprotect(memory, GUARD, PROT_NONE);
#ifdef BH_TSAN
    tsan = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() { munmap(memory, GUARD + STACK); }

void Fiber::forget() {
#ifdef BH_ASAN
    __asan_unpoison_memory_region(memory + GUARD, STACK);
#endif
}

void Fiber::prepare(void (*function)()) {
    entry = function;
    fake_stack = nullptr;
#ifdef BH_USES_UCONTEXT
    getcontext(&context);
    context.uc_stack.ss_sp = memory + GUARD;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, &Fiber::start, 0);
#else
    // Where bh_switch_stack finds six registers and the address to return to; behind that the
    // stack is as after a call: a word, of where nobody returns to, above a multiple of 16.
    void** words = reinterpret_cast<void**>(memory + GUARD + STACK) - 8;
    for (int i = 0; i < 8; ++i) words[i] = nullptr;
    words[6] = reinterpret_cast<void*>(&Fiber::start);
    top = words;
#endif
}

void Fiber::start() {
    running->entered();
    running->entry();
}

void Fiber::entered() {
#ifdef BH_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack, &scheduler_size);
#endif
}

void Fiber::enter() {
    running = this;
#ifdef BH_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, memory + GUARD, STACK);
#endif
#ifdef BH_TSAN
    scheduler_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(tsan, 1);
#endif
#ifdef BH_USES_UCONTEXT
    swapcontext(&scheduler, &context);
#else
    bh_switch_stack(&scheduler, top);
#endif
#ifdef BH_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::leave(bool for_good) {
    (void)for_good;
#ifdef BH_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, scheduler_stack,
                                   scheduler_size);
#endif
#ifdef BH_TSAN
    __tsan_switch_to_fiber(scheduler_tsan, 1);
#endif
#ifdef BH_USES_UCONTEXT
    swapcontext(&context, &scheduler);
#else
    bh_switch_stack(&top, scheduler);
#endif
    entered();
}

}  // namespace bh_emulator
