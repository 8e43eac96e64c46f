#include <nanobind/stl/vector.h>

#include "bind/local.hpp"
#include "local/mbtr.hpp"

namespace atomprint::bind {

namespace {

template <class T>
void define_calculator(nb::module_& m, const char* name) {
    auto calculator = nb::class_<MbtrTerms<T>>(m, name, "Immutable calculator of terms of MBTR, or one of LMBTR.");
    calculator.def(
        "__init__",
        [](MbtrTerms<T>* self, const std::vector<MbtrParameters>& terms) {
            require(!terms.empty() && (terms.size() == 1 || !terms.front().local), "LMBTR has one term, MBTR more");
            new (self) MbtrTerms<T>(terms);
        },
        nb::arg("terms"));
    define_local(calculator);
}

const Family family("mbtr", [](nb::module_& m) {
    using P = MbtrParameters;
    nb::class_<P> parameters(m, "MbtrParameters", "What a term of MBTR or LMBTR is made for.");
    nb::enum_<P::Geometry>(parameters, "Geometry")
        .value("atomic_number", P::Geometry::atomic_number)
        .value("distance", P::Geometry::distance)
        .value("inverse_distance", P::Geometry::inverse_distance)
        .value("angle", P::Geometry::angle)
        .value("cosine", P::Geometry::cosine);
    nb::enum_<P::Weighting>(parameters, "Weighting")
        .value("unity", P::Weighting::unity)
        .value("exponential", P::Weighting::exponential)
        .value("inverse_square", P::Weighting::inverse_square)
        .value("smooth_cutoff", P::Weighting::smooth_cutoff);
    nb::enum_<P::Normalization>(parameters, "Normalization")
        .value("none", P::Normalization::none)
        .value("l2", P::Normalization::l2)
        .value("n_atoms", P::Normalization::n_atoms)
        .value("valle_oganov", P::Normalization::valle_oganov);
    parameters.def(
        "__init__",
        [](P* self, P::Geometry geometry, P::Weighting weighting, P::Normalization normalization, bool local,
           const std::vector<std::int32_t>& species, std::int32_t n, double minimum, double spacing, double sigma,
           double height, double scale, double cutoff, double sharpness) {
            require(n >= 2 && spacing > 0.0 && sigma > 0.0 && cutoff > 0.0 && !species.empty(),
                    "the grid, sigma, the cutoff and the species must be positive");
            new (self) P{geometry, weighting, normalization, local, Species(species), n,        minimum,
                         spacing,  sigma,     height,        scale, cutoff,           sharpness};
        },
        nb::kw_only(), nb::arg("geometry"), nb::arg("weighting"), nb::arg("normalization"), nb::arg("local"),
        nb::arg("species"), nb::arg("n"), nb::arg("minimum"), nb::arg("spacing"), nb::arg("sigma"), nb::arg("height"),
        nb::arg("scale"), nb::arg("cutoff"), nb::arg("sharpness"));

    define_calculator<double>(m, "Mbtr64");
    define_calculator<float>(m, "Mbtr32");
});

} // namespace

} // namespace atomprint::bind
