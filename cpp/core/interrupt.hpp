// Long computations that are told to stop, as from the keyboard, do so soon.
#pragma once

#include <atomic>

namespace atomprint {

// What asks the caller whether to stop, and then throws. The bindings give it; without it nothing stops.
void set_interrupt_check(void (*check)());

// Called at least every few milliseconds by whatever may take long: throws if the computation is to stop. Threads of
// parallel_for stop with the thread that asks, the one that called. Costs a few ten nanoseconds. (Kernels know it from
// kernels/kernels.hpp.)
void poll();

// In the threads of one group, for as long as it lives: they stop once `stop` is true, or that of the group around it.
class PollGroup {
public:
    PollGroup(std::atomic<bool>& stop, bool asks);
    ~PollGroup();
    PollGroup(const PollGroup&) = delete;
    PollGroup& operator=(const PollGroup&) = delete;

private:
    const std::atomic<bool>*outer_stop_, *outermost_;
    bool outer_asks_;
};

} // namespace atomprint
