// The instruction sets that the kernels were compiled for, and the one in use.
#pragma once

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

} // namespace atomprint
