#include <nanobind/stl/vector.h>

#include "bind/local.hpp"
#include "local/mbtr.hpp"

namespace atomprint::bind {

namespace {

// Structures and, for the local form, the centres of a call.
struct Input {
    const BatchArrays& batch;
    Centres centres{};
    std::size_t n_rows;

    Input(const Mbtr& self, const BatchArrays& batch, const CentreArrays* given)
        : batch(batch), n_rows(batch.n_structures) {
        require(self.local() == (given != nullptr), "centres must be given for the local form alone");
        if (given)
            centres = given->of(batch);
        if (given && !centres.weights)
            n_rows = given->size();
    }

    // Where the features of the term are, in arrays with so many numbers in a row.
    MbtrColumns columns(const Mbtr& self, std::size_t width, std::size_t first) const {
        require(!centres.weights || (width == self.n_features() * centres.weights.n_rows && first == 0),
                "pooled rows must hold the features of the term");
        width /= centres.weights ? centres.weights.n_rows : 1;
        require(first <= width && self.n_features() <= width - first,
                "rows must hold the features of the term");
        return {width, first};
    }
};

template <class T>
void define_functions(nb::class_<Mbtr>& term) {
    term.def(
        "compute",
        [](const Mbtr& self, const BatchArrays& batch, const CentreArrays* centres, std::size_t first,
           const Rows<T>& out, int n_threads) {
            const Input in(self, batch, centres);
            const MbtrColumns columns = in.columns(self, out.shape(1), first);
            require(out.shape(0) == in.n_rows, "out must have one row for each structure or centre");
            nb::gil_scoped_release release;
            self.compute(batch, in.centres, n_threads, columns, out.data());
        },
        nb::arg("batch"), nb::arg("centers").none(), nb::arg("first"), nb::arg("out").noconvert(),
        nb::arg("n_threads"), "Write the features of the term to the columns from `first` on.");
    term.def(
        "vjp",
        [](const Mbtr& self, const BatchArrays& batch, const CentreArrays* centres, std::size_t first,
           bool attach, const In<T, nb::ndim<2>>& cotangents, const AtomGradient& gradient,
           const StrainGradient& strain, const std::optional<Rows<T>>& features, int n_threads) {
            const Input in(self, batch, centres);
            const std::size_t width = cotangents.shape(1);
            const MbtrColumns columns = in.columns(self, width, first);
            require(cotangents.shape(0) == in.n_rows &&
                        (!features || (features->shape(0) == in.n_rows && features->shape(1) == width)),
                    "cotangents and features must have shape (n_rows, n_features)");
            require(gradient.shape(0) == batch.n_atoms() &&
                        (!strain || strain->shape(0) == batch.n_structures),
                    "gradient must have shape (n_atoms, 3) and strain (n_structures, 3, 3)");
            nb::gil_scoped_release release;
            self.vjp<T>(batch, in.centres, attach, n_threads, columns,
                        {cotangents.data(), gradient.data(), data_of(strain), data_of(features)});
        },
        nb::arg("batch"), nb::arg("centers").none(), nb::arg("first"), nb::arg("attach"),
        nb::arg("cotangents").noconvert(), nb::arg("gradient").noconvert(),
        nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(), nb::arg("n_threads"),
        "Add the derivatives of cotangents * features by positions and strain.");
    term.def(
        "jacobian",
        [](const Mbtr& self, const BatchArrays& batch, const CentreArrays* centres, std::size_t first,
           std::size_t width, bool attach, const Integers& slots, const Integers& row_offsets,
           const std::optional<Out<T, nb::shape<-1, 3, -1>>>& gradient,
           const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain,
           const std::optional<Rows<T>>& features, int n_threads) {
            const Input in(self, batch, centres);
            require(!in.centres.weights, "dense derivatives are those of single centres");
            const MbtrColumns columns = in.columns(self, width, first);
            require(slots.shape(0) == batch.n_atoms() && row_offsets.shape(0) == batch.n_structures + 1,
                    "slots must have one entry for each atom and row_offsets one more than structures");
            require(!gradient || (static_cast<std::int64_t>(gradient->shape(0)) ==
                                      row_offsets.data()[batch.n_structures] &&
                                  gradient->shape(2) == width),
                    "gradient must have shape (n_out, 3, n_features)");
            require(!strain || (strain->shape(0) == in.n_rows && strain->shape(3) == width),
                    "strain must have shape (n_rows, 3, 3, n_features)");
            require(!features || (features->shape(0) == in.n_rows && features->shape(1) == width),
                    "features must have shape (n_rows, n_features)");
            nb::gil_scoped_release release;
            self.jacobian<T>(
                batch, in.centres, attach, n_threads, columns,
                {slots.data(), row_offsets.data(), data_of(gradient), data_of(strain), data_of(features)});
        },
        nb::arg("batch"), nb::arg("centers").none(), nb::arg("first"), nb::arg("width"), nb::arg("attach"),
        nb::arg("slots"), nb::arg("row_offsets"), nb::arg("gradient").noconvert().none(),
        nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(), nb::arg("n_threads"),
        "Add the derivatives of each feature to zeroed arrays.");
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
           const std::vector<std::int32_t>& species, std::int32_t n, double minimum, double spacing,
           double sigma, double height, double scale, double cutoff, double sharpness) {
            require(n >= 2 && spacing > 0.0 && sigma > 0.0 && cutoff > 0.0 && !species.empty(),
                    "the grid, sigma, the cutoff and the species must be positive");
            new (self) P{geometry, weighting, normalization, local, Species(species), n,        minimum,
                         spacing,  sigma,     height,        scale, cutoff,           sharpness};
        },
        nb::kw_only(), nb::arg("geometry"), nb::arg("weighting"), nb::arg("normalization"), nb::arg("local"),
        nb::arg("species"), nb::arg("n"), nb::arg("minimum"), nb::arg("spacing"), nb::arg("sigma"),
        nb::arg("height"), nb::arg("scale"), nb::arg("cutoff"), nb::arg("sharpness"));

    nb::class_<Mbtr> term(m, "Mbtr", "Immutable calculator of one term of MBTR or LMBTR.");
    term.def(nb::init<const MbtrParameters&>(), nb::arg("parameters"));
    term.def_prop_ro("n_features", &Mbtr::n_features);
    define_functions<double>(term);
    define_functions<float>(term);
    define_pairs(term);
    define_pair_jacobian<double>(term);
    define_pair_jacobian<float>(term);
});

} // namespace

} // namespace atomprint::bind
