#include "bind/arrays.hpp"

#include <tuple>

#include "similarity/structure_kernels.hpp"

namespace atomprint::bind {

namespace {

nb::tuple compare(const LocalKernel& kernel, const In<double, nb::ndim<1>>& products,
                  const In<std::int64_t, nb::shape<-1, 6>>& pairs, const In<double, nb::ndim<1>>& x_squares,
                  const In<double, nb::ndim<1>>& y_squares, std::optional<double> alpha, double threshold,
                  const Out<double, nb::ndim<1>>& out, int n_threads) {
    require(out.shape(0) == pairs.shape(0), "out must have one number for each pair");
    const auto size = [](const auto& array) { return static_cast<std::int64_t>(array.shape(0)); };
    const bool squares = kernel.kind == LocalKernel::rbf;
    for (std::size_t p = 0; p < pairs.shape(0); ++p) {
        const std::int64_t* row = pairs.data() + 6 * p;
        const auto [first, ld, n, m] = std::tuple(row[0], row[1], row[2], row[3]);
        require(first >= 0 && n >= 1 && m >= 1 && ld >= m && first + (n - 1) * ld + m <= size(products),
                "pairs must lie within products");
        require(!squares || (row[4] >= 0 && row[5] >= 0 && row[4] + n <= size(x_squares) &&
                             row[5] + m + static_cast<std::int64_t>(similarity_tile) <= size(y_squares)),
                "pairs must lie within the squares");
    }
    Mismatch mismatch;
    {
        nb::gil_scoped_release release;
        mismatch = compare_structures({products.data(), x_squares.data(), y_squares.data(),
                                       reinterpret_cast<const StructurePair*>(pairs.data()), pairs.shape(0)},
                                      kernel, alpha, threshold, out.data(), n_threads);
    }
    return nb::make_tuple(mismatch.match, mismatch.pair);
}

const Family family("similarity", [](nb::module_& m) {
    nb::class_<LocalKernel> kernel(m, "LocalKernel",
                                   "Similarity of two centres, from the scalar product of their features.");
    nb::enum_<LocalKernel::Kind>(kernel, "Kind")
        .value("given", LocalKernel::given)
        .value("polynomial", LocalKernel::polynomial)
        .value("rbf", LocalKernel::rbf);
    kernel.def(
        "__init__",
        [](LocalKernel* self, LocalKernel::Kind kind, double gamma, double degree, double coef0) {
            new (self) LocalKernel{kind, gamma, degree, coef0};
        },
        nb::kw_only(), nb::arg("kind"), nb::arg("gamma"), nb::arg("degree"), nb::arg("coef0"));
    nb::enum_<Match>(m, "Match")
        .value("found", Match::found)
        .value("not_finite", Match::not_finite)
        .value("out_of_range", Match::out_of_range)
        .value("not_converged", Match::not_converged);
    m.def("compare_structures", &compare, nb::arg("kernel"), nb::arg("products"), nb::arg("pairs"),
          nb::arg("x_squares"), nb::arg("y_squares"), nb::arg("alpha").none(), nb::arg("threshold"),
          nb::arg("out").noconvert(), nb::arg("n_threads"),
          "Write the mean similarity of the centres of each pair of structures, or with alpha that of their best "
          "match; returns the first problem as (match, pair).");
});

} // namespace

} // namespace atomprint::bind
