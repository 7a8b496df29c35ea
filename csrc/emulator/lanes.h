// The lanes of the block that runs: between block.cpp and warp.cpp.
#pragma once

#include <memory>
#include <vector>

#include "emulator/cuda.h"
#include "emulator/fiber.h"

namespace bh_emulator {

enum class State : char { READY, AT_BARRIER, IN_WARP, RETURNED };
struct Lane {
    Index thread;
    State state;
    const Site* site;  // where it waits
    Meeting kind;      // what for, in its warp
    unsigned mask;
    std::uint64_t value, result;
    int source;
};

// To ThreadSanitizer a fiber is a thread, and what one thread does is ordered.  Blocks take turns
// with three sets, so that neighbours do not look ordered; what meets at a barrier goes on with
// the other of two objects, so that who arrives early at the next one is not taken for this one.
struct Set {
    std::vector<std::unique_ptr<Fiber>> fibers;
    char barrier[2];
    char warp[32][32][2];  // by warp and lowest lane of the mask
};

struct Warp {
    unsigned waiting, returned;  // one bit for each lane
    unsigned meetings[32];       // passed, by lowest lane of the mask
};

extern Warp warps[32];
extern Set* set;  // of the block that runs
extern std::vector<Lane> lanes;
extern Lane* current;

inline std::size_t number(const Lane& lane) { return std::size_t(&lane - lanes.data()); }

const char* meeting_name(Meeting kind);

void go_back(bool for_good);  // to the scheduler

// Ends the launch with this sentence: the lanes are abandoned where they are.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace bh_emulator
