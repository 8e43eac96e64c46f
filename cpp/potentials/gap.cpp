#include "potentials/gap.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/dispatch.hpp"

namespace atomprint {

ATOMPRINT_KERNELS(GapKernels, gap)

namespace {

constexpr std::size_t block = block_columns;
// Sparse points whose kernels with a block of centres are held together: both stay in cache.
constexpr std::size_t points_at_a_time = 48;
// Room behind cotangents for the last, partly used vector.
constexpr std::size_t vector_slack = 16;

std::size_t whole_blocks(std::size_t n) {
    return (n + block - 1) / block * block;
}

// The columns of a matrix with `rows` rows in panels; element (i, j) is at data[i * row_stride + j * column_stride].
AlignedVector<double> in_panels(const AlignedVector<double>& data, std::size_t rows, std::size_t columns,
                                std::size_t row_stride, std::size_t column_stride) {
    AlignedVector<double> panels(rows * whole_blocks(columns), 0.0);
    for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t i = 0; i < rows; ++i)
            panels[(j / block * rows + i) * block + j % block] = data[i * row_stride + j * column_stride];
    return panels;
}

} // namespace

template <class T>
struct Gap<T>::Hooks {
    using Real = T;
    using Workspace = Gap::Workspace;
    const Soap<T>& soap;

    double cutoff() const { return soap.cutoff(); }
    void begin(Workspace& work, std::int32_t n_slots, const Environments& in, std::size_t structure) const {
        soap.begin(work.soap, n_slots, in, structure);
    }
    void expand(Workspace& work, const Site& site) const {
        soap.clear(work.soap, 1);
        soap.collect(work.soap, site);
        soap.expand(work.soap, 0);
    }
};

template <class T>
Gap<T>::Gap(const Soap<T>& soap, const double* weights, double zeta, const std::vector<SparsePoints>& species)
    : soap_(soap), weights_(weights, weights + soap.n_features()), zeta_(zeta) {
    const auto finite = [](const auto& values) {
        return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
    };
    if (!(zeta >= 1.0 && std::isfinite(zeta)) || species.size() != static_cast<std::size_t>(soap.species().size()) ||
        soap.averages())
        throw std::invalid_argument("zeta must be >= 1, with sparse points for each species of a SOAP of atoms");
    if (!finite(weights_))
        throw std::invalid_argument("weights of features must be finite");
    const std::size_t n_features = soap.n_features();
    for (const SparsePoints& given : species) {
        const std::size_t c = given.n_components, dimension = c ? c : n_features, n = given.n_points;
        if (given.basis.size() != c * n_features || given.points.size() != n * dimension ||
            (!given.coefficients.empty() && given.coefficients.size() != n) ||
            (!given.form.empty() && (zeta != 2.0 || given.form.size() != dimension * dimension)))
            throw std::invalid_argument("sparse points must have as many components as their basis");
        if (!finite(given.basis) || !finite(given.points) || !finite(given.coefficients) || !finite(given.form))
            throw std::invalid_argument("sparse points, their basis and their coefficients must be finite");
        const auto copy = [](const std::vector<double>& v) { return AlignedVector<double>(v.begin(), v.end()); };
        models_.push_back(
            {n, c, n_functions_, copy(given.basis), copy(given.points), copy(given.form), given.coefficients});
        n_functions_ += n;
    }
}

template <class T>
double Gap<T>::read_features(Workspace& work, double* features) const {
    const std::size_t n = weights_.size();
    grow(work.raw, n + 1);
    soap_.write(work.soap, work.raw.data());
    double square = 0.0;
    for (std::size_t f = 0; f < n; ++f) {
        features[f] = static_cast<double>(work.raw[f]) * weights_[f];
        square += features[f] * features[f];
    }
    const double scale = square > 0.0 ? 1.0 / std::sqrt(square) : 0.0;
    for (std::size_t f = 0; f < n; ++f)
        features[f] *= scale;
    return scale;
}

// Energies of n centres, whose features lie in a block, to work.sums, and derivatives by the features in their place.
template <class T>
void Gap<T>::evaluate_block(const Model& model, Workspace& work, std::size_t n) const {
    const GapKernels& kernel = gap_in_use();
    const std::size_t n_features = weights_.size(), dimension = model.dimension(n_features);
    const auto lanes = static_cast<std::size_t>(kernel.lanes);
    const auto columns = static_cast<std::int32_t>((n + lanes - 1) / lanes * lanes);
    const auto count = [](std::size_t k) { return static_cast<std::int32_t>(k); };
    grow(work.transposed, n_features * block), grow(work.x, dimension * block), grow(work.by_x, dimension * block);
    kernel.transpose(count(n), count(n_features), work.features.data(), n_features, work.transposed.data(), block);
    for (std::size_t f = 0; f < n_features; ++f)
        std::fill_n(work.transposed.data() + f * block + n, static_cast<std::size_t>(columns) - n, 0.0);
    double *x = work.transposed.data(), *const by_x = work.by_x.data();
    if (model.n_components) {
        kernel.multiply({count(dimension), count(n_features), columns, model.basis.data(), 1, dimension, x,
                         work.x.data(), block, false});
        x = work.x.data();
    }
    std::fill_n(work.sums, block, 0.0);
    if (!model.form.empty()) {
        kernel.multiply(
            {count(dimension), count(dimension), columns, model.form.data(), dimension, 1, x, by_x, block, false});
        for (std::size_t c = 0; c < dimension; ++c)
            for (std::size_t b = 0; b < n; ++b) {
                work.sums[b] += x[c * block + b] * by_x[c * block + b];
                by_x[c * block + b] *= 2.0;
            }
    } else {
        grow(work.kernel, points_at_a_time * block);
        std::fill_n(by_x, dimension * block, 0.0);
        for (std::size_t first = 0; first < model.n_points; first += points_at_a_time) {
            const std::int32_t rows = count(std::min(points_at_a_time, model.n_points - first));
            const double* const points = model.points.data() + first * dimension;
            kernel.multiply(
                {rows, count(dimension), columns, points, dimension, 1, x, work.kernel.data(), block, false});
            kernel.power(rows, columns, zeta_, model.coefficients.data() + first, work.kernel.data(), work.sums);
            kernel.multiply(
                {count(dimension), rows, columns, points, 1, dimension, work.kernel.data(), by_x, block, true});
        }
    }
    // What lengthens features alone changes nothing, and x . dE/dx = zeta E.
    const double* by_features = by_x;
    if (model.n_components) {
        kernel.multiply({count(n_features), count(dimension), columns, model.basis.data(), dimension, 1, by_x,
                         work.transposed.data(), block, false});
        by_features = work.transposed.data();
    }
    grow(work.by_features, block * n_features), grow(work.cotangents, block * n_features + vector_slack);
    kernel.transpose(count(n_features), count(n), by_features, block, work.by_features.data(), n_features);
    for (std::size_t b = 0; b < n; ++b) {
        const double along = zeta_ * work.sums[b], scale = work.scale[b];
        const double *const own = work.features.data() + b * n_features, *const by =
                                                                             work.by_features.data() + b * n_features;
        T* const to = work.cotangents.data() + b * n_features;
        for (std::size_t f = 0; f < n_features; ++f)
            to[f] = static_cast<T>((by[f] - along * own[f]) * scale * weights_[f]);
    }
}

template <class T>
void Gap<T>::add(Workspace& work, const KeptPairs& pairs, std::int32_t kind, const std::int32_t* atoms, int n,
                 double* energies, GradientPart& part) const {
    const std::size_t n_features = weights_.size();
    const Model& model = models_[static_cast<std::size_t>(kind)];
    if (model.coefficients.size() != model.n_points)
        throw std::invalid_argument("sparse points have no coefficients");
    const std::int32_t* const kinds = pairs.kind_of_image();
    AtomNeighbours& found = work.found;
    work.kept.resize(block), work.scale.resize(block);
    grow(work.features, block * n_features);
    soap_.begin(work.soap);
    for (int b = 0; b < n; ++b) {
        pairs.neighbours(atoms[b], found);
        const std::size_t last = found.n++; // there is room behind the last
        found.image[last] = pairs.image_of(atoms[b]);
        found.x[last] = found.y[last] = found.z[last] = found.r2[last] = 0.0;
        soap_.clear(work.soap, 1);
        soap_.collect(work.soap, {found.n, found.image.data(), found.x.data(), found.y.data(), found.z.data()},
                      found.r2.data(), kinds);
        soap_.expand(work.soap, 0);
        work.scale[b] = read_features(work, work.features.data() + b * n_features);
        soap_.exchange(work.soap, work.kept[b]);
    }
    evaluate_block(model, work, static_cast<std::size_t>(n));
    for (int b = 0; b < n; ++b) {
        energies[atoms[b]] = work.sums[b];
        soap_.exchange(work.soap, work.kept[b]);
        const auto by = soap_.backward(work.soap, kinds, work.cotangents.data() + b * n_features);
        part.add(atoms[b], pairs.atom_of_image(), soap_.neighbours(work.soap), {by[0], by[1], by[2]});
    }
}

template <class T>
void Gap<T>::features(const Batch& batch, int n_threads, double* out) const {
    const AllAtoms centres(batch);
    const Kinds kinds = soap_.species().by_structure(batch);
    const Environments in{batch, centres, kinds, 0, batch.n_structures};
    const Hooks hooks{soap_};
    local::for_runs(
        hooks, in, 1, any_number_of_parts, n_threads,
        [&](const CentreRun& run, auto& memory, const auto& site) {
            for (std::int64_t c = run.begin; c < run.end; ++c) {
                hooks.expand(memory.work, site(c));
                read_features(memory.work, out + static_cast<std::size_t>(c) * weights_.size());
            }
        },
        [](std::size_t, auto&) {});
}

// Derivatives of the features of the expanded centre by its neighbours, added up in rows (x, y, z) of each distinct
// atom, the first of which is the centre's own, and then by strain; and after them the features. Returns the number of
// rows.
template <class T>
std::size_t Gap<T>::find_slopes(Workspace& work, const Site& at) const
    requires std::same_as<T, double>
{
    const std::size_t n_features = weights_.size();
    const auto add_scaled = kernels().vectors.of<double>().add_scaled;
    const NeighbourList found = soap_.neighbours(work.soap);
    work.atoms.assign(1, static_cast<std::int32_t>(at.atom));
    work.place[static_cast<std::size_t>(at.atom)] = 0;
    for (std::size_t k = 0; k < found.n; ++k) {
        const std::int32_t atom = at.finder.atom[static_cast<std::size_t>(found.image[k])];
        if (work.place[static_cast<std::size_t>(atom)] < 0) {
            work.place[static_cast<std::size_t>(atom)] = static_cast<std::int32_t>(work.atoms.size());
            work.atoms.push_back(atom);
        }
    }
    const std::size_t of_strain = 3 * work.atoms.size(), n_rows = of_strain + 6;
    grow(work.of_neighbour, 3 * n_features), grow(work.slopes, (n_rows + 1) * n_features);
    std::fill_n(work.slopes.data(), n_rows * n_features, 0.0);
    soap_.prepare(work.soap, at, 1.0);
    const std::vector<FeatureRun>* runs = nullptr;
    std::int32_t last_kind = -1;
    for (std::size_t k = 0; k < found.n; ++k) {
        const std::int32_t atom = at.finder.atom[static_cast<std::size_t>(found.image[k])];
        if (at.kinds[atom] != last_kind)
            runs = &soap_.runs(work.soap, at.kinds[atom], false);
        last_kind = at.kinds[atom];
        soap_.gradient(work.soap, k, work.of_neighbour.data(), n_features);
        const auto place = static_cast<std::size_t>(work.place[static_cast<std::size_t>(atom)]);
        const double* const d[3] = {found.x, found.y, found.z};
        for (const FeatureRun& run : *runs) {
            const auto row = [&](std::size_t r) { return work.slopes.data() + r * n_features + run.first; };
            for (std::size_t a = 0; a < 3; ++a) {
                const double* const from = work.of_neighbour.data() + a * n_features + run.first;
                if (place > 0) { // what moves with the centre does not change it
                    add_scaled(run.length(), 1.0, from, row(3 * place + a));
                    add_scaled(run.length(), -1.0, from, row(a));
                }
                // The sum over neighbours is symmetric.
                for (std::size_t v = 0; v < 6; ++v)
                    if (static_cast<std::size_t>(voigt[v][0]) == a)
                        add_scaled(run.length(), d[voigt[v][1]][k], from, row(of_strain + v));
            }
        }
    }
    for (const std::int32_t atom : work.atoms)
        work.place[static_cast<std::size_t>(atom)] = -1;
    // From features to those of length 1.
    const double *const own = work.features.data(), scale = work.scale[0];
    for (std::size_t r = 0; r < n_rows; ++r) {
        double* const row = work.slopes.data() + r * n_features;
        double along = 0.0;
        for (std::size_t f = 0; f < n_features; ++f) {
            row[f] *= weights_[f];
            along += row[f] * own[f];
        }
        for (std::size_t f = 0; f < n_features; ++f)
            row[f] = (row[f] - along * own[f]) * scale;
    }
    std::copy_n(own, n_features, work.slopes.data() + n_rows * n_features);
    return n_rows;
}

template <class T>
void Gap<T>::rows(const Batch& batch, int n_threads, double* out, std::size_t stride) const
    requires std::same_as<T, double>
{
    const AllAtoms centres(batch);
    const Kinds kinds = soap_.species().by_structure(batch);
    const Environments in{batch, centres, kinds, 0, batch.n_structures};
    const std::size_t n_features = weights_.size();
    const GapKernels& kernel = gap_in_use();
    const Hooks hooks{soap_};
    const auto count = [](std::size_t k) { return static_cast<std::int32_t>(k); };
    struct Panels {
        AlignedVector<double> basis, points;
    };
    std::vector<Panels> panels;
    for (const Model& model : models_) {
        const std::size_t dimension = model.dimension(n_features);
        panels.push_back({in_panels(model.basis, model.n_components ? n_features : 0, model.n_components, dimension, 1),
                          in_panels(model.points, dimension, model.n_points, 1, dimension)});
    }
    for (std::size_t s = 0; s < batch.n_structures; ++s)
        for (std::size_t r = 0; batch.offsets[s] == batch.offsets[s + 1] && r < 7; ++r)
            std::fill_n(out + (7 * s + 3 * static_cast<std::size_t>(batch.offsets[s]) + r) * stride, n_functions_, 0.0);
    local::for_runs(
        hooks, in, 1, 1, n_threads,
        [&](const CentreRun& run, auto& memory, const auto& site) {
            Workspace& work = memory.work;
            const auto first_atom = static_cast<std::size_t>(batch.offsets[run.structure]);
            const std::size_t n_atoms = static_cast<std::size_t>(batch.offsets[run.structure + 1]) - first_atom;
            double* const own_rows = out + (7 * run.structure + 3 * first_atom) * stride;
            for (std::size_t r = 0; r < 1 + 3 * n_atoms + 6; ++r)
                std::fill_n(own_rows + r * stride, n_functions_, 0.0);
            grow(work.features, n_features), work.scale.resize(block);
            work.place.assign(n_atoms, -1);
            const double ones[1] = {1.0};
            for (std::int64_t c = run.begin; c < run.end; ++c) {
                const Model& model = models_[static_cast<std::size_t>(kinds.of_atom[static_cast<std::size_t>(c)])];
                const Panels& own = panels[static_cast<std::size_t>(&model - models_.data())];
                if (model.n_points == 0)
                    continue;
                const Site at = site(c);
                hooks.expand(work, at);
                work.scale[0] = read_features(work, work.features.data());
                const std::size_t n_rows = find_slopes(work, at);
                const std::size_t dimension = model.dimension(n_features);
                const double* x = work.slopes.data();
                std::size_t x_stride = n_features;
                if (model.n_components) {
                    x_stride = whole_blocks(dimension);
                    grow(work.projected, (n_rows + 1) * x_stride);
                    for (std::size_t first = 0; first < dimension; first += block)
                        kernel.multiply({count(n_rows + 1), count(n_features), block_columns, x, n_features, 1,
                                         own.basis.data() + first * n_features, work.projected.data() + first, x_stride,
                                         false});
                    x = work.projected.data();
                }
                grow(work.kernel, (n_rows + 1) * block);
                for (std::size_t first = 0; first < model.n_points; first += block) {
                    double* const tile = work.kernel.data();
                    kernel.multiply({count(n_rows + 1), count(dimension), block_columns, x, x_stride, 1,
                                     own.points.data() + first * dimension, tile, block, false});
                    double* const slope = tile + n_rows * block;
                    std::fill_n(work.sums, block, 0.0);
                    kernel.power(1, block_columns, zeta_, ones, slope, work.sums);
                    const std::size_t n = std::min(block, model.n_points - first);
                    double* const to = own_rows + model.first + first;
                    for (std::size_t j = 0; j < n; ++j)
                        to[j] += work.sums[j];
                    for (std::size_t r = 0; r < n_rows; ++r) {
                        const std::size_t place = r / 3, strain = r - 3 * work.atoms.size();
                        const bool of_atom = place < work.atoms.size();
                        const std::size_t row = of_atom ? 1 + 3 * static_cast<std::size_t>(work.atoms[place]) + r % 3
                                                        : 1 + 3 * n_atoms + strain;
                        const double sign = of_atom ? -1.0 : 1.0; // forces are minus the derivatives
                        for (std::size_t j = 0; j < n; ++j)
                            to[row * stride + j] += sign * slope[j] * tile[r * block + j];
                    }
                }
            }
        },
        [](std::size_t, auto&) {});
}

template class Gap<double>;
template class Gap<float>;

} // namespace atomprint
