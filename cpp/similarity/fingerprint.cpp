#include "similarity/fingerprint.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/interrupt.hpp"
#include "core/lattice.hpp"
#include "core/pairs.hpp"

namespace atomprint {

namespace {

constexpr double first_cutoff = 6.0, growth = 1.25;
// Squared, in Å: an atom is no neighbour of itself, but of its images.
constexpr double own = 1e-12;
constexpr double pi = 3.14159265358979323846;

// A cell of which some atoms have no neighbours among so many images is far longer than it is wide: to look further
// would take seconds.
constexpr double most_images = 5e6, images_per_atom = 200.0;

bool too_many(const Structure& s, double cutoff) {
    const Lattice lattice(s);
    double images = static_cast<double>(s.n_atoms);
    for (std::size_t k = 0; k < 3; ++k)
        if (lattice.periodic[k])
            images *= 2.0 * cutoff / lattice.height[k] + 1.0;
    return !(images <= std::max(most_images, images_per_atom * static_cast<double>(s.n_atoms)));
}

// Where a sphere with about twice as many atoms ends.
double guess(const Structure& s, std::size_t n_neighbours) {
    if (!(s.pbc[0] && s.pbc[1] && s.pbc[2]))
        return first_cutoff;
    const double volume = Lattice(s).volume / static_cast<double>(s.n_atoms);
    return growth * std::cbrt(3.0 * static_cast<double>(n_neighbours) * volume / (4.0 * pi));
}

// The distances of each atom to its neighbours within a cutoff, as rows; false if there are too few of some species.
bool fill(const Structure& s, double cutoff, const std::vector<std::size_t>& kind_of,
          const std::vector<std::size_t>& row, NeighbourDistances& found) {
    const std::size_t n_species = found.n_species(), n_columns = found.n_columns();
    const NeighbourFinder finder(s, s.positions, s.n_atoms, cutoff);
    Neighbours near;
    std::vector<std::vector<double>> squares(n_species);
    for (std::size_t i = 0; i < s.n_atoms; ++i) {
        poll();
        Vec3 point{s.positions[3 * i], s.positions[3 * i + 1], s.positions[3 * i + 2]};
        finder.locate(point);
        finder.query(point, near);
        for (auto& each : squares)
            each.clear();
        for (std::size_t j = 0; j < near.n; ++j) {
            const auto atom = static_cast<std::size_t>(finder.atom[static_cast<std::size_t>(near.index[j])]);
            if (atom != i || near.r2[j] > own)
                squares[kind_of[atom]].push_back(near.r2[j]);
        }
        for (std::size_t k = 0; k < n_species; ++k) {
            auto& each = squares[k];
            const std::size_t wanted = found.first_column[k + 1] - found.first_column[k];
            const std::size_t held = found.first_row[k + 1] - found.first_row[k] - (kind_of[i] == k);
            if (each.size() < (s.periodic() ? wanted : std::min(wanted, held)))
                return false;
            const std::size_t n = std::min(wanted, each.size());
            std::partial_sort(each.begin(), each.begin() + static_cast<std::ptrdiff_t>(n), each.end());
            double* out = found.columns.data() + row[i] * n_columns + found.first_column[k];
            for (std::size_t m = 0; m < wanted; ++m)
                out[m] = m < n ? std::sqrt(each[m]) : 0.0;
        }
    }
    return true;
}

void sort_columns(NeighbourDistances& found) {
    const std::size_t n_columns = found.n_columns();
    std::vector<double> column;
    for (std::size_t k = 0; k < found.n_species(); ++k)
        for (std::size_t c = 0; c < n_columns; ++c) {
            column.clear();
            for (std::size_t r = found.first_row[k]; r < found.first_row[k + 1]; ++r)
                column.push_back(found.columns[r * n_columns + c]);
            std::sort(column.begin(), column.end());
            for (std::size_t r = 0; r < column.size(); ++r)
                found.columns[(found.first_row[k] + r) * n_columns + c] = column[r];
        }
}

} // namespace

std::int64_t NeighbourDistances::n_units() const {
    std::size_t units = 0;
    for (std::size_t k = 0; k < n_species(); ++k)
        units = std::gcd(units, first_row[k + 1] - first_row[k]);
    return static_cast<std::int64_t>(units);
}

void NeighbourDistances::summarise(double* out) const {
    const std::size_t n = n_columns(), block = n_species() * n;
    for (std::size_t k = 0; k < n_species(); ++k) {
        const std::size_t begin = first_row[k], end = first_row[k + 1];
        for (std::size_t c = 0; c < n; ++c) {
            double sum = 0.0;
            for (std::size_t r = begin; r < end; ++r)
                sum += columns[r * n + c];
            out[k * n + c] = sum / static_cast<double>(end - begin);
            out[block + k * n + c] = columns[begin * n + c];
            out[2 * block + k * n + c] = columns[(end - 1) * n + c];
        }
    }
}

NeighbourDistances neighbour_distances(const Structure& s, std::size_t n_neighbours) {
    NeighbourDistances found;
    found.species.assign(s.numbers, s.numbers + s.n_atoms);
    std::sort(found.species.begin(), found.species.end());
    found.species.erase(std::unique(found.species.begin(), found.species.end()), found.species.end());
    const std::size_t n_species = found.n_species();

    std::vector<std::size_t> kind_of(s.n_atoms), row(s.n_atoms);
    found.first_row.assign(n_species + 1, 0);
    for (std::size_t i = 0; i < s.n_atoms; ++i) {
        const auto at = std::lower_bound(found.species.begin(), found.species.end(), s.numbers[i]);
        kind_of[i] = static_cast<std::size_t>(at - found.species.begin());
        row[i] = found.first_row[kind_of[i] + 1]++; // among its species
    }
    found.first_column.assign(n_species + 1, 0);
    for (std::size_t k = 0; k < n_species; ++k) {
        const std::size_t share = (n_neighbours * found.first_row[k + 1] + s.n_atoms - 1) / s.n_atoms;
        found.first_column[k + 1] = found.first_column[k] + share;
    }
    std::partial_sum(found.first_row.begin(), found.first_row.end(), found.first_row.begin());
    for (std::size_t i = 0; i < s.n_atoms; ++i)
        row[i] += found.first_row[kind_of[i]];

    found.columns.resize(s.n_atoms * found.n_columns());
    double cutoff = guess(s, n_neighbours);
    do {
        if (s.periodic() && too_many(s, cutoff))
            throw NeighboursTooFar();
        cutoff *= growth;
    } while (!fill(s, cutoff / growth, kind_of, row, found));
    sort_columns(found);
    return found;
}

double largest_difference(const Described& one, const Described& other, std::size_t n_species, std::size_t n_columns) {
    double largest = 0.0;
    const double *a = one.columns, *b = other.columns;
    for (std::size_t k = 0; k < n_species; ++k) {
        // As if each were repeated until both have as many atoms: runs in which both stay in one row.
        const std::int64_t n_a = one.counts[k], n_b = other.counts[k], whole = std::lcm(n_a, n_b);
        const std::int64_t step_a = whole / n_a, step_b = whole / n_b;
        for (std::int64_t at = 0; at < whole;) {
            const std::int64_t i = at / step_a, j = at / step_b;
            const double* x = a + static_cast<std::size_t>(i) * n_columns;
            const double* y = b + static_cast<std::size_t>(j) * n_columns;
            for (std::size_t c = 0; c < n_columns; ++c)
                largest = std::max(largest, std::abs(one.scale * x[c] - other.scale * y[c]));
            at = std::min((i + 1) * step_a, (j + 1) * step_b);
        }
        a += static_cast<std::size_t>(n_a) * n_columns;
        b += static_cast<std::size_t>(n_b) * n_columns;
    }
    return largest;
}

} // namespace atomprint
