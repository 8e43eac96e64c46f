#include "bind/arrays.hpp"

#include <nanobind/stl/tuple.h>

#include <tuple>

#include "grids/density.hpp"

namespace atomprint::bind {

namespace {

// Gaussians on grids, with the arrays that hold them.
class DensityArrays {
public:
    DensityArrays(Positions positions, In<std::int32_t, nb::ndim<1>> channels, In<double, nb::ndim<1>> weights,
                  In<double, nb::ndim<1>> sigmas, Integers offsets, Positions origins,
                  In<double, nb::shape<-1, 3, 3>> steps, In<bool, nb::shape<-1, 3>> wraps,
                  std::tuple<std::size_t, std::size_t, std::size_t> shape, std::size_t n_channels, double cutoff)
        : positions_(std::move(positions)), channels_(std::move(channels)), weights_(std::move(weights)),
          sigmas_(std::move(sigmas)), offsets_(std::move(offsets)), origins_(std::move(origins)),
          steps_(std::move(steps)), wraps_(std::move(wraps)) {
        const std::size_t n = positions_.shape(0), n_structures = origins_.shape(0);
        require(channels_.shape(0) == n && weights_.shape(0) == n && sigmas_.shape(0) == n,
                "channels, weights and sigmas must have one number for each position");
        require(offsets_.shape(0) == n_structures + 1 && steps_.shape(0) == n_structures &&
                    wraps_.shape(0) == n_structures && offsets_.data()[0] == 0 &&
                    offsets_.data()[n_structures] == static_cast<std::int64_t>(n) &&
                    std::is_sorted(offsets_.data(), offsets_.data() + n_structures + 1),
                "offsets must ascend from 0 to the number of positions, one more than there are grids");
        require(cutoff > 0 && cutoff < 40, "cutoff must be in (0, 40)");
        for (std::size_t p = 0; p < n; ++p)
            require(channels_.data()[p] >= 0 && static_cast<std::size_t>(channels_.data()[p]) < n_channels &&
                        sigmas_.data()[p] > 0,
                    "channels must be those of the grid and sigmas positive");
        gaussians = {n_structures,     offsets_.data(), positions_.data(), weights_.data(), sigmas_.data(),
                     channels_.data(), cutoff};
        grids = {{std::get<0>(shape), std::get<1>(shape), std::get<2>(shape)},
                 n_channels,
                 origins_.data(),
                 steps_.data(),
                 wraps_.data()};
        require(grids.size() > 0, "shape must have no zero");
    }

    std::size_t n() const { return positions_.shape(0); }
    std::size_t n_structures() const { return gaussians.n_structures; }

    Gaussians gaussians;
    Grids grids;

private:
    Positions positions_;
    In<std::int32_t, nb::ndim<1>> channels_;
    In<double, nb::ndim<1>> weights_, sigmas_;
    Integers offsets_;
    Positions origins_;
    In<double, nb::shape<-1, 3, 3>> steps_;
    In<bool, nb::shape<-1, 3>> wraps_;
};

template <class T>
void define_density(nb::module_& m) {
    m.def(
        "density",
        [](const DensityArrays& in, const Rows<T>& out, int n_threads) {
            require(out.shape(0) == in.n_structures() && out.shape(1) == in.grids.n_features(),
                    "out must have one row for each structure and one column for each point of each channel");
            nb::gil_scoped_release release;
            density(in.gaussians, in.grids, out.data(), n_threads);
        },
        nb::arg("gaussians"), nb::arg("out").noconvert(), nb::arg("n_threads"),
        "Write the sums of all Gaussians of each structure and channel.");
    m.def(
        "density_vjp",
        [](const DensityArrays& in, const In<T, nb::ndim<2>>& cotangents, const Out<double, nb::shape<-1, 3>>& gradient,
           const Out<double, nb::shape<-1, 3, 3>>& strain, int n_threads) {
            require(cotangents.shape(0) == in.n_structures() && cotangents.shape(1) == in.grids.n_features() &&
                        gradient.shape(0) == in.n() && strain.shape(0) == in.n(),
                    "cotangents must have the shape of the features, gradient and strain a row for each Gaussian");
            nb::gil_scoped_release release;
            density_vjp(in.gaussians, in.grids, cotangents.data(), gradient.data(), strain.data(), n_threads);
        },
        nb::arg("gaussians"), nb::arg("cotangents").noconvert(), nb::arg("gradient").noconvert(),
        nb::arg("strain").noconvert(), nb::arg("n_threads"),
        "Write the derivatives of the sum of cotangents * features by each Gaussian's position, and by its share of a "
        "strain that takes the grid along.");
    m.def(
        "density_slopes",
        [](const DensityArrays& in, const Integers& rows, const In<double, nb::ndim<1>>& factors,
           const Out<T, nb::shape<-1, 3, -1>>& out, int n_threads) {
            require(rows.shape(0) == in.n() && factors.shape(0) == in.n() && out.shape(2) == in.grids.n_features() &&
                        std::all_of(rows.data(), rows.data() + in.n(),
                                    [&](auto row) { return row < static_cast<std::int64_t>(out.shape(0)); }),
                    "rows and factors must be of each Gaussian, and out must have these rows");
            nb::gil_scoped_release release;
            density_slopes(in.gaussians, in.grids, rows.data(), factors.data(), out.data(), n_threads);
        },
        nb::arg("gaussians"), nb::arg("rows"), nb::arg("factors"), nb::arg("out").noconvert(), nb::arg("n_threads"),
        "Add the derivatives by each Gaussian's position, times its factor, to a row unless that is negative.");
    m.def(
        "density_strain",
        [](const DensityArrays& in, const std::optional<Positions>& arms, const Out<T, nb::shape<-1, 3, 3, -1>>& out,
           int n_threads) {
            require((!arms || arms->shape(0) == in.n()) && out.shape(0) == in.n_structures() &&
                        out.shape(3) == in.grids.n_features(),
                    "arms must be of each Gaussian, and out must have one row for each structure");
            nb::gil_scoped_release release;
            density_strain(in.gaussians, in.grids, data_of(arms), out.data(), n_threads);
        },
        nb::arg("gaussians"), nb::arg("arms").none(), nb::arg("out").noconvert(), nb::arg("n_threads"),
        "Add the derivatives by strain: of grids that it takes along unless there are arms of the Gaussians.");
}

const Family family("grids", [](nb::module_& m) {
    nb::class_<DensityArrays>(m, "Gaussians", "Gaussians of structures, and the points of a grid of each.")
        .def(nb::init<Positions, In<std::int32_t, nb::ndim<1>>, In<double, nb::ndim<1>>, In<double, nb::ndim<1>>,
                      Integers, Positions, In<double, nb::shape<-1, 3, 3>>, In<bool, nb::shape<-1, 3>>,
                      std::tuple<std::size_t, std::size_t, std::size_t>, std::size_t, double>(),
             nb::arg("positions"), nb::arg("channels"), nb::arg("weights"), nb::arg("sigmas"), nb::arg("offsets"),
             nb::arg("origins"), nb::arg("steps"), nb::arg("wraps"), nb::arg("shape"), nb::arg("n_channels"),
             nb::arg("cutoff"));
    define_density<double>(m);
    define_density<float>(m);
});

} // namespace

} // namespace atomprint::bind
