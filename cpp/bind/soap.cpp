#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "bind/local.hpp"
#include "local/soap.hpp"

namespace atomprint::bind {

namespace {

void define_parameters(nb::module_& m) {
    using Kind = Weighting::Kind;
    auto weighting =
        nb::class_<Weighting>(m, "Weighting", "Weight of a neighbour's density as a function of its distance in Å.");
    nb::enum_<Kind>(weighting, "Kind")
        .value("none", Kind::none)
        .value("poly", Kind::poly)
        .value("pow", Kind::pow)
        .value("exp", Kind::exp)
        .value("exp_decay", Kind::exp_decay);
    weighting
        .def(
            "__init__",
            [](Weighting* self, Kind kind, double c, double d, double m, double r0, std::optional<double> own,
               std::optional<std::pair<double, double>> fade) { new (self) Weighting{kind, c, d, m, r0, own, fade}; },
            nb::kw_only(), nb::arg("kind"), nb::arg("c"), nb::arg("d"), nb::arg("m"), nb::arg("r0"),
            nb::arg("own") = nb::none(), nb::arg("fade") = nb::none())
        .def("__call__", &Weighting::operator(), nb::arg("r"), "Weight of an atom at a distance.");

    nb::class_<SoapParameters> parameters(m, "SoapParameters", "What a SOAP calculator is made for.");
    nb::enum_<SoapParameters::Products>(parameters, "Products")
        .value("all", SoapParameters::Products::all)
        .value("diagonal", SoapParameters::Products::diagonal)
        .value("total", SoapParameters::Products::total);
    parameters.def(
        "__init__",
        [](SoapParameters* self, int n_max, int l_max, const std::vector<std::int32_t>& species, double cutoff,
           const Weighting& weighting, std::vector<double> species_weights,
           const std::optional<In<double, nb::ndim<2>>>& embedding, SoapParameters::Products products, bool averages) {
            const auto n_species = static_cast<std::int32_t>(species.size());
            new (self)
                SoapParameters{n_max,
                               l_max,
                               Species(species),
                               cutoff,
                               weighting,
                               std::move(species_weights),
                               embedding ? std::vector<double>(embedding->data(), embedding->data() + embedding->size())
                                         : std::vector<double>{},
                               embedding ? static_cast<std::int32_t>(embedding->shape(1)) : n_species,
                               products,
                               averages};
        },
        nb::kw_only(), nb::arg("n_max"), nb::arg("l_max"), nb::arg("species"), nb::arg("cutoff"), nb::arg("weighting"),
        nb::arg("species_weights"), nb::arg("embedding").none(), nb::arg("products"), nb::arg("averages"));
}

template <class T>
void define_calculator(nb::module_& m, const char* name) {
    auto calculator = nb::class_<Soap<T>>(m, name, "Immutable SOAP calculator for one set of parameters.");
    calculator.def(
        "__init__",
        [](Soap<T>* self, const SoapParameters& p, const In<double, nb::ndim<4>>& table,
           const In<double, nb::ndim<3>>& short_table, const In<double, nb::ndim<4>>& zone_basis,
           const In<std::int32_t, nb::ndim<1>>& zone_of_cell) {
            require(table.shape(1) == radial_powers && table.shape(2) == static_cast<std::size_t>(p.l_max) + 1 &&
                        table.shape(3) == static_cast<std::size_t>(p.n_max),
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
            new (self)
                Soap<T>(p, {table.data(), short_table.data(), zone_basis.data(), zone_of_cell.data(),
                            static_cast<std::int32_t>(table.shape(0)), static_cast<std::int32_t>(zone_basis.shape(1))});
        },
        nb::arg("parameters"), nb::arg("table"), nb::arg("short_table"), nb::arg("zone_basis"),
        nb::arg("zone_of_cell"));
    define_local(calculator);
}

const Family family("soap", [](nb::module_& m) {
    define_parameters(m);
    define_calculator<double>(m, "Soap64");
    define_calculator<float>(m, "Soap32");
});

} // namespace

} // namespace atomprint::bind
