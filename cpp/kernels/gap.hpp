// Matrix products with blocks of a few columns, which kernels of sparse points are made of. As kernels.hpp: plain
// pointers and numbers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atomprint {

// Columns of a block, which are whole vectors of any instruction set and type.
inline constexpr std::int32_t block_columns = 32;

// c[i][j] (+)= sum over k < depth of a[i * row_stride + k * depth_stride] * b[k * block_columns + j], for `rows` rows
// and the first `columns` columns, a multiple of the lanes of a vector.
struct BlockProduct {
    std::int32_t rows, depth, columns;
    const double* a;
    std::size_t row_stride, depth_stride;
    const double* b;
    double* c;
    std::size_t c_stride;
    bool add;
};

struct GapKernels {
    std::int32_t lanes;
    void (*multiply)(const BlockProduct& product);
    // Of each number u of `rows` rows of block_columns: adds factors[row] u^zeta to the sum of its column, and makes it
    // factors[row] zeta u^(zeta - 1). Where zeta is not whole, negative u count as zero. `columns` as above.
    void (*power)(std::int32_t rows, std::int32_t columns, double zeta, const double* factors, double* u, double* sums);
    // out[j][i] = a[i][j]
    void (*transpose)(std::int32_t rows, std::int32_t columns, const double* a, std::size_t a_stride, double* out,
                      std::size_t out_stride);
};

} // namespace atomprint
