// The interface between the core and its numerical kernels: plain pointers and numbers, no containers, so that
// no code compiled for one instruction set can be linked into another.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atomprint {

struct Kernels {
    const char* instruction_set;

    // Write to `found` the indices j in [begin, end) with |(x, y, z)_j - point|^2 < limit and return their number.
    // May write up to 64 elements beyond the last.
    std::size_t (*within_cutoff)(const double* x, const double* y, const double* z, std::int32_t begin,
                                 std::int32_t end, const double* point, double limit, std::int32_t* found);
};

} // namespace atomprint
