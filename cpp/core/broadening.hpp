// Gaussians of one width, integrated over the cells of a regular grid: the table that the kernels read.
#pragma once

#include <cstdint>

#include "core/aligned.hpp"
#include "kernels/kernels.hpp"

namespace atomprint {

class Broadening {
public:
    // n points from `minimum` on; `area` is that of a Gaussian. Sigma should not be far below the spacing, as the table
    // grows with the spacing over sigma.
    Broadening(std::int32_t n, double minimum, double spacing, double sigma, double area);
    Broadening(const Broadening&) = delete; // the table points into it
    Broadening& operator=(const Broadening&) = delete;

    const BroadeningTable& table() const { return table_; }
    // A value further than this beyond the first or the last point reaches no point.
    double reach() const { return (table_.reach + 1.5) / table_.inverse_spacing; }

private:
    AlignedVector<double> coefficients_;
    BroadeningTable table_{};
};

} // namespace atomprint
