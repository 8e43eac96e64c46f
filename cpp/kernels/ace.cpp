// The kernels of the atomic cluster expansion, compiled once for each instruction set as kernels.cpp is.
#include "kernels/ace.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace atomprint::ATOMPRINT_ISA {

// clang-format off: each uses those before it
#include "kernels/simd.hpp"
#include "kernels/radial.hpp"
#include "kernels/harmonics.hpp"
#include "kernels/expansion.hpp"
#include "kernels/ace_expansion.hpp"
#include "kernels/ace_program.hpp"
#include "kernels/ace_form.hpp"
// clang-format on

template <class T>
constexpr AceKernels<T> ace{ace_scratch<T>,   ace_expand<T>,   ace_backward<T>,  ace_pack<T>,
                            ace_unpack<T>,    ace_products<T>, ace_functions<T>, ace_drop_rounding<T>,
                            ace_transpose<T>, ace_evaluate<T>, ace_couple<T>,    ace_products_backward<T>,
                            ace_gradients<T>, ace_slopes<T>,   ace_columns<T>,   ace_jacobian<T>};

extern const AceTables ace_kernels;
const AceTables ace_kernels{ace<double>, ace<float>};

} // namespace atomprint::ATOMPRINT_ISA
