#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/interrupt.hpp"

namespace atomprint {

namespace {

struct Joined : std::vector<std::thread> { // std::jthread is still experimental on macOS
    ~Joined() {
        for (std::thread& thread : *this)
            thread.join();
    }
};

} // namespace

void parallel_for(std::size_t n, int n_threads, const std::function<void(std::size_t, int)>& body) {
    const int workers = static_cast<int>(std::min<std::size_t>(n, std::max(n_threads, 1)));
    if (workers <= 1) {
        for (std::size_t i = 0; i < n; ++i) {
            poll();
            body(i, 0);
        }
        return;
    }
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stop{false};
    std::exception_ptr error;
    std::mutex mutex;
    std::condition_variable ended;
    int n_ended = 0;
    const auto guarded = [&](int worker, const auto& task) {
        const PollGroup group(stop, worker == 0);
        try {
            task();
        } catch (...) {
            const std::scoped_lock lock(mutex);
            if (!error)
                error = std::current_exception();
            stop.store(true, std::memory_order_relaxed);
            next.store(n, std::memory_order_relaxed);
        }
    };
    const auto work = [&](int worker) {
        guarded(worker, [&] {
            for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) {
                poll();
                body(i, worker);
            }
        });
        const std::scoped_lock lock(mutex);
        ++n_ended;
        ended.notify_one();
    };
    {
        Joined threads;
        threads.reserve(static_cast<std::size_t>(workers) - 1);
        for (int worker = 1; worker < workers; ++worker)
            threads.emplace_back(work, worker);
        work(0);
        guarded(0, [&] { // while others still work
            std::unique_lock lock(mutex);
            while (!ended.wait_for(lock, std::chrono::milliseconds(50), [&] { return n_ended == workers; })) {
                lock.unlock();
                poll();
                lock.lock();
            }
        });
    }
    if (error)
        std::rethrow_exception(error);
}

} // namespace atomprint
