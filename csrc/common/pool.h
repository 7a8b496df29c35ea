// A pool of threads that sleeps: nothing spins beside BLAS for longer than a moment.
#pragma once

#include <functional>
#include <vector>

// Items [0, items) in chunks; how they are cut depends on the sizes and the number of threads
// alone, so a sum over chunks is the same in every call.
struct BhSplit {
    long items;
    int chunks;
    long begin(int chunk) const { return items * chunk / chunks; }
};

// Threads that a split may count on; 1 at first.
void bh_set_threads(int threads);
int bh_threads();

// How often work was shared with other threads: tests ask.
long bh_handed_over();

// How many pieces of a size cover so many items.
inline long bh_parts(long items, long size) { return (items + size - 1) / size; }

// One chunk where the work would not repay a hand-over to another thread.
BhSplit bh_split(long items, double nanoseconds_each);

void bh_run_chunks(int chunks, const std::function<void(int)>& run);

// run(phase, chunk): a phase begins when every chunk of the one before is done.  One hand-over for
// all, as that of a phase takes microseconds: the 15 products of 20 rows in an IWAE's step went from
// 419 to 391 microseconds.
void bh_run_phases(const std::vector<int>& chunks, const std::function<void(int, int)>& run);

// f(begin, end, chunk) for every chunk; returns when all are done.  Where some of them throw, on
// whatever thread, the first of these exceptions is thrown again here.
template <typename F>
void bh_parallel(const BhSplit& split, F&& f) {
    if (split.chunks == 1) {
        f(0L, split.items, 0);
        return;
    }
    bh_run_chunks(split.chunks, [&](int c) { f(split.begin(c), split.begin(c + 1), c); });
}
