// Cell algebra for any combination of periodic directions.
#pragma once

#include <array>
#include <cmath>

#include "core/batch.hpp"

namespace atomprint {

using Vec3 = std::array<double, 3>;

inline Vec3 cross(const Vec3& a, const Vec3& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
inline double dot(const Vec3& a, const Vec3& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
inline double norm(const Vec3& a) {
    return std::sqrt(dot(a, a));
}

// Lattice vectors, their inverse, and the distance between the lattice planes across each vector. Directions
// without periodicity get a unit vector perpendicular to the others, so that the inverse always exists.
struct Lattice {
    std::array<Vec3, 3> cell{};
    std::array<Vec3, 3> inverse{}; // columns of cell^-1: fractional coordinate k is dot(inverse[k], position)
    std::array<bool, 3> periodic{};
    Vec3 height{};
    double volume = 0.0;          // of the completed cell
    double relative_volume = 0.0; // volume over the product of the lengths: 0 where vectors are dependent

    explicit Lattice(const Structure& s) {
        for (int k = 0; k < 3; ++k) {
            periodic[k] = s.pbc[k] != 0;
            if (periodic[k])
                cell[k] = {s.cell[3 * k], s.cell[3 * k + 1], s.cell[3 * k + 2]};
        }
        complete();
        const Vec3 normals[3] = {cross(cell[1], cell[2]), cross(cell[2], cell[0]), cross(cell[0], cell[1])};
        const double det = dot(cell[0], normals[0]);
        volume = std::abs(det);
        const double lengths = norm(cell[0]) * norm(cell[1]) * norm(cell[2]);
        relative_volume = lengths > 0.0 ? volume / lengths : 0.0;
        if (volume == 0.0)
            return;
        for (int k = 0; k < 3; ++k) {
            for (int c = 0; c < 3; ++c)
                inverse[k][c] = normals[k][c] / det;
            height[k] = volume / norm(normals[k]);
        }
    }

    // Whether integers count the lattice vectors from the cell to a position, with room for sums of a few of them.
    bool reaches(const double* position) const {
        bool all = true;
        for (int k = 0; k < 3; ++k)
            all &= !periodic[k] || std::abs(dot(inverse[k], {position[0], position[1], position[2]})) <= 2.5e8;
        return all;
    }

    // Shift a position into the home cell along the periodic directions; returns the number of lattice
    // vectors subtracted. A position that is already inside comes back unchanged, to the last bit.
    std::array<int, 3> wrap(Vec3& position) const {
        std::array<int, 3> shift{};
        const Vec3 original = position;
        for (int k = 0; k < 3; ++k) {
            if (!periodic[k])
                continue;
            shift[k] = static_cast<int>(std::floor(dot(inverse[k], original)));
            if (shift[k] != 0)
                for (int c = 0; c < 3; ++c)
                    position[c] -= shift[k] * cell[k][c];
        }
        return shift;
    }

private:
    void complete() {
        const int n = periodic[0] + periodic[1] + periodic[2];
        if (n == 3)
            return;
        if (n == 0) {
            for (int k = 0; k < 3; ++k)
                cell[k][k] = 1.0;
            return;
        }
        for (int k = 0; k < 3; ++k) {
            if (periodic[k])
                continue;
            const int i = (k + 1) % 3, j = (k + 2) % 3;
            Vec3 candidate{};
            if (n == 2) {
                candidate = cross(cell[i], cell[j]);
            } else if (norm(cell[i]) > 0.0 && norm(cell[j]) > 0.0) { // second free direction of a wire
                candidate = cross(cell[i], cell[j]);
            } else { // first free direction of a wire: perpendicular to it, along the axis it has least of
                const Vec3& wire = norm(cell[i]) > 0.0 ? cell[i] : cell[j];
                int least = 0;
                for (int c = 1; c < 3; ++c)
                    if (std::abs(wire[c]) < std::abs(wire[least]))
                        least = c;
                Vec3 axis{};
                axis[least] = 1.0;
                candidate = cross(wire, axis);
            }
            const double length = norm(candidate);
            if (length > 0.0)
                for (int c = 0; c < 3; ++c)
                    cell[k][c] = candidate[c] / length;
        }
    }
};

} // namespace atomprint
