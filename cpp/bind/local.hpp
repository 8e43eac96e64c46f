// The functions of a local calculator, which are the same for all: see local/local.hpp.
#pragma once

#include <nanobind/stl/vector.h>

#include "bind/arrays.hpp"

#include "local/local.hpp"

namespace atomprint::bind {

inline nb::tuple to_numpy(PairList&& list, std::size_t n_centres) {
    const std::size_t n = list.centre.size(), n_kinds = list.kind_offsets.size() - 1;
    return nb::make_tuple(to_numpy(std::move(list.kind_offsets), {n_kinds + 1}), to_numpy(std::move(list.centre), {n}),
                          to_numpy(std::move(list.atom), {n}), to_numpy(std::move(list.shift), {n, 3}),
                          to_numpy(std::move(list.vector), {n, 3}),
                          to_numpy(std::move(list.first), {n_centres, n_kinds}));
}

// All numbers of [first, last) runs.
inline nb::object to_numpy(const std::vector<FeatureRun>& runs) {
    std::vector<std::int64_t> numbers;
    for (const auto& [begin, end] : runs)
        for (std::size_t f = begin; f < end; ++f)
            numbers.push_back(static_cast<std::int64_t>(f));
    const std::size_t n = numbers.size();
    return to_numpy(std::move(numbers), {n});
}

// All but MBTR have centres.
template <class Calculator>
bool has_centres(const Calculator& self) {
    if constexpr (requires { self.local(); })
        return self.local();
    return true;
}

// Rows are centres, or structures where there are averages or weights.
template <class Calculator>
Shape shape_of(const Calculator& self, const BatchArrays& batch, const CentreArrays& centres) {
    const bool weights(centres.weights), averages = self.averages();
    require(!(averages && weights), "averages have no rows of centres");
    return {batch, averages || weights ? batch.n_structures : centres.size(),
            self.n_features() * (weights ? centres.weights.n_rows : 1), !averages && !weights};
}

template <class Calculator>
void define_local(nb::class_<Calculator>& calculator) {
    using T = typename Calculator::Real;
    calculator.def_prop_ro("n_features", &Calculator::n_features)
        .def(
            "compute",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, const Rows<T>& out,
               int n_threads) {
                require(shape_of(self, batch, centres).fits(out), "out must have shape (n_rows, n_features)");
                const Centres& places = centres.of(batch, has_centres(self));
                nb::gil_scoped_release release;
                self.compute(batch, places, n_threads, out.data());
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write the features of all centres or structures to `out`.")
        .def(
            "compute",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, ZeroArray<T>& out,
               int n_threads) {
                require(shape_of(self, batch, centres).fits(out.array), "out must have shape (n_rows, n_features)");
                const Centres& places = centres.of(batch, has_centres(self));
                nb::gil_scoped_release release;
                self.compute(batch, places, n_threads, &out.rows);
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write the features of all centres or structures that are not zero to an array of zeros.")
        .def(
            "compute",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, SparseRows<T>& out,
               int n_threads) {
                const Shape shape = shape_of(self, batch, centres);
                require(shape.fits(out), "out must have as many features");
                const Centres& places = centres.of(batch, has_centres(self));
                nb::gil_scoped_release release;
                out.begin(shape.rows);
                self.compute(batch, places, n_threads, &out);
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Add the features of all centres or structures to a sparse matrix.")
        .def(
            "vjp",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, bool attach,
               const In<T>& cotangents, const AtomGradient& gradient, const StrainGradient& strain,
               const std::optional<Rows<T>>& features, int n_threads) {
                const Shape shape = shape_of(self, batch, centres);
                const std::size_t n = shape.check_contracted(cotangents, gradient, strain, features);
                const Centres& places = centres.of(batch, has_centres(self));
                CotangentRows<T> rows{n, {}};
                for (std::size_t j = 0; j < n; ++j)
                    for (std::size_t s = 0; s < batch.n_structures; ++s)
                        rows.first.push_back(cotangents.data() +
                                             (j * shape.rows + shape.first_of(s, places)) * shape.columns);
                nb::gil_scoped_release release;
                self.vjp(batch, places, attach, n_threads, rows, gradient.data(), data_of(strain), data_of(features));
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("attach"), nb::arg("cotangents"),
            nb::arg("gradient").noconvert(), nb::arg("strain").noconvert().none(),
            nb::arg("features").noconvert().none(), nb::arg("n_threads"),
            "Write the derivatives of cotangents * features by positions and strain; several have an axis before.")
        .def(
            "vjp",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, bool attach,
               const std::vector<In<T>>& cotangents, const AtomGradient& gradient, const StrainGradient& strain,
               const std::optional<Rows<T>>& features, int n_threads) {
                const Shape shape = shape_of(self, batch, centres);
                require(shape.fits(features) && cotangents.size() == batch.n_structures,
                        "cotangents must be one array for each structure, and features (n_rows, n_features)");
                shape.check_gradient({}, gradient, strain);
                const Centres& places = centres.of(batch, has_centres(self));
                CotangentRows<T> rows{1, {}};
                for (std::size_t s = 0; s < batch.n_structures; ++s) {
                    require(cotangents[s].size() ==
                                (shape.first_of(s + 1, places) - shape.first_of(s, places)) * shape.columns,
                            "cotangents of a structure must have shape (n_rows, n_features)");
                    rows.first.push_back(cotangents[s].data());
                }
                nb::gil_scoped_release release;
                self.vjp(batch, places, attach, n_threads, rows, gradient.data(), data_of(strain), data_of(features));
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("attach"), nb::arg("cotangents").noconvert(),
            nb::arg("gradient").noconvert(), nb::arg("strain").noconvert().none(),
            nb::arg("features").noconvert().none(), nb::arg("n_threads"),
            "The same, with an array of cotangents for each structure.")
        .def(
            "jacobian",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, bool attach,
               const Integers& slots, const Integers& row_offsets, const DenseGradient<T>& gradient,
               const DenseStrain<T>& strain, const std::optional<Rows<T>>& features, int n_threads) {
                shape_of(self, batch, centres).check_dense(slots, row_offsets, gradient, strain, features);
                const Centres& places = centres.of(batch, has_centres(self));
                nb::gil_scoped_release release;
                self.jacobian(
                    batch, places, attach, n_threads,
                    {slots.data(), row_offsets.data(), data_of(gradient), data_of(strain), data_of(features)});
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("attach"), nb::arg("slots"), nb::arg("row_offsets"),
            nb::arg("gradient").noconvert().none(), nb::arg("strain").noconvert().none(),
            nb::arg("features").noconvert().none(), nb::arg("n_threads"),
            "Write the derivatives of each feature into zeroed arrays.")
        .def(
            "pairs",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres, int n_threads) {
                const Centres& places = centres.of(batch, has_centres(self));
                PairList list;
                {
                    nb::gil_scoped_release release;
                    list = self.pairs(batch, places, n_threads);
                }
                return to_numpy(std::move(list), centres.size());
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("n_threads"),
            "Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of "
            "each centre among those of a species).")
        .def(
            "touched",
            [](const Calculator& self, int species) {
                require(species >= 0 && species < self.species().size(), "species must be an index of a species");
                return to_numpy(self.touched(species));
            },
            nb::arg("species"), "Features that depend on the atoms of a species.")
        .def(
            "pair_jacobian",
            [](const Calculator& self, const BatchArrays& batch, const CentreArrays& centres,
               const In<std::int64_t, nb::ndim<2>>& first, const Integers& to, const Out<T, nb::ndim<1>>& values,
               int n_threads) {
                require(first.shape(0) == centres.size() &&
                            first.shape(1) == static_cast<std::size_t>(self.species().size()),
                        "first must have shape (n_centres, n_species)");
                const Centres& places = centres.of(batch, has_centres(self));
                nb::gil_scoped_release release;
                self.pair_jacobian(batch, places, n_threads, {first.data(), to.data(), values.data()});
            },
            nb::arg("batch"), nb::arg("centers"), nb::arg("first"), nb::arg("to"), nb::arg("values").noconvert(),
            nb::arg("n_threads"),
            "Write the derivatives of the features by the vectors of `pairs`, those of pair p from values[to[p]] on "
            "unless that is -1; `first` counts among all pairs.");
}

} // namespace atomprint::bind
