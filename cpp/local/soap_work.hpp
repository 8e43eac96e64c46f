// What the parts of SOAP share: the memory of a thread.
#pragma once

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/dispatch.hpp"
#include "core/pairs.hpp"
#include "local/soap.hpp"

namespace atomprint {

// The partial sums of one structure take no more than this together, in bytes.
inline constexpr std::size_t memory_of_parts = std::size_t{16} << 20;
// Room behind an array for the last, partly used vector.
inline constexpr std::size_t vector_slack = 16;

template <class T>
const SoapKernels<T>& soap_kernels();
template <>
inline const SoapKernels<double>& soap_kernels<double>() {
    return kernels().soap_f64;
}
template <>
inline const SoapKernels<float>& soap_kernels<float>() {
    return kernels().soap_f32;
}

template <class T>
struct Soap<T>::Workspace {
    Neighbours found;
    // As found: where each neighbour goes, and how many went there before it.
    std::vector<std::int32_t> bin, rank, count, next;
    std::vector<double> distance;
    // Sorted into segments: the vector to the neighbour, its length and weight, and the index of the image.
    std::vector<double> x, y, z, r, weight;
    std::vector<std::int32_t> image;
    std::vector<Segment> segments;
    AlignedVector<T> scratch, coefficients, mixed, features;
    std::vector<std::size_t> first, mixed_first; // of each l in `coefficients` and `mixed`
    std::vector<char> present;                   // which column groups hold numbers, for any of the slots
    std::vector<std::int32_t> columns;

    // For derivatives.
    AlignedVector<T> adjoint, mixed_adjoint, couple_scratch;
    std::vector<Coupling> couplings;
    std::vector<double> slope, gradient[3];
    AlignedVector<T> values, slopes, harmonics, projections, slab;
    std::vector<GradientBlock<T>> blocks;

    bool ready() const { return !first.empty(); }
    Coefficients<T> view(std::int32_t n_columns) { return {coefficients.data(), first.data(), n_columns}; }
    Neighbourhood neighbourhood() const {
        return {static_cast<std::int32_t>(found.n),
                static_cast<std::int32_t>(segments.size()),
                x.data(),
                y.data(),
                z.data(),
                r.data(),
                weight.data(),
                segments.data(),
                slope.data()};
    }
};

} // namespace atomprint
