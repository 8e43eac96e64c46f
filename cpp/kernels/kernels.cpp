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

// clang-format off: each uses those before it
#include "kernels/simd.hpp"
#include "kernels/filter.hpp"
#include "kernels/radial.hpp"
#include "kernels/harmonics.hpp"
#include "kernels/expansion.hpp"
#include "kernels/power.hpp"
#include "kernels/combine.hpp"
#include "kernels/backward.hpp"
#include "kernels/pair_gradient.hpp"
#include "kernels/special.hpp"
#include "kernels/matrices.hpp"
#include "kernels/ewald.hpp"
#include "kernels/eigen.hpp"
#include "kernels/acsf.hpp"
#include "kernels/broadening.hpp"
#include "kernels/triples.hpp"
#include "kernels/rematch.hpp"
// clang-format on

template <class T>
std::size_t soap_scratch(const ExpansionModel<T>& model) {
    const std::size_t forward = expansion_scratch(model), backward = backward_scratch(model);
    const std::size_t pairs = pair_scratch(model), derivatives = backward > pairs ? backward : pairs;
    return forward > derivatives ? forward : derivatives;
}

template <class T>
void couple(const PowerModel<T>& model, const T* cotangent, const T* next, const PowerBlock* blocks,
            std::int32_t n_blocks, std::int32_t n_pad, const Coefficients<T>& c, T* adjoint, T* scratch) {
    with_width<T>(n_pad, [&]<int W>() {
        couple_with<T, W>(model, cotangent, next, blocks, n_blocks, n_pad, c, adjoint, scratch);
    });
}

template <class T>
void backward(const ExpansionModel<T>& model, const Neighbourhood& neighbours, T* scratch,
              const Coefficients<T>& adjoint, const std::int32_t* column, double* const* gradient) {
    with_width<T>(model.radial.n_pad,
                  [&]<int W>() { backward_with<T, W>(model, neighbours, scratch, adjoint, column, gradient); });
}

template <class T>
void differentiate(const ExpansionModel<T>& model, const Neighbourhood& neighbours, const T* factor, T* scratch,
                   T* values, T* slopes, T* harmonics) {
    with_width<T>(model.radial.n_pad, [&]<int W>() {
        differentiate_with<T, W>(model, neighbours, factor, scratch, values, slopes, harmonics);
    });
}

template <class T>
void project(const ExpansionModel<T>& model, const T* harmonics, std::int32_t i, const Coefficients<T>& c, T* out) {
    with_width<T>(model.radial.n_pad, [&]<int W>() { project_with<T, W>(model, harmonics, i, c, out); });
}

template <class T>
void gradient(const PowerModel<T>& model, std::int32_t n_pad, const GradientBlock<T>* blocks, std::int32_t n_blocks,
              const T* values, const T* slopes, const T* projections, const double* unit, T* out, std::size_t stride) {
    with_width<T>(n_pad, [&]<int W>() {
        gradient_with<T, W>(model, n_pad, blocks, n_blocks, values, slopes, projections, unit, out, stride);
    });
}

template <class T>
constexpr SoapKernels<T> soap{soap_scratch<T>, expand<T>,        power<T>,          couple_scratch<T>, couple<T>,
                              backward<T>,     differentiate<T>, harmonics_size<T>, project<T>,        gradient<T>};

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

template <class T>
constexpr AcsfKernels<T> acsf{lanes<T>,        acsf_scratch<T>,  acsf_radial<T>,
                              acsf_angular<T>, acsf_backward<T>, acsf_gradient<T>};

constexpr BroadeningKernels broadening_kernels{broaden, broaden_adjoint, broaden_one,
                                               triples, triple_contract, triple_slopes};

constexpr SimilarityKernels similarity_kernels{padded_length, local_similarities, sum_of_similarities, match_scratch,
                                               best_match};

extern const Kernels kernels;
const Kernels kernels{ATOMPRINT_NAME(ATOMPRINT_ISA),
                      within_cutoff,
                      distances,
                      {{add_scaled<double>, combine<double>, round_finite<double>},
                       {add_scaled<float>, combine<float>, round_finite<float>}},
                      {soap<double>, soap<float>},
                      {acsf<double>, acsf<float>},
                      matrix_kernels,
                      broadening_kernels,
                      similarity_kernels};

} // namespace atomprint::ATOMPRINT_ISA
