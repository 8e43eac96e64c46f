#include <nanobind/stl/vector.h>

#include "bind/potentials.hpp"

#include "potentials/gap.hpp"

namespace atomprint::bind {

namespace {

using Matrix = In<double, nb::ndim<2>>;
using Vector = In<double, nb::ndim<1>>;

template <class T>
void define(nb::module_& m, const char* name) {
    nb::class_<Gap<T>> model(m, name, "Sparse Gaussian process on a SOAP calculator.");
    define_potential(model);
    model
        .def(
            "__init__",
            [](Gap<T>* self, const Soap<T>& soap, const Vector& weights, double zeta,
               const std::vector<SparsePoints>& species) {
                require(weights.size() == soap.n_features(), "weights must have one number for each feature");
                new (self) Gap<T>(soap, weights.data(), zeta, species);
            },
            nb::arg("soap"), nb::arg("weights"), nb::arg("zeta"), nb::arg("species"), nb::keep_alive<1, 2>())
        .def_prop_ro("n_functions", &Gap<T>::n_functions)
        .def(
            "features",
            [](const Gap<T>& self, const BatchArrays& batch, const Rows<double>& out, int n_threads) {
                require(out.shape(0) == batch.n_atoms() && out.shape(1) == self.n_features(),
                        "out must have shape (n_atoms, n_features)");
                nb::gil_scoped_release release;
                self.features(batch, n_threads, out.data());
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write the weighted features of each atom, divided by their length.");
    if constexpr (std::same_as<T, double>)
        model.def(
            "rows",
            [](const Gap<double>& self, const BatchArrays& batch, const StridedRows& out, int n_threads) {
                require(fit_rows(out, 7 * batch.n_structures + 3 * batch.n_atoms(), self.n_functions()),
                        "out must have 1 + 3 n_atoms + 6 rows for each structure, n_functions columns without gaps");
                nb::gil_scoped_release release;
                self.rows(batch, n_threads, out.data(), static_cast<std::size_t>(out.stride(0)));
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"),
            "Write what energy, forces and derivatives by strain are for a coefficient 1 of each sparse point.");
}

const Family family("soap_gap", [](nb::module_& m) {
    nb::class_<SparsePoints>(m, "SparsePoints", "The sparse points of one species.")
        .def(
            "__init__",
            [](SparsePoints* self, const Matrix& points, const std::optional<Matrix>& basis,
               const std::optional<Vector>& coefficients, const std::optional<Matrix>& form) {
                new (self) SparsePoints{points.shape(0),   basis ? basis->shape(1) : 0, values_of(basis),
                                        values_of(points), values_of(coefficients),     values_of(form)};
            },
            nb::kw_only(), nb::arg("points"), nb::arg("basis") = nb::none(), nb::arg("coefficients") = nb::none(),
            nb::arg("form") = nb::none());
    define<double>(m, "Gap64");
    define<float>(m, "Gap32");
});

} // namespace

} // namespace atomprint::bind
