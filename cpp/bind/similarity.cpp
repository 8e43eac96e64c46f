#include "bind/arrays.hpp"

#include <tuple>

#include "core/pairs.hpp"
#include "core/parallel.hpp"
#include "similarity/fingerprint.hpp"
#include "similarity/structure_kernels.hpp"
#include "similarity/surroundings.hpp"

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

nb::tuple describe(const BatchArrays& batch, std::size_t n_neighbours, bool with_columns, int n_threads) {
    require(n_neighbours > 0, "n_neighbours must be > 0");
    struct Found {
        std::vector<double> summary, columns;
        std::vector<std::int64_t> species, counts;
        std::int64_t n_columns = 0;
    };
    std::vector<Found> each(batch.n_structures);
    std::vector<std::int64_t> species, counts, n_species, n_columns;
    std::vector<double> summaries, columns;
    {
        nb::gil_scoped_release release;
        parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int) {
            try {
                NeighbourDistances distances = neighbour_distances(batch[s], n_neighbours);
                Found& found = each[s];
                found.n_columns = static_cast<std::int64_t>(distances.n_columns());
                found.summary.resize(3 * distances.n_species() * distances.n_columns());
                distances.summarise(found.summary.data());
                for (std::size_t k = 0; k < distances.n_species(); ++k) {
                    found.species.push_back(distances.species[k]);
                    found.counts.push_back(
                        static_cast<std::int64_t>(distances.first_row[k + 1] - distances.first_row[k]));
                }
                if (with_columns)
                    found.columns = std::move(distances.columns);
            } catch (const NeighboursTooFar& error) {
                throw StructureError(s, std::string(error.what()) + ": the cell is too flat");
            } catch (const TooManyImages& error) {
                throw StructureError(s, error.what());
            } catch (const TooFarAway& error) {
                throw StructureError(s, error.what());
            }
        });
        const auto join = [&](auto member, auto& to) {
            for (Found& found : each) {
                to.insert(to.end(), (found.*member).begin(), (found.*member).end());
                (found.*member) = {}; // gives its memory back
            }
        };
        for (const Found& found : each) {
            n_species.push_back(static_cast<std::int64_t>(found.species.size()));
            n_columns.push_back(found.n_columns);
        }
        join(&Found::species, species), join(&Found::counts, counts);
        join(&Found::summary, summaries), join(&Found::columns, columns);
    }
    const auto array = [](auto& values) {
        const std::size_t n = values.size();
        return to_numpy(std::move(values), {n});
    };
    return nb::make_tuple(array(n_species), array(n_columns), array(species), array(counts), array(summaries),
                          array(columns));
}

nb::tuple surroundings_of(const BatchArrays& batch, const In<double, nb::ndim<1>>& radii,
                          const In<double, nb::ndim<1>>& cutoffs, double near, double far, double beyond,
                          int n_threads) {
    require(cutoffs.shape(0) == batch.n_structures, "there must be a cutoff for each structure");
    require(0.0 < near && near < far && far < beyond, "near, far and beyond must ascend from 0");
    const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        require(cutoffs.data()[s] > 0.0, "cutoffs must be > 0");
    for (std::size_t i = 0; i < n_atoms; ++i)
        require(batch.numbers[i] >= 0 && static_cast<std::size_t>(batch.numbers[i]) < radii.shape(0),
                "there must be a radius for each element");
    std::vector<double> distances(n_atoms), means(3 * batch.n_structures);
    std::vector<std::int64_t> partners(n_atoms);
    {
        nb::gil_scoped_release release;
        parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int) {
            try {
                const auto first = static_cast<std::size_t>(batch.offsets[s]);
                const Surroundings found = surroundings(batch[s], radii.data(), {cutoffs.data()[s], near, far, beyond},
                                                        distances.data() + first, partners.data() + first);
                means[3 * s] = found.coordination, means[3 * s + 1] = found.around, means[3 * s + 2] = found.lopsided;
            } catch (const TooManyImages& error) {
                throw StructureError(s, error.what());
            } catch (const TooFarAway& error) {
                throw StructureError(s, error.what());
            }
        });
    }
    return nb::make_tuple(to_numpy(std::move(distances), {n_atoms}), to_numpy(std::move(partners), {n_atoms}),
                          to_numpy(std::move(means), {batch.n_structures, 3}));
}

void differences(const In<double, nb::ndim<2>>& columns, const In<std::int64_t, nb::ndim<2>>& counts,
                 const In<double, nb::ndim<1>>& scales, const In<std::int64_t, nb::shape<-1, 2>>& pairs,
                 const Out<double, nb::ndim<1>>& out, int n_threads) {
    const std::size_t n = counts.shape(0), n_species = counts.shape(1), n_columns = columns.shape(1);
    require(scales.shape(0) == n && out.shape(0) == pairs.shape(0) && n_columns > 0 && n_species > 0,
            "there must be a scale for each structure and a number for each pair");
    std::vector<std::size_t> first(n + 1, 0);
    for (std::size_t s = 0; s < n; ++s) {
        first[s + 1] = first[s];
        for (std::size_t k = 0; k < n_species; ++k) {
            const std::int64_t count = counts.data()[s * n_species + k], of_first = counts.data()[k];
            require(count > 0 && count < (1LL << 31), "counts must be > 0");
            require(count * counts.data()[0] == of_first * counts.data()[s * n_species],
                    "structures must have the same reduced formula");
            first[s + 1] += static_cast<std::size_t>(count);
        }
    }
    require(first[n] == columns.shape(0), "counts must add up to the rows of columns");
    for (std::size_t p = 0; p < 2 * pairs.shape(0); ++p)
        require(pairs.data()[p] >= 0 && pairs.data()[p] < static_cast<std::int64_t>(n),
                "pairs must be of these structures");
    const auto described = [&](std::int64_t s) {
        const auto at = static_cast<std::size_t>(s);
        return Described{columns.data() + first[at] * n_columns, counts.data() + at * n_species, scales.data()[at]};
    };
    nb::gil_scoped_release release;
    constexpr std::size_t run = 64;
    const std::size_t n_pairs = pairs.shape(0);
    parallel_for((n_pairs + run - 1) / run, n_threads, [&](std::size_t r, int) {
        for (std::size_t p = r * run; p < std::min(n_pairs, (r + 1) * run); ++p)
            out.data()[p] = largest_difference(described(pairs.data()[2 * p]), described(pairs.data()[2 * p + 1]),
                                               n_species, n_columns);
    });
}

using Table = In<double, nb::ndim<2>>;

double difference_of(const Table& one, const Integers& counts, double scale, const Table& other,
                     const Integers& other_counts, double other_scale) {
    const std::size_t n_species = counts.shape(0);
    require(n_species > 0 && other_counts.shape(0) == n_species && one.shape(1) == other.shape(1),
            "structures must have the same species and as many neighbours");
    std::int64_t n = 0, n_other = 0;
    for (std::size_t k = 0; k < n_species; ++k) {
        const std::int64_t a = counts.data()[k], b = other_counts.data()[k];
        require(a > 0 && b > 0 && a < (1LL << 31) && b < (1LL << 31), "counts must be > 0");
        require(a * other_counts.data()[0] == b * counts.data()[0], "structures must have the same reduced formula");
        n += a, n_other += b;
    }
    require(static_cast<std::size_t>(n) == one.shape(0) && static_cast<std::size_t>(n_other) == other.shape(0),
            "counts must add up to the rows of columns");
    return largest_difference({one.data(), counts.data(), scale}, {other.data(), other_counts.data(), other_scale},
                              n_species, one.shape(1));
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
    m.def("neighbour_distances", &describe, nb::arg("batch"), nb::arg("n_neighbours"), nb::arg("with_columns"),
          nb::arg("n_threads"),
          "Sorted distances from atoms to neighbours as (n_species, n_columns, species, counts, summaries, columns), "
          "those of all structures one after the other: the mean, least and largest of each species and column, and "
          "the columns themselves, if they are asked for.");
    m.def("largest_difference", &difference_of, nb::arg("columns"), nb::arg("counts"), nb::arg("scale"),
          nb::arg("other_columns"), nb::arg("other_counts"), nb::arg("other_scale"),
          "The largest difference of the distances of two structures with one formula, each multiplied by its scale.");
    m.def("distance_differences", &differences, nb::arg("columns"), nb::arg("counts"), nb::arg("scales"),
          nb::arg("pairs"), nb::arg("out").noconvert(), nb::arg("n_threads"),
          "Write the largest difference of the distances of each pair of structures with one formula, each multiplied "
          "by its scale.");
    m.def("surroundings", &surroundings_of, nb::arg("batch"), nb::arg("radii"), nb::arg("cutoffs"), nb::arg("near"),
          nb::arg("far"), nb::arg("beyond"), nb::arg("n_threads") = 1,
          "Of each atom the distance to its nearest neighbour and the atomic number of it, of each structure the mean "
          "number of neighbours, of atoms within its cutoff, and how lopsided they are: (distances, numbers, means).");
});

} // namespace

} // namespace atomprint::bind
