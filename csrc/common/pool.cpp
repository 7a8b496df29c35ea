// The calling thread takes chunks too, so a partner that wakes late costs nothing but its help.
#include "common/pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto AWAKE = std::chrono::microseconds(100);  // then a waiting thread sleeps
constexpr double CHUNK_NS = 10000.0;                    // the least work that is worth handing over

long process() {
#if defined(_WIN32)
    return 0;
#else
    return long(getpid());
#endif
}

struct Job {
    Job(int chunks, const std::function<void(int)>& run) : chunks(chunks), run(run) {}

    const int chunks;
    const std::function<void(int)>& run;  // lives until every chunk is done, not longer
    std::atomic<int> next{0}, done{0};

    void take() {
        for (int c = next.fetch_add(1); c < chunks; c = next.fetch_add(1)) {
            run(c);
            done.fetch_add(1);
        }
    }
};

class Pool {
public:
    explicit Pool(int helpers) : owner(process()), helpers(helpers) {
        for (int i = 0; i < helpers; ++i) std::thread([this] { serve(); }).detach();
    }

    const long owner;  // a child of fork() has this object, but none of its threads
    const int helpers;

    void run(int chunks, const std::function<void(int)>& run) {
        const auto job = std::make_shared<Job>(chunks, run);
        post(job);
        job->take();
        while (job->done.load() < chunks) std::this_thread::yield();
    }

    void retire() { post(nullptr); }  // the threads end

private:
    std::mutex mutex;
    std::condition_variable wake;
    std::shared_ptr<Job> current;
    std::atomic<long> posted{0};

    void post(std::shared_ptr<Job> job) {
        {
            std::lock_guard<std::mutex> lock(mutex);
            current = std::move(job);
            posted.fetch_add(1);
        }
        wake.notify_all();
    }

    void serve() {
        for (long seen = 0;;) {
            const auto until = Clock::now() + AWAKE;
            while (posted.load() == seen && Clock::now() < until) std::this_thread::yield();
            std::shared_ptr<Job> job;
            {
                std::unique_lock<std::mutex> lock(mutex);
                wake.wait(lock, [&] { return posted.load() != seen; });
                seen = posted.load();
                job = current;
            }
            if (job == nullptr) return;
            job->take();
        }
    }
};

std::atomic<int> threads{1};
std::mutex in_use;  // one call at a time; a second one runs on its own thread alone
Pool* pool = nullptr;  // lives as long as the process: its threads are never joined

}  // namespace

void bh_set_threads(int count) { threads.store(std::max(1, count)); }

int bh_threads() { return threads.load(); }

BhSplit bh_split(long items, double nanoseconds_each) {
    const int most = bh_threads() == 1 ? 1 : 2 * bh_threads();
    const double worth = double(items) * nanoseconds_each / CHUNK_NS;
    return {items, int(std::max(1.0, std::min({double(most), worth, double(items)})))};
}

void bh_run_chunks(int chunks, const std::function<void(int)>& run) {
    std::unique_lock<std::mutex> lock(in_use, std::try_to_lock);
    const int helpers = bh_threads() - 1;
    if (!lock.owns_lock() || helpers == 0) {
        for (int c = 0; c < chunks; ++c) run(c);
        return;
    }
    if (pool == nullptr || pool->owner != process() || pool->helpers != helpers) {
        if (pool != nullptr && pool->owner == process()) pool->retire();
        pool = new Pool(helpers);
    }
    pool->run(chunks, run);
}
