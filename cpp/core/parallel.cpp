#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

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
        for (std::size_t i = 0; i < n; ++i)
            body(i, 0);
        return;
    }
    std::atomic<std::size_t> next{0};
    std::exception_ptr error;
    std::mutex error_mutex;
    const auto work = [&](int worker) {
        try {
            for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;)
                body(i, worker);
        } catch (...) {
            next.store(n, std::memory_order_relaxed);
            const std::scoped_lock lock(error_mutex);
            if (!error)
                error = std::current_exception();
        }
    };
    {
        Joined threads;
        threads.reserve(static_cast<std::size_t>(workers) - 1);
        for (int worker = 1; worker < workers; ++worker)
            threads.emplace_back(work, worker);
        work(0);
    }
    if (error)
        std::rethrow_exception(error);
}

} // namespace atomprint
