// What keeps a fitted cluster expansion within bounds where atoms are packed more densely than in any data.
//
// Functions grow with the density of a centre up to its fourth power, and their sum with weights, of which data say
// nothing there, with them. So all A of a centre are scaled by one factor: 1 as long as its density
//
//     rho = sum over neighbours of R_1(r),    R_1 >= 0,
//
// is below a limit L, and beyond such that factor * rho goes from L to `most` L, with three continuous derivatives.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "local/ace_basis.hpp"

namespace atomprint {

class AceLimit {
public:
    // Limits by the kind of the centre, or none at all. Throws std::invalid_argument if they do not fit the species.
    AceLimit(const AceBasis& basis, std::vector<double> limits) : limits_(std::move(limits)) {
        if (!limits_.empty() && limits_.size() != static_cast<std::size_t>(basis.species().size()))
            throw std::invalid_argument("limits must be none, or one of each species");
        for (const double limit : limits_)
            if (!(limit > 0.0))
                throw std::invalid_argument("limits must be positive");
    }

    struct Factor {
        double value = 1.0, slope = 0.0; // the slope by rho
    };
    Factor factor(std::int32_t kind, double density) const {
        const double limit =
            limits_.empty() ? std::numeric_limits<double>::infinity() : limits_[static_cast<std::size_t>(kind)];
        if (!(density > limit))
            return {};
        const double x = (density / limit - 1.0) / room, cube = 1.0 + x * x * x, root = std::cbrt(cube);
        const double scaled = limit * (1.0 + room * x / root), rise = 1.0 / (cube * root);
        return {scaled / density, (rise - scaled / density) / density};
    }

private:
    static constexpr double most = 1.2, room = most - 1.0;
    std::vector<double> limits_;
};

// rho of a density in the form of AceKernels::expand; harmonics of degree 0 are 1.
template <class T>
double ace_density(const AceShape<T>& shape, std::int32_t n_groups, const T* density) {
    double sum = 0.0;
    for (std::int32_t g = 0; g < n_groups; ++g)
        sum += static_cast<double>(density[static_cast<std::size_t>(g) * static_cast<std::size_t>(shape.n_pad)]);
    return sum;
}

} // namespace atomprint
