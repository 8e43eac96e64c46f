#include "potentials/pair_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "core/aligned.hpp"

namespace atomprint {

namespace {

// Atoms nearer than this, in Å, are taken to be so far apart: on top of each other they have no direction.
constexpr double nearest = 1e-3;

} // namespace

PairTable::PairTable(Species species, const double* coefficients, std::size_t n_tables, std::size_t n_cells,
                     std::vector<double> ranges, std::vector<std::int32_t> table_of, bool over_distance,
                     const std::vector<double>& known)
    : species_(std::move(species)), coefficients_(coefficients, coefficients + 6 * n_tables * n_cells),
      ranges_(std::move(ranges)), table_of_(std::move(table_of)), n_cells_(n_cells), over_distance_(over_distance) {
    const auto n = static_cast<std::size_t>(species_.size());
    if (n_cells < 1 || ranges_.size() != n_tables || table_of_.size() != n * n)
        throw std::invalid_argument("a table needs cells and a range, and each pair of species a table");
    if (!std::all_of(coefficients_.begin(), coefficients_.end(), [](double c) { return std::isfinite(c); }))
        throw std::invalid_argument("coefficients of tables must be finite");
    for (const double range : ranges_)
        if (!(range > 0.0 && std::isfinite(range)))
            throw std::invalid_argument("ranges must be > 0 and finite");
    for (const std::int32_t table : table_of_) {
        if (table < -1 || table >= static_cast<std::int32_t>(n_tables))
            throw std::invalid_argument("table_of must name tables");
        if (table >= 0)
            cutoff_ = std::max(cutoff_, ranges_[table]);
    }
    if (!known.empty() && known.size() != n * n)
        throw std::invalid_argument("known must have a distance for each pair of species");
    if (!std::all_of(known.begin(), known.end(), [](double d) { return d > 0.0 && std::isfinite(d); }))
        throw std::invalid_argument("known distances must be > 0 and finite");
    for (std::size_t k = 0; k < n * n; ++k)
        inverse_known_.push_back(known.empty() ? std::numeric_limits<double>::infinity() : 1.0 / known[k]);
    if (cutoff_ == 0.0)
        throw std::invalid_argument("at least one pair of species must have a table");
}

void PairTable::add(Workspace& work, const KeptPairs& pairs, std::int32_t kind, const std::int32_t* atoms, int n,
                    double* energies, GradientPart& part) const {
    const std::int32_t* const tables = table_of_.data() + kind * species_.size();
    const double* const inverse_known = inverse_known_.data() + kind * species_.size();
    AtomNeighbours& found = work.found;
    for (int i = 0; i < n; ++i) {
        pairs.neighbours(atoms[i], found);
        for (auto& values : work.gradient)
            grow(values, found.n);
        double energy = 0.0;
        for (std::size_t k = 0; k < found.n; ++k) {
            const std::int32_t other = pairs.kind_of_image()[found.image[k]], table = tables[other];
            const double r = std::max(std::sqrt(found.r2[k]), nearest);
            part.nearest = std::min(part.nearest, r * inverse_known[other]);
            double slope = 0.0;
            if (table >= 0 && r < ranges_[table]) {
                const double per_cell = static_cast<double>(n_cells_) / ranges_[table], s = r * per_cell;
                const std::size_t cell = std::min(static_cast<std::size_t>(s), n_cells_ - 1);
                const double* const c = coefficients_.data() + 6 * (table * n_cells_ + cell);
                const double t = s - static_cast<double>(cell);
                double v = c[5], d = 0.0;
                for (int power = 4; power >= 0; --power) {
                    d = d * t + v;
                    v = v * t + c[power];
                }
                d *= per_cell;
                if (over_distance_) {
                    v /= r;
                    d = (d - v) / r;
                }
                energy += 0.5 * v;
                slope = 0.5 * d / r;
            }
            work.gradient[0][k] = slope * found.x[k];
            work.gradient[1][k] = slope * found.y[k];
            work.gradient[2][k] = slope * found.z[k];
        }
        energies[atoms[i]] = energy;
        part.add(atoms[i], pairs.atom_of_image(), found,
                 {work.gradient[0].data(), work.gradient[1].data(), work.gradient[2].data()});
    }
}

} // namespace atomprint
