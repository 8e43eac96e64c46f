#include "local/mbtr.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "core/checks.hpp"
#include "core/dispatch.hpp"
#include "core/pairs.hpp"
#include "core/parallel.hpp"
#include "core/pooling.hpp"

namespace atomprint {

namespace {

using Geometry = MbtrParameters::Geometry;
using TermWeighting = MbtrParameters::Weighting;
using Normalization = MbtrParameters::Normalization;
using Shift = std::array<std::int32_t, 3>;

constexpr std::int32_t fixed = -1; // instead of an atom: a point that stays
constexpr std::int32_t not_looked_up = -2;

// A star with the atoms that it is made of.
struct StarAtoms {
    std::size_t n = 0;
    std::int32_t atom = fixed, kind = 0; // at the centre of the star
    Shift shift{};                       // of that atom, as those of the neighbours
    bool first_only = false;             // of the triples, only those with the first neighbour
    std::vector<std::int32_t> atoms, kinds;
    std::vector<Shift> shifts; // of each neighbour's atom relative to the centre's, as given
    AlignedVector<double> vector[3], unit[3], r, factor, growth;

    void clear() { n = 0; }
    void add(std::int32_t a, std::int32_t k, const Shift& shift, const Vec3& v, double length, double f, double g) {
        const std::size_t need = n + 1 + star_slack;
        if (r.size() < need) {
            atoms.resize(2 * need), kinds.resize(2 * need), shifts.resize(2 * need);
            for (auto* values :
                 {&vector[0], &vector[1], &vector[2], &unit[0], &unit[1], &unit[2], &r, &factor, &growth})
                values->resize(2 * need);
        }
        atoms[n] = a, kinds[n] = k, shifts[n] = shift;
        for (std::size_t c = 0; c < 3; ++c)
            vector[c][n] = v[c], unit[c][n] = v[c] / length;
        r[n] = length, factor[n] = f, growth[n] = g;
        ++n;
    }
    // Fill the slack with a harmless neighbour.
    void finish() {
        if (r.size() < n + star_slack) // nothing was added
            add(fixed, 0, {}, {1.0, 0.0, 0.0}, 1.0, 0.0, 0.0), n = 0;
        for (std::size_t k = n; k < n + star_slack; ++k) {
            for (std::size_t c = 0; c < 3; ++c)
                vector[c][k] = 1e9, unit[c][k] = 0.5;
            r[k] = 1e9, factor[k] = growth[k] = 0.0;
        }
    }
    Star star() const {
        return {n,
                {vector[0].data(), vector[1].data(), vector[2].data()},
                {unit[0].data(), unit[1].data(), unit[2].data()},
                r.data(),
                factor.data(),
                growth.data()};
    }
};

// Rows for those combinations of species that occur.
struct Rows {
    std::vector<std::int32_t> of_slot; // -1 where there is none
    std::vector<std::int32_t> slots;
    AlignedVector<double> data;

    void clear(std::size_t n_slots) {
        if (of_slot.size() != n_slots)
            of_slot.assign(n_slots, -1);
        for (const std::int32_t slot : slots)
            of_slot[static_cast<std::size_t>(slot)] = -1;
        slots.clear();
    }
    template <class Fill>
    std::int32_t find(std::size_t slot, std::size_t stride, const Fill& fill) {
        std::int32_t& row = of_slot[slot];
        if (row < 0) {
            row = static_cast<std::int32_t>(slots.size());
            slots.push_back(static_cast<std::int32_t>(slot));
            grow(data, stride * slots.size());
            fill(data.data() + static_cast<std::size_t>(row) * stride, slot);
        }
        return row;
    }
};

} // namespace

// Memory of one thread, and the structure that it works on.
struct MbtrWorker {
    const Mbtr* owner = nullptr;
    const MbtrParameters* p = nullptr;
    Structure structure{};
    const std::int32_t* species = nullptr;
    std::unique_ptr<NeighbourFinder> finder;
    Neighbours found;
    std::vector<StarAtoms> around; // each atom, where local triples ask for it
    std::vector<char> known;
    StarAtoms star, own;
    std::vector<double> counts; // atoms of each species
    double volume = 0.0;

    // Terms of one star that are treated together.
    AlignedVector<double> value, weight, sum, slope, value_slope;
    std::vector<std::int32_t> row, place, order;
    AlignedVector<double> gradient[3], slopes[12], window[2];
    Rows features, adjoint;
    std::vector<double> scratch, centre;
    std::vector<FeatureRun> runs;
    SumOfRuns sums;

    void begin(const Mbtr& mbtr, const Structure& s, const std::int32_t* kinds, const double* points,
               std::size_t n_points) {
        owner = &mbtr, p = &mbtr.p_, structure = s, species = kinds;
        if (p->normalization == Normalization::valle_oganov) {
            counts.assign(static_cast<std::size_t>(p->species.size()), 0.0);
            for (std::size_t i = 0; i < s.n_atoms; ++i)
                ++counts[static_cast<std::size_t>(kinds[i])];
            const double* c = s.cell;
            volume = std::abs(dot({c[0], c[1], c[2]}, cross({c[3], c[4], c[5]}, {c[6], c[7], c[8]})));
        }
        if (p->order() == 1)
            return;
        scratch.assign(s.positions, s.positions + 3 * s.n_atoms);
        if (points != s.positions)
            scratch.insert(scratch.end(), points, points + 3 * n_points);
        finder = std::make_unique<NeighbourFinder>(s, scratch.data(), scratch.size() / 3, p->cutoff);
        if (p->local && p->order() == 3) {
            grow(around, s.n_atoms);
            known.assign(s.n_atoms, 0);
        }
    }

    // Part of the weight that belongs to one distance, and the derivative of its logarithm.
    std::pair<double, double> weigh(double r) const {
        switch (p->weighting) {
        case TermWeighting::exponential:
            return {std::exp(-p->scale * r), -p->scale};
        case TermWeighting::inverse_square:
            return {1.0 / (r * r), -2.0 / r};
        case TermWeighting::smooth_cutoff: {
            const double x = r / p->cutoff, y = p->sharpness, power = std::pow(x, y);
            const double f = 1.0 + y * power * x - (y + 1.0) * power;
            return {f, f > 0.0 ? y * (y + 1.0) * (power - power / x) / (p->cutoff * f) : 0.0};
        }
        default:
            return {1.0, 0.0};
        }
    }

    // All neighbours of a point, after what `out` holds already, but for those that `skip` names.
    template <class Skip>
    void gather(const double* at, StarAtoms& out, const Skip& skip) {
        Vec3 point{at[0], at[1], at[2]};
        const auto moved = finder->locate(point);
        finder->query(point, found);
        for (std::size_t k = 0; k < found.n; ++k) {
            const auto image = static_cast<std::size_t>(found.index[k]);
            const std::int32_t a = finder->atom[image];
            Shift shift = finder->shift[image];
            for (std::size_t c = 0; c < 3; ++c)
                shift[c] -= moved[c];
            if (skip(a, shift, found.r2[k]))
                continue;
            const double r = std::sqrt(found.r2[k]);
            const auto [f, g] = weigh(r);
            if (f > 0.0)
                out.add(a, species[a] + p->local, shift, {found.x[k], found.y[k], found.z[k]}, r, f, g);
        }
    }

    // Calls visit for every star of a structure. Pairs of different atoms are seen from the first one alone.
    template <class Visit>
    void stars_of_structure(const Visit& visit) {
        const bool pairs = p->order() == 2;
        for (std::size_t i = 0; i < structure.n_atoms; ++i) {
            poll();
            const auto self = static_cast<std::int32_t>(i);
            star.clear();
            star.atom = self, star.kind = species[i], star.first_only = false;
            if (p->order() > 1)
                gather(structure.positions + 3 * i, star, [&](std::int32_t a, const Shift& shift, double) {
                    return (a == self && shift == Shift{}) || (pairs && a < self);
                });
            if (pairs) // from an atom to its image one goes both ways
                for (std::size_t k = 0; k < star.n; ++k)
                    star.factor[k] *= star.atoms[k] == self ? 0.5 : 1.0;
            star.finish();
            visit(star);
        }
    }

    // Calls visit for every star of a centre, which stands for the given atom, or for none. A point on top of
    // an atom stands for it, too. As part of a star the centre is called `name`.
    template <class Visit>
    void stars_of_centre(const double* at, std::int32_t atom, bool attach, const Visit& visit) {
        std::int32_t self = atom;
        Shift of_self{};
        if (atom < 0) {
            star.clear();
            gather(at, star, [&](std::int32_t a, const Shift& shift, double r2) {
                if (r2 < coincidence * coincidence)
                    self = a, of_self = shift;
                return true;
            });
        }
        const std::int32_t name = attach && atom >= 0 ? atom : fixed;
        own.clear();
        own.atom = name, own.kind = 0, own.first_only = false;
        gather(at, own, [&](std::int32_t a, const Shift& shift, double) { return a == self && shift == of_self; });
        own.finish();
        visit(own);
        if (p->order() == 2)
            return;
        for (std::size_t k = 0; k < own.n; ++k) { // triples with the centre at the end
            poll();
            const std::int32_t middle = own.atoms[k];
            const StarAtoms& others = neighbours_of(middle);
            star.clear();
            star.atom = middle, star.kind = own.kinds[k], star.shift = own.shifts[k];
            star.first_only = true;
            star.add(name, 0, {}, {-own.vector[0][k], -own.vector[1][k], -own.vector[2][k]}, own.r[k], own.factor[k],
                     own.growth[k]);
            for (std::size_t m = 0; m < others.n; ++m) {
                Shift shift = own.shifts[k];
                for (std::size_t c = 0; c < 3; ++c)
                    shift[c] += others.shifts[m][c];
                if (others.atoms[m] != self || shift != of_self)
                    star.add(others.atoms[m], others.kinds[m], shift,
                             {others.vector[0][m], others.vector[1][m], others.vector[2][m]}, others.r[m],
                             others.factor[m], others.growth[m]);
            }
            star.finish();
            visit(star);
        }
    }

    const StarAtoms& neighbours_of(std::int32_t atom) {
        const auto i = static_cast<std::size_t>(atom);
        if (!known[i]) {
            known[i] = 1;
            around[i].clear();
            gather(structure.positions + 3 * i, around[i],
                   [&](std::int32_t a, const Shift& shift, double) { return a == atom && shift == Shift{}; });
        }
        return around[i];
    }

    std::size_t pair_slot(std::int32_t a, std::int32_t b) const {
        if (p->local)
            return static_cast<std::size_t>(b);
        return triangle(a, b, p->species.size());
    }
    static std::size_t triangle(std::int32_t a, std::int32_t b, std::int32_t n) {
        const auto i = static_cast<std::size_t>(std::min(a, b)), j = static_cast<std::size_t>(std::max(a, b));
        return j + i * static_cast<std::size_t>(n) - i * (i + 1) / 2;
    }
    std::size_t triple_slot(std::int32_t middle, std::int32_t a, std::int32_t b) const {
        const auto n = static_cast<std::size_t>(p->species.size()) + p->local;
        if (p->local && middle > 0) // one end is the centre, of kind 0
            return n * (n + 1) / 2 + static_cast<std::size_t>(middle - 1) * n + static_cast<std::size_t>(a + b);
        return static_cast<std::size_t>(middle) * n * (n + 1) / 2 + triangle(a, b, static_cast<std::int32_t>(n));
    }

    // Calls with_terms(p, first, last) after values, weights and rows of the terms [first, last) of a star
    // are in place; p is the first neighbour of a triple. `find` gives the row of a slot.
    template <class Find, class Visit>
    void terms(const StarAtoms& s, const Find& find, const Visit& with_terms) {
        const std::size_t room = std::max<std::size_t>(s.n, 1) + star_slack;
        for (auto* values : {&value, &weight, &value_slope})
            grow(*values, room);
        grow(row, room);
        if (p->order() == 1) {
            value[0] = structure.numbers[s.atom], weight[0] = 1.0;
            row[0] = find(static_cast<std::size_t>(s.kind));
            with_terms(0, 0, 1);
            return;
        }
        if (p->order() == 2) {
            const bool inverse = p->geometry == Geometry::inverse_distance;
            for (std::size_t q = 0; q < s.n; ++q) {
                const double r = s.r[q];
                value[q] = inverse ? 1.0 / r : r;
                value_slope[q] = inverse ? -1.0 / (r * r) : 1.0;
                weight[q] = s.factor[q];
                row[q] = find(pair_slot(s.kind, s.kinds[q]));
            }
            with_terms(0, 0, s.n);
            return;
        }
        const Star view = s.star();
        const auto triples = kernels().broadening.triples;
        for (std::size_t k = 0; k + 1 < s.n && !(s.first_only && k > 0); ++k) {
            if (k % 8 == 7)
                poll();
            triples(view, owner->rule_, k, k + 1, value.data(), weight.data());
            std::fill_n(weight.begin() + static_cast<std::ptrdiff_t>(s.n), star_slack, 0.0);
            for (std::size_t q = k + 1; q < s.n; ++q)
                row[q] = weight[q] == 0.0 ? 0 : find(triple_slot(s.kind, s.kinds[k], s.kinds[q]));
            with_terms(k, k + 1, s.n);
        }
    }

    // Number that the features of a combination of species are multiplied with.
    double slot_scale(std::size_t slot) const {
        if (p->normalization == Normalization::n_atoms)
            return 1.0 / static_cast<double>(structure.n_atoms);
        if (p->normalization != Normalization::valle_oganov)
            return 1.0;
        constexpr double four_pi = 12.566370614359172;
        const auto n = static_cast<std::size_t>(p->species.size()), per_middle = n * (n + 1) / 2;
        std::size_t in_pair = slot % per_middle, i = 0;
        while (in_pair >= n - i)
            in_pair -= n - i++;
        const std::size_t j = i + in_pair;
        if (p->order() == 3)
            return volume / (counts[slot / per_middle] * counts[i] * counts[j]);
        return volume / (four_pi * counts[i] * counts[j]) * (i == j ? 2.0 : 1.0);
    }

    // Sum up and normalise the features of one row; returns their length before, if they are normalised by
    // it.
    template <class Stars>
    double sum_features(const Stars& stars) {
        const std::size_t stride = owner->table_.row_stride, n = static_cast<std::size_t>(p->n);
        features.clear(owner->n_slots());
        const auto zero = [&](double* to, std::size_t) { std::fill_n(to, stride, 0.0); };
        const auto find = [&](std::size_t slot) { return features.find(slot, stride, zero); };
        const auto broaden = kernels().broadening.broaden;
        stars([&](const StarAtoms& s) {
            terms(s, find, [&](std::size_t, std::size_t first, std::size_t last) {
                broaden(owner->table_, last - first, value.data() + first, weight.data() + first, row.data() + first,
                        features.data.data());
            });
        });
        double square = 0.0;
        for (std::size_t k = 0; k < features.slots.size(); ++k) {
            double* values = features.data.data() + k * stride;
            const double scale = slot_scale(static_cast<std::size_t>(features.slots[k]));
            for (std::size_t x = 0; x < n; ++x) {
                values[x] *= scale;
                square += values[x] * values[x];
            }
        }
        const double length = std::sqrt(square);
        if (p->normalization != Normalization::l2 || length == 0.0)
            return length;
        for (std::size_t k = 0; k < features.slots.size(); ++k)
            for (std::size_t x = 0; x < n; ++x)
                features.data[k * stride + x] /= length;
        return length;
    }

    template <class T>
    void write_features(T* out) const {
        std::fill_n(out, owner->n_features(), T{});
        write_slots(out);
    }

    // The features of the combinations that are there.
    template <class T>
    void write_slots(T* out) const {
        const auto n = static_cast<std::size_t>(p->n);
        for (std::size_t k = 0; k < features.slots.size(); ++k) {
            const double* from = features.data.data() + k * owner->table_.row_stride;
            std::copy(from, from + n, out + static_cast<std::size_t>(features.slots[k]) * n);
        }
    }

    // Find the `runs` of features that may differ from zero, and put their numbers in `centre`, one run after the
    // other. The first feature is called `start`.
    void pack(std::size_t start) {
        const auto n = static_cast<std::size_t>(p->n);
        order = features.slots;
        std::sort(order.begin(), order.end());
        runs.clear(), centre.clear();
        for (const std::int32_t slot : order) {
            const std::size_t first = start + static_cast<std::size_t>(slot) * n;
            runs.push_back({first, first + n});
            const auto from =
                features.data.begin() + static_cast<std::ptrdiff_t>(features.of_slot[slot] * owner->table_.row_stride);
            centre.insert(centre.end(), from, from + static_cast<std::ptrdiff_t>(n));
        }
    }

    // Add the derivatives of cotangents * features of one row. If these are normalised by their length, it is
    // given, and they are there.
    template <class T, class Stars>
    void contract(const Stars& stars, const T* cotangents, double length, double* positions, double* strain) {
        const std::size_t stride = owner->table_.row_stride, n = static_cast<std::size_t>(p->n);
        const bool l2 = p->normalization == Normalization::l2;
        double along = 0.0; // cotangents times features
        if (p->order() == 1 || (l2 && length == 0.0))
            return;
        if (l2)
            for (std::size_t k = 0; k < features.slots.size(); ++k) {
                const T* c = cotangents + static_cast<std::size_t>(features.slots[k]) * n;
                for (std::size_t x = 0; x < n; ++x)
                    along += static_cast<double>(c[x]) * features.data[k * stride + x];
            }
        adjoint.clear(owner->n_slots());
        const auto fill = [&](double* to, std::size_t slot) {
            const T* c = cotangents + slot * n;
            const double scale = l2 ? 1.0 / length : slot_scale(slot);
            const double* y =
                l2 ? features.data.data() + static_cast<std::size_t>(features.of_slot[slot]) * stride : nullptr;
            for (std::size_t x = 0; x < n; ++x)
                to[x] = scale * (static_cast<double>(c[x]) - (l2 ? along * y[x] : 0.0));
            std::fill(to + n, to + stride, 0.0);
        };
        const auto find = [&](std::size_t slot) { return adjoint.find(slot, stride, fill); };
        const BroadeningKernels& kernel = kernels().broadening;
        double energy = 0.0;
        stars([&](const StarAtoms& s) {
            const std::size_t room = s.n + star_slack;
            for (auto* values : {&sum, &slope, &gradient[0], &gradient[1], &gradient[2]}) {
                grow(*values, room);
                std::fill_n(values->begin(), room, 0.0);
            }
            double* const to[3] = {gradient[0].data(), gradient[1].data(), gradient[2].data()};
            const Star view = s.star();
            terms(s, find, [&](std::size_t k, std::size_t first, std::size_t last) {
                kernel.adjoint(owner->table_, last - first, value.data() + first, weight.data() + first,
                               row.data() + first, adjoint.data.data(), sum.data() + first, slope.data() + first);
                for (std::size_t q = first; q < last; ++q)
                    energy += weight[q] * sum[q];
                if (p->order() == 3)
                    kernel.triple_contract(view, owner->rule_, k, first, weight.data(), sum.data(), slope.data(), to);
                else
                    for (std::size_t q = first; q < last; ++q) {
                        const double g = weight[q] * (s.growth[q] * sum[q] + value_slope[q] * slope[q]);
                        for (std::size_t c = 0; c < 3; ++c)
                            to[c][q] += g * s.unit[c][q];
                    }
            });
            double on_centre[3]{};
            for (std::size_t q = 0; q < s.n; ++q)
                for (std::size_t c = 0; c < 3; ++c) {
                    const double g = to[c][q];
                    on_centre[c] -= g;
                    if (s.atoms[q] != fixed)
                        positions[3 * static_cast<std::size_t>(s.atoms[q]) + c] += g;
                    if (strain)
                        for (std::size_t b = 0; b < 3; ++b)
                            strain[3 * c + b] += g * s.vector[b][q];
                }
            if (s.atom != fixed)
                for (std::size_t c = 0; c < 3; ++c)
                    positions[3 * static_cast<std::size_t>(s.atom) + c] += on_centre[c];
        });
        if (strain && p->normalization == Normalization::valle_oganov)
            for (std::size_t c = 0; c < 3; ++c) // the volume
                strain[4 * c] += energy;
    }

    // Add the derivatives of all features of one row, by those atoms that `rows` knows, and by strain (9 rows
    // of `width` numbers, or null). As for contracted ones, the features may have to be there.
    template <class T, class Stars, class AtomRows>
    void differentiate(const Stars& stars, const AtomRows& rows, std::size_t width, T* strain) {
        if (p->order() == 1)
            return;
        const auto n = static_cast<std::size_t>(p->n);
        const BroadeningKernels& kernel = kernels().broadening;
        for (auto& values : window)
            grow(values, owner->table_.stride);
        stars([&](const StarAtoms& s) {
            const Star view = s.star();
            place.assign(s.n + 1, not_looked_up);
            std::size_t ready = s.n; // first neighbour of the triples whose slopes are there
            double* to[12];
            for (std::size_t m = 0; m < 12; ++m) {
                grow(slopes[m], s.n + star_slack);
                to[m] = slopes[m].data();
            }
            const auto find = [](std::size_t slot) { return static_cast<std::int32_t>(slot); };
            terms(s, find, [&](std::size_t k, std::size_t first, std::size_t last) {
                const bool triple = p->order() == 3;
                if (triple && ready != k)
                    kernel.triple_slopes(view, owner->rule_, ready = k, first, to);
                for (std::size_t q = first; q < last; ++q) {
                    std::int32_t begin, end;
                    if (weight[q] == 0.0 ||
                        !kernel.one(owner->table_, value[q], &begin, &end, window[0].data(), window[1].data()))
                        continue;
                    const auto slot = static_cast<std::size_t>(row[q]);
                    const std::size_t at = slot * n + static_cast<std::size_t>(begin);
                    const auto count = static_cast<std::size_t>(end - begin);
                    const double w = weight[q] * slot_scale(slot);
                    double total[2][3]{}; // of the weight and of the value, by all vectors together
                    const auto add = [&](T* out, double by_weight, double by_value) {
                        for (std::size_t x = 0; x < count; ++x)
                            out[x] += static_cast<T>(by_weight * window[0][x] + by_value * window[1][x]);
                    };
                    const auto add_atom = [&](std::size_t k, std::int32_t atom, const Shift& shift,
                                              const double (&by)[2][3]) {
                        if (place[k] == not_looked_up)
                            place[k] = atom == fixed ? -1 : rows.find(atom, shift);
                        if (place[k] < 0)
                            return;
                        const auto [out, stride] = rows.at(place[k], slot);
                        for (std::size_t c = 0; c < 3; ++c)
                            add(out + begin + c * stride, by[0][c], by[1][c]);
                    };
                    const auto add_vector = [&](std::size_t neighbour, const double (&by)[2][3]) {
                        add_atom(neighbour, s.atoms[neighbour], s.shifts[neighbour], by);
                        for (std::size_t c = 0; c < 3; ++c) {
                            total[0][c] -= by[0][c], total[1][c] -= by[1][c];
                            if (strain)
                                for (std::size_t b = 0; b < 3; ++b)
                                    add(strain + (3 * c + b) * width + at, by[0][c] * s.vector[b][neighbour],
                                        by[1][c] * s.vector[b][neighbour]);
                        }
                    };
                    double by[2][3];
                    if (triple) {
                        for (std::size_t c = 0; c < 3; ++c)
                            by[0][c] = w * slopes[6 + c][q], by[1][c] = w * slopes[c][q];
                        add_vector(k, by);
                        for (std::size_t c = 0; c < 3; ++c)
                            by[0][c] = w * slopes[9 + c][q], by[1][c] = w * slopes[3 + c][q];
                    } else {
                        for (std::size_t c = 0; c < 3; ++c)
                            by[0][c] = w * s.growth[q] * s.unit[c][q], by[1][c] = w * value_slope[q] * s.unit[c][q];
                    }
                    add_vector(q, by);
                    add_atom(s.n, s.atom, s.shift, total);
                }
            });
        });
        if (strain && p->normalization == Normalization::valle_oganov) // the volume
            for_features([&](std::size_t at, double y) {
                for (std::size_t c = 0; c < 3; ++c)
                    strain[4 * c * width + at] += static_cast<T>(y);
            });
    }

    // From the derivatives of features to those of features that are normalised by their length, if they are.
    template <class T>
    void normalise(double length, T* rows, std::size_t n_rows, std::size_t width) const {
        if (p->normalization != Normalization::l2 || length == 0.0)
            return;
        for (T* out = rows; out != rows + n_rows * width; out += width) {
            double along = 0.0;
            for_features([&](std::size_t at, double y) { along += y * static_cast<double>(out[at]); });
            for_features([&](std::size_t at, double y) {
                out[at] = static_cast<T>((static_cast<double>(out[at]) - along * y) / length);
            });
        }
    }

    // Calls f(index of the feature, its value) for all that may differ from zero.
    template <class F>
    void for_features(const F& f) const {
        const auto n = static_cast<std::size_t>(p->n);
        for (std::size_t k = 0; k < features.slots.size(); ++k)
            for (std::size_t x = 0; x < n; ++x)
                f(static_cast<std::size_t>(features.slots[k]) * n + x, features.data[k * owner->table_.row_stride + x]);
    }
};

namespace {

// Calls body(worker, structure, row, stars) for every row, where stars(visit) visits its stars. Structures
// are shared out over the threads.
template <class Body>
void for_rows(const Mbtr& mbtr, const Batch& batch, const Centres& centres, bool attach, int n_threads,
              const Body& body) {
    const std::vector<std::int32_t> species = mbtr.species().of(batch);
    std::vector<MbtrWorker> workers(static_cast<std::size_t>(std::max(n_threads, 1)));
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int index) {
        MbtrWorker& worker = workers[static_cast<std::size_t>(index)];
        const Structure structure = batch[s];
        const std::int32_t* own_species = species.data() + batch.offsets[s];
        try {
            if (!mbtr.local()) {
                worker.begin(mbtr, structure, own_species, structure.positions, 0);
                return body(worker, s, s, [&](const auto& visit) { worker.stars_of_structure(visit); });
            }
            const auto first = static_cast<std::size_t>(centres.offsets[s]),
                       last = static_cast<std::size_t>(centres.offsets[s + 1]);
            if (first == last)
                return;
            worker.begin(mbtr, structure, own_species, centres.points + 3 * first, last - first);
            for (std::size_t row = first; row < last; ++row)
                body(worker, s, row, [&](const auto& visit) {
                    worker.stars_of_centre(centres.points + 3 * row, static_cast<std::int32_t>(centres.atoms[row]),
                                           attach, visit);
                });
        } catch (const TooManyImages& error) {
            throw StructureError(s, std::string(error.what()) +
                                        ": the cutoff of the weighting is too large for this cell");
        } catch (const TooFarAway& error) {
            throw StructureError(s, error.what());
        }
    });
}

} // namespace

Mbtr::Mbtr(const MbtrParameters& parameters)
    : p_(parameters), broadening_(p_.n, p_.minimum, p_.spacing, p_.sigma, p_.height), table_(broadening_.table()) {
    const bool third = p_.order() == 3 && p_.weighting == TermWeighting::exponential;
    rule_ = {p_.geometry == Geometry::angle, third, p_.scale, 2.0 * p_.cutoff * (1.0 - cutoff_margin)};
}

std::size_t Mbtr::n_slots() const {
    const auto n = static_cast<std::size_t>(p_.species.size()) + p_.local, pairs = n * (n + 1) / 2;
    switch (p_.order()) {
    case 1:
        return n;
    case 2:
        return p_.local ? n : pairs;
    default:
        return p_.local ? pairs + (n - 1) * n : n * pairs;
    }
}

template <class Out>
void Mbtr::compute(const Batch& batch, const Centres& centres, int n_threads, const MbtrColumns& columns,
                   Out* out) const {
    const WeightedSums sums(0, centres.weights, columns.width,
                            static_cast<std::size_t>(centres.weights ? centres.offsets[batch.n_structures] : 0),
                            Rounding::of_each);
    for_rows(*this, batch, centres, false, n_threads,
             [&](MbtrWorker& worker, std::size_t s, std::size_t row, const auto& stars) {
                 worker.sum_features(stars);
                 if (!centres.weights) {
                     if constexpr (is_sparse<Out>)
                         return out->write(static_cast<std::int64_t>(row), [&](auto& part) {
                             worker.pack(columns.first);
                             part.add(worker.runs, worker.centre.data());
                             part.end_row();
                         });
                     else if constexpr (is_zero<Out>)
                         return worker.write_slots(out->data + row * columns.width + columns.first);
                     else
                         return worker.write_features(out + row * columns.width + columns.first);
                 }
                 const auto centre = static_cast<std::int64_t>(row);
                 if (centre == centres.offsets[s])
                     worker.sums = {};
                 worker.pack(0);
                 sums.add(worker.sums, centre, worker.runs, worker.centre.data());
                 if (centre + 1 == centres.offsets[s + 1])
                     write_sums(s, sums.finished(std::move(worker.sums)), centres.weights.n_rows * columns.width, out);
             });
}

template <class T>
void Mbtr::vjp(const Batch& batch, const Centres& centres, bool attach, int n_threads, const MbtrColumns& columns,
               const CotangentRows<T>& cotangents, double* positions, double* strain, T* features) const {
    const bool l2 = p_.normalization == Normalization::l2;
    const Cotangents<T> weights(centres.weights, local() ? centres.offsets : nullptr, columns.width, cotangents);
    const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
    if (features && centres.weights) {
        compute(batch, centres, n_threads, columns, features);
        features = nullptr;
    }
    for_rows(*this, batch, centres, attach, n_threads,
             [&](MbtrWorker& worker, std::size_t s, std::size_t row, const auto& stars) {
                 const double length = l2 || features ? worker.sum_features(stars) : 1.0;
                 if (features)
                     worker.write_features(features + row * columns.width + columns.first);
                 std::vector<T> pulled_back;
                 std::vector<const T*> own;
                 weights.of(s, static_cast<std::int64_t>(row), pulled_back, own);
                 for (std::size_t j = 0; j < cotangents.n; ++j)
                     worker.contract(stars, own[j] + columns.first, length,
                                     positions + 3 * (j * n_atoms + static_cast<std::size_t>(batch.offsets[s])),
                                     strain ? strain + 9 * (j * batch.n_structures + s) : nullptr);
             });
}

namespace {

// What derivatives by atoms are added to: for each of the selected atoms, three rows of features.
template <class T>
struct SelectedAtoms {
    T* data; // or null
    const std::int64_t* slots;
    std::size_t width, n; // features of a row; of a combination of species

    std::int32_t find(std::int32_t atom, const Shift&) const {
        return data ? static_cast<std::int32_t>(slots[atom]) : -1;
    }
    std::pair<T*, std::size_t> at(std::int32_t k, std::size_t slot) const {
        return {data + 3 * static_cast<std::size_t>(k) * width + slot * n, width};
    }
};

// The same for the images of atoms around one centre: three rows of the features that their species touches.
template <class T>
struct PairsOfCentre {
    struct Pair {
        std::int32_t atom;
        Shift shift;
        std::size_t kind;
        T* values;

        bool operator<(const Pair& other) const { return std::tie(atom, shift) < std::tie(other.atom, other.shift); }
    };
    std::vector<Pair> pairs; // sorted
    const std::vector<std::vector<std::size_t>>& column;
    const std::vector<std::size_t>& width;

    void add(const PairList& list, std::size_t k, std::size_t kind, T* values) {
        Pair pair{static_cast<std::int32_t>(list.atom[k]), {}, kind, values};
        for (std::size_t c = 0; c < 3; ++c)
            pair.shift[c] = static_cast<std::int32_t>(list.shift[3 * k + c]);
        pairs.push_back(pair);
        std::fill_n(values, 3 * width[kind], T{});
    }
    std::int32_t find(std::int32_t atom, const Shift& shift) const {
        const Pair wanted{atom, shift, 0, nullptr};
        const auto found = std::lower_bound(pairs.begin(), pairs.end(), wanted);
        return found == pairs.end() || wanted < *found ? -1 : static_cast<std::int32_t>(found - pairs.begin());
    }
    std::pair<T*, std::size_t> at(std::int32_t k, std::size_t slot) const {
        const Pair& pair = pairs[static_cast<std::size_t>(k)];
        return {pair.values + column[pair.kind][slot], width[pair.kind]};
    }
};

} // namespace

template <class T>
void Mbtr::jacobian(const Batch& batch, const Centres& centres, bool attach, int n_threads, const MbtrColumns& columns,
                    const JacobianOut<T>& out) const {
    const bool need = p_.normalization == Normalization::l2 || p_.normalization == Normalization::valle_oganov;
    for_rows(*this, batch, centres, attach, n_threads,
             [&](MbtrWorker& worker, std::size_t s, std::size_t row, const auto& stars) {
                 const double length = need || out.features ? worker.sum_features(stars) : 1.0;
                 if (out.features)
                     worker.write_features(out.features + row * columns.width + columns.first);
                 const std::int64_t* slots = out.slots + batch.offsets[s];
                 const auto selected = static_cast<std::size_t>(
                     std::count_if(slots, slots + batch[s].n_atoms, [](std::int64_t slot) { return slot >= 0; }));
                 const std::size_t first_row = p_.local ? static_cast<std::size_t>(centres.offsets[s]) : s;
                 const std::size_t start = static_cast<std::size_t>(out.row_offsets[s]) + (row - first_row) * selected;
                 const std::size_t width = columns.width;
                 T* const strain = out.strain ? out.strain + 9 * row * width + columns.first : nullptr;
                 const SelectedAtoms<T> rows{out.positions ? out.positions + 3 * start * width + columns.first
                                                           : nullptr,
                                             slots, width, static_cast<std::size_t>(p_.n)};
                 worker.differentiate(stars, rows, width, strain);
                 if (rows.data)
                     worker.normalise(length, rows.data, 3 * selected, width);
                 if (strain)
                     worker.normalise(length, strain, 9, width);
             });
}

// Beyond this no atom changes the features of a centre: the end of a smooth triple is within the cutoff of a
// neighbour that is itself within that of the centre.
double Mbtr::reach() const {
    return p_.cutoff * (p_.weighting == TermWeighting::smooth_cutoff ? 2.0 : 1.0);
}

PairList Mbtr::pairs(const Batch& batch, const Centres& centres, int n_threads) const {
    if (!p_.local)
        throw std::invalid_argument("only the local form has pairs");
    std::vector<AtomsAround> around(static_cast<std::size_t>(std::max(n_threads, 1)));
    return list_pairs(batch, p_.species.of(batch).data(), static_cast<std::size_t>(p_.species.size()), centres, reach(),
                      n_threads, [&](int worker, const NeighbourFinder& finder, std::size_t, std::int64_t centre) {
                          return around[static_cast<std::size_t>(worker)].find(finder, centres.points + 3 * centre,
                                                                               centres.atoms[centre]);
                      });
}

// Combinations of species whose features an atom of this one changes, in their order.
std::vector<std::size_t> Mbtr::touched_slots(std::int32_t kind) const {
    std::vector<std::size_t> slots;
    std::size_t slot = 0;
    const auto add = [&](bool touched) {
        if (touched || p_.normalization == Normalization::l2) // which goes by all features
            slots.push_back(slot);
        ++slot;
    };
    const std::int32_t n = p_.species.size() + 1, own = kind + 1; // 0 is the centre
    if (p_.order() == 2) {
        for (std::int32_t other = 0; other < n; ++other)
            add(other == own);
        return slots;
    }
    for (std::int32_t a = 0; a < n; ++a)
        for (std::int32_t b = a; b < n; ++b)
            add(a > 0 && (a == own || b == own));
    for (std::int32_t middle = 1; middle < n; ++middle)
        for (std::int32_t end = 0; end < n; ++end)
            add(end > 0 && (middle == own || end == own));
    return slots;
}

std::vector<FeatureRun> Mbtr::touched(std::int32_t kind) const {
    std::vector<FeatureRun> runs;
    const auto n = static_cast<std::size_t>(p_.n);
    for (const std::size_t slot : touched_slots(kind))
        runs.push_back({slot * n, (slot + 1) * n});
    return runs;
}

template <class T>
void Mbtr::pair_jacobian(const Batch& batch, const Centres& centres, int n_threads, const PairRows<T>& out) const {
    const PairList list = pairs(batch, centres, n_threads);
    const auto n_kinds = static_cast<std::size_t>(p_.species.size()), n = static_cast<std::size_t>(p_.n);
    const std::int64_t n_centres = centres.offsets[batch.n_structures];
    std::vector<std::vector<std::size_t>> column(n_kinds); // of a slot among those that a species touches
    std::vector<std::size_t> width(n_kinds);
    for (std::size_t kind = 0; kind < n_kinds; ++kind) {
        column[kind].assign(n_slots(), 0);
        for (const std::size_t slot : touched_slots(static_cast<std::int32_t>(kind)))
            column[kind][slot] = width[kind], width[kind] += n;
    }
    const bool l2 = p_.normalization == Normalization::l2;
    for_rows(*this, batch, centres, false, n_threads,
             [&](MbtrWorker& worker, std::size_t, std::size_t centre, const auto& stars) {
                 PairsOfCentre<T> rows{{}, column, width};
                 for (std::size_t kind = 0; kind < n_kinds; ++kind) {
                     const bool is_last = static_cast<std::int64_t>(centre) + 1 == n_centres;
                     const std::int64_t begin = list.first[centre * n_kinds + kind];
                     const std::int64_t end = is_last ? list.kind_offsets[kind + 1] - list.kind_offsets[kind]
                                                      : list.first[(centre + 1) * n_kinds + kind];
                     const std::int64_t* const to = out.to + out.first[centre * n_kinds + kind] - begin;
                     for (std::int64_t k = begin; k < end; ++k)
                         if (to[k] >= 0)
                             rows.add(list, static_cast<std::size_t>(list.kind_offsets[kind] + k), kind,
                                      out.values + to[k]);
                 }
                 if (rows.pairs.empty())
                     return;
                 const double length = l2 ? worker.sum_features(stars) : 1.0;
                 std::sort(rows.pairs.begin(), rows.pairs.end());
                 worker.differentiate(stars, rows, 0, static_cast<T*>(nullptr));
                 for (const auto& pair : rows.pairs)
                     worker.normalise(length, pair.values, 3, width[pair.kind]);
             });
}

#define ATOMPRINT_INSTANTIATE(T)                                                                                       \
    template void Mbtr::compute(const Batch&, const Centres&, int, const MbtrColumns&, T*) const;                      \
    template void Mbtr::compute(const Batch&, const Centres&, int, const MbtrColumns&, ZeroRows<T>*) const;            \
    template void Mbtr::compute(const Batch&, const Centres&, int, const MbtrColumns&, SparseRows<T>*) const;          \
    template void Mbtr::vjp(const Batch&, const Centres&, bool, int, const MbtrColumns&, const CotangentRows<T>&,      \
                            double*, double*, T*) const;                                                               \
    template void Mbtr::jacobian(const Batch&, const Centres&, bool, int, const MbtrColumns&, const JacobianOut<T>&)   \
        const;                                                                                                         \
    template void Mbtr::pair_jacobian(const Batch&, const Centres&, int, const PairRows<T>&) const;
ATOMPRINT_INSTANTIATE(double)
ATOMPRINT_INSTANTIATE(float)
#undef ATOMPRINT_INSTANTIATE

} // namespace atomprint
