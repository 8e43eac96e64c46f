// All kernels, compiled once for each instruction set (see CMakeLists.txt) into a namespace of that name.
#include "kernels/kernels.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define ATOMPRINT_STRING(name) #name
#define ATOMPRINT_NAME(name) ATOMPRINT_STRING(name)

namespace atomprint::ATOMPRINT_ISA {

#include "kernels/simd.hpp"

#include "kernels/filter.hpp"

#include "kernels/radial.hpp"

#include "kernels/harmonics.hpp"

#include "kernels/expansion.hpp"

#include "kernels/power.hpp"

#include "kernels/special.hpp"

#include "kernels/matrices.hpp"

#include "kernels/matrix_gradients.hpp"

#include "kernels/ewald.hpp"

#include "kernels/ewald_gradients.hpp"

#include "kernels/eigen.hpp"

template <class T>
constexpr SoapKernels<T> soap{expansion_scratch<T>, expand<T>, power<T>};

constexpr MatrixKernels matrix_kernels{coulomb_matrix,
                                       sine_matrix,
                                       ewald_real,
                                       ewald_reciprocal,
                                       symmetric_eigenvalues,
                                       symmetric_eigenvectors,
                                       coulomb_contract,
                                       coulomb_row,
                                       sine_contract,
                                       sine_row,
                                       ewald_real_contract,
                                       ewald_real_row,
                                       ewald_reciprocal_contract,
                                       wave_panels,
                                       add_product};

extern const Kernels kernels;
const Kernels kernels{
    ATOMPRINT_NAME(ATOMPRINT_ISA), within_cutoff, distances, soap<double>, soap<float>, matrix_kernels};

} // namespace atomprint::ATOMPRINT_ISA
