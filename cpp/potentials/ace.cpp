#include "potentials/ace.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/interrupt.hpp"

namespace atomprint {

namespace {

// Lengths of runs that the kernel knows.
constexpr std::int32_t run_lengths[] = {9, 7, 5, 3, 1};

} // namespace

template <class T>
AceEnergyForm<T>::AceEnergyForm(const AceBasis& basis, const double* weights) {
    const AceArrays& p = basis.arrays();
    // The form twice: a term c X_a X_b adds c X_b to the derivative by X_a, and c X_a to that by X_b.
    std::map<std::pair<std::int32_t, std::int32_t>, std::map<std::int32_t, double>> sums; // (first, length): start: c
    for (std::int32_t k = 0; k < basis.n_functions(); ++k) {
        poll();
        if (!std::isfinite(weights[k]))
            throw std::invalid_argument("weights must be finite");
        if (weights[k] == 0.0)
            continue;
        for (std::int32_t t = p.function_first[k], end = p.function_first[k + 1]; t < end;) {
            const std::int32_t a = p.function_p[t], b = p.function_q[t];
            std::int32_t same = 1;
            while (t + same < end && p.function_p[t + same] == a + same && p.function_q[t + same] == b + same &&
                   p.function_c[t + same] == p.function_c[t])
                ++same;
            const double c = weights[k] * p.function_c[t];
            for (std::int32_t done = 0; done < same;) {
                const std::int32_t length = *std::find_if(std::begin(run_lengths), std::end(run_lengths),
                                                          [&](std::int32_t n) { return n <= same - done; });
                sums[{a + done, length}][b + done] += c;
                sums[{b + done, length}][a + done] += c;
                done += length;
            }
            t += same;
        }
    }
    for (const auto& [run, terms] : sums) {
        runs_.push_back({run.first, run.second, static_cast<std::int32_t>(terms.size())});
        for (const auto& [start, c] : terms) {
            terms_.push_back({start, static_cast<T>(c)});
            if (!std::isfinite(terms_.back().c))
                throw std::invalid_argument("weights must be smaller for numbers in single precision, got products "
                                            "with the functions' coefficients of up to " +
                                            std::to_string(c));
        }
    }
}

template <class T>
AcePotential<T>::AcePotential(const AceBasis& basis, const double* weights, AceLimit limit)
    : basis_(basis), model_(std::make_unique<AceModel<T>>(basis_)), limit_(std::move(limit)) {
    for (std::int32_t kind = 0; kind < species().size(); ++kind)
        forms_.emplace_back(basis_, weights + static_cast<std::size_t>(kind) * basis_.n_functions());
}

template <class T>
void AcePotential<T>::add(Workspace& work, const KeptPairs& pairs, std::int32_t kind, const std::int32_t* atoms, int n,
                          double* energies, GradientPart& part) const {
    const AceKernels<T>& kernels = ace_kernels<T>();
    const AceShape<T>& shape = model_->shape();
    const AceProgram<T>& program = model_->program();
    work.groups.set(basis_, pairs.kinds());
    const std::int32_t n_groups = work.groups.size();
    const std::size_t n_density = static_cast<std::size_t>(shape.n_lm()) * n_groups * shape.n_pad;
    T* densities[ace_lanes<T>];

    for (int i = 0; i < n; ++i) {
        typename Workspace::Lane& lane = work.lanes[i];
        AtomNeighbours& found = lane.found;
        pairs.neighbours(atoms[i], found);
        AceAround<T>& around = lane.around;
        around.reserve(found.n);
        around.n = found.n;
        std::copy_n(found.x.begin(), found.n, around.x.begin());
        std::copy_n(found.y.begin(), found.n, around.y.begin());
        std::copy_n(found.z.begin(), found.n, around.z.begin());
        around.measure();
        around.segments.clear();
        const std::int32_t* const kinds = pairs.kind_of_image();
        const auto n_found = static_cast<std::int32_t>(found.n);
        for (std::int32_t begin = 0, group = 0; begin < n_found;) {
            const std::int32_t other = kinds[found.image[begin]];
            std::int32_t end = begin + 1;
            while (end < n_found && kinds[found.image[end]] == other)
                ++end;
            while (work.groups.kinds()[group] != other)
                ++group;
            around.segments.push_back({begin, end, group, model_->table(kind, other)});
            begin = end;
        }
        grow(lane.density, n_density);
        densities[i] = lane.density.data();
        grow(work.scratch, kernels.scratch_size(shape, n_found));
        kernels.expand(shape, around.view(n_groups), work.scratch.data(), densities[i]);
        lane.factor = limit_.factor(kind, ace_density(shape, n_groups, densities[i]));
        if (lane.factor.value != 1.0) {
            for (std::size_t k = 0; k < n_density; ++k)
                densities[i][k] *= static_cast<T>(lane.factor.value);
            grow(lane.scaled, n_density);
            std::copy_n(densities[i], n_density, lane.scaled.data());
        }
    }

    const std::int32_t size = program.size();
    grow(work.x, static_cast<std::size_t>(size) * ace_lanes<T>);
    grow(work.adjoint, static_cast<std::size_t>(size) * ace_lanes<T>);
    alignas(64) T values[ace_lanes<T>];
    kernels.pack(shape, work.groups.channels(), n_groups, densities, n, work.x.data());
    kernels.products(program, work.x.data());
    kernels.evaluate(forms_[kind].view(), size, work.x.data(), values, work.adjoint.data());
    kernels.products_backward(program, work.x.data(), work.adjoint.data());
    kernels.unpack(shape, work.groups.groups(), work.adjoint.data(), n, densities);

    for (int i = 0; i < n; ++i) {
        const typename Workspace::Lane& lane = work.lanes[i];
        if (lane.factor.value != 1.0) { // the adjoint of what was scaled, and of the factor, which depends on R_1
            const T value = static_cast<T>(lane.factor.value);
            T along{};
            for (std::size_t k = 0; k < n_density; ++k) {
                along += densities[i][k] * lane.scaled[k];
                densities[i][k] *= value;
            }
            for (std::int32_t g = 0; g < n_groups; ++g)
                densities[i][g * shape.n_pad] += static_cast<T>(lane.factor.slope) / value * along;
        }
        for (auto& numbers : work.gradient)
            grow(numbers, lane.found.n + ace_slack);
        double* const gradient[3] = {work.gradient[0].data(), work.gradient[1].data(), work.gradient[2].data()};
        kernels.backward(shape, lane.around.view(n_groups), work.scratch.data(), densities[i], gradient);
        energies[atoms[i]] = static_cast<double>(values[i]);
        part.add(atoms[i], pairs.atom_of_image(), lane.found, {gradient[0], gradient[1], gradient[2]});
    }
}

template class AceEnergyForm<double>;
template class AceEnergyForm<float>;
template class AcePotential<double>;
template class AcePotential<float>;

} // namespace atomprint
