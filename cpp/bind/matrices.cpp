#include "bind/arrays.hpp"

#include <tuple>

#include "matrices/matrices.hpp"
#include "matrices/matrix_gradients.hpp"

namespace atomprint::bind {

namespace {

using Noise = std::optional<In<double, nb::ndim<2>>>;
using EwaldRows = In<double, nb::shape<-1, 4>>;

template <class T>
MatrixFeatures<T> matrix_features(const BatchArrays& batch, const Rows<T>& out, std::size_t n_max,
                                  Permutation permutation, const Noise& noise) {
    require(out.shape(0) == batch.n_structures &&
                out.shape(1) == (permutation == Permutation::eigenspectrum ? n_max : n_max * n_max),
            "out must have one row for each structure and one column for each feature");
    require(permutation != Permutation::random || noise, "noise must be given for the random permutation");
    require(!noise || (noise->shape(0) == batch.n_structures && noise->shape(1) == n_max),
            "noise must have shape (n_structures, n_atoms_max)");
    return {out.data(), n_max, permutation, data_of(noise)};
}

std::vector<EwaldParameters> ewald_parameters(const BatchArrays& batch, const EwaldRows& parameters) {
    require(parameters.shape(0) == batch.n_structures, "parameters must have one row for each structure");
    std::vector<EwaldParameters> sums(batch.n_structures);
    for (std::size_t s = 0; s < sums.size(); ++s)
        sums[s] = {parameters(s, 0), parameters(s, 1), parameters(s, 2), parameters(s, 3)};
    return sums;
}

// Features that may be left out, next to derivatives of them.
template <class T>
MatrixFeatures<T> differentiable(const BatchArrays& batch, const std::optional<Rows<T>>& out,
                                 std::size_t n_max, Permutation permutation) {
    require(permutation != Permutation::random, "the random permutation has no derivatives");
    return out ? matrix_features<T>(batch, *out, n_max, permutation, {})
               : MatrixFeatures<T>{nullptr, n_max, permutation, nullptr};
}

template <class T>
MatrixGradient<T> matrix_gradient(const BatchArrays& batch, const MatrixFeatures<T>& features,
                                  const In<T, nb::ndim<2>>& cotangents, const AtomGradient& positions,
                                  const StrainGradient& strain) {
    require(cotangents.shape(0) == batch.n_structures && cotangents.shape(1) == features.n_features(),
            "cotangents must have shape (n_structures, n_features)");
    require(positions.shape(0) == batch.n_atoms(), "the gradient must have one row for each atom");
    require(!strain || strain->shape(0) == batch.n_structures,
            "strain must have one matrix for each structure");
    return {cotangents.data(), positions.data(), data_of(strain)};
}

template <class T>
MatrixJacobian<T> matrix_jacobian(const BatchArrays& batch, const MatrixFeatures<T>& features,
                                  const Integers& slots, const Integers& row_offsets,
                                  const std::optional<Out<T, nb::shape<-1, 3, -1>>>& positions,
                                  const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain) {
    require(slots.shape(0) == batch.n_atoms(), "slots must have one entry for each atom");
    require(row_offsets.shape(0) == batch.n_structures + 1,
            "row_offsets must have one entry more than structures");
    if (positions) {
        require(positions->shape(2) == features.n_features(), "positions must have all features");
        for (std::size_t s = 0; s < batch.n_structures; ++s) {
            const std::int64_t first = row_offsets.data()[s], end = row_offsets.data()[s + 1];
            require(0 <= first && first <= end && end <= static_cast<std::int64_t>(positions->shape(0)),
                    "row_offsets must not decrease and stay within the rows of positions");
            for (auto i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i)
                require(slots.data()[i] < end - first, "slots must stay within the rows of the structure");
        }
    }
    require(!strain || (strain->shape(0) == batch.n_structures && strain->shape(3) == features.n_features()),
            "strain must have shape (n_structures, 3, 3, n_features)");
    return {slots.data(), row_offsets.data(), data_of(positions), data_of(strain)};
}

constexpr const char* vjp_description = "Write the derivatives of the sum of cotangents * features, by "
                                        "positions and, unless None, by strain, and "
                                        "the features unless None.";
constexpr const char* jacobian_description =
    "Write to zeroed arrays, each unless None, the derivatives of all features by the positions of selected "
    "atoms and by strain, and the features.";

// The three functions of one matrix. `Parameters` is empty, or an array of what differs between structures,
// with `parameters` as its name.
template <class T, auto compute, auto vjp, auto jacobian, class... Parameters, class... Names>
void define_matrix(nb::module_& m, const std::string& name, const char* description,
                   const Names&... parameters) {
    static_assert(sizeof...(Parameters) == sizeof...(Names));
    m.def((name + "_features").c_str(),
          [](const BatchArrays& batch, const Parameters&... own, const Rows<T>& out, std::size_t n_max,
             Permutation permutation, const Noise& noise, int n_threads) {
              const auto features = matrix_features<T>(batch, out, n_max, permutation, noise);
              const auto of_structures = std::make_tuple(ewald_parameters(batch, own)...);
              nb::gil_scoped_release release;
              std::apply([&](const auto&... p) { compute(batch, p.data()..., features, n_threads); },
                         of_structures);
          },
          nb::arg("batch"), parameters..., nb::arg("out").noconvert(), nb::arg("n_atoms_max"),
          nb::arg("permutation"), nb::arg("noise").none(), nb::arg("n_threads"), description);
    m.def((name + "_vjp").c_str(),
          [](const BatchArrays& batch, const Parameters&... own, const In<T, nb::ndim<2>>& cotangents,
             const AtomGradient& gradient, const StrainGradient& strain,
             const std::optional<Rows<T>>& features, std::size_t n_max, Permutation permutation,
             int n_threads) {
              const auto values = differentiable<T>(batch, features, n_max, permutation);
              const auto out = matrix_gradient<T>(batch, values, cotangents, gradient, strain);
              const auto of_structures = std::make_tuple(ewald_parameters(batch, own)...);
              nb::gil_scoped_release release;
              std::apply([&](const auto&... p) { vjp(batch, p.data()..., values, out, n_threads); },
                         of_structures);
          },
          nb::arg("batch"), parameters..., nb::arg("cotangents").noconvert(), nb::arg("gradient").noconvert(),
          nb::arg("strain").noconvert().none(), nb::arg("features").noconvert().none(),
          nb::arg("n_atoms_max"), nb::arg("permutation"), nb::arg("n_threads"), vjp_description);
    m.def((name + "_jacobian").c_str(),
          [](const BatchArrays& batch, const Parameters&... own, const Integers& slots,
             const Integers& row_offsets, const std::optional<Out<T, nb::shape<-1, 3, -1>>>& derivatives,
             const std::optional<Out<T, nb::shape<-1, 3, 3, -1>>>& strain,
             const std::optional<Rows<T>>& features, std::size_t n_max, Permutation permutation,
             int n_threads) {
              const auto values = differentiable<T>(batch, features, n_max, permutation);
              const auto out = matrix_jacobian<T>(batch, values, slots, row_offsets, derivatives, strain);
              const auto of_structures = std::make_tuple(ewald_parameters(batch, own)...);
              nb::gil_scoped_release release;
              std::apply([&](const auto&... p) { jacobian(batch, p.data()..., values, out, n_threads); },
                         of_structures);
          },
          nb::arg("batch"), parameters..., nb::arg("slots"), nb::arg("row_offsets"),
          nb::arg("derivatives").noconvert().none(), nb::arg("strain").noconvert().none(),
          nb::arg("features").noconvert().none(), nb::arg("n_atoms_max"), nb::arg("permutation"),
          nb::arg("n_threads"), jacobian_description);
}

template <class T>
void define_matrices(nb::module_& m) {
    define_matrix<T, coulomb_features<T>, coulomb_vjp<T>, coulomb_jacobian<T>>(
        m, "coulomb", "Write the Coulomb matrices of a batch.");
    define_matrix<T, sine_features<T>, sine_vjp<T>, sine_jacobian<T>>(m, "sine",
                                                                      "Write the sine matrices of a batch.");
    define_matrix<T, ewald_features<T>, ewald_vjp<T>, ewald_jacobian<T>, EwaldRows>(
        m, "ewald",
        "Write the Ewald-sum matrices of a batch; parameters are a, r_cut, g_cut and the strain derivative "
        "of ln a of each structure.",
        nb::arg("parameters"));
}

const Family family("matrices", [](nb::module_& m) {
    nb::enum_<Permutation>(m, "Permutation")
        .value("none", Permutation::none)
        .value("sorted_l2", Permutation::sorted_l2)
        .value("eigenspectrum", Permutation::eigenspectrum)
        .value("random", Permutation::random);
    define_matrices<double>(m);
    define_matrices<float>(m);
});

} // namespace

} // namespace atomprint::bind
