// What all bindings share: arrays, structures and centres as objects of Python, and the list of families.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/batch.hpp"
#include "core/centres.hpp"
#include "core/sparse.hpp"

namespace nb = nanobind;

namespace atomprint::bind {

// An array of which each number starts where the processor wants it; another is taken for one of the wrong type.
template <class... Config>
struct Aligned : nb::ndarray<Config...> {
    using nb::ndarray<Config...>::ndarray;
    Aligned() = default;
    explicit Aligned(nb::ndarray<Config...>&& array) : nb::ndarray<Config...>(std::move(array)) {}
};

template <class T, class... Shape>
using In = Aligned<const T, nb::c_contig, nb::device::cpu, Shape...>;
template <class T, class... Shape>
using Out = Aligned<T, nb::c_contig, nb::device::cpu, Shape...>;

using Positions = In<double, nb::shape<-1, 3>>;
using Integers = In<std::int64_t, nb::ndim<1>>;
template <class T>
using Rows = Out<T, nb::ndim<2>>; // (n_rows, n_features)
// The same, of a wider array.
using StridedRows = Aligned<double, nb::ndim<2>, nb::device::cpu>;
inline bool fit_rows(const StridedRows& out, std::size_t rows, std::size_t columns) {
    return out.shape(0) == rows && out.shape(1) == columns && (rows == 0 || out.stride(1) == 1 || columns <= 1) &&
           (rows < 2 || out.stride(0) >= static_cast<std::int64_t>(columns));
}
// Of one cotangent, or with an axis before for several.
using AtomGradient = Out<double>;                  // (n_atoms, 3)
using StrainGradient = std::optional<Out<double>>; // (n_structures, 3, 3)

inline void require(bool condition, const char* message) {
    if (!condition)
        throw std::invalid_argument(message);
}

// The numbers of an array, or null where there is none.
template <class Array>
auto data_of(const std::optional<Array>& array) {
    return array ? array->data() : nullptr;
}

// A copy of them; of none where there is no array.
template <class Array>
auto values_of(const Array& array) {
    return std::vector(array.data(), array.data() + array.size());
}
template <class Array>
auto values_of(const std::optional<Array>& array) {
    return array ? values_of(*array) : decltype(values_of(*array)){};
}

template <class T>
nb::object to_numpy(std::vector<T>&& values, std::initializer_list<std::size_t> shape) {
    auto* owned = new std::vector<T>(std::move(values));
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape, owner));
}

template <class T>
nb::object to_numpy(std::unique_ptr<T[]>&& values, std::initializer_list<std::size_t> shape) {
    nb::capsule owner(values.get(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(values.release(), shape, owner));
}

// An array of zeros, of which only what is not zero is to be written.
template <class T>
struct ZeroArray {
    explicit ZeroArray(Rows<T> zeros) : array(std::move(zeros)), rows{array.data()} {}

    Rows<T> array;
    ZeroRows<T> rows;
};

// Structures, checked once, with the arrays that hold them.
class BatchArrays : public Batch {
public:
    using Numbers = In<std::int32_t, nb::ndim<1>>;
    using Cells = In<double, nb::shape<-1, 3, 3>>;
    using Pbc = In<bool, nb::shape<-1, 3>>;

    BatchArrays(Positions positions, Numbers numbers, Integers offsets, Cells cells, Pbc pbc);

    std::size_t n_atoms() const { return numbers_.shape(0); }

private:
    Positions positions_;
    Numbers numbers_;
    Integers offsets_;
    Cells cells_;
    Pbc pbc_;
};

// Weights of centres, with the arrays that hold them.
class RowWeightArrays : public RowWeights {
public:
    RowWeightArrays(Integers offsets, Integers rows, In<double, nb::ndim<1>> values, std::size_t n_rows);

    std::size_t n_centres() const { return offsets_.shape(0) - 1; }

private:
    Integers offsets_, rows_;
    In<double, nb::ndim<1>> values_;
};

// Centres of the structures of a batch, with the arrays that hold them.
class CentreArrays : public Centres {
public:
    CentreArrays(Positions points, Integers atoms, Integers offsets, std::optional<RowWeightArrays> weights);

    std::size_t size() const { return points_.shape(0); }
    // Centres in the numbers of the structures of this batch, or std::invalid_argument.
    const Centres& of(const BatchArrays& batch, bool given = true) const {
        require(offsets_.shape(0) == batch.n_structures + 1 || !given, "centres must have offsets for each structure");
        for (std::size_t s = 0; given && s < batch.n_structures; ++s)
            for (auto c = Centres::offsets[s]; c < Centres::offsets[s + 1]; ++c)
                require(atoms[c] < batch.offsets[s + 1] - batch.offsets[s],
                        "the atom of a centre must be one of its structure");
        return *this;
    }

private:
    Positions points_;
    Integers atoms_, offsets_;
    std::optional<RowWeightArrays> weights_;
};

// From memory that the array then owns.
template <class T>
nb::object to_numpy(Growing<T>& values) {
    const std::size_t n = values.size();
    T* const owned = values.release();
    nb::capsule owner(owned, [](void* p) noexcept { std::free(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(owned, {n}, owner));
}

template <class T>
using DenseGradient = std::optional<Out<T, nb::shape<-1, 3, -1>>>; // (n_out, 3, n_features)
template <class T>
using DenseStrain = std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>; // (n_rows, 3, 3, n_features)

// What the results of a call have to look like.
struct Shape {
    const BatchArrays& batch;
    std::size_t rows, columns;
    bool of_centres = false; // of which a structure may have none

    template <class Array>
    bool fits(const Array& array) const {
        return array.shape(0) == rows && array.shape(array.ndim() - 1) == columns;
    }
    template <class Array>
    bool fits(const std::optional<Array>& array) const {
        return !array || fits(*array);
    }

    template <class T>
    bool fits(const SparseRows<T>& out) const {
        return out.n_features() == columns;
    }

    // The number of cotangents: an axis before those of cotangents and their derivatives, if there are several.
    template <class Cotangents, class Features>
    std::size_t check_contracted(const Cotangents& cotangents, const AtomGradient& gradient,
                                 const StrainGradient& strain, const Features& features) const {
        std::vector<std::size_t> lead;
        if (cotangents.ndim() == 3)
            lead.push_back(cotangents.shape(0));
        require(lead.empty() || lead[0] > 0, "cotangents must be at least one");
        require(has(cotangents, lead, {rows, columns}) && fits(features),
                "cotangents and features must have shape (n_rows, n_features)");
        check_gradient(lead, gradient, strain);
        return lead.empty() ? 1 : lead[0];
    }

    // Their derivatives, with these axes before.
    void check_gradient(const std::vector<std::size_t>& lead, const AtomGradient& gradient,
                        const StrainGradient& strain) const {
        require(has(gradient, lead, {batch.n_atoms(), 3}) &&
                    (!strain || has(*strain, lead, {batch.n_structures, 3, 3})),
                "gradient must have shape (n_atoms, 3) and strain (n_structures, 3, 3)");
    }

    // The first row of a structure.
    std::size_t first_of(std::size_t structure, const Centres& centres) const {
        return of_centres ? static_cast<std::size_t>(centres.offsets[structure]) : structure;
    }

    template <class Array>
    static bool has(const Array& array, const std::vector<std::size_t>& lead, std::vector<std::size_t> tail) {
        tail.insert(tail.begin(), lead.begin(), lead.end());
        return std::equal(tail.begin(), tail.end(), array.shape_ptr(), array.shape_ptr() + array.ndim());
    }

    template <class Gradient, class Strain, class Features>
    void check_dense(const Integers& slots, const Integers& row_offsets, const Gradient& gradient, const Strain& strain,
                     const Features& features) const {
        require(slots.shape(0) == batch.n_atoms() && row_offsets.shape(0) == batch.n_structures + 1,
                "slots must have one entry for each atom and row_offsets one more than structures");
        require(fits(strain) && fits(features) && (!gradient || gradient->shape(2) == columns),
                "features, gradient and strain must have shapes (n_rows, n_features), (n_out, 3, n_features) and "
                "(n_rows, 3, 3, n_features)");
        for (std::size_t s = 0; gradient && s < batch.n_structures; ++s) {
            const std::int64_t first = row_offsets.data()[s], end = row_offsets.data()[s + 1];
            require(0 <= first && first <= end && end <= static_cast<std::int64_t>(gradient->shape(0)),
                    "row_offsets must have no smaller number after a larger, nor rows that gradient lacks");
            for (auto i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i)
                require(slots.data()[i] < end - first || (of_centres && first == end),
                        "slots must have numbers within the rows of the structure");
        }
    }
};

// A file that binds a family of functions has one of these; the module defines what they name.
class Family {
public:
    Family(const char* name, void (*define)(nb::module_&)) : name(name), define(define) { all().push_back(this); }
    static std::vector<const Family*>& all() {
        static std::vector<const Family*> families;
        return families;
    }

    const char* name;
    void (*define)(nb::module_&);
};

} // namespace atomprint::bind

template <class... Config>
struct nanobind::detail::type_caster<atomprint::bind::Aligned<Config...>> {
    using Any = ndarray<Config...>;
    NB_TYPE_CASTER(atomprint::bind::Aligned<Config...>, make_caster<Any>::Name)

    bool from_python(handle src, std::uint32_t flags, cleanup_list* cleanup) noexcept {
        make_caster<Any> any;
        if (!any.from_python(src, flags, cleanup))
            return false;
        value = Value(std::move(any.value));
        constexpr auto alignment = alignof(typename Any::Scalar);
        return value.size() == 0 || reinterpret_cast<std::uintptr_t>(value.data()) % alignment == 0;
    }
    static handle from_cpp(const atomprint::bind::Aligned<Config...>& array, rv_policy policy,
                           cleanup_list* cleanup) noexcept {
        return make_caster<Any>::from_cpp(array, policy, cleanup);
    }
};
