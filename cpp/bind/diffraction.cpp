#include "bind/arrays.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include "patterns/diffraction.hpp"

namespace atomprint::bind {

namespace {

using Table = In<double, nb::shape<-1, 10>>; // a, b, c and damping of each atomic number

void check_elements(const BatchArrays& batch, std::size_t n_elements) {
    for (std::size_t i = 0; i < batch.n_atoms(); ++i)
        require(batch.numbers[i] >= 0 && static_cast<std::size_t>(batch.numbers[i]) < n_elements,
                "all elements must have scattering factors");
}

struct BoundDiffraction : Diffraction {
    BoundDiffraction(const DiffractionParameters& p) : Diffraction(p), n_elements(p.factors.size()) {}
    std::size_t n_elements;
};

template <class T>
void define_for(nb::class_<BoundDiffraction>& diffraction) {
    diffraction
        .def(
            "compute",
            [](const BoundDiffraction& self, const BatchArrays& batch, const Rows<T>& out, int n_threads) {
                require(Shape{batch, batch.n_structures, self.n_features()}.fits(out),
                        "out must have shape (n_structures, n_features)");
                check_elements(batch, self.n_elements);
                nb::gil_scoped_release release;
                self.compute(batch, n_threads, out.data());
            },
            nb::arg("batch"), nb::arg("out").noconvert(), nb::arg("n_threads"), "Write the patterns of structures.")
        .def(
            "vjp",
            [](const BoundDiffraction& self, const BatchArrays& batch, const In<T>& cotangents,
               const AtomGradient& gradient, const StrainGradient& strain, const std::optional<Rows<T>>& features,
               int n_threads) {
                const Shape shape{batch, batch.n_structures, self.n_features()};
                const std::size_t n = shape.check_contracted(cotangents, gradient, strain, features);
                check_elements(batch, self.n_elements);
                nb::gil_scoped_release release;
                self.vjp(batch, n_threads, n, cotangents.data(), gradient.data(), data_of(strain), data_of(features));
            },
            nb::arg("batch"), nb::arg("cotangents").noconvert(), nb::arg("gradient").noconvert(),
            nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(), nb::arg("n_threads"),
            "Add the derivatives of cotangents * features by positions and strain; several have an axis before.")
        .def(
            "jacobian",
            [](const BoundDiffraction& self, const BatchArrays& batch, const Integers& slots,
               const Integers& row_offsets, const DenseGradient<T>& gradient, const DenseStrain<T>& strain,
               const std::optional<Rows<T>>& features, int n_threads) {
                Shape{batch, batch.n_structures, self.n_features()}.check_dense(slots, row_offsets, gradient, strain,
                                                                                features);
                check_elements(batch, self.n_elements);
                nb::gil_scoped_release release;
                self.jacobian(batch, n_threads, slots.data(), row_offsets.data(), data_of(gradient), data_of(strain),
                              data_of(features));
            },
            nb::arg("batch"), nb::arg("slots"), nb::arg("row_offsets"), nb::arg("gradient").noconvert().none(),
            nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(), nb::arg("n_threads"),
            "Add the derivatives of each feature to arrays.");
}

const Family family("diffraction", [](nb::module_& m) {
    using P = DiffractionParameters;
    nb::class_<BoundDiffraction> diffraction(m, "Diffraction", "Immutable calculator of powder patterns.");
    nb::enum_<P::Normalization>(diffraction, "Normalization")
        .value("none", P::Normalization::none)
        .value("max", P::Normalization::max)
        .value("area", P::Normalization::area);
    diffraction
        .def(
            "__init__",
            [](BoundDiffraction* self, double wavelength, bool lorentz, bool polarized, std::int32_t n, double minimum,
               double spacing, double sigma, P::Normalization normalization, const Table& factors) {
                require(n >= 2 && spacing > 0.0 && sigma > 0.0 && wavelength > 0.0 && minimum >= 0.0,
                        "the grid, sigma and the wavelength must be positive");
                P p{wavelength, lorentz, polarized, n, minimum, spacing, sigma, normalization, {}};
                for (std::size_t z = 0; z < factors.shape(0); ++z) {
                    const double* row = factors.data() + 10 * z;
                    p.factors.push_back(
                        {{row[0], row[1], row[2], row[3]}, {row[4], row[5], row[6], row[7]}, row[8], row[9]});
                }
                new (self) BoundDiffraction(p);
            },
            nb::kw_only(), nb::arg("wavelength"), nb::arg("lorentz"), nb::arg("polarized"), nb::arg("n"),
            nb::arg("minimum"), nb::arg("spacing"), nb::arg("sigma"), nb::arg("normalization"), nb::arg("factors"))
        .def(
            "lines",
            [](const BoundDiffraction& self, const BatchArrays& batch, double low, double high) {
                require(batch.n_structures == 1, "batch must be of one structure");
                check_elements(batch, self.n_elements);
                DiffractionLines lines;
                {
                    nb::gil_scoped_release release;
                    lines = self.lines(batch[0], low, high);
                }
                const std::size_t n = lines.angles.size();
                return nb::make_tuple(to_numpy(std::move(lines.hkl), {n, 3}), to_numpy(std::move(lines.angles), {n}),
                                      to_numpy(std::move(lines.intensities), {n}));
            },
            nb::arg("batch"), nb::arg("low"), nb::arg("high"),
            "Return hkl, angles and intensities of all lines between two angles, in no order, without those of -G.");
    define_for<double>(diffraction);
    define_for<float>(diffraction);
});

} // namespace

} // namespace atomprint::bind
