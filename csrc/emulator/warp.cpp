// Shuffles, votes and __syncwarp: lanes of one warp that wait for each other.
#include "emulator/lanes.h"

namespace bh_emulator {

const char* meeting_name(Meeting kind) {
    static const char* const NAMES[] = {"__syncwarp",      "__shfl_sync",     "__shfl_up_sync",
                                 "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync"};
    return NAMES[int(kind)];
}

int lane_number() { return int(number(*current) % 32); }

std::uint64_t meet(const Site* site, Meeting kind, unsigned mask, std::uint64_t value, int source) {
    const std::size_t first = number(*current) / 32 * 32;
    const std::size_t there = std::min<std::size_t>(32, lanes.size() - first);
    const unsigned me = unsigned(lane_number());
    const char* name = meeting_name(kind);
    Lane* const warp = &lanes[first];
    if (!(mask >> me & 1))
        fail("%s at %s:%d: lane %u is not in its own mask %08x", name, site->file, site->line, me,
             mask);
    unsigned arrived = 1u << me;
    for (unsigned i = 0; i < 32; ++i) {
        if (i == me || !(mask >> i & 1)) {
            if (i < there && i != me && warp[i].state == State::IN_WARP && (warp[i].mask >> me & 1))
                fail("%s at %s:%d with mask %08x, while lane %u waits for this one with mask %08x",
                     name, site->file, site->line, mask, i, warp[i].mask);
            continue;
        }
        if (i >= there || warp[i].state == State::RETURNED)
            fail("%s at %s:%d: lane %u of the mask %08x %s", name, site->file, site->line, i, mask,
                 i >= there ? "does not exist in this block" : "has returned");
        if (warp[i].state != State::IN_WARP) continue;
        if (warp[i].mask != mask || warp[i].kind != kind)
            fail("%s at %s:%d with mask %08x, while lane %u waits in %s at %s:%d with mask %08x",
                 name, site->file, site->line, mask, i, meeting_name(warp[i].kind),
                 warp[i].site->file, warp[i].site->line, warp[i].mask);
        arrived |= 1u << i;
    }
    if (!(mask >> source & 1))
        fail("%s at %s:%d: reads from lane %d, which is not in the mask %08x", name, site->file,
             site->line, source, mask);
    unsigned lowest = 0;
    while (!(mask >> lowest & 1)) ++lowest;
    unsigned& passed = set->meetings[first / 32][lowest];
    char* object = &set->warp[first / 32][lowest][passed & 1];
    if (kind == Meeting::SYNC) BH_RELEASE(object);  // a shuffle orders no memory
    current->state = State::IN_WARP;
    current->site = site;
    current->kind = kind;
    current->mask = mask;
    current->value = value;
    current->source = source;
    if (arrived == mask) {
        std::uint64_t bits = 0;
        for (unsigned i = 0; i < there; ++i)
            if (mask >> i & 1) bits |= std::uint64_t(warp[i].value & 1) << i;
        for (unsigned i = 0; i < there; ++i) {
            if (!(mask >> i & 1)) continue;
            warp[i].result = kind == Meeting::BALLOT ? bits : warp[warp[i].source].value;
            warp[i].state = State::READY;
        }
        ++passed;
    }
    Lane* const self = current;
    go_back(false);
    if (kind == Meeting::SYNC) BH_ACQUIRE(object);
    return self->result;
}

}  // namespace bh_emulator
