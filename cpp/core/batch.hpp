// A batch of structures as flat arrays: the only form in which structures enter the core.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atomprint {

// One structure inside a batch. Rows of `cell` are the lattice vectors; where pbc[k] is 0 the structure does
// not repeat along vector k.
struct Structure {
    const double* positions; // (n_atoms, 3), Å
    const std::int32_t* numbers;
    std::size_t n_atoms;
    const double* cell; // (3, 3), Å
    const std::uint8_t* pbc;

    bool periodic() const { return pbc[0] || pbc[1] || pbc[2]; }
};

struct Batch {
    const double* positions;     // (n_atoms, 3)
    const std::int32_t* numbers; // (n_atoms)
    const std::int64_t* offsets; // (n_structures + 1), first atom of each structure
    const double* cells;         // (n_structures, 3, 3)
    const std::uint8_t* pbc;     // (n_structures, 3)
    std::size_t n_structures;

    Structure operator[](std::size_t s) const {
        const auto first = offsets[s];
        return {positions + 3 * first, numbers + first, static_cast<std::size_t>(offsets[s + 1] - first), cells + 9 * s,
                pbc + 3 * s};
    }
};

} // namespace atomprint
