#include "potentials/kept_pairs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/aligned.hpp"
#include "core/dispatch.hpp"
#include "core/interrupt.hpp"
#include "core/pairs.hpp"

namespace atomprint {

bool KeptPairs::update(const Structure& structure, const std::int32_t* kinds) {
    const Lattice lattice(structure);
    const bool again = !covers(structure, kinds, lattice);
    if (again) {
        listed_ = false; // until all is well
        list(structure, kinds);
        cell_ = lattice.cell, inverse_ = lattice.inverse, periodic_ = lattice.periodic;
        listed_ = true;
    }
    place(structure, lattice);
    return again;
}

// With F the map from the old cell to the new one, a pair at d is at d F + u_j - u_i now, where u is by how much the
// atoms moved beyond that. So a pair that was at cutoff + skin or farther is at sigma (cutoff + skin) - 2 max |u| at
// least, with sigma the smallest singular value of F, which is not below 1 - |F - 1|; and u may be counted from any
// common vector, such as their mean.
bool KeptPairs::covers(const Structure& s, const std::int32_t* kinds, const Lattice& lattice) const {
    if (!listed_ || s.n_atoms != kinds_.size() || lattice.periodic != periodic_ ||
        !std::equal(kinds_.begin(), kinds_.end(), kinds))
        return false;
    double map[3][3];
    double change = 0.0;
    const bool same = lattice.cell == cell_;
    for (int a = 0; a < 3 && !same; ++a)
        for (int b = 0; b < 3; ++b) {
            map[a][b] = 0.0;
            for (int k = 0; k < 3; ++k)
                map[a][b] += inverse_[k][a] * lattice.cell[k][b];
            const double d = map[a][b] - (a == b ? 1.0 : 0.0);
            change += d * d;
        }
    double least[3], most[3]; // of the components of u
    for (std::size_t i = 0; i < s.n_atoms; ++i) {
        const double *const now = s.positions + 3 * i, *const was = positions_.data() + 3 * i;
        for (int b = 0; b < 3; ++b) {
            const double moved = same ? was[b] : was[0] * map[0][b] + was[1] * map[1][b] + was[2] * map[2][b];
            const double u = now[b] - moved;
            least[b] = i == 0 ? u : std::min(least[b], u);
            most[b] = i == 0 ? u : std::max(most[b], u);
        }
    }
    // Two atoms moved apart by the diagonal of the box around all u, or less; this bound costs no second pass.
    double apart = 0.0;
    for (int b = 0; b < 3; ++b)
        apart += (most[b] - least[b]) * (most[b] - least[b]);
    return (1.0 - std::sqrt(change)) * (cutoff_ + skin_) - std::sqrt(apart) >= cutoff_;
}

void KeptPairs::list(const Structure& s, const std::int32_t* kinds) {
    const std::size_t n = s.n_atoms;
    const NeighbourFinder finder(s, s.positions, n, cutoff_ + skin_);
    kinds_.assign(kinds, kinds + n);
    positions_.assign(s.positions, s.positions + 3 * n);
    order_.resize(n);
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [&](auto a, auto b) { return kinds[a] < kinds[b]; });

    present_.clear();
    for (const std::int32_t i : order_)
        if (present_.empty() || present_.back() != kinds[i])
            present_.push_back(kinds[i]);

    // The images in their order: those of an atom are few.
    const std::size_t n_images = finder.x.size();
    std::vector<std::int32_t> place(n), next(n + 1, 0), of_atoms(n_images), rank(n_images);
    for (std::size_t k = 0; k < n; ++k)
        place[order_[k]] = static_cast<std::int32_t>(k);
    for (std::size_t m = 0; m < n_images; ++m)
        ++next[place[finder.atom[m]] + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    const std::vector<std::int32_t> start = next;
    for (std::size_t m = 0; m < n_images; ++m)
        of_atoms[next[place[finder.atom[m]]]++] = static_cast<std::int32_t>(m);
    for (std::size_t k = 0; k < n; ++k)
        std::sort(of_atoms.begin() + start[k], of_atoms.begin() + start[k + 1],
                  [&](auto a, auto b) { return finder.shift[a] < finder.shift[b]; });
    image_atom_.resize(n_images), image_kind_.resize(n_images), image_shift_.resize(n_images);
    for (std::size_t m = 0; m < n_images; ++m) {
        const std::int32_t from = of_atoms[m];
        rank[from] = static_cast<std::int32_t>(m);
        image_atom_[m] = finder.atom[from];
        image_kind_[m] = kinds[finder.atom[from]];
        image_shift_[m] = finder.shift[from];
    }

    own_.resize(n), first_.assign(n + 1, 0), candidates_.clear();
    Neighbours found;
    for (std::size_t i = 0; i < n; ++i) {
        poll();
        Vec3 point{s.positions[3 * i], s.positions[3 * i + 1], s.positions[3 * i + 2]};
        const std::array<int, 3> moved = finder.locate(point);
        own_[i] = -1;
        for (std::int32_t m = start[place[i]]; m < start[place[i] + 1]; ++m)
            if (std::equal(moved.begin(), moved.end(), image_shift_[m].begin()))
                own_[i] = m;
        finder.query(point, found);
        const std::size_t begin = candidates_.size();
        for (std::size_t k = 0; k < found.n; ++k)
            if (const std::int32_t m = rank[found.index[k]]; m != own_[i])
                candidates_.push_back(m);
        std::sort(candidates_.begin() + static_cast<std::ptrdiff_t>(begin), candidates_.end());
        first_[i + 1] = candidates_.size();
    }
}

void KeptPairs::place(const Structure& s, const Lattice& lattice) {
    const std::size_t n = image_atom_.size();
    grow(x_, n), grow(y_, n), grow(z_, n);
    for (std::size_t m = 0; m < n; ++m) {
        const double* const from = s.positions + 3 * image_atom_[m];
        double at[3] = {from[0], from[1], from[2]};
        for (int k = 0; k < 3; ++k)
            for (int c = 0; c < 3; ++c)
                at[c] += image_shift_[m][k] * lattice.cell[k][c];
        x_[m] = at[0], y_[m] = at[1], z_[m] = at[2];
    }
}

void KeptPairs::neighbours(std::int32_t atom, AtomNeighbours& found) const {
    const std::size_t begin = first_[atom], n = first_[atom + 1] - begin;
    grow(found.candidate_x, n), grow(found.candidate_y, n), grow(found.candidate_z, n);
    grow(found.image, n + filter_slack);
    for (auto* values : {&found.x, &found.y, &found.z, &found.r2})
        grow(*values, n + filter_slack);
    for (std::size_t k = 0; k < n; ++k) {
        const std::int32_t m = candidates_[begin + k];
        found.candidate_x[k] = x_[m], found.candidate_y[k] = y_[m], found.candidate_z[k] = z_[m];
    }
    const double reach = cutoff_ * (1.0 - cutoff_margin), point[3] = {x_[own_[atom]], y_[own_[atom]], z_[own_[atom]]};
    found.n = kernels().within_cutoff(
        found.candidate_x.data(), found.candidate_y.data(), found.candidate_z.data(), 0, static_cast<std::int32_t>(n),
        point, reach * reach, {found.image.data(), found.x.data(), found.y.data(), found.z.data(), found.r2.data()}, 0);
    for (std::size_t k = 0; k < found.n; ++k)
        found.image[k] = candidates_[begin + found.image[k]];
}

} // namespace atomprint
