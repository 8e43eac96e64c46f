// What an atomic cluster expansion is made of, checked, and in the form of the kernels for a type of numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/aligned.hpp"
#include "core/dispatch.hpp"
#include "core/species.hpp"
#include "kernels/ace.hpp"

namespace atomprint {

ATOMPRINT_KERNELS(AceTables, ace_kernels)

template <class T>
const AceKernels<T>& ace_kernels() {
    return ace_kernels_in_use().template of<T>();
}

// As it is given, row by row. Products count in A; functions in X = [1, A, D].
struct AceArrays {
    std::vector<std::int32_t> species; // atomic numbers
    double cutoff;                     // Å
    std::int32_t n_max, l_max;
    std::int32_t n_tables, n_cells, n_channels;
    std::vector<double> tables; // (n_tables, n_cells, radial_powers, n_max), cells of equal length up to the cutoff
    std::vector<std::int32_t>
        table_of;                 // (n_species + 1, n_species), by the kinds of the centre, or none, and neighbour
    std::vector<double> channels; // (n_channels, n_species)
    std::vector<std::int32_t> product_first, product_a, product_b, function_first, function_p, function_q;
    std::vector<double> product_c, function_c;
};

// Throws std::invalid_argument if arrays do not fit together.
class AceBasis {
public:
    explicit AceBasis(AceArrays arrays);

    const AceArrays& arrays() const { return arrays_; }
    const Species& species() const { return species_; }
    std::int32_t n_lm() const { return (arrays_.l_max + 1) * (arrays_.l_max + 1); }
    std::int32_t n_a() const { return arrays_.n_channels * arrays_.n_max * n_lm(); }
    std::int32_t n_products() const { return static_cast<std::int32_t>(arrays_.product_first.size()) - 1; }
    std::int32_t n_functions() const { return static_cast<std::int32_t>(arrays_.function_first.size()) - 1; }
    // How many A the terms of a function are products of, at most.
    std::int32_t order_of(std::int32_t function) const;
    // The channels whose A a function is made of, and those without any of which it is zero.
    struct Channels {
        std::vector<std::int32_t> all, needed;
        bool operator==(const Channels&) const = default;
    };
    Channels channels_of(std::int32_t function) const;
    bool has(std::int32_t channel, std::int32_t kind) const {
        return arrays_.channels[static_cast<std::size_t>(channel) * species_.size() + kind] != 0.0;
    }

private:
    AceArrays arrays_;
    Species species_;
};

// How the groups of a structure, some kinds, go into channels and back.
template <class T>
class AceGroups {
public:
    // Makes them those of these kinds, unless they are.
    void set(const AceBasis& basis, std::span<const std::int32_t> kinds);

    const std::vector<std::int32_t>& kinds() const { return kinds_; }
    std::int32_t size() const { return static_cast<std::int32_t>(kinds_.size()); }
    AceMixing<T> channels() const { return forward_.view(); }
    AceMixing<T> groups() const { return backward_.view(); }

private:
    struct Sparse {
        std::vector<std::int32_t> first{0}, input;
        std::vector<T> weight;
        AceMixing<T> view() const {
            return {static_cast<std::int32_t>(first.size()) - 1, first.data(), input.data(), weight.data()};
        }
    };
    std::vector<std::int32_t> kinds_;
    Sparse forward_, backward_;
};

// Views point into it.
template <class T>
class AceModel {
public:
    explicit AceModel(const AceBasis& basis);
    AceModel(const AceModel&) = delete;
    AceModel& operator=(const AceModel&) = delete;

    const AceShape<T>& shape() const { return shape_; }
    const AceProgram<T>& program() const { return program_; }
    // Of the radial functions for a neighbour of a kind; the centre may have none, -1.
    const T* table(std::int32_t centre, std::int32_t kind) const {
        const std::int32_t row = centre < 0 ? n_species_ : centre;
        return tables_.data() + table_size_ * static_cast<std::size_t>(table_of_[row * n_species_ + kind]);
    }

private:
    std::int32_t n_species_;
    std::size_t table_size_;
    std::vector<std::int32_t> table_of_, product_first_, function_first_;
    AlignedVector<T> tables_;
    std::vector<double> recursion_;
    std::vector<T> harmonics_gradient_;
    std::vector<AceTerm<T>> products_, functions_;
    AceShape<T> shape_;
    AceProgram<T> program_;
};

// The derivatives of all functions by A.
template <class T>
class AceGradients {
public:
    explicit AceGradients(const AceBasis& basis);

    AceGradientList<T> list() const {
        return {static_cast<std::int32_t>(first_.size()) - 1,
                static_cast<std::int32_t>(index_.size()),
                first_.data(),
                index_.data(),
                term_first_.data(),
                terms_.data()};
    }

private:
    std::vector<std::int32_t> first_, index_, term_first_;
    std::vector<AceTerm<T>> terms_;
};

} // namespace atomprint
