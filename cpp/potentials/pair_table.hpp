// Energies of pairs of atoms, by the species of the two, tabulated as splines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/species.hpp"
#include "potentials/evaluate.hpp"

namespace atomprint {

// V(r) = S(r), or S(r) / r where energies grow without bound as atoms meet, with S a polynomial of degree 5 in each of
// equal cells, and zero from the range of its pair of species on. Half of a pair's energy belongs to each of its atoms.
class PairTable {
public:
    // Coefficients (n_tables, n_cells, 6) of powers of t = r / range * n_cells - cell; `table_of`, (n_species,
    // n_species), has the table of each pair of species, or -1 where they do not act on each other.
    // GradientPart::nearest is the smallest distance in units of that in `known`, (n_species, n_species), if there is
    // one.
    PairTable(Species species, const double* coefficients, std::size_t n_tables, std::size_t n_cells,
              std::vector<double> ranges, std::vector<std::int32_t> table_of, bool over_distance,
              const std::vector<double>& known);

    static constexpr std::int64_t group = 8;
    struct Workspace {
        AtomNeighbours found;
        std::vector<double> gradient[3];
    };
    const Species& species() const { return species_; }
    double cutoff() const { return cutoff_; }
    void add(Workspace& work, const KeptPairs& pairs, std::int32_t kind, const std::int32_t* atoms, int n,
             double* energies, GradientPart& part) const;

private:
    Species species_;
    std::vector<double> coefficients_, ranges_, inverse_known_;
    std::vector<std::int32_t> table_of_;
    std::size_t n_cells_;
    bool over_distance_;
    double cutoff_ = 0.0;
};

} // namespace atomprint
