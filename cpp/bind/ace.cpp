#include <nanobind/stl/vector.h>

#include "bind/local.hpp"
#include "local/ace.hpp"
#include "potentials/ace_rows.hpp"

namespace atomprint::bind {

namespace {

using Indices = In<std::int32_t, nb::ndim<1>>;
using Numbers = In<double, nb::ndim<1>>;

void define_basis(nb::module_& m) {
    nb::class_<AceBasis>(m, "AceBasis", "Radial functions, channels and couplings of an atomic cluster expansion.")
        .def(
            "__init__",
            [](AceBasis* self, const std::vector<std::int32_t>& species, double cutoff, int n_max, int l_max,
               const In<double, nb::ndim<4>>& tables, const In<std::int32_t, nb::ndim<2>>& table_of,
               const In<double, nb::ndim<2>>& channels, const Indices& product_first, const Indices& product_a,
               const Indices& product_b, const Numbers& product_c, const Indices& function_first,
               const Indices& function_p, const Indices& function_q, const Numbers& function_c) {
                require(tables.shape(2) == radial_powers && static_cast<std::int64_t>(tables.shape(3)) == n_max,
                        "tables must have shape (n_tables, n_cells, 6, n_max)");
                require(table_of.shape(0) == species.size() + 1 && table_of.shape(1) == species.size(),
                        "table_of must have shape (n_species + 1, n_species)");
                require(channels.shape(1) == species.size(), "channels must have shape (n_channels, n_species)");
                const auto count = [](std::size_t n) {
                    require(n < std::size_t{1} << 30, "tables and channels must be smaller");
                    return static_cast<std::int32_t>(n);
                };
                new (self) AceBasis({species, cutoff, n_max, l_max, count(tables.shape(0)), count(tables.shape(1)),
                                     count(channels.shape(0)), values_of(tables), values_of(table_of),
                                     values_of(channels), values_of(product_first), values_of(product_a),
                                     values_of(product_b), values_of(function_first), values_of(function_p),
                                     values_of(function_q), values_of(product_c), values_of(function_c)});
            },
            nb::kw_only(), nb::arg("species"), nb::arg("cutoff"), nb::arg("n_max"), nb::arg("l_max"), nb::arg("tables"),
            nb::arg("table_of"), nb::arg("channels"), nb::arg("product_first"), nb::arg("product_a"),
            nb::arg("product_b"), nb::arg("product_c"), nb::arg("function_first"), nb::arg("function_p"),
            nb::arg("function_q"), nb::arg("function_c"))
        .def_prop_ro("n_functions", &AceBasis::n_functions);
}

void define_rows(nb::module_& m) {
    nb::class_<AceRows>(m, "AceRows", "Rows of a fit of an atomic cluster expansion, linear in its functions.")
        .def(
            "__init__",
            [](AceRows* self, const AceBasis& basis, const std::vector<double>& limits) {
                new (self) AceRows(basis, AceLimit(basis, limits));
            },
            nb::arg("basis"), nb::arg("limits") = std::vector<double>{})
        .def_prop_ro("n_columns", &AceRows::n_columns)
        .def(
            "rows",
            [](const AceRows& self, const BatchArrays& batch, const StridedRows& out, int n_threads) {
                require(fit_rows(out, 7 * batch.n_structures + 3 * batch.n_atoms(), self.n_columns()),
                        "out must have 1 + 3 n_atoms + 6 rows for each structure, n_columns columns without gaps");
                nb::gil_scoped_release release;
                self.rows(batch, n_threads, out.data(), static_cast<std::size_t>(out.stride(0)));
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write energy, forces and derivatives by strain for a coefficient 1 of each function of each species.")
        .def(
            "sums",
            [](const AceRows& self, const BatchArrays& batch, const StridedRows& out, int n_threads) {
                require(fit_rows(out, batch.n_structures, self.n_columns()),
                        "out must have a row for each structure, n_columns columns without gaps");
                nb::gil_scoped_release release;
                self.sums(batch, n_threads, out.data(), static_cast<std::size_t>(out.stride(0)));
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"), "Write the energies of these alone.")
        .def(
            "atoms",
            [](const AceRows& self, const BatchArrays& batch, const StridedRows& out, int n_threads) {
                require(fit_rows(out, batch.n_atoms(), self.n_columns()),
                        "out must have a row for each atom, n_columns columns without gaps");
                nb::gil_scoped_release release;
                self.atoms(batch, n_threads, out.data(), static_cast<std::size_t>(out.stride(0)));
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"), "Write the energies of single atoms.")
        .def(
            "densities",
            [](const AceRows& self, const BatchArrays& batch, const Out<double, nb::ndim<1>>& out, int n_threads) {
                require(out.shape(0) == batch.n_atoms(), "out must have a number for each atom");
                nb::gil_scoped_release release;
                self.densities(batch, n_threads, out.data());
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write the density of each atom: what limits, by the species of an atom, are of.");
}

template <class T>
void define_calculator(nb::module_& m, const char* name) {
    auto calculator = nb::class_<Ace<T>>(m, name, "Immutable calculator of an atomic cluster expansion.");
    calculator.def(nb::init<const AceBasis&>(), nb::arg("basis"));
    define_local(calculator);
}

const Family family("ace", [](nb::module_& m) {
    define_basis(m);
    define_rows(m);
    define_calculator<double>(m, "Ace64");
    define_calculator<float>(m, "Ace32");
});

} // namespace

} // namespace atomprint::bind
