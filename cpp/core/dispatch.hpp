// The instruction sets that the kernels were compiled for, and the one in use.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace atomprint {

// Names of the instruction sets compiled in and supported by this processor, slowest first.
std::vector<std::string> instruction_sets();

// The kernels in use. At first use the fastest set is taken, or the one that the environment variable
// ATOMPRINT_ISA names; std::invalid_argument if that one is not available.
const Kernels& kernels();

void use_instruction_set(const std::string& name);

#ifdef ATOMPRINT_HAVE_v2
#define ATOMPRINT_FOR_SETS(f, ...) f(v2, __VA_ARGS__) f(avx2, __VA_ARGS__) f(avx512, __VA_ARGS__)
#else
#define ATOMPRINT_FOR_SETS(f, ...) f(baseline, __VA_ARGS__)
#endif
#define ATOMPRINT_DECLARE(isa, Table, name)                                                                            \
    namespace isa {                                                                                                    \
    extern const Table name;                                                                                           \
    }
#define ATOMPRINT_CHOOSE(isa, Table, name)                                                                             \
    if (&kernels() == &isa::kernels)                                                                                   \
        return isa::name;

ATOMPRINT_FOR_SETS(ATOMPRINT_DECLARE, Kernels, kernels)

// Declares a table of kernels that a file of its own defines in the namespace of each instruction set, and a
// function name##_in_use() that returns the one in use.
#define ATOMPRINT_KERNELS(Table, name)                                                                                 \
    ATOMPRINT_FOR_SETS(ATOMPRINT_DECLARE, Table, name)                                                                 \
    inline const Table& name##_in_use() {                                                                              \
        ATOMPRINT_FOR_SETS(ATOMPRINT_CHOOSE, Table, name)                                                              \
        throw std::logic_error("unknown instruction set");                                                             \
    }

} // namespace atomprint
