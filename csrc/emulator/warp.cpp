// Shuffles, votes and __syncwarp: lanes of one warp that wait for each other.
#include "emulator/lanes.h"

namespace bh_emulator {

const char* meeting_name(Meeting kind) {
    static const char* const NAMES[] = {"__syncwarp",      "__shfl_sync",     "__shfl_up_sync",
                                 "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync"};
    return NAMES[int(kind)];
}

int lane_number() { return int(number(*current) % 32); }

namespace {

// What the lane may not ask for, given who waits and who has gone.
void check(const Site* site, Meeting kind, unsigned mask, int source, const Lane* lanes_of_warp,
           const Warp& warp) {
    const char* name = meeting_name(kind);
    const unsigned me = unsigned(lane_number());
    const std::size_t first = number(*lanes_of_warp);
    const std::size_t left = lanes.size() - first;
    const unsigned missing = left < 32 ? mask & ~((1u << left) - 1) : 0;
    if (!(mask >> me & 1))
        fail("%s at %s:%d: lane %u is not in its own mask %08x", name, site->file, site->line, me,
             mask);
    if (missing | (mask & warp.returned))
        fail("%s at %s:%d: lane %d of the mask %08x %s", name, site->file, site->line,
             __builtin_ctz(missing ? missing : mask & warp.returned), mask,
             missing ? "does not exist in this block" : "has returned");
    if (!(mask >> source & 1))
        fail("%s at %s:%d: reads from lane %d, which is not in the mask %08x", name, site->file,
             site->line, source, mask);
    for (unsigned rest = warp.waiting; rest; rest &= rest - 1) {
        const Lane& other = lanes_of_warp[__builtin_ctz(rest)];
        if (other.mask == mask && other.kind == kind) {
            rest &= ~mask | (1u << __builtin_ctz(rest));  // those that wait with it agree with it
            continue;
        }
        if (other.mask & mask)
            fail("%s at %s:%d with mask %08x, while lane %d waits in %s at %s:%d with mask %08x",
                 name, site->file, site->line, mask, __builtin_ctz(rest), meeting_name(other.kind),
                 other.site->file, other.site->line, other.mask);
    }
}

}  // namespace

std::uint64_t meet(const Site* site, Meeting kind, unsigned mask, std::uint64_t value, int source) {
    const std::size_t at = number(*current) / 32;
    Warp& warp = warps[at];
    Lane* const of_warp = &lanes[32 * at];
    check(site, kind, mask, source, of_warp, warp);
    unsigned& passed = warp.meetings[__builtin_ctz(mask)];
    char* object = &set->warp[at][__builtin_ctz(mask)][passed & 1];
    if (kind == Meeting::SYNC) BH_RELEASE(object);  // a shuffle orders no memory
    current->state = State::IN_WARP;
    current->site = site;
    current->kind = kind;
    current->mask = mask;
    current->value = value;
    current->source = source;
    warp.waiting |= 1u << lane_number();
    if ((warp.waiting & mask) == mask) {
        unsigned bits = 0;
        for (unsigned rest = mask; rest; rest &= rest - 1)
            bits |= unsigned(of_warp[__builtin_ctz(rest)].value & 1) << __builtin_ctz(rest);
        for (unsigned rest = mask; rest; rest &= rest - 1) {
            Lane& lane = of_warp[__builtin_ctz(rest)];
            lane.result = kind == Meeting::BALLOT ? bits : of_warp[lane.source].value;
            lane.state = State::READY;
        }
        warp.waiting &= ~mask;
        ++passed;
    }
    Lane* const self = current;
    go_back(false);
    if (kind == Meeting::SYNC) BH_ACQUIRE(object);
    return self->result;
}

}  // namespace bh_emulator
