#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include "bind/local.hpp"
#include "local/acsf.hpp"

namespace atomprint::bind {

namespace {

template <class T>
void define_calculator(nb::module_& m, const char* name) {
    auto calculator = nb::class_<Acsf<T>>(m, name, "Immutable ACSF calculator for one set of parameters.");
    calculator.def(
        "__init__",
        [](Acsf<T>* self, const std::vector<std::int32_t>& species, double cutoff,
           const std::vector<std::array<double, 2>>& g2, const std::vector<double>& g3,
           const std::vector<std::array<double, 3>>& g4, const std::vector<std::array<double, 3>>& g5) {
            new (self) Acsf<T>({Species(species), cutoff, g2, g3, g4, g5});
        },
        nb::kw_only(), nb::arg("species"), nb::arg("cutoff"), nb::arg("g2"), nb::arg("g3"), nb::arg("g4"),
        nb::arg("g5"));
    define_local(calculator);
}

const Family family("acsf", [](nb::module_& m) {
    define_calculator<double>(m, "Acsf64");
    define_calculator<float>(m, "Acsf32");
});

} // namespace

} // namespace atomprint::bind
