#include "potentials/ace_rows.hpp"

#include <algorithm>
#include <vector>

#include "local/ace_neighbours.hpp"
#include "local/local.hpp"

namespace atomprint {

namespace {

constexpr std::size_t lanes = ace_lanes<double>;

std::size_t whole_blocks(std::size_t n) {
    return (n + lanes - 1) / lanes * lanes;
}

} // namespace

struct AceRows::Workspace {
    AceFinder finder;
    AceAround<double> around[lanes];
    AceGroups<double> groups;
    AlignedVector<double> scratch, densities, x, values;
    double* density[lanes];
    double rho[lanes];
    AceLimit::Factor factor[lanes];
    // For derivatives, of one centre.
    std::vector<std::int32_t> atoms, place, place_of_neighbour;
    std::vector<double*> rows;
    AlignedVector<double> slot_values, slopes, columns, weight, own, of_density;
};

struct AceRows::Hooks {
    using Real = double;
    using Workspace = AceRows::Workspace;
    const AceRows& rows;

    double cutoff() const { return rows.basis_.arrays().cutoff; }
    void begin(Workspace& work, std::int32_t, const Environments& in, std::size_t structure) const {
        work.groups.set(rows.basis_, in.members(structure));
        const AceShape<double>& shape = rows.model_.shape();
        const std::size_t size =
            whole_blocks(static_cast<std::size_t>(work.groups.size() * shape.n_pad * shape.n_lm()));
        grow(work.densities, size * lanes);
        for (std::size_t lane = 0; lane < lanes; ++lane)
            work.density[lane] = work.densities.data() + lane * size;
        grow(work.x, static_cast<std::size_t>(rows.model_.program().size()) * lanes);
        grow(work.values, static_cast<std::size_t>(rows.basis_.n_functions()) * lanes);
    }

    // The densities of some centres.
    template <class SiteOf>
    void expand(Workspace& work, std::int64_t first, std::int32_t used, const SiteOf& site) const {
        const auto& kernel = ace_kernels<double>();
        const AceModel<double>& model = rows.model_;
        for (std::int32_t lane = 0; lane < used; ++lane) {
            AceAround<double>& around = work.around[lane];
            work.finder.collect(site(first + lane), model, work.groups, around);
            const AceNeighbours<double> view = around.view(work.groups.size());
            grow(work.scratch, kernel.scratch_size(model.shape(), view.n));
            kernel.expand(model.shape(), view, work.scratch.data(), work.density[lane]);
            work.rho[lane] = ace_density(model.shape(), view.n_groups, work.density[lane]);
        }
    }

    // X and all functions of some centres that are expanded.
    void evaluate(Workspace& work, std::int32_t used, const std::int32_t* kinds) const {
        const auto& kernel = ace_kernels<double>();
        const AceModel<double>& model = rows.model_;
        const auto n = static_cast<std::size_t>(work.groups.size() * model.shape().n_pad * model.shape().n_lm());
        for (std::int32_t lane = 0; lane < used; ++lane) {
            work.factor[lane] = rows.limit_.factor(kinds[lane], work.rho[lane]);
            for (std::size_t k = 0; work.factor[lane].value != 1.0 && k < n; ++k)
                work.density[lane][k] *= work.factor[lane].value;
        }
        kernel.pack(model.shape(), work.groups.channels(), work.groups.size(), work.density, used, work.x.data());
        kernel.products(model.program(), work.x.data());
        kernel.functions(model.program(), work.x.data(), work.values.data());
    }

    // Add the energy of each centre to a row, in the columns of its species; rows are `stride` numbers apart.
    void add_energies(const Workspace& work, std::int32_t used, const std::int32_t* kinds, double* row,
                      std::size_t stride) const {
        const std::size_t n = static_cast<std::size_t>(rows.basis_.n_functions());
        for (std::int32_t lane = 0; lane < used; ++lane) {
            double* const to =
                row + static_cast<std::size_t>(lane) * stride + static_cast<std::size_t>(kinds[lane]) * n;
            for (std::size_t k = 0; k < n; ++k)
                to[k] += work.values[k * lanes + lane];
        }
    }

    // Derivatives of the functions by A, for some centres.
    void find_gradients(Workspace& work, std::int32_t used) const {
        const AceGradientList<double> list = rows.gradients_.list();
        const std::size_t stride = whole_blocks(static_cast<std::size_t>(list.n_slots));
        grow(work.slot_values, stride * lanes);
        ace_kernels<double>().gradients(list, work.x.data(), used, work.slot_values.data(), stride);
    }

    // Number the atoms that are neighbours of a centre other than itself; returns whether each is there once.
    bool number_atoms(Workspace& work, const Site& at, const AceAround<double>& around) const {
        work.atoms.clear();
        grow(work.place_of_neighbour, around.n);
        bool distinct = true;
        for (std::size_t k = 0; k < around.n; ++k) {
            const std::int32_t atom = at.finder.atom[static_cast<std::size_t>(around.image[k])];
            std::int32_t& place = work.place[static_cast<std::size_t>(atom)];
            if (atom == at.atom)
                distinct = false;
            else if (place < 0)
                place = static_cast<std::int32_t>(work.atoms.size()), work.atoms.push_back(atom);
            else
                distinct = false;
            work.place_of_neighbour[k] = place; // that of the centre stays -1
        }
        for (const std::int32_t atom : work.atoms)
            work.place[static_cast<std::size_t>(atom)] = -1;
        return distinct;
    }

    // Derivatives of densities that are scaled, factor A: factor dA + A slope drho.
    void limit_columns(Workspace& work, std::int32_t lane, bool distinct, std::size_t n_columns,
                       std::size_t slope_stride) const {
        const AceAround<double>& around = work.around[lane];
        const auto [value, slope] = work.factor[lane];
        std::fill_n(work.weight.begin(), around.n, 1.0);
        std::copy_n(work.weight.begin(), around.n + ace_slack, work.own.begin());
        for (std::size_t k = 0; !distinct && k < around.n; ++k)
            if (work.place_of_neighbour[k] < 0)
                work.own[k] = 0.0;
        grow(work.of_density, n_columns + lanes);
        ace_kernels<double>().columns({static_cast<std::int32_t>(around.n),
                                       static_cast<std::int32_t>(work.atoms.size()),
                                       distinct ? nullptr : work.place_of_neighbour.data(), work.weight.data(),
                                       work.own.data(), around.x.data(), around.y.data(), around.z.data(), n_columns},
                                      work.slopes.data(), slope_stride, 1, work.of_density.data());
        for (std::size_t a = 0; a < static_cast<std::size_t>(rows.model_.program().n_a); ++a) {
            double* const to = work.columns.data() + a * n_columns;
            const double along = slope / value * work.x[(1 + a) * lanes + static_cast<std::size_t>(lane)];
            for (std::size_t k = 0; k < n_columns; ++k)
                to[k] = value * to[k] + along * work.of_density[k];
        }
    }

    // Add the derivatives of the functions of the centre in a lane to the rows of the structure from `own_rows` on.
    void add_derivatives(Workspace& work, std::int32_t lane, const Site& at, std::size_t n_atoms, double* own_rows,
                         std::size_t stride) const {
        const auto& kernel = ace_kernels<double>();
        const AceModel<double>& model = rows.model_;
        const AceAround<double>& around = work.around[lane];
        const AceGradientList<double> list = rows.gradients_.list();
        const std::size_t slope_stride = 3 * whole_blocks(around.n);
        const auto n_rows = static_cast<std::size_t>(model.shape().n_max * model.shape().n_lm());
        grow(work.slopes, n_rows * slope_stride);
        kernel.slopes(model.shape(), around.view(work.groups.size()), work.scratch.data(), slope_stride,
                      work.slopes.data());

        const bool distinct = number_atoms(work, at, around);
        const std::size_t n_columns = whole_blocks(3 * work.atoms.size() + 9);
        const AceMixing<double> channels = work.groups.channels();
        grow(work.columns, static_cast<std::size_t>(channels.n_outputs) * n_rows * n_columns + lanes);
        grow(work.weight, around.n + ace_slack), grow(work.own, around.n + ace_slack);
        for (std::int32_t c = 0; c < channels.n_outputs; ++c) {
            std::fill_n(work.weight.begin(), around.n + ace_slack, 0.0);
            for (const AceSegment<double>& segment : around.segments)
                for (std::int32_t j = channels.first[c]; j < channels.first[c + 1]; ++j)
                    if (channels.input[j] == segment.group)
                        std::fill(work.weight.begin() + segment.begin, work.weight.begin() + segment.end,
                                  channels.weight[j]);
            std::copy_n(work.weight.begin(), around.n + ace_slack, work.own.begin());
            for (std::size_t k = 0; !distinct && k < around.n; ++k)
                if (work.place_of_neighbour[k] < 0)
                    work.own[k] = 0.0;
            kernel.columns({static_cast<std::int32_t>(around.n), static_cast<std::int32_t>(work.atoms.size()),
                            distinct ? nullptr : work.place_of_neighbour.data(), work.weight.data(), work.own.data(),
                            around.x.data(), around.y.data(), around.z.data(), n_columns},
                           work.slopes.data(), slope_stride, static_cast<std::int32_t>(n_rows),
                           work.columns.data() + static_cast<std::size_t>(c) * n_rows * n_columns);
        }
        if (work.factor[lane].value != 1.0)
            limit_columns(work, lane, distinct, n_columns, slope_stride);

        work.rows.assign(n_columns, nullptr);
        double* const forces = own_rows + stride;
        const auto force_on = [&](std::int64_t atom, std::size_t a) {
            return forces + (3 * static_cast<std::size_t>(atom) + a) * stride;
        };
        const std::size_t m = work.atoms.size();
        for (std::size_t a = 0; a < 3; ++a) {
            for (std::size_t k = 0; k < m; ++k)
                work.rows[a * m + k] = force_on(work.atoms[k], a);
            work.rows[3 * m + a] = force_on(at.atom, a);
        }
        for (std::size_t v = 0; v < 6; ++v)
            work.rows[3 * m + 3 + v] = forces + (3 * n_atoms + v) * stride;
        kernel.jacobian(list, work.slot_values.data() + lane * whole_blocks(static_cast<std::size_t>(list.n_slots)),
                        work.columns.data(), n_columns, n_columns, true, work.rows.data());
    }
};

AceRows::AceRows(const AceBasis& basis, AceLimit limit)
    : basis_(basis), model_(basis_), gradients_(basis_), limit_(std::move(limit)) {}

// Calls of_block(hooks, memory, run, site, first, used) for blocks of centres, whose densities are there.
template <class OfBlock>
void AceRows::for_blocks_of_centres(const Batch& batch, int n_threads, const OfBlock& of_block) const {
    const AllAtoms centres(batch);
    const Kinds kinds = basis_.species().by_structure(batch);
    const Environments in{batch, centres, kinds, 0, batch.n_structures};
    const Hooks hooks{*this};
    local::for_runs(
        hooks, in, 1, 1, n_threads,
        [&](const CentreRun& run, auto& memory, const auto& site) {
            for (std::int64_t first = run.begin; first < run.end; first += lanes) {
                const auto used = static_cast<std::int32_t>(std::min<std::int64_t>(lanes, run.end - first));
                hooks.expand(memory.work, first, used, site);
                of_block(hooks, memory.work, run, site, first, used, kinds.of_atom.data() + first);
            }
        },
        [](std::size_t, auto&) {});
}

// Calls of_block(hooks, memory, site, first, used, its rows) for blocks of centres, whose functions are evaluated and
// whose energies are added.
template <class OfBlock>
void AceRows::for_blocks(const Batch& batch, int n_threads, double* out, std::size_t stride, bool all,
                         const OfBlock& of_block) const {
    const auto rows_of = [&](std::size_t s) {
        return out + (all ? 7 * s + 3 * static_cast<std::size_t>(batch.offsets[s]) : s) * stride;
    };
    for (std::size_t s = 0; s < batch.n_structures; ++s) { // of those without atoms, all
        const bool empty = batch.offsets[s] == batch.offsets[s + 1];
        for (std::size_t row = 0; row < (all && empty ? 7 : 1); ++row)
            std::fill_n(rows_of(s) + row * stride, n_columns(), 0.0);
    }
    for_blocks_of_centres(batch, n_threads,
                          [&](const Hooks& hooks, Workspace& work, const CentreRun& run, const auto& site,
                              std::int64_t first, std::int32_t used, const std::int32_t* kinds) {
                              double* const own_rows = rows_of(run.structure);
                              hooks.evaluate(work, used, kinds);
                              hooks.add_energies(work, used, kinds, own_rows, 0); // all to one
                              of_block(hooks, work, run, site, first, used, own_rows);
                          });
}

void AceRows::densities(const Batch& batch, int n_threads, double* out) const {
    for_blocks_of_centres(batch, n_threads,
                          [&](const Hooks&, const Workspace& work, const CentreRun&, const auto&, std::int64_t first,
                              std::int32_t used, const std::int32_t*) { std::copy_n(work.rho, used, out + first); });
}

void AceRows::atoms(const Batch& batch, int n_threads, double* out, std::size_t stride) const {
    for_blocks_of_centres(batch, n_threads,
                          [&](const Hooks& hooks, Workspace& work, const CentreRun&, const auto&, std::int64_t first,
                              std::int32_t used, const std::int32_t* kinds) {
                              double* const own_rows = out + static_cast<std::size_t>(first) * stride;
                              for (std::int32_t lane = 0; lane < used; ++lane)
                                  std::fill_n(own_rows + static_cast<std::size_t>(lane) * stride, n_columns(), 0.0);
                              hooks.evaluate(work, used, kinds);
                              hooks.add_energies(work, used, kinds, own_rows, stride);
                          });
}

void AceRows::sums(const Batch& batch, int n_threads, double* out, std::size_t stride) const {
    for_blocks(batch, n_threads, out, stride, false, [](const auto&...) {});
}

void AceRows::rows(const Batch& batch, int n_threads, double* out, std::size_t stride) const {
    const auto n_functions = static_cast<std::size_t>(basis_.n_functions());
    for_blocks(batch, n_threads, out, stride, true,
               [&](const Hooks& hooks, Workspace& work, const CentreRun& run, const auto& site, std::int64_t first,
                   std::int32_t used, double* own_rows) {
                   const auto n_atoms =
                       static_cast<std::size_t>(batch.offsets[run.structure + 1] - batch.offsets[run.structure]);
                   if (first == run.begin) {
                       work.place.assign(n_atoms, -1);
                       for (std::size_t row = 1; row < 7 + 3 * n_atoms; ++row)
                           std::fill_n(own_rows + row * stride, n_columns(), 0.0);
                   }
                   hooks.find_gradients(work, used);
                   for (std::int32_t lane = 0; lane < used; ++lane) {
                       const Site at = site(first + lane);
                       const auto column = static_cast<std::size_t>(at.kinds[at.atom]) * n_functions;
                       hooks.add_derivatives(work, lane, at, n_atoms, own_rows + column, stride);
                   }
               });
}

} // namespace atomprint
