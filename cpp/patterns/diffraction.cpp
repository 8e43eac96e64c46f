#include "patterns/diffraction.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/dispatch.hpp"
#include "core/interrupt.hpp"
#include "core/lattice.hpp"
#include "core/parallel.hpp"

namespace atomprint {

namespace {

constexpr double pi = std::numbers::pi, degrees = 180.0 / pi;
constexpr double edge = 1e-12; // of lengths: lines at the ends of a range are in it

// What one line needs for its derivatives.
struct Line {
    Vec3 g;                      // 1/Å, with 2 pi
    double intensity, of_square; // and its derivative by G^2, at fixed volume
    double angle, angle_of_square;
    double pull; // times Im(F* f exp(i G r)) and G: the derivative by the position of an atom
};

} // namespace

// Memory of one thread, and the structure that it works on.
class Diffraction::Worker {
public:
    explicit Worker(const Diffraction& owner) : p_(owner.p_), table_(owner.broadening_.table()) {
        const double reach = owner.broadening_.reach(), last = p_.minimum + p_.spacing * (p_.n - 1);
        low_ = std::max(p_.minimum - reach, 0.0), high_ = std::min(last + reach, 180.0);
        pattern_.resize(table_.row_stride), weights_.resize(table_.row_stride);
    }

    void begin(const Structure& s) {
        n_atoms_ = s.n_atoms;
        static constexpr std::uint8_t all[3] = {1, 1, 1};
        Structure crystal = s;
        crystal.pbc = all;
        const Lattice lattice(crystal);
        volume_ = lattice.volume;
        for (int k = 0; k < 3; ++k) {
            length_[k] = norm(lattice.cell[k]);
            for (int c = 0; c < 3; ++c)
                reciprocal_[k][c] = 2.0 * pi * lattice.inverse[k][c];
        }
        // Atoms of one element stand together.
        order_.resize(n_atoms_);
        for (std::size_t i = 0; i < n_atoms_; ++i)
            order_[i] = i;
        std::stable_sort(order_.begin(), order_.end(),
                         [&](std::size_t a, std::size_t b) { return s.numbers[a] < s.numbers[b]; });
        elements_.clear(), first_.clear();
        for (std::size_t i = 0; i < n_atoms_; ++i)
            if (i == 0 || s.numbers[order_[i]] != s.numbers[order_[i - 1]])
                elements_.push_back(static_cast<std::size_t>(s.numbers[order_[i]])), first_.push_back(i);
        first_.push_back(n_atoms_);
        fractional_.resize(3 * n_atoms_);
        for (std::size_t i = 0; i < n_atoms_; ++i)
            for (int k = 0; k < 3; ++k) {
                const double* r = s.positions + 3 * order_[i];
                fractional_[k * n_atoms_ + i] = dot(lattice.inverse[k], {r[0], r[1], r[2]});
            }
    }

    // Calls visit(line, hkl, phases) for each line between two angles; with_slopes or not, phases(i, re, im) gives
    // conj(F) f exp(i G r) of atom i in the order of `order()`.
    template <bool with_slopes, class Visit>
    void for_lines(double low, double high, const Visit& visit) {
        const double unit = p_.wavelength / (4.0 * pi);
        const double least = std::sin(0.5 * low / degrees) / unit, most = std::sin(0.5 * high / degrees) / unit;
        const double least2 = least * least * (1.0 - 2.0 * edge), most2 = most * most * (1.0 + 2.0 * edge);
        std::int32_t largest[3];
        for (int k = 0; k < 3; ++k)
            largest[k] = static_cast<std::int32_t>(std::floor(most * (1.0 + edge) * length_[k] / (2.0 * pi)));
        for (int k = 0; k < 3; ++k)
            make_table(k, largest[k]);
        const Vec3 &a = reciprocal_[0], &b = reciprocal_[1], &c = reciprocal_[2];
        const double cc = dot(c, c);
        for (std::int32_t h = 0; h <= largest[0]; ++h)
            for (std::int32_t k = h == 0 ? 0 : -largest[1]; k <= largest[1]; ++k) {
                poll();
                const Vec3 base = {h * a[0] + k * b[0], h * a[1] + k * b[1], h * a[2] + k * b[2]};
                // |base + l c|^2 <= most2 for l between two roots.
                const double half = dot(base, c) / cc, rest = half * half - (dot(base, base) - most2) / cc;
                if (rest < 0.0)
                    continue;
                const double root = std::sqrt(rest);
                auto l0 = static_cast<std::int32_t>(std::ceil(-half - root - 1e-9)),
                     l1 = static_cast<std::int32_t>(std::floor(-half + root + 1e-9));
                l0 = std::max(l0, h == 0 && k == 0 ? 1 : -largest[2]), l1 = std::min(l1, largest[2]);
                if (l0 > l1)
                    continue;
                row<with_slopes>(h, k, l0, static_cast<std::size_t>(l1 - l0 + 1));
                for (std::int32_t l = l0; l <= l1; ++l) {
                    Line line;
                    for (int x = 0; x < 3; ++x)
                        line.g[x] = base[x] + l * c[x];
                    const double square = dot(line.g, line.g);
                    if (square < least2 || square > most2)
                        continue;
                    finish<with_slopes>(square, static_cast<std::size_t>(l - l0), line);
                    visit(line, std::array<std::int32_t, 3>{h, k, l});
                }
            }
    }

    // All lines that reach the grid, and the pattern that they make, before it is normalised.
    void make_pattern() {
        angles_.clear(), intensities_.clear();
        for_lines<false>(low_, high_, [&](const Line& line, const auto&) {
            angles_.push_back(line.angle), intensities_.push_back(line.intensity);
        });
        std::fill(pattern_.begin(), pattern_.end(), 0.0);
        rows_.assign(angles_.size(), 0);
        kernels().broadening.broaden(table_, angles_.size(), angles_.data(), intensities_.data(), rows_.data(),
                                     pattern_.data());
        top_ = static_cast<std::size_t>(std::max_element(pattern_.begin(), pattern_.begin() + p_.n) - pattern_.begin());
        double size = 1.0, goal = 1.0;
        if (p_.normalization == DiffractionParameters::Normalization::max)
            size = pattern_[top_], goal = highest_point;
        else if (p_.normalization == DiffractionParameters::Normalization::area) {
            size = 0.0;
            for (std::int32_t k = 0; k < p_.n; ++k)
                size += pattern_[k] * p_.spacing;
        }
        factor_ = size > 0.0 ? goal / size : 0.0;
    }

    template <class T>
    void write(T* out) const {
        for (std::int32_t k = 0; k < p_.n; ++k)
            out[k] = static_cast<T>(factor_ * pattern_[k]);
    }

    // Derivatives of weights * features, with the pattern of make_pattern: added to `positions` (n_atoms, 3) and
    // `strain` (3, 3) unless null.
    template <class T>
    void contract(const T* weights, double* positions, double* strain) {
        double through = 0.0;
        std::fill(weights_.begin(), weights_.end(), 0.0);
        for (std::int32_t k = 0; k < p_.n; ++k) {
            weights_[k] = factor_ * weights[k];
            through += factor_ * weights[k] * pattern_[k];
        }
        if (p_.normalization == DiffractionParameters::Normalization::max)
            weights_[top_] -= through * factor_ / highest_point;
        else if (p_.normalization == DiffractionParameters::Normalization::area)
            for (std::int32_t k = 0; k < p_.n; ++k)
                weights_[k] -= through * factor_ * p_.spacing;
        heights_.resize(angles_.size()), moves_.resize(angles_.size()), ones_.assign(angles_.size(), 1.0);
        kernels().broadening.adjoint(table_, angles_.size(), angles_.data(), ones_.data(), rows_.data(),
                                     weights_.data(), heights_.data(), moves_.data());
        std::size_t index = 0;
        double total = 0.0;
        for_lines<true>(low_, high_, [&](const Line& line, const auto&) {
            const double height = heights_[index], move = moves_[index];
            ++index;
            const double pull = height * line.pull;
            for (std::size_t i = 0; i < n_atoms_; ++i)
                for (int x = 0; x < 3; ++x)
                    positions[3 * order_[i] + x] += pull * turn_[i] * line.g[x];
            if (!strain)
                return;
            total += height * line.intensity;
            const double slope = height * line.of_square + move * line.intensity * line.angle_of_square;
            for (int x = 0; x < 3; ++x)
                for (int y = 0; y < 3; ++y)
                    strain[3 * x + y] -= 2.0 * slope * line.g[x] * line.g[y];
        });
        for (int x = 0; strain && x < 3; ++x)
            strain[4 * x] -= 2.0 * total; // of the volume
    }

    // Derivatives of all features: rows of selected atoms and axes, (n, 3, n_features), and (3, 3, n_features).
    template <class T>
    void rows(const std::int64_t* slots, std::size_t n_slots, T* positions, T* strain) {
        const auto n = static_cast<std::size_t>(p_.n);
        const std::size_t n_rows = (positions ? 3 * n_slots : 0) + 9;
        slopes_.assign(n_rows * n, 0.0);
        double* const of_strain = slopes_.data() + (n_rows - 9) * n;
        window_.resize(table_.stride), window_slope_.resize(table_.stride);
        std::size_t index = 0;
        for_lines<true>(low_, high_, [&](const Line& line, const auto&) {
            std::int32_t begin = 0, end = 0;
            if (!kernels().broadening.one(table_, angles_[index++], &begin, &end, window_.data(), window_slope_.data()))
                return;
            const auto width = static_cast<std::size_t>(end - begin);
            for (std::size_t i = 0; positions && i < n_atoms_; ++i) {
                const std::int64_t slot = slots[order_[i]];
                for (std::size_t x = 0; slot >= 0 && x < 3; ++x) {
                    const double pull = line.pull * turn_[i] * line.g[x];
                    double* to = slopes_.data() + (3 * static_cast<std::size_t>(slot) + x) * n + begin;
                    for (std::size_t k = 0; k < width; ++k)
                        to[k] += pull * window_[k];
                }
            }
            for (std::size_t x = 0; strain && x < 3; ++x)
                for (std::size_t y = 0; y < 3; ++y) {
                    const double square = -2.0 * line.g[x] * line.g[y];
                    const double height = square * line.of_square - (x == y ? 2.0 * line.intensity : 0.0),
                                 move = square * line.intensity * line.angle_of_square;
                    double* to = of_strain + (3 * x + y) * n + begin;
                    for (std::size_t k = 0; k < width; ++k)
                        to[k] += height * window_[k] + move * window_slope_[k];
                }
        });
        for (std::size_t r = 0; r < n_rows; ++r) {
            double* const row = slopes_.data() + r * n;
            double growth = 0.0; // of the factor, relative to it
            if (p_.normalization == DiffractionParameters::Normalization::max)
                growth = row[top_] * factor_ / highest_point;
            else if (p_.normalization == DiffractionParameters::Normalization::area)
                for (std::size_t k = 0; k < n; ++k)
                    growth += row[k] * factor_ * p_.spacing;
            T* const to = r < n_rows - 9 ? positions + r * n : strain ? strain + (r - (n_rows - 9)) * n : nullptr;
            for (std::size_t k = 0; to && k < n; ++k)
                to[k] += static_cast<T>(factor_ * (row[k] - growth * pattern_[k]));
        }
    }

private:
    // exp(2 pi i h x) of all atoms for h from -largest to largest: [atom][h] for the last direction, [h][atom] else.
    void make_table(int k, std::int32_t largest) {
        auto &re = table_re_[k], &im = table_im_[k];
        const auto n = static_cast<std::size_t>(2 * largest + 1);
        re.resize(n * n_atoms_), im.resize(n * n_atoms_);
        largest_[k] = largest;
        for (std::size_t i = 0; i < n_atoms_; ++i) {
            double x = fractional_[k * n_atoms_ + i];
            x -= std::round(x);
            const double c = std::cos(2.0 * pi * x), s = std::sin(2.0 * pi * x);
            double pr = 1.0, pim = 0.0;
            for (std::int32_t h = 0; h <= largest; ++h) {
                for (const int sign : {1, -1}) {
                    const auto row = static_cast<std::size_t>(largest + sign * h);
                    const std::size_t place = k == 2 ? i * n + row : row * n_atoms_ + i;
                    re[place] = pr, im[place] = sign * pim;
                }
                const double next = pr * c - pim * s;
                pim = pr * s + pim * c, pr = next;
            }
        }
    }

    // Sums over the atoms of each element of exp(i G r), for l0 and those behind it.
    template <bool with_slopes>
    void row(std::int32_t h, std::int32_t k, std::int32_t l0, std::size_t n) {
        const double *hr = table_re_[0].data() + static_cast<std::size_t>(largest_[0] + h) * n_atoms_,
                     *hi = table_im_[0].data() + static_cast<std::size_t>(largest_[0] + h) * n_atoms_,
                     *kr = table_re_[1].data() + static_cast<std::size_t>(largest_[1] + k) * n_atoms_,
                     *ki = table_im_[1].data() + static_cast<std::size_t>(largest_[1] + k) * n_atoms_;
        n_row_ = n;
        sum_re_.assign(elements_.size() * n, 0.0), sum_im_.assign(elements_.size() * n, 0.0);
        if constexpr (with_slopes)
            wave_re_.resize(n_atoms_ * n), wave_im_.resize(n_atoms_ * n);
        const auto ld = static_cast<std::size_t>(2 * largest_[2] + 1);
        for (std::size_t e = 0; e < elements_.size(); ++e) {
            double *sr = sum_re_.data() + e * n, *si = sum_im_.data() + e * n;
            for (std::size_t i = first_[e]; i < first_[e + 1]; ++i) {
                const double pr = hr[i] * kr[i] - hi[i] * ki[i], pim = hr[i] * ki[i] + hi[i] * kr[i];
                const std::size_t from = i * ld + static_cast<std::size_t>(largest_[2] + l0);
                const double *lr = table_re_[2].data() + from, *li = table_im_[2].data() + from;
                if constexpr (with_slopes) {
                    double *wr = wave_re_.data() + i * n, *wi = wave_im_.data() + i * n;
                    for (std::size_t m = 0; m < n; ++m)
                        wr[m] = pr * lr[m] - pim * li[m], wi[m] = pr * li[m] + pim * lr[m];
                    for (std::size_t m = 0; m < n; ++m)
                        sr[m] += wr[m], si[m] += wi[m];
                } else {
                    for (std::size_t m = 0; m < n; ++m)
                        sr[m] += pr * lr[m] - pim * li[m], si[m] += pr * li[m] + pim * lr[m];
                }
            }
        }
    }

    // Scattering of wave m of the row, whose G^2 is known.
    template <bool with_slopes>
    void finish(double square, std::size_t m, Line& line) {
        const double s2 = square / (16.0 * pi * pi);
        double re = 0.0, im = 0.0, slope_re = 0.0, slope_im = 0.0;
        if constexpr (with_slopes)
            factor_of_.resize(elements_.size()), turn_.resize(n_atoms_);
        for (std::size_t e = 0; e < elements_.size(); ++e) {
            const ScatteringFactor& f = p_.factors[elements_[e]];
            double value = f.c, slope = 0.0;
            for (std::size_t i = 0; i < 4; ++i)
                if (f.a[i] != 0.0) {
                    const double term = f.a[i] * std::exp(-f.b[i] * s2);
                    value += term, slope -= f.b[i] * term;
                }
            if (f.damping != 0.0) {
                const double fade = std::exp(-f.damping * s2);
                slope = (slope - f.damping * value) * fade, value *= fade;
            }
            re += value * sum_re_[e * n_row_ + m], im += value * sum_im_[e * n_row_ + m];
            if constexpr (with_slopes) {
                slope_re += slope * sum_re_[e * n_row_ + m], slope_im += slope * sum_im_[e * n_row_ + m];
                factor_of_[e] = value;
            }
        }
        const double sine = std::min(p_.wavelength / (4.0 * pi) * std::sqrt(square), 1.0),
                     cosine = std::sqrt(1.0 - sine * sine);
        line.angle = 2.0 * std::asin(sine) * degrees;
        double lorentz = 1.0, of_theta = 0.0;
        if (p_.lorentz) {
            lorentz = 1.0 / (sine * sine * cosine);
            of_theta = lorentz * (sine / cosine - 2.0 * cosine / sine);
        }
        if (p_.lorentz && p_.polarized) {
            const double twice = 1.0 - 2.0 * sine * sine; // cos 2 theta
            of_theta = of_theta * (1.0 + twice * twice) - lorentz * 8.0 * twice * sine * cosine;
            lorentz *= 1.0 + twice * twice;
        }
        const double scale = 2.0 * lorentz / (volume_ * volume_), amplitude2 = re * re + im * im; // twice: G and -G
        line.intensity = scale * amplitude2;
        if constexpr (with_slopes) {
            const double theta_of_square = sine / (2.0 * cosine * square);
            line.angle_of_square = 2.0 * theta_of_square * degrees;
            line.of_square = scale * 2.0 * (re * slope_re + im * slope_im) / (16.0 * pi * pi) +
                             2.0 * of_theta * theta_of_square / (volume_ * volume_) * amplitude2;
            line.pull = -2.0 * scale;
            for (std::size_t e = 0; e < elements_.size(); ++e)
                for (std::size_t i = first_[e]; i < first_[e + 1]; ++i)
                    turn_[i] = factor_of_[e] * (re * wave_im_[i * n_row_ + m] - im * wave_re_[i * n_row_ + m]);
        }
    }

    const DiffractionParameters& p_;
    const BroadeningTable& table_;
    double low_, high_;

    std::size_t n_atoms_ = 0, n_row_ = 0, top_ = 0;
    double volume_ = 0.0, factor_ = 0.0;
    Vec3 length_{};
    std::array<Vec3, 3> reciprocal_{};
    std::array<std::int32_t, 3> largest_{};
    std::vector<std::size_t> order_, elements_, first_;
    std::vector<double> fractional_, table_re_[3], table_im_[3];
    std::vector<double> sum_re_, sum_im_, wave_re_, wave_im_, factor_of_, turn_;
    std::vector<double> slopes_;
    AlignedVector<double> angles_, intensities_, heights_, moves_, ones_, pattern_, weights_, window_, window_slope_;
    std::vector<std::int32_t> rows_;
};

Diffraction::Diffraction(const DiffractionParameters& parameters)
    : p_(parameters), broadening_(p_.n, p_.minimum, p_.spacing, p_.sigma, 1.0) {}

DiffractionLines Diffraction::lines(const Structure& structure, double low, double high) const {
    Worker worker(*this);
    DiffractionLines found;
    worker.begin(structure);
    worker.for_lines<false>(low, high, [&](const auto& line, const auto& hkl) {
        found.hkl.insert(found.hkl.end(), hkl.begin(), hkl.end());
        found.angles.push_back(line.angle), found.intensities.push_back(line.intensity);
    });
    return found;
}

template <class T>
void Diffraction::compute(const Batch& batch, int n_threads, T* out) const {
    std::vector<Worker> workers(static_cast<std::size_t>(n_threads), Worker(*this));
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int index) {
        Worker& worker = workers[static_cast<std::size_t>(index)];
        worker.begin(batch[s]);
        worker.make_pattern();
        worker.write(out + n_features() * s);
    });
}

template <class T>
void Diffraction::vjp(const Batch& batch, int n_threads, std::size_t n_cotangents, const T* cotangents,
                      double* positions, double* strain, T* features) const {
    std::vector<Worker> workers(static_cast<std::size_t>(n_threads), Worker(*this));
    const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int index) {
        Worker& worker = workers[static_cast<std::size_t>(index)];
        worker.begin(batch[s]);
        worker.make_pattern();
        if (features)
            worker.write(features + n_features() * s);
        for (std::size_t j = 0; j < n_cotangents; ++j)
            worker.contract(cotangents + n_features() * (j * batch.n_structures + s),
                            positions + 3 * (j * n_atoms + static_cast<std::size_t>(batch.offsets[s])),
                            strain ? strain + 9 * (j * batch.n_structures + s) : nullptr);
    });
}

template <class T>
void Diffraction::jacobian(const Batch& batch, int n_threads, const std::int64_t* slots,
                           const std::int64_t* row_offsets, T* positions, T* strain, T* features) const {
    std::vector<Worker> workers(static_cast<std::size_t>(n_threads), Worker(*this));
    parallel_for(batch.n_structures, n_threads, [&](std::size_t s, int index) {
        Worker& worker = workers[static_cast<std::size_t>(index)];
        worker.begin(batch[s]);
        worker.make_pattern();
        if (features)
            worker.write(features + n_features() * s);
        const auto first = static_cast<std::size_t>(row_offsets[s]);
        worker.rows(slots + batch.offsets[s], static_cast<std::size_t>(row_offsets[s + 1]) - first,
                    positions ? positions + 3 * first * n_features() : nullptr,
                    strain ? strain + 9 * s * n_features() : nullptr);
    });
}

template void Diffraction::compute(const Batch&, int, double*) const;
template void Diffraction::compute(const Batch&, int, float*) const;
template void Diffraction::vjp(const Batch&, int, std::size_t, const double*, double*, double*, double*) const;
template void Diffraction::vjp(const Batch&, int, std::size_t, const float*, double*, double*, float*) const;
template void Diffraction::jacobian(const Batch&, int, const std::int64_t*, const std::int64_t*, double*, double*,
                                    double*) const;
template void Diffraction::jacobian(const Batch&, int, const std::int64_t*, const std::int64_t*, float*, float*,
                                    float*) const;

} // namespace atomprint
