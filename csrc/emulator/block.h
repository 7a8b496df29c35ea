// Runs the blocks of a grid one after the other, the threads of each as fibers.
#pragma once

#include <string>

#include "emulator/cuda.h"

namespace bh_emulator {

struct Launch {
    const Kernel* kernel;
    Index grid, block;
    std::size_t shared_bytes;    // of dynamic shared memory
    unsigned long long order;    // 0: threads and blocks ascend; 1: descend; else shuffled by it
    void** arguments;
};

constexpr std::size_t SHARED_LIMIT = 48 * 1024;  // bytes that every device gives to a block

// Empty, or the sentence that says which rule was broken.
std::string run(const Launch& launch);

}  // namespace bh_emulator
