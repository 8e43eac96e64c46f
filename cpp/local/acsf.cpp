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
    std::vector<std::int32_t> image, place, part, next;
    std::vector<double> x, y, z;
    std::vector<AcsfSegment> segments, own_segments; // the latter with species numbered as they come
    std::vector<FeatureRun> there;

    std::size_t stride = 0;
    std::vector<double> padded[4], gradient[3], radial_slope, totals;
    AlignedVector<T> vector, unit, inverse_r, damping, damping_slope, sums, scratch, compact;
    AcsfNeighbours<T> view{}; // of them for the kernels

    T scale = 1;
    bool in_place = true; // whether gradients are written as the kernel does, without gaps
    std::vector<FeatureRun> runs;
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
            const auto same = [&](const AcsfTerm<T>& term) { return term.index == index && term.near == near; };
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
                           static_cast<T>(std::abs(lambda) / 4.0), integer ? static_cast<std::int32_t>(zeta) - 1 : -1,
                           static_cast<T>(zeta - 1.0), static_cast<T>(zeta * lambda)});
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
void Acsf<T>::collect(Workspace& work, const Site& site) const {
    Vec3 point{site.point[0], site.point[1], site.point[2]};
    const auto moved = site.finder.locate(point);
    site.finder.query(point, work.found);
    const Neighbours& found = work.found;
    const std::int64_t own = site.atom;
    const auto n_kinds = static_cast<std::size_t>(p_.species.size());
    grow(work.kind, found.n);
    for (auto* indices : {&work.image, &work.place, &work.part})
        grow(*indices, found.n);
    for (auto* values : {&work.x, &work.y, &work.z})
        grow(*values, found.n);
    work.next.assign(n_kinds + 1, 0);
    for (std::size_t k = 0; k < found.n; ++k) {
        const auto image = static_cast<std::size_t>(found.index[k]);
        const std::int32_t atom = site.finder.atom[image];
        const bool is_centre =
            own >= 0 ? atom == own && site.finder.shift[image] == moved : found.r2[k] < coincidence * coincidence;
        work.kind[k] = is_centre ? -1 : site.kinds[atom];
        if (!is_centre)
            ++work.next[site.kinds[atom] + 1];
    }
    // Segments of the species that are there, and where each starts among all neighbours.
    const auto lanes = static_cast<std::size_t>(kernels().acsf.of<T>().lanes);
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

template <class T>
NeighbourList Acsf<T>::neighbours(const Workspace& work) const {
    return {work.n, work.image.data(), work.x.data(), work.y.data(), work.z.data()};
}

// The collected neighbours in the form of the kernels.
template <class T>
void Acsf<T>::expand(Workspace& work, std::int32_t) const {
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
            work.place[k] = i, work.part[k] = static_cast<std::int32_t>(part);
            work.padded[0][i] = x, work.padded[1][i] = y, work.padded[2][i] = z;
            work.padded[3][i] = x * x + y * y + z * z;
        }
        const std::size_t end =
            part + 1 < work.segments.size() ? static_cast<std::size_t>(work.segments[part + 1].begin) : ld;
        for (int c = 0; c < 4; ++c)
            std::fill(work.padded[c].begin() + segment.end, work.padded[c].begin() + static_cast<std::ptrdiff_t>(end),
                      beyond[c]);
    }
    work.view = {static_cast<std::int32_t>(work.segments.size()),
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
void Acsf<T>::begin(Workspace& work, std::int32_t, const Environments&, std::size_t) const {
    grow(work.scratch, kernels().acsf.of<T>().scratch_size(model_));
}

template <class T>
const std::vector<FeatureRun>& Acsf<T>::present(Workspace& work) const {
    work.there.clear();
    const auto add = [&](std::int32_t first, std::int32_t n) {
        if (n > 0)
            work.there.push_back({static_cast<std::size_t>(first), static_cast<std::size_t>(first + n)});
    };
    for (const AcsfSegment& segment : work.segments)
        add(segment.kind * model_.n_radial(), model_.n_radial());
    for (const AcsfSegment& high : work.segments)
        for (const AcsfSegment* low = work.segments.data(); low <= &high; ++low)
            add(model_.first_of(high.kind, low->kind), model_.n_functions);
    return work.there;
}

// The kernels are told of no other species than those that are there.
template <class T>
const T* Acsf<T>::sum(Workspace& work, std::int32_t, T* features, bool packed) const {
    const auto& kernel = kernels().acsf.of<T>();
    AcsfModel<T> model = model_;
    model.n_species = static_cast<std::int32_t>(work.segments.size());
    work.own_segments = work.segments;
    for (std::int32_t k = 0; k < model.n_species; ++k)
        work.own_segments[static_cast<std::size_t>(k)].kind = k;
    AcsfNeighbours<T> view = work.view;
    view.segments = work.own_segments.data();
    const auto n = static_cast<std::size_t>(model.first_of(model.n_species, 0));
    grow(work.totals, n);
    double* const totals = work.totals.data(); // many neighbours have many pairs
    std::fill_n(totals, n, 0.0);
    kernel.radial(model, view, totals);
    if (!functions_.empty())
        kernel.angular(model, view, work.scratch.data(), totals);
    const double* from = totals;
    T* to = features;
    for (const FeatureRun& run : work.there) {
        std::copy_n(from, run.length(), packed ? to : features + run.first);
        from += run.length(), to += run.length();
    }
    return features;
}

template <class T>
std::array<const double*, 3> Acsf<T>::backward(Workspace& work, const Site& site, const T* cotangent) const {
    prepare(work, site, T(1));
    double* const to[3] = {work.gradient[0].data(), work.gradient[1].data(), work.gradient[2].data()};
    kernels().acsf.of<T>().backward(model_, work.view, cotangent, work.scratch.data(), to);
    for (std::size_t k = 0; k < work.n; ++k) // without the gaps between species
        for (double* const component : to)
            component[k] = component[work.place[k]];
    return {to[0], to[1], to[2]};
}

template <class T>
void Acsf<T>::prepare(Workspace& work, const Site&, T scale) const {
    work.scale = scale;
    grow(work.damping_slope, work.stride * etas_.size());
    grow(work.radial_slope, work.stride * static_cast<std::size_t>(model_.n_radial()));
    grow(work.sums, 4 * work.stride);
    for (auto& component : work.gradient)
        grow(component, work.stride);
    work.view.damping_slope = work.damping_slope.data();
    work.view.radial_slope = work.radial_slope.data();
    work.view.sums = work.sums.data();
    kernels().acsf.of<T>().radial(model_, work.view, nullptr);
}

template <class T>
std::vector<FeatureRun> Acsf<T>::touched(std::int32_t kind) const {
    const auto run = [](std::int32_t first, std::int32_t n) -> FeatureRun {
        return {static_cast<std::size_t>(first), static_cast<std::size_t>(first + n)};
    };
    std::vector<FeatureRun> runs{run(kind * model_.n_radial(), model_.n_radial())};
    for (std::int32_t other = 0; other < p_.species.size(); ++other)
        runs.push_back(run(model_.first_of(kind, other), model_.n_functions));
    return runs;
}

template <class T>
const std::vector<FeatureRun>& Acsf<T>::runs(Workspace& work, std::int32_t kind, bool compact) const {
    work.in_place = compact;
    if (compact)
        work.runs.assign(1, {0, width()});
    else
        work.runs = touched(kind);
    grow(work.compact, 3 * width());
    return work.runs;
}

template <class T>
void Acsf<T>::gradient(Workspace& work, std::size_t neighbour, T* out, std::size_t stride) const {
    T* const to = work.in_place ? out : work.compact.data();
    const std::size_t width = this->width();
    kernels().acsf.of<T>().gradient(model_, work.view, work.place[neighbour], work.part[neighbour], work.scratch.data(),
                                    to, width);
    for (std::size_t f = 0; work.scale != T(1) && f < 3 * width; ++f)
        to[f] *= work.scale;
    if (work.in_place)
        return;
    for (std::size_t c = 0; c < 3; ++c) {
        const T* from = to + c * width;
        for (const FeatureRun& run : work.runs) {
            std::copy_n(from, run.length(), out + c * stride + run.first);
            from += run.length();
        }
    }
}

template class Acsf<double>;
template class LocalCalculator<Acsf<double>, double>;
template class Acsf<float>;
template class LocalCalculator<Acsf<float>, float>;

} // namespace atomprint
