// The only file that knows Python: check shapes, release the interpreter lock, call.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <tuple>

#include "bind/ase_atoms.hpp"
#include "core/batch.hpp"
#include "core/checks.hpp"
#include "core/dispatch.hpp"
#include "core/scatter.hpp"
#include "local/acsf.hpp"
#include "local/mbtr.hpp"
#include "local/soap.hpp"
#include "matrices/matrices.hpp"
#include "matrices/matrix_gradients.hpp"
#include "similarity/structure_kernels.hpp"

namespace nb = nanobind;
using namespace atomprint;

namespace {

template <class T, class... Shape>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu, Shape...>;
template <class T, class... Shape>
using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu, Shape...>;

using Positions = In<double, nb::shape<-1, 3>>;
using Numbers = In<std::int32_t, nb::ndim<1>>;
using Offsets = In<std::int64_t, nb::ndim<1>>;
using Cells = In<double, nb::shape<-1, 3, 3>>;
using Pbc = In<bool, nb::shape<-1, 3>>;

void require(bool condition, const char* message) {
    if (!condition)
        throw std::invalid_argument(message);
}

Batch make_batch(const Positions& positions, const Numbers& numbers, const Offsets& offsets,
                 const Cells& cells, const Pbc& pbc) {
    require(offsets.shape(0) >= 1, "offsets must not be empty");
    const std::size_t n = offsets.shape(0) - 1;
    require(cells.shape(0) == n && pbc.shape(0) == n, "cells and pbc must have one entry for each structure");
    require(positions.shape(0) == numbers.shape(0), "positions and numbers must have one row for each atom");
    require(offsets.data()[0] == 0 && offsets.data()[n] == static_cast<std::int64_t>(numbers.shape(0)),
            "offsets must run from 0 to the number of atoms");
    for (std::size_t s = 0; s < n; ++s)
        require(offsets.data()[s] <= offsets.data()[s + 1], "offsets must not decrease");
    return {positions.data(),
            numbers.data(),
            offsets.data(),
            cells.data(),
            reinterpret_cast<const std::uint8_t*>(pbc.data()),
            n};
}

template <class T>
nb::object to_numpy(std::vector<T>&& values, std::initializer_list<std::size_t> shape) {
    auto* owned = new std::vector<T>(std::move(values));
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape, owner));
}

Centres make_centres(const Batch& batch, const Numbers& species, const Positions& points,
                     const Offsets& atoms, const Offsets& offsets) {
    require(static_cast<std::int64_t>(species.shape(0)) == batch.offsets[batch.n_structures],
            "species must have one entry for each atom");
    require(offsets.shape(0) == batch.n_structures + 1 && atoms.shape(0) == points.shape(0) &&
                offsets.data()[batch.n_structures] == static_cast<std::int64_t>(points.shape(0)),
            "centres must have offsets for each structure");
    return {points.data(), atoms.data(), offsets.data()};
}

nb::object pair_list_to_numpy(PairList&& list, std::size_t n_centres) {
    const std::size_t n = list.centre.size(), n_kinds = list.kind_offsets.size() - 1;
    return nb::make_tuple(to_numpy(std::move(list.kind_offsets), {n_kinds + 1}),
                          to_numpy(std::move(list.centre), {n}), to_numpy(std::move(list.atom), {n}),
                          to_numpy(std::move(list.shift), {n, 3}), to_numpy(std::move(list.vector), {n, 3}),
                          to_numpy(std::move(list.first), {n_centres, n_kinds}));
}
constexpr const char* pairs_description =
    "Pairs sorted by species and centre: (start of each species, centre, atom, shift, vector, first pair of "
    "each centre among those of a species).";

// All numbers of [first, last) runs.
nb::object runs_to_numpy(const std::vector<std::array<std::size_t, 2>>& runs) {
    std::vector<std::int64_t> numbers;
    for (const auto& [begin, end] : runs)
        for (std::size_t f = begin; f < end; ++f)
            numbers.push_back(static_cast<std::int64_t>(f));
    const std::size_t n = numbers.size();
    return to_numpy(std::move(numbers), {n});
}

// What local calculators have in common: the list of pairs, and the features that a species touches.
template <class Calculator>
void define_pairs(nb::class_<Calculator>& calculator) {
    calculator
        .def(
            "pairs",
            [](const Calculator& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, int n_threads) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                PairList list;
                {
                    nb::gil_scoped_release release;
                    list = self.pairs(batch, species.data(), centres, n_threads);
                }
                return pair_list_to_numpy(std::move(list), points.shape(0));
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("n_threads"), pairs_description)
        .def(
            "touched",
            [](const Calculator& self, int species) {
                require(species >= 0 && species < self.n_species(), "species must be an index of a species");
                return runs_to_numpy(self.touched(species));
            },
            nb::arg("species"), "Features that depend on the atoms of a species.");
}

template <class T, class Calculator>
void define_pair_jacobian(nb::class_<Calculator>& calculator) {
    calculator.def(
        "pair_jacobian",
        [](const Calculator& self, const Positions& positions, const Numbers& numbers, const Offsets& offsets,
           const Cells& cells, const Pbc& pbc, const Numbers& species, const Positions& points,
           const Offsets& atoms, const Offsets& centre_offsets, int n_threads,
           const In<std::int64_t, nb::ndim<2>>& first, const Offsets& value_offsets,
           const Out<T, nb::ndim<1>>& values) {
            const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
            const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
            require(first.shape(0) == points.shape(0) &&
                        first.shape(1) == static_cast<std::size_t>(self.n_species()) &&
                        value_offsets.shape(0) == first.shape(1) + 1 &&
                        static_cast<std::size_t>(value_offsets.data()[first.shape(1)]) == values.shape(0),
                    "first must have shape (n_centres, n_species) and value_offsets end where values do");
            nb::gil_scoped_release release;
            self.pair_jacobian(batch, species.data(), centres, n_threads, first.data(), value_offsets.data(),
                               values.data());
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
        nb::arg("n_threads"), nb::arg("first"), nb::arg("value_offsets"), nb::arg("values").noconvert(),
        "Write the derivatives of the features by the vectors of `pairs`.");
}

template <class T>
void bind_soap(nb::module_& m, const char* name) {
    auto calculator = nb::class_<Soap<T>>(m, name, "Immutable SOAP calculator for one set of parameters.");
    define_pairs(calculator);
    calculator
        .def(
            "__init__",
            [](Soap<T>* self, int n_max, int l_max, double cutoff, const In<double, nb::ndim<4>>& table,
               const In<double, nb::ndim<3>>& short_table, const In<double, nb::ndim<4>>& zone_basis,
               const In<std::int32_t, nb::ndim<1>>& zone_of_cell,
               const In<double, nb::ndim<1>>& species_weights, const In<double, nb::ndim<2>>& embedding,
               int n_channels, int products, int weighting, double c, double d, double power, double r0,
               double own, double fade_from, double fade_to) {
                require(table.shape(1) == radial_powers &&
                            table.shape(2) == static_cast<std::size_t>(l_max) + 1 &&
                            table.shape(3) == static_cast<std::size_t>(n_max),
                        "table must have shape (n_cells, 6, l_max + 1, n_max)");
                require(short_table.shape(0) == table.shape(0) && short_table.shape(1) == radial_powers &&
                            short_table.shape(2) == zone_rank && zone_of_cell.shape(0) == table.shape(0),
                        "short_table must have shape (n_cells, 6, 8) and zone_of_cell (n_cells,)");
                require(zone_basis.shape(0) == table.shape(2) && zone_basis.shape(2) == zone_rank &&
                            zone_basis.shape(3) == table.shape(3),
                        "zone_basis must have shape (l_max + 1, n_zones, 8, n_max)");
                for (std::size_t k = 0; k < zone_of_cell.size(); ++k)
                    require(zone_of_cell.data()[k] >= -1 &&
                                zone_of_cell.data()[k] < static_cast<std::int32_t>(zone_basis.shape(1)),
                            "zone_of_cell must name zones");
                SoapParameters p;
                p.n_max = n_max, p.l_max = l_max, p.cutoff = cutoff, p.n_channels = n_channels;
                p.n_species = static_cast<std::int32_t>(species_weights.shape(0));
                p.products = static_cast<SoapParameters::Products>(products);
                p.weighting = {
                    static_cast<Weighting::Kind>(weighting), c, d, power, r0, own, fade_from, fade_to};
                p.species_weights.assign(species_weights.data(),
                                         species_weights.data() + species_weights.size());
                p.embedding.assign(embedding.data(), embedding.data() + embedding.size());
                new (self)
                    Soap<T>(std::move(p), {table.data(), short_table.data(), zone_basis.data(),
                                           zone_of_cell.data(), static_cast<std::int32_t>(table.shape(0)),
                                           static_cast<std::int32_t>(zone_basis.shape(1))});
            },
            nb::arg("n_max"), nb::arg("l_max"), nb::arg("cutoff"), nb::arg("table"), nb::arg("short_table"),
            nb::arg("zone_basis"), nb::arg("zone_of_cell"), nb::arg("species_weights"), nb::arg("embedding"),
            nb::arg("n_channels"), nb::arg("products"), nb::arg("weighting"), nb::arg("c"), nb::arg("d"),
            nb::arg("power"), nb::arg("r0"), nb::arg("own"), nb::arg("fade_from"), nb::arg("fade_to"))
        .def_prop_ro("n_features", &Soap<T>::n_features)
        .def(
            "compute",
            [](const Soap<T>& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, int average,
               int n_threads, const Out<T, nb::ndim<2>>& out) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                const auto mode = static_cast<Average>(average);
                require(out.shape(0) == (mode == Average::off ? points.shape(0) : batch.n_structures) &&
                            out.shape(1) == self.n_features(),
                        "out must have shape (n_rows, n_features)");
                nb::gil_scoped_release release;
                self.compute(batch, species.data(), centres, mode, n_threads, out.data());
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("average"), nb::arg("n_threads"), nb::arg("out"),
            "Write the features of all centres or structures to `out`.")
        .def(
            "vjp",
            [](const Soap<T>& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, int average,
               bool attach, int n_threads, const In<T, nb::ndim<2>>& cotangents,
               const Out<double, nb::shape<-1, 3>>& gradient,
               const std::optional<Out<double, nb::shape<-1, 3, 3>>>& strain,
               const std::optional<Out<T, nb::ndim<2>>>& features) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                const auto mode = static_cast<Average>(average);
                const std::size_t n_rows = mode == Average::off ? points.shape(0) : batch.n_structures;
                require(cotangents.shape(0) == n_rows && cotangents.shape(1) == self.n_features() &&
                            (!features ||
                             (features->shape(0) == n_rows && features->shape(1) == self.n_features())),
                        "cotangents and features must have shape (n_rows, n_features)");
                require(gradient.shape(0) == numbers.shape(0) &&
                            (!strain || strain->shape(0) == batch.n_structures),
                        "gradient must have shape (n_atoms, 3) and strain (n_structures, 3, 3)");
                nb::gil_scoped_release release;
                self.vjp(batch, species.data(), centres, mode, attach, n_threads, cotangents.data(),
                         gradient.data(), strain ? strain->data() : nullptr,
                         features ? features->data() : nullptr);
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("average"), nb::arg("attach"), nb::arg("n_threads"), nb::arg("cotangents"),
            nb::arg("gradient"), nb::arg("strain").none(), nb::arg("features").none(),
            "Write the derivatives of cotangents * features with respect to positions and strain.")
        .def(
            "jacobian",
            [](const Soap<T>& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, int average,
               bool attach, int n_threads, const Offsets& slots, const Offsets& row_offsets,
               const std::optional<Out<T, nb::ndim<3>>>& gradient,
               const std::optional<Out<T, nb::ndim<4>>>& strain,
               const std::optional<Out<T, nb::ndim<2>>>& features) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                const auto mode = static_cast<Average>(average);
                const std::size_t n_rows = mode == Average::off ? points.shape(0) : batch.n_structures;
                const std::size_t n = self.n_features();
                require(slots.shape(0) == numbers.shape(0) && row_offsets.shape(0) == offsets.shape(0),
                        "slots must have one entry for each atom and row_offsets one more than structures");
                require(!gradient || (static_cast<std::int64_t>(gradient->shape(0)) ==
                                          row_offsets.data()[batch.n_structures] &&
                                      gradient->shape(1) == 3 && gradient->shape(2) == n),
                        "gradient must have shape (n_out, 3, n_features)");
                require(!strain || (strain->shape(0) == n_rows && strain->shape(1) == 3 &&
                                    strain->shape(2) == 3 && strain->shape(3) == n),
                        "strain must have shape (n_rows, 3, 3, n_features)");
                require(!features || (features->shape(0) == n_rows && features->shape(1) == n),
                        "features must have shape (n_rows, n_features)");
                nb::gil_scoped_release release;
                self.jacobian(batch, species.data(), centres, mode, attach, n_threads,
                              {slots.data(), row_offsets.data(), gradient ? gradient->data() : nullptr,
                               strain ? strain->data() : nullptr, features ? features->data() : nullptr});
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("average"), nb::arg("attach"), nb::arg("n_threads"), nb::arg("slots"),
            nb::arg("row_offsets"), nb::arg("gradient").none(), nb::arg("strain").none(),
            nb::arg("features").none(), "Write the derivatives of each feature into zeroed arrays.")
        .def(
            "pair_jacobian",
            [](const Soap<T>& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, int average,
               int n_threads, const In<std::int64_t, nb::ndim<2>>& first, const Offsets& value_offsets,
               const Out<T, nb::ndim<1>>& values) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                require(first.shape(0) == points.shape(0) &&
                            first.shape(1) == static_cast<std::size_t>(self.n_species()) &&
                            value_offsets.shape(0) == first.shape(1) + 1 &&
                            static_cast<std::size_t>(value_offsets.data()[first.shape(1)]) == values.shape(0),
                        "first must have shape (n_centres, n_species) and value_offsets end where values do");
                nb::gil_scoped_release release;
                self.pair_jacobian(batch, species.data(), centres, static_cast<Average>(average), n_threads,
                                   first.data(), value_offsets.data(), values.data());
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("average"), nb::arg("n_threads"), nb::arg("first"), nb::arg("value_offsets"),
            nb::arg("values"), "Write the derivatives with respect to the vectors of all pairs.");
}

template <class T>
void bind_acsf(nb::module_& m, const char* name) {
    auto calculator = nb::class_<Acsf<T>>(m, name, "Immutable ACSF calculator for one set of parameters.");
    define_pairs(calculator);
    calculator
        .def(
            "__init__",
            [](Acsf<T>* self, int n_species, double cutoff, const std::vector<std::array<double, 2>>& g2,
               const std::vector<double>& g3, const std::vector<std::array<double, 3>>& g4,
               const std::vector<std::array<double, 3>>& g5) {
                new (self) Acsf<T>({n_species, cutoff, g2, g3, g4, g5});
            },
            nb::arg("n_species"), nb::arg("cutoff"), nb::arg("g2"), nb::arg("g3"), nb::arg("g4"),
            nb::arg("g5"))
        .def_prop_ro("n_features", &Acsf<T>::n_features)
        .def(
            "compute",
            [](const Acsf<T>& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, int n_threads,
               const Out<T, nb::ndim<2>>& out) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                require(out.shape(0) == points.shape(0) && out.shape(1) == self.n_features(),
                        "out must have shape (n_centres, n_features)");
                nb::gil_scoped_release release;
                self.compute(batch, species.data(), centres, n_threads, out.data());
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("n_threads"), nb::arg("out"), "Write the features of all centres to `out`.")
        .def(
            "vjp",
            [](const Acsf<T>& self, const Positions& positions, const Numbers& numbers,
               const Offsets& offsets, const Cells& cells, const Pbc& pbc, const Numbers& species,
               const Positions& points, const Offsets& atoms, const Offsets& centre_offsets, bool attach,
               int n_threads, const In<T, nb::ndim<2>>& cotangents,
               const Out<double, nb::shape<-1, 3>>& gradient,
               const std::optional<Out<double, nb::shape<-1, 3, 3>>>& strain,
               const std::optional<Out<T, nb::ndim<2>>>& features) {
                const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
                const Centres centres = make_centres(batch, species, points, atoms, centre_offsets);
                const auto fits = [&](const auto& rows) {
                    return rows.shape(0) == points.shape(0) && rows.shape(1) == self.n_features();
                };
                require(fits(cotangents) && (!features || fits(*features)),
                        "cotangents and features must have shape (n_centres, n_features)");
                require(gradient.shape(0) == numbers.shape(0) &&
                            (!strain || strain->shape(0) == batch.n_structures),
                        "gradient must have shape (n_atoms, 3) and strain (n_structures, 3, 3)");
                nb::gil_scoped_release release;
                self.vjp(batch, species.data(), centres, attach, n_threads, cotangents.data(),
                         gradient.data(), strain ? strain->data() : nullptr,
                         features ? features->data() : nullptr);
            },
            nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
            nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
            nb::arg("attach"), nb::arg("n_threads"), nb::arg("cotangents"), nb::arg("gradient"),
            nb::arg("strain").none(), nb::arg("features").none(),
            "Write the derivatives of cotangents * features with respect to positions and strain.");
    define_pair_jacobian<T>(calculator);
}

using Noise = std::optional<In<double, nb::ndim<2>>>;
using EwaldRows = In<double, nb::shape<-1, 4>>;
template <class T>
using Rows = Out<T, nb::ndim<2>>;

template <class T>
MatrixFeatures<T> matrix_features(const Batch& batch, const Rows<T>& out, std::size_t n_max,
                                  Permutation permutation, const Noise& noise) {
    require(out.shape(0) == batch.n_structures &&
                out.shape(1) == (permutation == Permutation::eigenspectrum ? n_max : n_max * n_max),
            "out must have one row for each structure and one column for each feature");
    require(permutation != Permutation::random || noise, "noise must be given for the random permutation");
    require(!noise || (noise->shape(0) == batch.n_structures && noise->shape(1) == n_max),
            "noise must have shape (n_structures, n_atoms_max)");
    return {out.data(), n_max, permutation, noise ? noise->data() : nullptr};
}

std::vector<EwaldParameters> ewald_parameters(const Batch& batch, const EwaldRows& parameters) {
    require(parameters.shape(0) == batch.n_structures, "parameters must have one row for each structure");
    std::vector<EwaldParameters> sums(batch.n_structures);
    for (std::size_t s = 0; s < sums.size(); ++s)
        sums[s] = {parameters(s, 0), parameters(s, 1), parameters(s, 2), parameters(s, 3)};
    return sums;
}

// Features that may be left out, next to derivatives of them.
template <class T>
MatrixFeatures<T> differentiable(const Batch& batch, const std::optional<Rows<T>>& out, std::size_t n_max,
                                 Permutation permutation) {
    require(permutation != Permutation::random, "the random permutation has no derivatives");
    return out ? matrix_features<T>(batch, *out, n_max, permutation, {})
               : MatrixFeatures<T>{nullptr, n_max, permutation, nullptr};
}

template <class T>
MatrixGradient<T> matrix_gradient(const Batch& batch, const MatrixFeatures<T>& features,
                                  const In<T, nb::ndim<2>>& cotangents,
                                  const Out<double, nb::shape<-1, 3>>& positions,
                                  const std::optional<Out<double, nb::shape<-1, 3, 3>>>& strain) {
    require(cotangents.shape(0) == batch.n_structures && cotangents.shape(1) == features.n_features(),
            "cotangents must have shape (n_structures, n_features)");
    require(static_cast<std::int64_t>(positions.shape(0)) == batch.offsets[batch.n_structures],
            "the gradient must have one row for each atom");
    require(!strain || strain->shape(0) == batch.n_structures,
            "strain must have one matrix for each structure");
    return {cotangents.data(), positions.data(), strain ? strain->data() : nullptr};
}

template <class T>
MatrixJacobian<T> matrix_jacobian(const Batch& batch, const MatrixFeatures<T>& features, const Offsets& slots,
                                  const Offsets& row_offsets,
                                  const std::optional<Out<T, nb::shape<-1, 3, -1>>>& positions,
                                  const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain) {
    require(static_cast<std::int64_t>(slots.shape(0)) == batch.offsets[batch.n_structures],
            "slots must have one entry for each atom");
    require(row_offsets.shape(0) == batch.n_structures + 1,
            "row_offsets must have one entry more than structures");
    if (positions) {
        require(positions->shape(2) == features.n_features(), "positions must have all features");
        for (std::size_t s = 0; s < batch.n_structures; ++s) {
            const std::int64_t first = row_offsets.data()[s], end = row_offsets.data()[s + 1];
            require(0 <= first && first <= end && end <= static_cast<std::int64_t>(positions->shape(0)),
                    "row_offsets must not decrease and stay within the rows of positions");
            for (auto i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i)
                require(slots.data()[i] < end - first, "slots must stay within the rows of the structure");
        }
    }
    require(!strain || (strain->shape(0) == batch.n_structures && strain->shape(3) == features.n_features()),
            "strain must have shape (n_structures, 3, 3, n_features)");
    return {slots.data(), row_offsets.data(), positions ? positions->data() : nullptr,
            strain ? strain->data() : nullptr};
}

constexpr const char* vjp_description = "Write the derivatives of the sum of cotangents * features, by "
                                        "positions and, unless None, by strain, and "
                                        "the features unless None.";
constexpr const char* jacobian_description =
    "Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected "
    "atoms and by strain, and the features.";

// The three functions of one matrix. `Parameters` is empty, or an array of what differs between structures,
// with `parameters` as its name.
template <class T, auto compute, auto vjp, auto jacobian, class... Parameters, class... Names>
void define_matrix(nb::module_& m, const std::string& name, const char* description,
                   const Names&... parameters) {
    static_assert(sizeof...(Parameters) == sizeof...(Names));
    m.def((name + "_features").c_str(),
          [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
             const Pbc& pbc, const Parameters&... own, const Rows<T>& out, std::size_t n_max,
             Permutation permutation, const Noise& noise, int n_threads) {
              const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
              const auto features = matrix_features<T>(batch, out, n_max, permutation, noise);
              const auto of_structures = std::make_tuple(ewald_parameters(batch, own)...);
              nb::gil_scoped_release release;
              std::apply([&](const auto&... p) { compute(batch, p.data()..., features, n_threads); },
                         of_structures);
          },
          nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
          parameters..., nb::arg("out").noconvert(), nb::arg("n_atoms_max"), nb::arg("permutation"),
          nb::arg("noise").none(), nb::arg("n_threads"), description);
    m.def((name + "_vjp").c_str(),
          [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
             const Pbc& pbc, const Parameters&... own, const In<T, nb::ndim<2>>& cotangents,
             const Out<double, nb::shape<-1, 3>>& gradient,
             const std::optional<Out<double, nb::shape<-1, 3, 3>>>& strain,
             const std::optional<Rows<T>>& features, std::size_t n_max, Permutation permutation,
             int n_threads) {
              const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
              const auto values = differentiable<T>(batch, features, n_max, permutation);
              const auto out = matrix_gradient<T>(batch, values, cotangents, gradient, strain);
              const auto of_structures = std::make_tuple(ewald_parameters(batch, own)...);
              nb::gil_scoped_release release;
              std::apply([&](const auto&... p) { vjp(batch, p.data()..., values, out, n_threads); },
                         of_structures);
          },
          nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
          parameters..., nb::arg("cotangents").noconvert(), nb::arg("gradient").noconvert(),
          nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(),
          nb::arg("n_atoms_max"), nb::arg("permutation"), nb::arg("n_threads"), vjp_description);
    m.def((name + "_jacobian").c_str(),
          [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
             const Pbc& pbc, const Parameters&... own, const Offsets& slots, const Offsets& row_offsets,
             const std::optional<Out<T, nb::shape<-1, 3, -1>>>& derivatives,
             const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain,
             const std::optional<Rows<T>>& features, std::size_t n_max, Permutation permutation,
             int n_threads) {
              const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
              const auto values = differentiable<T>(batch, features, n_max, permutation);
              const auto out = matrix_jacobian<T>(batch, values, slots, row_offsets, derivatives, strain);
              const auto of_structures = std::make_tuple(ewald_parameters(batch, own)...);
              nb::gil_scoped_release release;
              std::apply([&](const auto&... p) { jacobian(batch, p.data()..., values, out, n_threads); },
                         of_structures);
          },
          nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
          parameters..., nb::arg("slots"), nb::arg("row_offsets"), nb::arg("derivatives").noconvert().none(),
          nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(),
          nb::arg("n_atoms_max"), nb::arg("permutation"), nb::arg("n_threads"), jacobian_description);
}

template <class T>
void define_matrices(nb::module_& m) {
    define_matrix<T, coulomb_features<T>, coulomb_vjp<T>, coulomb_jacobian<T>>(
        m, "coulomb", "Write the Coulomb matrices of a batch.");
    define_matrix<T, sine_features<T>, sine_vjp<T>, sine_jacobian<T>>(m, "sine",
                                                                      "Write the sine matrices of a batch.");
    define_matrix<T, ewald_features<T>, ewald_vjp<T>, ewald_jacobian<T>, EwaldRows>(
        m, "ewald",
        "Write the Ewald-sum matrices of a batch; parameters are a, r_cut, g_cut and the strain derivative "
        "of ln a of each structure.",
        nb::arg("parameters"));
}

// Structures, their species and, for the local form, the centres of a call of Mbtr.
struct MbtrInput {
    Batch batch;
    Centres centres;
    std::size_t n_rows;

    MbtrInput(const Mbtr& mbtr, const Positions& positions, const Numbers& numbers, const Offsets& offsets,
              const Cells& cells, const Pbc& pbc, const Numbers& species, const Positions& points,
              const Offsets& atoms, const Offsets& centre_offsets)
        : batch(make_batch(positions, numbers, offsets, cells, pbc)), centres{},
          n_rows(mbtr.local() ? points.shape(0) : batch.n_structures) {
        require(species.shape(0) == numbers.shape(0), "species must have one entry for each atom");
        if (mbtr.local())
            centres = make_centres(batch, species, points, atoms, centre_offsets);
    }
};

template <class T>
void define_mbtr(nb::class_<Mbtr>& mbtr) {
    using Columns = Out<T, nb::ndim<2>>;
    const auto check = [](const Mbtr& self, std::size_t width, std::size_t first) {
        require(first <= width && self.n_features() <= width - first,
                "rows must hold the features of the term");
    };
    mbtr.def(
        "compute",
        [check](const Mbtr& self, const Positions& positions, const Numbers& numbers, const Offsets& offsets,
                const Cells& cells, const Pbc& pbc, const Numbers& species, const Positions& points,
                const Offsets& atoms, const Offsets& centre_offsets, int n_threads, std::size_t first,
                const Columns& out) {
            const MbtrInput in(self, positions, numbers, offsets, cells, pbc, species, points, atoms,
                               centre_offsets);
            check(self, out.shape(1), first);
            require(out.shape(0) == in.n_rows, "out must have one row for each structure or centre");
            nb::gil_scoped_release release;
            self.compute(in.batch, species.data(), in.centres, n_threads, {out.shape(1), first}, out.data());
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"),
        nb::arg("n_threads"), nb::arg("first"), nb::arg("out").noconvert(),
        "Write the features of the term to the columns from `first` on.");
    mbtr.def(
        "vjp",
        [check](const Mbtr& self, const Positions& positions, const Numbers& numbers, const Offsets& offsets,
                const Cells& cells, const Pbc& pbc, const Numbers& species, const Positions& points,
                const Offsets& atoms, const Offsets& centre_offsets, bool attach, int n_threads,
                std::size_t first, const In<T, nb::ndim<2>>& cotangents,
                const Out<double, nb::shape<-1, 3>>& gradient,
                const std::optional<Out<double, nb::shape<-1, 3, 3>>>& strain,
                const std::optional<Columns>& features) {
            const MbtrInput in(self, positions, numbers, offsets, cells, pbc, species, points, atoms,
                               centre_offsets);
            const std::size_t width = cotangents.shape(1);
            check(self, width, first);
            require(cotangents.shape(0) == in.n_rows &&
                        (!features || (features->shape(0) == in.n_rows && features->shape(1) == width)),
                    "cotangents and features must have shape (n_rows, n_features)");
            require(gradient.shape(0) == numbers.shape(0) &&
                        (!strain || strain->shape(0) == in.batch.n_structures),
                    "gradient must have shape (n_atoms, 3) and strain (n_structures, 3, 3)");
            nb::gil_scoped_release release;
            self.vjp<T>(in.batch, species.data(), in.centres, attach, n_threads, {width, first},
                        {cotangents.data(), gradient.data(), strain ? strain->data() : nullptr,
                         features ? features->data() : nullptr});
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"), nb::arg("attach"),
        nb::arg("n_threads"), nb::arg("first"), nb::arg("cotangents").noconvert(),
        nb::arg("gradient").noconvert(), nb::arg("strain").noconvert().none(),
        nb::arg("features").noconvert().none(),
        "Add the derivatives of cotangents * features by positions and strain.");
    mbtr.def(
        "jacobian",
        [check](const Mbtr& self, const Positions& positions, const Numbers& numbers, const Offsets& offsets,
                const Cells& cells, const Pbc& pbc, const Numbers& species, const Positions& points,
                const Offsets& atoms, const Offsets& centre_offsets, bool attach, int n_threads,
                std::size_t first, std::size_t width, const Offsets& slots, const Offsets& row_offsets,
                const std::optional<Out<T, nb::shape<-1, 3, -1>>>& gradient,
                const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain,
                const std::optional<Columns>& features) {
            const MbtrInput in(self, positions, numbers, offsets, cells, pbc, species, points, atoms,
                               centre_offsets);
            check(self, width, first);
            require(slots.shape(0) == numbers.shape(0) && row_offsets.shape(0) == offsets.shape(0),
                    "slots must have one entry for each atom and row_offsets one more than structures");
            require(!gradient || (static_cast<std::int64_t>(gradient->shape(0)) ==
                                      row_offsets.data()[in.batch.n_structures] &&
                                  gradient->shape(2) == width),
                    "gradient must have shape (n_out, 3, n_features)");
            require(!strain || (strain->shape(0) == in.n_rows && strain->shape(3) == width),
                    "strain must have shape (n_rows, 3, 3, n_features)");
            require(!features || (features->shape(0) == in.n_rows && features->shape(1) == width),
                    "features must have shape (n_rows, n_features)");
            nb::gil_scoped_release release;
            self.jacobian<T>(in.batch, species.data(), in.centres, attach, n_threads, {width, first},
                             {slots.data(), row_offsets.data(), gradient ? gradient->data() : nullptr,
                              strain ? strain->data() : nullptr, features ? features->data() : nullptr});
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("species"), nb::arg("points"), nb::arg("atoms"), nb::arg("centre_offsets"), nb::arg("attach"),
        nb::arg("n_threads"), nb::arg("first"), nb::arg("width"), nb::arg("slots"), nb::arg("row_offsets"),
        nb::arg("gradient").noconvert().none(), nb::arg("strain").noconvert().none(),
        nb::arg("features").noconvert().none(), "Add the derivatives of each feature to zeroed arrays.");
}

void bind_mbtr(nb::module_& m) {
    nb::class_<Mbtr> mbtr(m, "Mbtr", "Immutable calculator of one term of MBTR or LMBTR.");
    mbtr.def(
        "__init__",
        [](Mbtr* self, int geometry, int weighting, int normalization, bool local, std::int32_t n_species,
           std::int32_t n, double minimum, double spacing, double sigma, double height, double scale,
           double cutoff, double sharpness) {
            require(n >= 2 && spacing > 0.0 && sigma > 0.0 && cutoff > 0.0 && n_species >= 1,
                    "the grid, sigma, the cutoff and the species must be positive");
            new (self) Mbtr({static_cast<MbtrParameters::Geometry>(geometry),
                             static_cast<MbtrParameters::Weighting>(weighting),
                             static_cast<MbtrParameters::Normalization>(normalization), local, n_species, n,
                             minimum, spacing, sigma, height, scale, cutoff, sharpness});
        },
        nb::arg("geometry"), nb::arg("weighting"), nb::arg("normalization"), nb::arg("local"),
        nb::arg("n_species"), nb::arg("n"), nb::arg("minimum"), nb::arg("spacing"), nb::arg("sigma"),
        nb::arg("height"), nb::arg("scale"), nb::arg("cutoff"), nb::arg("sharpness"));
    mbtr.def_prop_ro("n_features", &Mbtr::n_features);
    define_mbtr<double>(mbtr);
    define_mbtr<float>(mbtr);
    define_pairs(mbtr);
    define_pair_jacobian<double>(mbtr);
    define_pair_jacobian<float>(mbtr);
}

} // namespace

NB_MODULE(_core, m) {
    m.def("instruction_sets", &instruction_sets,
          "Names of the instruction sets that this processor supports, slowest first.");
    m.def(
        "instruction_set", [] { return std::string(kernels().instruction_set); },
        "Name of the instruction set in use.");
    m.def("use_instruction_set", &use_instruction_set, nb::arg("name"), "Change the instruction set in use.");
    nb::set_leak_warnings(false); // calculators are cached for the life of the process
    kernels();                    // an unusable ATOMPRINT_ISA is reported at import

    nb::enum_<Problem>(m, "Problem")
        .value("none", Problem::none)
        .value("position", Problem::position)
        .value("number", Problem::number)
        .value("cell", Problem::cell)
        .value("no_cell", Problem::no_cell)
        .value("volume", Problem::volume)
        .value("coincident", Problem::coincident);
    m.def(
        "read_atoms",
        [](const nb::list& items, bool periodic) -> nb::object {
            AseArrays found;
            if (!read_atoms(items, periodic, found))
                return nb::none();
            const std::size_t n = items.size(), n_atoms = found.numbers.size();
            found.cells.resize(9 * n), found.pbc.resize(3 * n); // zero where they were not asked for
            return nb::make_tuple(to_numpy(std::move(found.numbers), {n_atoms}),
                                  to_numpy(std::move(found.positions), {n_atoms, 3}),
                                  to_numpy(std::move(found.offsets), {n + 1}),
                                  to_numpy(std::move(found.cells), {n, 3, 3}),
                                  to_numpy(std::move(found.pbc), {n, 3}));
        },
        nb::arg("items"), nb::arg("periodic"),
        "Arrays of a list of ase.Atoms as (numbers, positions, offsets, cells, pbc), pbc as bytes; None if "
        "any is "
        "not as ASE makes it.");
    m.def(
        "check_batch",
        [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
           const Pbc& pbc, bool need_cell) {
            const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
            Finding finding;
            {
                nb::gil_scoped_release release;
                finding = check_batch(batch, need_cell);
            }
            return nb::make_tuple(finding.problem, finding.structure, finding.atom, finding.other);
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("need_cell"), "First problem of a batch as (problem, structure, atom, other atom).");

    m.def(
        "neighbour_pairs",
        [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
           const Pbc& pbc, double cutoff, int n_threads) {
            const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
            require(cutoff > 0.0, "cutoff must be > 0");
            PairList list;
            {
                nb::gil_scoped_release release;
                list = neighbour_pairs(batch, cutoff, n_threads);
            }
            const std::size_t n = list.centre.size();
            return nb::make_tuple(to_numpy(std::move(list.centre), {n}), to_numpy(std::move(list.atom), {n}),
                                  to_numpy(std::move(list.shift), {n, 3}),
                                  to_numpy(std::move(list.vector), {n, 3}));
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("cutoff"), nb::arg("n_threads"),
        "Pairs of atoms within the cutoff, sorted: (atom in the batch, other in its structure, shift, "
        "vector).");

    nb::enum_<Match>(m, "Match")
        .value("found", Match::found)
        .value("not_finite", Match::not_finite)
        .value("out_of_range", Match::out_of_range)
        .value("not_converged", Match::not_converged);
    m.def(
        "compare_structures",
        [](const In<double, nb::ndim<1>>& products, const In<std::int64_t, nb::shape<-1, 6>>& pairs,
           const In<double, nb::ndim<1>>& x_squares, const In<double, nb::ndim<1>>& y_squares, int kind,
           double gamma, double degree, double coef0, std::optional<double> alpha, double threshold,
           const Out<double, nb::ndim<1>>& out, int n_threads) {
            require(out.shape(0) == pairs.shape(0), "out must have one number for each pair");
            const auto size = [](const auto& array) { return static_cast<std::int64_t>(array.shape(0)); };
            const bool squares = kind == LocalKernel::rbf;
            for (std::size_t p = 0; p < pairs.shape(0); ++p) {
                const std::int64_t* row = pairs.data() + 6 * p;
                const auto [first, ld, n, m] = std::tuple(row[0], row[1], row[2], row[3]);
                require(first >= 0 && n >= 1 && m >= 1 && ld >= m &&
                            first + (n - 1) * ld + m <= size(products),
                        "pairs must lie within products");
                require(!squares ||
                            (row[4] >= 0 && row[5] >= 0 && row[4] + n <= size(x_squares) &&
                             row[5] + m + static_cast<std::int64_t>(similarity_tile) <= size(y_squares)),
                        "pairs must lie within the squares");
            }
            Mismatch mismatch;
            {
                nb::gil_scoped_release release;
                const LocalKernel kernel{static_cast<LocalKernel::Kind>(kind), gamma, degree, coef0};
                mismatch =
                    compare_structures({products.data(), x_squares.data(), y_squares.data(),
                                        reinterpret_cast<const StructurePair*>(pairs.data()), pairs.shape(0)},
                                       kernel, alpha, threshold, out.data(), n_threads);
            }
            return nb::make_tuple(mismatch.match, mismatch.pair);
        },
        nb::arg("products"), nb::arg("pairs"), nb::arg("x_squares"), nb::arg("y_squares"), nb::arg("kind"),
        nb::arg("gamma"), nb::arg("degree"), nb::arg("coef0"), nb::arg("alpha").none(), nb::arg("threshold"),
        nb::arg("out"), nb::arg("n_threads"),
        "Write the mean similarity of the centres of each pair of structures, or with alpha that of their "
        "best "
        "match; returns the first problem as (match, pair).");

    bind_soap<double>(m, "Soap64");
    bind_soap<float>(m, "Soap32");
    bind_acsf<double>(m, "Acsf64");
    bind_acsf<float>(m, "Acsf32");
    bind_mbtr(m);

    nb::enum_<Permutation>(m, "Permutation")
        .value("none", Permutation::none)
        .value("sorted_l2", Permutation::sorted_l2)
        .value("eigenspectrum", Permutation::eigenspectrum)
        .value("random", Permutation::random);
    define_matrices<double>(m);
    define_matrices<float>(m);
}
