// Threads that live for one call.
#pragma once

#include <cstddef>
#include <functional>

namespace atomprint {

// Calls body(index, worker) for every index in [0, n), shared out dynamically over at most n_threads threads;
// `worker` is in [0, n_threads) and selects the scratch memory. The first exception thrown by a body stops
// the loop and is thrown again here; so is what tells the caller to stop, for which all bodies may poll().
void parallel_for(std::size_t n, int n_threads, const std::function<void(std::size_t, int)>& body);

} // namespace atomprint
