#include "bind/potentials.hpp"

#include <nanobind/stl/vector.h>

#include "potentials/ace.hpp"
#include "potentials/pair_table.hpp"

namespace atomprint::bind {

namespace {

template <class T>
void define_ace(nb::module_& m, const char* name) {
    nb::class_<AcePotential<T>> potential(m, name, "A sum of invariants of a cluster expansion times weights.");
    potential.def(
        "__init__",
        [](AcePotential<T>* self, const AceBasis& basis, const In<double, nb::ndim<2>>& weights,
           const std::vector<double>& limits) {
            require(weights.shape(0) == static_cast<std::size_t>(basis.species().size()) &&
                        weights.shape(1) == static_cast<std::size_t>(basis.n_functions()),
                    "weights must have shape (n_species, n_functions)");
            new (self) AcePotential<T>(basis, weights.data(), AceLimit(basis, limits));
        },
        nb::arg("basis"), nb::arg("weights"), nb::arg("limits") = std::vector<double>{});
    define_potential(potential);
}

const Family family("potentials", [](nb::module_& m) {
    nb::class_<PreparedPairs>(m, "PreparedPairs", "Pairs of structures, kept while their atoms move.")
        .def_prop_ro(
            "n_lists", [](const PreparedPairs& self) { return self.kept.n_lists; },
            "How often pairs of a structure were listed.");
    nb::class_<PairTable> table(m, "PairTable", "Energies of pairs of atoms, tabulated by pair of species.");
    table.def(
        "__init__",
        [](PairTable* self, const std::vector<std::int32_t>& species, const In<double, nb::shape<-1, -1, 6>>& tables,
           const std::vector<double>& ranges, const In<std::int32_t, nb::ndim<2>>& table_of, bool over_distance,
           const std::vector<double>& known) {
            require(table_of.shape(0) == species.size() && table_of.shape(1) == species.size(),
                    "table_of must have shape (n_species, n_species)");
            new (self) PairTable(Species(species), tables.data(), tables.shape(0), tables.shape(1), ranges,
                                 {table_of.data(), table_of.data() + table_of.size()}, over_distance, known);
        },
        nb::kw_only(), nb::arg("species"), nb::arg("tables"), nb::arg("ranges"), nb::arg("table_of"),
        nb::arg("over_distance"), nb::arg("known"));
    define_potential(table);
    define_ace<double>(m, "AcePotential64");
    define_ace<float>(m, "AcePotential32");
});

} // namespace

} // namespace atomprint::bind
