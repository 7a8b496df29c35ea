// The calling thread takes chunks too, so a partner that wakes late costs nothing but its help.
#include "common/pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto AWAKE = std::chrono::microseconds(300);  // then a waiting thread sleeps
constexpr int LOOKS = 64;                               // before other threads may run
constexpr double CHUNK_NS = 10000.0;                    // the least work that is worth handing over

// Until ready(), or for a moment.  A core that waits may share its units with one that works: it
// leaves them alone between two looks (1.5 % of an IWAE's step), and lets other threads run now and
// then.
template <typename F>
bool wait_a_moment(const F& ready) {
    for (int i = 0; i < LOOKS; ++i) {
        if (ready()) return true;
#if defined(__x86_64__) && defined(__GNUC__)
        __builtin_ia32_pause();
#endif
    }
    std::this_thread::yield();
    return false;
}

long process() {
#if defined(_WIN32)
    return 0;
#else
    return long(getpid());
#endif
}

struct Phase {
    int chunks = 0;
    std::atomic<int> taken{0}, from_the_end{0}, done{0};
};

using Run = std::function<void(int, int)>;  // (phase, chunk)

struct Job {
    Job(const std::vector<int>& chunks, const Run& run)
        : count(int(chunks.size())), phases(new Phase[chunks.size()]), run(run) {
        for (int p = 0; p < count; ++p) phases[p].chunks = chunks[p];
    }

    const int count;
    const std::unique_ptr<Phase[]> phases;
    const Run& run;  // lives until every chunk is done, not longer
    std::atomic<bool> failed{false};
    std::exception_ptr error;  // the first one; read when every chunk is done

    // The caller begins in front and the others at the end, in every phase: what a core finds in
    // its cache are the parts of the last one that it gets again.
    void take_in_front() {
        for (int p = 0; p < count; ++p) {
            for (int c = 0; phases[p].taken.fetch_add(1) < phases[p].chunks; ++c) run_chunk(p, c);
            wait_for(phases[p]);
        }
    }

    void take_at_the_end() {
        for (int p = 0; p < count; ++p) {
            if (p > 0) wait_for(phases[p - 1]);
            Phase& phase = phases[p];
            while (phase.taken.fetch_add(1) < phase.chunks)
                run_chunk(p, phase.chunks - 1 - phase.from_the_end.fetch_add(1));
        }
    }

private:
    static void wait_for(const Phase& phase) {
        while (!wait_a_moment([&] { return phase.done.load() >= phase.chunks; })) {}
    }

    void run_chunk(int p, int c) {
        try {
            if (!failed.load()) run(p, c);
        } catch (...) {
            if (!failed.exchange(true)) error = std::current_exception();
        }
        phases[p].done.fetch_add(1);
    }
};

// What the threads of a pool share; it lives until the last of them has ended.
class Board {
public:
    void post(std::shared_ptr<Job> job) {  // null: the threads end
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
            while (!wait_a_moment([&] { return posted.load() != seen; }) && Clock::now() < until) {}
            std::shared_ptr<Job> job;
            {
                std::unique_lock<std::mutex> lock(mutex);
                wake.wait(lock, [&] { return posted.load() != seen; });
                seen = posted.load();
                job = current;
            }
            if (job == nullptr) return;
            job->take_at_the_end();
        }
    }

private:
    std::mutex mutex;
    std::condition_variable wake;
    std::shared_ptr<Job> current;
    std::atomic<long> posted{0};
};

class Pool {
public:
    // With as many helpers as the system gives: none at all is enough.
    explicit Pool(int helpers) : owner(process()), helpers(helpers) {
        try {
            for (int i = 0; i < helpers; ++i) std::thread([b = board] { b->serve(); }).detach();
        } catch (const std::exception&) {  // no thread, or no memory for one
        }
    }

    Pool(const Pool&) = delete;
    ~Pool() {
        // A child of fork() has a copy of the board, but none of the threads.
        if (owner == process()) board->post(nullptr);
    }

    const long owner;
    const int helpers;  // that were asked for

    void run(const std::vector<int>& chunks, const Run& run) {
        const auto job = std::make_shared<Job>(chunks, run);
        board->post(job);
        job->take_in_front();
        if (job->failed.load()) std::rethrow_exception(job->error);
    }

private:
    const std::shared_ptr<Board> board = std::make_shared<Board>();
};

std::atomic<int> threads{1};
std::mutex in_use;  // one call at a time; a second one runs on its own thread alone
std::atomic<long> handed_over{0};
Pool* pool = nullptr;  // never deleted at exit: a thread may be waiting then

}  // namespace

void bh_set_threads(int count) { threads.store(std::max(1, count)); }

int bh_threads() { return threads.load(); }

long bh_handed_over() { return handed_over.load(); }

BhSplit bh_split(long items, double nanoseconds_each) {
    const int most = bh_threads() == 1 ? 1 : 2 * bh_threads();
    const double worth = double(items) * nanoseconds_each / CHUNK_NS;
    return {items, int(std::max(1.0, std::min({double(most), worth, double(items)})))};
}

void bh_run_phases(const std::vector<int>& chunks, const std::function<void(int, int)>& run) {
    std::unique_lock<std::mutex> lock(in_use, std::try_to_lock);
    const int helpers = bh_threads() - 1;
    if (!lock.owns_lock() || helpers == 0) {
        for (int p = 0; p < int(chunks.size()); ++p)
            for (int c = 0; c < chunks[p]; ++c) run(p, c);
        return;
    }
    if (pool == nullptr || pool->owner != process() || pool->helpers != helpers) {
        delete std::exchange(pool, nullptr);
        pool = new Pool(helpers);
    }
    handed_over.fetch_add(1);
    pool->run(chunks, run);
}

void bh_run_chunks(int chunks, const std::function<void(int)>& run) {
    bh_run_phases({chunks}, [&](int, int c) { run(c); });
}
