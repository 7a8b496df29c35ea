// The scheduler of a block, its barriers, its warps and its shared memory.
#include "emulator/block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "emulator/lanes.h"

namespace bh_emulator {

const Index* thread_index = nullptr;
Index block_index, block_size, grid_size;

Warp warps[32];
Set* set = nullptr;
std::vector<Lane> lanes;
Lane* current = nullptr;

namespace {

struct Shared {
    const void* key;
    char* memory;
};

#ifdef BH_TSAN
constexpr int SETS = 3;
#else
constexpr int SETS = 1;
#endif
Set sets[SETS];
char begin_object, end_object;  // before the first lane, after the last

const Launch* launch = nullptr;
std::size_t waiting = 0;            // at the block's barrier
const Site* waiting_at = nullptr;
unsigned barriers = 0;              // passed by the block
std::vector<Shared> shared_blocks;  // of the block that runs
std::vector<char*> to_free;
char* slab = nullptr;
char* dynamic_block = nullptr;
std::size_t shared_used = 0;
char sentence[512];  // what went wrong

void lane_main() {
    BH_ACQUIRE(&begin_object);
    launch->kernel->call(launch->arguments);
    current->state = State::RETURNED;
    warps[number(*current) / 32].returned |= 1u << lane_number();
    BH_RELEASE(&end_object);
    go_back(true);
}

char* fresh(std::size_t bytes) {
    char* memory = static_cast<char*>(std::malloc(bytes));
    if (memory == nullptr) std::abort();
    std::memset(memory, 0xFF, bytes);  // NaN, and no useful index
    to_free.push_back(memory);
    return memory;
}

void free_shared() {
    for (char* memory : to_free) std::free(memory);
    to_free.clear();
}

struct Random {  // splitmix64
    unsigned long long state;
    std::size_t below(std::size_t n) {
        unsigned long long z = (state += 0x9E3779B97F4A7C15ull);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return std::size_t((z ^ (z >> 31)) % n);
    }
    void shuffle(std::vector<std::size_t>& order) {
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
    }
};

std::vector<std::size_t> first_order(std::size_t n, unsigned long long seed, Random& random) {
    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = seed == 1 ? n - 1 - i : i;
    if (seed > 1) random.shuffle(order);
    return order;
}

void begin_block(std::size_t block, int turn) {
    const Index grid = launch->grid, size = launch->block;
    set = &sets[turn % SETS];
    block_index = {unsigned(block % grid.x), unsigned(block / grid.x % grid.y),
                   unsigned(block / grid.x / grid.y)};
    lanes.resize(std::size_t(size.x) * size.y * size.z);
    while (set->fibers.size() < lanes.size()) set->fibers.push_back(std::make_unique<Fiber>());
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        Lane& lane = lanes[i];
        lane.thread = {unsigned(i % size.x), unsigned(i / size.x % size.y),
                       unsigned(i / size.x / size.y)};
        lane.state = State::READY;
        lane.mask = 0;
        set->fibers[i]->prepare(lane_main);
    }
    waiting = 0;
    barriers = 0;
    std::memset(warps, 0, sizeof warps);
    shared_blocks.clear();
    shared_used = launch->shared_bytes;
#ifdef BH_TSAN
    slab = fresh(SHARED_LIMIT);  // by the scheduler: a lane's malloc would be a write by that lane
#else
    free_shared();
#endif
    dynamic_block = fresh(launch->shared_bytes);
    BH_RELEASE(&begin_object);
}

void describe_stuck() {
    std::size_t at_barrier = 0, in_warp = 0, returned = 0;
    const Lane *barrier_lane = nullptr, *warp_lane = nullptr;
    for (const Lane& lane : lanes) {
        if (lane.state == State::AT_BARRIER) ++at_barrier, barrier_lane = &lane;
        if (lane.state == State::IN_WARP) ++in_warp, warp_lane = &lane;
        if (lane.state == State::RETURNED) ++returned;
    }
    int at = std::snprintf(sentence, sizeof sentence, "%s: stuck in block (%u, %u, %u):",
                           launch->kernel->name, block_index.x, block_index.y, block_index.z);
    const auto add = [&](std::size_t count, const char* what, const Lane* lane) {
        if (count == 0 || at >= int(sizeof sentence)) return;
        at += std::snprintf(sentence + at, sizeof sentence - std::size_t(at),
                            " %zu of %zu threads %s", count, lanes.size(), what);
        if (lane != nullptr && at < int(sizeof sentence))
            at += std::snprintf(sentence + at, sizeof sentence - std::size_t(at), " (%s:%d)",
                                lane->site->file, lane->site->line);
        if (at < int(sizeof sentence))
            at += std::snprintf(sentence + at, sizeof sentence - std::size_t(at), ";");
    };
    add(at_barrier, "wait in __syncthreads", barrier_lane);
    const std::string wait = "wait in ";
    if (warp_lane) add(in_warp, (wait + meeting_name(warp_lane->kind)).c_str(), warp_lane);
    add(returned, "have returned", nullptr);
    if (at > 0 && at < int(sizeof sentence)) sentence[at - 1] = '\0';
}

bool run_block(std::vector<std::size_t>& order, Random& random) {
    for (std::size_t returned = 0; returned < lanes.size();) {
        bool moved = false;
        if (launch->order > 1) random.shuffle(order);
        for (const std::size_t i : order) {
            if (lanes[i].state != State::READY) continue;
            moved = true;
            current = &lanes[i];
            thread_index = &current->thread;
            set->fibers[i]->enter();
            if (sentence[0]) return false;
            returned += current->state == State::RETURNED;
        }
        if (!moved) {
            describe_stuck();
            return false;
        }
    }
    return true;
}

}  // namespace

void go_back(bool for_good) { set->fibers[number(*current)]->leave(for_good); }

void fail(const char* format, ...) {
    const int at = std::snprintf(
        sentence, sizeof sentence, "%s: block (%u, %u, %u), thread (%u, %u, %u): ",
        launch->kernel->name, block_index.x, block_index.y, block_index.z, current->thread.x,
        current->thread.y, current->thread.z);
    va_list words;
    va_start(words, format);
    std::vsnprintf(sentence + at, sizeof sentence - std::size_t(at), format, words);
    va_end(words);
    go_back(true);
    std::abort();  // nobody comes here
}

void barrier(const Site* site) {
    if (waiting == 0) waiting_at = site;
    if (waiting_at != site)
        fail("__syncthreads at %s:%d, while others wait in another one, at %s:%d", site->file,
             site->line, waiting_at->file, waiting_at->line);
    char* object = &set->barrier[barriers & 1];
    BH_RELEASE(object);
    current->state = State::AT_BARRIER;
    current->site = site;
    if (++waiting == lanes.size()) {
        waiting = 0;
        ++barriers;
        for (Lane& lane : lanes) lane.state = State::READY;
    }
    go_back(false);
    BH_ACQUIRE(object);
}

void* shared(const void* key, std::size_t bytes) {
    for (const Shared& block : shared_blocks)
        if (block.key == key) return block.memory;
    const std::size_t at = shared_used - launch->shared_bytes;
    shared_used += (bytes + 15) / 16 * 16;
    if (shared_used > SHARED_LIMIT)
        fail("%zu bytes of shared memory; a block has %zu", shared_used, SHARED_LIMIT);
    char* memory = slab ? slab + at : fresh(bytes);
    shared_blocks.push_back({key, memory});
    return memory;
}

void* dynamic_shared() { return dynamic_block; }

std::string run(const Launch& asked) {
    launch = &asked;
    sentence[0] = '\0';
    grid_size = asked.grid;
    block_size = asked.block;
    Random random{asked.order};
    const std::size_t blocks = std::size_t(asked.grid.x) * asked.grid.y * asked.grid.z;
    const std::size_t threads = std::size_t(asked.block.x) * asked.block.y * asked.block.z;
    std::vector<std::size_t> lane_order = first_order(threads, asked.order, random);
    int turn = 0;
    bool fine = true;
    for (const std::size_t block : first_order(blocks, asked.order, random)) {
        begin_block(block, turn++);
        fine = run_block(lane_order, random);
        if (!fine) break;
    }
    if (fine) BH_ACQUIRE(&end_object);
    for (std::size_t i = 0; !fine && i < lanes.size(); ++i) set->fibers[i]->forget();
    free_shared();
    return sentence;
}

}  // namespace bh_emulator
