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
template <class T>
struct BlockProduct {
    std::int32_t rows, depth, columns;
    const T* a;
    std::size_t row_stride, depth_stride;
    const T* b;
    T* c;
    std::size_t c_stride;
    bool add;
};

template <class T>
struct GapKernels {
    std::int32_t lanes;
    void (*multiply)(const BlockProduct<T>& product);
    // Of each number u of `rows` rows of block_columns: adds factors[row] u^zeta to the sum of its column, and makes it
    // factors[row] zeta u^(zeta - 1). Where zeta is not whole, negative u count as zero. `columns` as above.
    void (*power)(std::int32_t rows, std::int32_t columns, double zeta, const T* factors, T* u, double* sums);
    // out[j][i] = a[i][j]
    void (*transpose)(std::int32_t rows, std::int32_t columns, const T* a, std::size_t a_stride, T* out,
                      std::size_t out_stride);
};

struct GapTables {
    GapKernels<double> f64;
    GapKernels<float> f32;

    template <class T>
    const GapKernels<T>& of() const {
        if constexpr (sizeof(T) == sizeof(double))
            return f64;
        else
            return f32;
    }
};

} // namespace atomprint
