#include "bind/arrays.hpp"

#include <nanobind/stl/vector.h>

#include "matrices/canonical.hpp"
#include "matrices/matrices.hpp"

namespace atomprint::bind {

namespace {

using Noise = std::optional<In<double, nb::ndim<2>>>;
using EwaldRows = std::optional<In<double, nb::shape<-1, 4>>>; // a, r_cut, g_cut, a_strain

// Features may be left out next to derivatives of them.
template <class T>
MatrixFeatures<T> checked(const BatchArrays& batch, const std::optional<Rows<T>>& out, std::size_t n_max,
                          Permutation permutation, const Noise& noise = {}) {
    const MatrixFeatures<T> features{data_of(out), n_max, permutation, data_of(noise)};
    require(Shape{batch, batch.n_structures, features.n_features()}.fits(out),
            "out must have one row for each structure and one column for each feature");
    require(permutation != Permutation::random || noise,
            "the random permutation must have noise, and has no derivatives");
    require(!noise || (noise->shape(0) == batch.n_structures && noise->shape(1) == n_max),
            "noise must have shape (n_structures, n_atoms_max)");
    return features;
}

MatrixInput matrix_input(const BatchArrays& batch, MatrixKind kind, const EwaldRows& parameters) {
    require((kind == MatrixKind::ewald) == parameters.has_value() &&
                (!parameters || parameters->shape(0) == batch.n_structures),
            "parameters must have one row for each structure for Ewald sums, and be None for others");
    MatrixInput in{batch, kind, {}};
    for (std::size_t s = 0; parameters && s < batch.n_structures; ++s)
        in.ewald.push_back({(*parameters)(s, 0), (*parameters)(s, 1), (*parameters)(s, 2), (*parameters)(s, 3)});
    return in;
}

template <class T>
void define_matrices(nb::module_& m) {
    m.def(
        "matrix_features",
        [](MatrixKind kind, const BatchArrays& batch, const EwaldRows& parameters, const Rows<T>& out,
           std::size_t n_max, Permutation permutation, const Noise& noise, int n_threads) {
            const auto features = checked<T>(batch, out, n_max, permutation, noise);
            const MatrixInput in = matrix_input(batch, kind, parameters);
            nb::gil_scoped_release release;
            matrix_features(in, features, n_threads);
        },
        nb::arg("kind"), nb::arg("batch"), nb::arg("parameters").none(), nb::arg("out").noconvert(),
        nb::arg("n_atoms_max"), nb::arg("permutation"), nb::arg("noise").none(), nb::arg("n_threads"),
        "Write the matrices of a batch; parameters are a, r_cut, g_cut and d ln a / d strain of each structure.");
    m.def(
        "matrix_vjp",
        [](MatrixKind kind, const BatchArrays& batch, const EwaldRows& parameters, const In<T>& cotangents,
           const AtomGradient& gradient, const StrainGradient& strain, const std::optional<Rows<T>>& features,
           std::size_t n_max, Permutation permutation, int n_threads) {
            const auto values = checked<T>(batch, features, n_max, permutation);
            const Shape shape{batch, batch.n_structures, values.n_features()};
            const std::size_t n = shape.check_contracted(cotangents, gradient, strain, features);
            const MatrixGradient<T> out{n, cotangents.data(), gradient.data(), data_of(strain)};
            const MatrixInput in = matrix_input(batch, kind, parameters);
            nb::gil_scoped_release release;
            matrix_vjp(in, values, out, n_threads);
        },
        nb::arg("kind"), nb::arg("batch"), nb::arg("parameters").none(), nb::arg("cotangents").noconvert(),
        nb::arg("gradient").noconvert(), nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(),
        nb::arg("n_atoms_max"), nb::arg("permutation"), nb::arg("n_threads"),
        "Write the derivatives of the sum of cotangents * features, by positions and, unless None, by strain, and the "
        "features unless None.");
    m.def(
        "matrix_jacobian",
        [](MatrixKind kind, const BatchArrays& batch, const EwaldRows& parameters, const Integers& slots,
           const Integers& row_offsets, const DenseGradient<T>& derivatives, const DenseStrain<T>& strain,
           const std::optional<Rows<T>>& features, std::size_t n_max, Permutation permutation, int n_threads) {
            const auto values = checked<T>(batch, features, n_max, permutation);
            Shape{batch, batch.n_structures, values.n_features()}.check_dense(slots, row_offsets, derivatives, strain,
                                                                              features);
            const MatrixJacobian<T> out{slots.data(), row_offsets.data(), data_of(derivatives), data_of(strain)};
            const MatrixInput in = matrix_input(batch, kind, parameters);
            nb::gil_scoped_release release;
            matrix_jacobian(in, values, out, n_threads);
        },
        nb::arg("kind"), nb::arg("batch"), nb::arg("parameters").none(), nb::arg("slots"), nb::arg("row_offsets"),
        nb::arg("derivatives").noconvert().none(), nb::arg("strain").noconvert().none(),
        nb::arg("features").noconvert().none(), nb::arg("n_atoms_max"), nb::arg("permutation"), nb::arg("n_threads"),
        "Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected atoms "
        "and by strain, and the features.");
}

const Family family("matrices", [](nb::module_& m) {
    nb::enum_<MatrixKind>(m, "MatrixKind")
        .value("coulomb", MatrixKind::coulomb)
        .value("sine", MatrixKind::sine)
        .value("ewald", MatrixKind::ewald);
    nb::enum_<Permutation>(m, "Permutation")
        .value("none", Permutation::none)
        .value("sorted_l2", Permutation::sorted_l2)
        .value("eigenspectrum", Permutation::eigenspectrum)
        .value("random", Permutation::random);
    define_matrices<double>(m);
    define_matrices<float>(m);
    m.def(
        "canonical_order",
        [](const In<double, nb::ndim<2>>& matrix, double equal) {
            const std::size_t n = matrix.shape(0);
            require(n > 0 && matrix.shape(1) == n, "matrix must have as many columns as rows");
            std::vector<std::int32_t> order(n), ends(n, 0);
            for (std::size_t i = 0; i < n; ++i)
                order[i] = static_cast<std::int32_t>(i);
            ends[0] = static_cast<std::int32_t>(n);
            CanonicalOrder().sort(matrix.data(), n, n, ends, equal, order.data());
            return order;
        },
        nb::arg("matrix"), nb::arg("equal"),
        "Return the rows of a symmetric matrix in an order such that its elements do not depend on the order in which "
        "they were given; elements that differ by less than the fraction equal of the largest are the same.");
});

} // namespace

} // namespace atomprint::bind
