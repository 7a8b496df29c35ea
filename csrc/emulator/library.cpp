// What Python calls, by ctypes: the list of kernels, and a launch.
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/block.h"
#include "emulator/fiber.h"

namespace bh_emulator {

namespace {

const Kernel*& first_kernel() {
    static const Kernel* first = nullptr;
    return first;
}

std::string signature(const Kernel& kernel) {
    std::string text;
    for (int i = 0; i < kernel.count; ++i) {
        const Parameter& p = kernel.parameters[i];
        text += std::string(i ? ", " : "") + (p.constant ? "const " : "") + p.type +
                (p.pointer ? "*" : "");
    }
    return text;
}

struct Argument {      // as kernels/emulator.py has it
    void* address;     // of the array, or of the number
    long long bytes;   // of an array; -1: a number
};

#if defined(BH_ASAN) || defined(BH_TSAN)
constexpr bool COPIES = true;  // to a block of exactly their size, so that a step beyond it shows
#else
constexpr bool COPIES = false;
#endif

// The arrays of a launch, in place or in copies; an array that is given twice stays one.
class Arrays {
public:
    Arrays(const Kernel& kernel, const Argument* given) : kernel(kernel), given(given) {
        for (int i = 0; i < kernel.count; ++i) addresses.push_back(place(i));
        for (int i = 0; i < kernel.count; ++i)
            pointers.push_back(given[i].bytes < 0 ? given[i].address : &addresses[std::size_t(i)]);
    }
    ~Arrays() {
        for (int i = 0; i < kernel.count; ++i) {
            if (!copied(i)) continue;
            if (!kernel.parameters[i].constant && given[i].bytes)
                std::memcpy(given[i].address, addresses[std::size_t(i)],
                            std::size_t(given[i].bytes));
        }
        for (void* copy : copies) std::free(copy);
    }
    void** arguments() { return pointers.data(); }

private:
    const Kernel& kernel;
    const Argument* given;
    std::vector<void*> addresses, pointers, copies;

    bool copied(int i) const {
        return COPIES && given[i].bytes >= 0 && given[i].address != nullptr;
    }
    void* place(int i) {
        if (!copied(i)) return given[i].address;
        for (int j = 0; j < i; ++j)
            if (given[j].address == given[i].address && given[j].bytes == given[i].bytes)
                return addresses[std::size_t(j)];
        const std::size_t bytes = std::size_t(given[i].bytes);
        copies.push_back(std::malloc(bytes));
        if (bytes) std::memcpy(copies.back(), given[i].address, bytes);
        return copies.back();
    }
};

std::mutex one_at_a_time;
thread_local std::string answer;

}  // namespace

Kernel::Kernel(const char* name, const char* real, const Parameter* parameters, int count,
               void (*call)(void**))
    : name(name), real(real), parameters(parameters), count(count), call(call),
      next(first_kernel()) {
    first_kernel() = this;
}

#define BH_EXPORT extern "C" __attribute__((visibility("default")))

// One line for each: "name real parameters".
BH_EXPORT const char* bh_emulator_kernels() {
    answer.clear();
    for (const Kernel* k = first_kernel(); k != nullptr; k = k->next)
        answer += std::string(k->name) + " " + k->real + " " + signature(*k) + "\n";
    return answer.c_str();
}

BH_EXPORT const char* bh_emulator_compiler() {
#if defined(__clang__)
    return "clang++ " __clang_version__;
#else
    return "g++ " __VERSION__;
#endif
}

// Null, or what went wrong.  The caller has checked the arguments against the signature.
BH_EXPORT const char* bh_emulator_launch(const char* name, const char* real, const unsigned* grid,
                                         const unsigned* block, unsigned long long shared_bytes,
                                         unsigned long long order, const Argument* given) {
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    for (const Kernel* k = first_kernel(); k != nullptr; k = k->next) {
        if (std::strcmp(k->name, name) != 0 || std::strcmp(k->real, real) != 0) continue;
        Arrays arrays(*k, given);
        answer = run({k, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]},
                      std::size_t(shared_bytes), order, arrays.arguments()});
        return answer.empty() ? nullptr : answer.c_str();
    }
    answer = std::string(name) + " for " + real + " is not in this build of the emulator";
    return answer.c_str();
}

}  // namespace bh_emulator
