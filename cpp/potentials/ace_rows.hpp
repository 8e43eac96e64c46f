// The rows of a fit of an atomic cluster expansion that is linear in its functions.
#pragma once

#include <cstddef>

#include "core/batch.hpp"
#include "local/ace_basis.hpp"
#include "potentials/ace_limit.hpp"

namespace atomprint {

// Columns are the functions of the centres of each species, one species after the other.
class AceRows {
public:
    AceRows(const AceBasis& basis, AceLimit limit);

    std::size_t n_columns() const { return static_cast<std::size_t>(basis_.species().size()) * basis_.n_functions(); }

    // For each structure 1 + 3 N + 6 rows, `stride` numbers apart: energy, forces, and derivatives by strain in the
    // order of `voigt`. Written entirely; no number depends on the number of threads.
    void rows(const Batch& batch, int n_threads, double* out, std::size_t stride) const;
    // The energies alone, a row for each structure.
    void sums(const Batch& batch, int n_threads, double* out, std::size_t stride) const;
    // The energies of single atoms, a row for each.
    void atoms(const Batch& batch, int n_threads, double* out, std::size_t stride) const;
    // The density of each atom, that limits are of.
    void densities(const Batch& batch, int n_threads, double* out) const;

private:
    struct Hooks;
    struct Workspace;
    template <class OfBlock>
    void for_blocks_of_centres(const Batch& batch, int n_threads, const OfBlock& of_block) const;
    template <class OfBlock>
    void for_blocks(const Batch& batch, int n_threads, double* out, std::size_t stride, bool all,
                    const OfBlock& of_block) const;

    AceBasis basis_;
    AceModel<double> model_;
    AceGradients<double> gradients_;
    AceLimit limit_;
};

} // namespace atomprint
