#include "local/acsf.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/checks.hpp"
#include "core/dispatch.hpp"

namespace atomprint {

namespace {

// Powers up to this one are repeated multiplications.
constexpr double largest_integer_power = 4096.0;

template <class T>
const AcsfKernels<T>& acsf_kernels();
template <>
const AcsfKernels<double>& acsf_kernels<double>() {
    return kernels().acsf_f64;
}
template <>
const AcsfKernels<float>& acsf_kernels<float>() {
    return kernels().acsf_f32;
}

std::size_t fill_up(std::size_t n, std::size_t lanes) {
    return (n + lanes - 1) / lanes * lanes;
}

} // namespace

template <class T>
struct Acsf<T>::Workspace {
    Neighbours found;
    // Of each one found: its species, -1 for the centre itself.
    std::vector<std::int32_t> kind;
    // Sorted by species: image, vector from the centre, and where it is among the neighbours of the kernels.
    std::size_t n = 0;
    std::vector<std::int32_t> image, place, next;
    std::vector<double> x, y, z;
    std::vector<AcsfSegment> segments;

    std::size_t stride = 0;
    std::vector<double> padded[4], gradient[3], radial_slope;
    AlignedVector<T> vector, unit, inverse_r, damping, damping_slope, sums, scratch;
};

template <class T>
Acsf<T>::Acsf(AcsfParameters parameters) : p_(std::move(parameters)) {
    if (p_.species.size() < 1 || !(p_.cutoff > 0.0))
        throw std::invalid_argument("ACSF needs species and a cutoff > 0");
    // Functions that share damping or power find each other.
    std::vector<std::array<double, 2>> powers;
    const auto index_of = [](auto& values, const auto& value) {
        const auto found = std::find(values.begin(), values.end(), value);
        if (found != values.end())
            return static_cast<std::int32_t>(found - values.begin());
        values.push_back(value);
        return static_cast<std::int32_t>(values.size() - 1);
    };
    std::vector<std::vector<AcsfFunction>> of_terms;
    std::int32_t feature = 0;
    for (const bool near : {true, false})
        for (const auto& [eta, zeta, lambda] : near ? p_.g4 : p_.g5) {
            if (!(eta >= 0.0 && zeta >= 1.0 && std::abs(lambda) <= 1.0))
                throw std::invalid_argument("angular functions need eta >= 0, zeta >= 1 and |lambda| <= 1");
            const std::int32_t index = index_of(etas_, eta);
            const std::int32_t power = index_of(powers, std::array<double, 2>{zeta, lambda});
            const auto same = [&](const AcsfTerm<T>& term) {
                return term.index == index && term.near == near;
            };
            const auto term = std::find_if(terms_.begin(), terms_.end(), same);
            if (term == terms_.end()) {
                terms_.push_back({index, static_cast<T>(eta), near, 0, 0});
                of_terms.push_back({{power, feature}});
            } else {
                of_terms[static_cast<std::size_t>(term - terms_.begin())].push_back({power, feature});
            }
            ++feature;
        }
    for (std::size_t t = 0; t < terms_.size(); ++t) {
        terms_[t].begin = static_cast<std::int32_t>(functions_.size());
        functions_.insert(functions_.end(), of_terms[t].begin(), of_terms[t].end());
        terms_[t].end = static_cast<std::int32_t>(functions_.size());
    }
    for (const auto& [zeta, lambda] : powers) {
        const bool integer = zeta == std::floor(zeta) && zeta <= largest_integer_power;
        powers_.push_back({lambda < 0.0 ? -1 : 1, static_cast<T>((1.0 - std::abs(lambda)) / 2.0),
                           static_cast<T>(std::abs(lambda) / 4.0),
                           integer ? static_cast<std::int32_t>(zeta) - 1 : -1, static_cast<T>(zeta - 1.0),
                           static_cast<T>(zeta * lambda)});
    }
    const auto size = [](const auto& values) { return static_cast<std::int32_t>(values.size()); };
    model_ = {p_.cutoff,        size(p_.g2),       size(p_.g3),
              size(etas_),      size(powers_),     size(terms_),
              size(functions_), p_.species.size(), p_.g2.empty() ? nullptr : p_.g2.data()->data(),
              p_.g3.data(),     etas_.data(),      powers_.data(),
              terms_.data(),    functions_.data()};
    n_features_ = static_cast<std::size_t>(model_.first_of(p_.species.size(), 0));
}

// The neighbours of a centre, sorted by species.
template <class T>
void Acsf<T>::collect(Workspace& work, const NeighbourFinder& finder, const std::int32_t* species,
                      const Centres& centres, std::int64_t centre) const {
    const double* const at = centres.points + 3 * centre;
    Vec3 point{at[0], at[1], at[2]};
    const auto moved = finder.locate(point);
    finder.query(point, work.found);
    const Neighbours& found = work.found;
    const std::int64_t own = centres.atoms[centre];
    const auto n_kinds = static_cast<std::size_t>(p_.species.size());
    grow(work.kind, found.n);
    for (auto* indices : {&work.image, &work.place})
        grow(*indices, found.n);
    for (auto* values : {&work.x, &work.y, &work.z})
        grow(*values, found.n);
    work.next.assign(n_kinds + 1, 0);
    for (std::size_t k = 0; k < found.n; ++k) {
        const auto image = static_cast<std::size_t>(found.index[k]);
        const std::int32_t atom = finder.atom[image];
        const bool is_centre =
            own >= 0 ? atom == own && finder.shift[image] == moved : found.r2[k] < coincidence * coincidence;
        work.kind[k] = is_centre ? -1 : species[atom];
        if (!is_centre)
            ++work.next[species[atom] + 1];
    }
    // Segments of the species that are there, and where each starts among all neighbours.
    const auto lanes = static_cast<std::size_t>(acsf_kernels<T>().lanes);
    work.segments.clear();
    work.stride = 0;
    for (std::size_t kind = 0; kind < n_kinds; ++kind) {
        const std::int32_t n = work.next[kind + 1];
        if (n > 0) {
            const auto begin = static_cast<std::int32_t>(work.stride);
            work.segments.push_back({begin, begin + n, static_cast<std::int32_t>(kind)});
            work.stride += fill_up(static_cast<std::size_t>(n), lanes);
        }
        work.next[kind + 1] += work.next[kind];
    }
    work.n = static_cast<std::size_t>(work.next[n_kinds]);
    for (std::size_t k = 0; k < found.n; ++k) {
        if (work.kind[k] < 0)
            continue;
        const std::int32_t to = work.next[work.kind[k]]++;
        work.image[to] = found.index[k];
        work.x[to] = found.x[k], work.y[to] = found.y[k], work.z[to] = found.z[k];
    }
}

// The collected neighbours in the form of the kernels.
template <class T>
AcsfNeighbours<T> Acsf<T>::arrange(Workspace& work) const {
    const std::size_t ld = work.stride;
    for (auto& values : work.padded)
        grow(values, ld);
    grow(work.vector, 3 * ld), grow(work.unit, 3 * ld), grow(work.inverse_r, ld);
    grow(work.damping, ld * etas_.size());
    std::size_t k = 0;
    const double beyond[4] = {0.0, 0.0, 0.0, p_.cutoff * p_.cutoff};
    for (std::size_t part = 0; part < work.segments.size(); ++part) {
        const AcsfSegment& segment = work.segments[part];
        for (std::int32_t i = segment.begin; i < segment.end; ++i, ++k) {
            const double x = work.x[k], y = work.y[k], z = work.z[k];
            work.place[k] = i;
            work.padded[0][i] = x, work.padded[1][i] = y, work.padded[2][i] = z;
            work.padded[3][i] = x * x + y * y + z * z;
        }
        const std::size_t end =
            part + 1 < work.segments.size() ? static_cast<std::size_t>(work.segments[part + 1].begin) : ld;
        for (int c = 0; c < 4; ++c)
            std::fill(work.padded[c].begin() + segment.end,
                      work.padded[c].begin() + static_cast<std::ptrdiff_t>(end), beyond[c]);
    }
    return {static_cast<std::int32_t>(work.segments.size()),
            work.segments.data(),
            ld,
            work.padded[0].data(),
            work.padded[1].data(),
            work.padded[2].data(),
            work.padded[3].data(),
            work.vector.data(),
            work.unit.data(),
            work.inverse_r.data(),
            work.damping.data(),
            work.damping_slope.data(),
            work.radial_slope.data(),
            work.sums.data()};
}

template <class T>
void Acsf<T>::write_features(Workspace& work, const AcsfNeighbours<T>& neighbours, T* features) const {
    const auto& kernel = acsf_kernels<T>();
    std::fill(features, features + n_features_, T(0));
    kernel.radial(model_, neighbours, features);
    if (!functions_.empty())
        kernel.angular(model_, neighbours, work.scratch.data(), features);
}

template <class T>
void Acsf<T>::compute(const Batch& batch, const Centres& centres, int n_threads, T* out) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    const auto& kernel = acsf_kernels<T>();
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    for_centres(
        batch, centres, 0, batch.n_structures, p_.cutoff, std::size_t(-1) / 2, n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
            Workspace& work = workspaces[worker];
            grow(work.scratch, kernel.scratch_size(model_));
            for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                T* const features = out + static_cast<std::size_t>(centre) * n_features_;
                collect(work, finder, species.data() + batch.offsets[run.structure], centres, centre);
                const AcsfNeighbours<T> neighbours = arrange(work);
                write_features(work, neighbours, features);
            }
        },
        [](std::size_t, int) {});
}

// Room for derivatives.
template <class T>
void Acsf<T>::make_room_for_slopes(Workspace& work) const {
    grow(work.damping_slope, work.stride * etas_.size());
    grow(work.radial_slope, work.stride * static_cast<std::size_t>(model_.n_radial()));
    grow(work.sums, 4 * work.stride);
    for (auto& component : work.gradient)
        grow(component, work.stride);
}

template <class T>
void Acsf<T>::vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const T* cotangents,
                  double* positions, double* strain, T* features) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    const auto& kernel = acsf_kernels<T>();
    GradientSum gradient(batch, positions, strain);
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    for_centres(
        batch, centres, 0, batch.n_structures, p_.cutoff, parts_of_sum, n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
            Workspace& work = workspaces[worker];
            grow(work.scratch, kernel.scratch_size(model_));
            GradientSum::Part sum = gradient.part(run.structure);
            for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                collect(work, finder, species.data() + batch.offsets[run.structure], centres, centre);
                make_room_for_slopes(work);
                const AcsfNeighbours<T> neighbours = arrange(work);
                const std::size_t row = static_cast<std::size_t>(centre) * n_features_;
                if (features)
                    write_features(work, neighbours, features + row);
                kernel.radial(model_, neighbours, nullptr);
                double* const to[3] = {work.gradient[0].data(), work.gradient[1].data(),
                                       work.gradient[2].data()};
                kernel.backward(model_, neighbours, cotangents + row, work.scratch.data(), to);
                const std::int64_t own = attach ? centres.atoms[centre] : -1;
                for (std::size_t k = 0; k < work.n; ++k) {
                    const std::int32_t i = work.place[k];
                    const double g[3] = {to[0][i], to[1][i], to[2][i]};
                    const double d[3] = {work.x[k], work.y[k], work.z[k]};
                    sum.add(finder.atom[work.image[k]], own, g, d);
                }
            }
            gradient.put(run, std::move(sum));
        },
        [&](std::size_t s, int) { gradient.finish(s); });
}

template <class T>
PairList Acsf<T>::pairs(const Batch& batch, const Centres& centres, int n_threads) const {
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    return list_pairs(batch, p_.species.of(batch).data(), static_cast<std::size_t>(p_.species.size()),
                      centres, p_.cutoff, n_threads,
                      [&](int worker, const NeighbourFinder& finder, const std::int32_t* kinds,
                          std::int64_t centre) -> NeighbourList {
                          Workspace& work = workspaces[worker];
                          collect(work, finder, kinds, centres, centre);
                          return {work.n, work.image.data(), work.x.data(), work.y.data(), work.z.data()};
                      });
}

template <class T>
std::vector<std::array<std::size_t, 2>> Acsf<T>::touched(std::int32_t kind) const {
    const auto run = [](std::int32_t first, std::int32_t n) {
        return std::array{static_cast<std::size_t>(first), static_cast<std::size_t>(first + n)};
    };
    std::vector<std::array<std::size_t, 2>> runs{run(kind * model_.n_radial(), model_.n_radial())};
    for (std::int32_t other = 0; other < p_.species.size(); ++other)
        runs.push_back(run(model_.first_of(kind, other), model_.n_functions));
    return runs;
}

template <class T>
void Acsf<T>::pair_jacobian(const Batch& batch, const Centres& centres, int n_threads,
                            const std::int64_t* first, const std::int64_t* value_offsets, T* values) const {
    const std::vector<std::int32_t> species = p_.species.of(batch);
    const auto& kernel = acsf_kernels<T>();
    const auto width = static_cast<std::size_t>(model_.n_radial() + p_.species.size() * model_.n_functions);
    std::vector<Workspace> workspaces(std::max(n_threads, 1));
    for_centres(
        batch, centres, 0, batch.n_structures, p_.cutoff, std::size_t(-1) / 2, n_threads,
        [&](const CentreRun& run, const NeighbourFinder& finder, int worker) {
            Workspace& work = workspaces[worker];
            grow(work.scratch, kernel.scratch_size(model_));
            for (std::int64_t centre = run.begin; centre < run.end; ++centre) {
                collect(work, finder, species.data() + batch.offsets[run.structure], centres, centre);
                make_room_for_slopes(work);
                const AcsfNeighbours<T> neighbours = arrange(work);
                kernel.radial(model_, neighbours, nullptr);
                for (std::int32_t part = 0; part < neighbours.n_segments; ++part) {
                    const AcsfSegment& segment = work.segments[part];
                    T* to = values + value_offsets[segment.kind] +
                            static_cast<std::size_t>(first[centre * p_.species.size() + segment.kind]) * 3 *
                                width;
                    for (std::int32_t i = segment.begin; i < segment.end; ++i, to += 3 * width)
                        kernel.gradient(model_, neighbours, i, part, work.scratch.data(), to, width);
                }
            }
        },
        [](std::size_t, int) {});
}

template class Acsf<double>;
template class Acsf<float>;

} // namespace atomprint
