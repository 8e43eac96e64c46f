// All kernels, compiled once for each instruction set (see CMakeLists.txt) into a namespace of that name.
#include "kernels/kernels.hpp"

#include <cmath>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define ATOMPRINT_STRING(name) #name
#define ATOMPRINT_NAME(name) ATOMPRINT_STRING(name)

namespace atomprint::ATOMPRINT_ISA {

#include "kernels/simd.hpp"

#include "kernels/filter.hpp"

extern const Kernels kernels;
const Kernels kernels{ATOMPRINT_NAME(ATOMPRINT_ISA), within_cutoff};

} // namespace atomprint::ATOMPRINT_ISA
