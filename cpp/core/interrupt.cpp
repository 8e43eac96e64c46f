#include "core/interrupt.hpp"

#include <chrono>
#include <exception>

namespace atomprint {

namespace {

using Clock = std::chrono::steady_clock;

// To ask takes a lock of Python's, for which other threads of Python may have to wait.
constexpr auto between_questions = std::chrono::milliseconds(50);

struct Stopped : std::exception {
    const char* what() const noexcept override { return "another thread has stopped"; }
};

std::atomic<void (*)()> interrupt_check{nullptr};

struct Asking {
    const std::atomic<bool>*stop = nullptr, *outer = nullptr;
    bool asks = true;
    Clock::time_point next{};
};
thread_local Asking asking;

} // namespace

void set_interrupt_check(void (*check)()) {
    interrupt_check.store(check);
}

void poll() {
    Asking& own = asking;
    for (const auto* stop : {own.stop, own.outer})
        if (stop && stop->load(std::memory_order_relaxed))
            throw Stopped();
    if (!own.asks)
        return;
    const auto now = Clock::now();
    if (now < own.next)
        return;
    own.next = now + between_questions;
    if (const auto check = interrupt_check.load())
        check();
}

PollGroup::PollGroup(std::atomic<bool>& stop, bool asks)
    : outer_stop_(asking.stop), outermost_(asking.outer), outer_asks_(asking.asks) {
    asking.stop = &stop;
    asking.outer = outer_stop_;
    asking.asks = asks && outer_asks_;
}

PollGroup::~PollGroup() {
    asking.stop = outer_stop_;
    asking.outer = outermost_;
    asking.asks = outer_asks_;
}

} // namespace atomprint
