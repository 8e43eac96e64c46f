// The functions of a local calculator, which are the same for all: see local/local.hpp.
#pragma once

#include "bind/arrays.hpp"

#include "local/local.hpp"

namespace atomprint::bind {

inline nb::tuple to_numpy(PairList&& list, std::size_t n_centres) {
    const std::size_t n = list.centre.size(), n_kinds = list.kind_offsets.size() - 1;
    return nb::make_tuple(to_numpy(std::move(list.kind_offsets), {n_kinds + 1}),
                          to_numpy(std::move(list.centre), {n}), to_numpy(std::move(list.atom), {n}),
                          to_numpy(std::move(list.shift), {n, 3}), to_numpy(std::move(list.vector), {n, 3}),
                          to_numpy(std::move(list.first), {n_centres, n_kinds}));
}

// All numbers of [first, last) runs.
inline nb::object to_numpy(const std::vector<std::array<std::size_t, 2>>& runs) {
    std::vector<std::int64_t> numbers;
    for (const auto& [begin, end] : runs)
        for (std::size_t f = begin; f < end; ++f)
            numbers.push_back(static_cast<std::int64_t>(f));
    const std::size_t n = numbers.size();
    return to_numpy(std::move(numbers), {n});
}

// Rows of the features, and numbers in a row: of centres, or of structures where there are averages or
// weights.
struct Shape {
    std::size_t rows, columns;

    Shape(const BatchArrays& batch, const CentreArrays& centres, bool averages, std::size_t n_features)
        : rows(averages || centres.weights ? batch.n_structures : centres.size()),
          columns(n_features * (centres.weights ? centres.weights.n_rows : 1)) {
        require(!(averages && centres.weights), "averages have no rows of centres");
    }
    template <class Array>
    bool fits(const Array& array) const {
        return array.shape(0) == rows && array.shape(array.ndim() - 1) == columns;
    }
};

// The list of pairs, and the features that a species touches.
template <class Calculator>
void define_pairs(nb::class_<Calculator>& calculator) {
    calculator
        .def(
            "pairs",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, int n_threads) {
                const Centres& places = centres.of(batch);
                PairList list;
                {
                    nb::gil_scoped_release release;
                    list = self.pairs(batch, places, n_threads);
                }
                return to_numpy(std::move(list), centres.size());
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("n_threads"),
            "Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first "
            "pair of each centre among those of a species).")
        .def(
            "touched",
            [](const Calculator& self, int species) {
                require(species >= 0 && species < self.species().size(),
                        "species must be an index of a species");
                return to_numpy(self.touched(species));
            },
            nb::arg("species"), "Features that depend on the atoms of a species.");
}

template <class T, class Calculator>
void define_pair_jacobian(nb::class_<Calculator>& calculator) {
    calculator.def(
        "pair_jacobian",
        [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres,
           const In<std::int64_t, nb::ndim<2>>& first, const Integers& value_offsets,
           const Out<T, nb::ndim<1>>& values, int n_threads) {
            require(first.shape(0) == centres.size() &&
                        first.shape(1) == static_cast<std::size_t>(self.species().size()) &&
                        value_offsets.shape(0) == first.shape(1) + 1 &&
                        static_cast<std::size_t>(value_offsets.data()[first.shape(1)]) == values.shape(0),
                    "first must have shape (n_centres, n_species) and value_offsets end where values do");
            const Centres& places = centres.of(batch);
            nb::gil_scoped_release release;
            self.pair_jacobian(batch, places, n_threads, first.data(), value_offsets.data(), values.data());
        },
        nb::arg("batch"), nb::arg("centers"), nb::arg("first"), nb::arg("value_offsets"),
        nb::arg("values").noconvert(), nb::arg("n_threads"),
        "Write the derivatives of the features by the vectors of `pairs`.");
}

template <class Calculator>
void define_local(nb::class_<Calculator>& calculator) {
    using T = typename Calculator::Real;
    calculator.def_prop_ro("n_features", &Calculator::n_features)
        .def(
            "compute",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres,
               const Rows<T>& out, int n_threads) {
                require(Shape(batch, centres, self.averages(), self.n_features()).fits(out),
                        "out must have shape (n_rows, n_features)");
                const Centres& places = centres.of(batch);
                nb::gil_scoped_release release;
                self.compute(batch, places, n_threads, out.data());
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write the features of all centres or structures to `out`.")
        .def(
            "vjp",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, bool attach,
               const In<T, nb::ndim<2>>& cotangents, const AtomGradient& gradient,
               const StrainGradient& strain, const std::optional<Rows<T>>& features, int n_threads) {
                const Shape shape(batch, centres, self.averages(), self.n_features());
                require(shape.fits(cotangents) && (!features || shape.fits(*features)),
                        "cotangents and features must have shape (n_rows, n_features)");
                require(gradient.shape(0) == batch.n_atoms() &&
                            (!strain || strain->shape(0) == batch.n_structures),
                        "gradient must have shape (n_atoms, 3) and strain (n_structures, 3, 3)");
                const Centres& places = centres.of(batch);
                nb::gil_scoped_release release;
                self.vjp(batch, places, attach, n_threads, cotangents.data(), gradient.data(),
                         data_of(strain), data_of(features));
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("attach"), nb::arg("cotangents"),
            nb::arg("gradient").noconvert(), nb::arg("strain").noconvert().none(),
            nb::arg("features").noconvert().none(), nb::arg("n_threads"),
            "Write the derivatives of cotangents * features by positions and strain.");
    define_pairs(calculator);
    define_pair_jacobian<T>(calculator);
    calculator.def(
        "jacobian",
        [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, bool attach,
           const Integers& slots, const Integers& row_offsets,
           const std::optional<Out<T, nb::shape<-1, 3, -1>>>& gradient,
           const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain,
           const std::optional<Rows<T>>& features, int n_threads) {
            const Shape shape(batch, centres, self.averages(), self.n_features());
            require(slots.shape(0) == batch.n_atoms() && row_offsets.shape(0) == batch.n_structures + 1,
                    "slots must have one entry for each atom and row_offsets one more than structures");
            require(!gradient || (static_cast<std::int64_t>(gradient->shape(0)) ==
                                      row_offsets.data()[batch.n_structures] &&
                                  gradient->shape(2) == shape.columns),
                    "gradient must have shape (n_out, 3, n_features)");
            require(!strain || shape.fits(*strain), "strain must have shape (n_rows, 3, 3, n_features)");
            require(!features || shape.fits(*features), "features must have shape (n_rows, n_features)");
            const Centres& places = centres.of(batch);
            nb::gil_scoped_release release;
            self.jacobian(
                batch, places, attach, n_threads,
                {slots.data(), row_offsets.data(), data_of(gradient), data_of(strain), data_of(features)});
        },
        nb::arg("batch"), nb::arg("centers"), nb::arg("attach"), nb::arg("slots"), nb::arg("row_offsets"),
        nb::arg("gradient").noconvert().none(), nb::arg("strain").noconvert().none(),
        nb::arg("features").noconvert().none(), nb::arg("n_threads"),
        "Write the derivatives of each feature into zeroed arrays.");
}

} // namespace atomprint::bind
