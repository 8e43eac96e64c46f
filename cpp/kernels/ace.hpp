// The interface of the kernels of the atomic cluster expansion: plain pointers and numbers, see kernels.hpp.
//
// The density of a centre is A_gnlm = sum over neighbours of group g of R_n(r) Y_lm(u), u being the direction to the
// neighbour; R_n does not depend on l. Groups (species that are there) are mixed into channels c,
//
//     A_cnlm = sum_g weight[c][g] A_gnlm,    index a = (c n_max + n) (l_max + 1)^2 + l^2 + l + m,
//
// and everything after that is bilinear in the row X = [1, A_a .., D_q ..] of a centre:
//
//     D_q = sum over terms of c A_a A_b,    B_k = sum over terms of c X_p X_q,
//
// for which a block of centres, one in each lane, goes through together: X[index][lane].
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.hpp"

namespace atomprint {

// Centres of a block, the same for every instruction set.
template <class T>
inline constexpr std::int32_t ace_lanes = 64 / static_cast<std::int32_t>(sizeof(T));

// Neighbours [begin, end) of one group, and the radial functions for it: table[cell][power][n], powers of
// t = r inverse_step - cell, n padded with zeros to n_pad.
template <class T>
struct AceSegment {
    std::int32_t begin, end, group;
    const T* table;
};

template <class T>
struct AceShape {
    std::int32_t n_max, n_pad, l_max, n_cells;
    double inverse_step;
    const double* recursion;     // of harmonics whose squares have the mean 1, see harmonics.hpp
    const T* harmonics_gradient; // for a scale of 1

    __attribute__((always_inline)) std::int32_t n_lm() const { return (l_max + 1) * (l_max + 1); }
};

// Neighbours of one centre, sorted by group. Arrays can be read up to ace_slack numbers beyond n, where they are
// finite. The direction to an atom on top of the centre is zero, and so is its inverse distance.
template <class T>
struct AceNeighbours {
    std::int32_t n, n_segments, n_groups;
    const double *x, *y, *z;     // direction
    const double *r, *inverse_r; // Å, 1 / Å
    const AceSegment<T>* segments;
};
inline constexpr std::size_t ace_slack = 32;

// For each of some outputs (channels, or groups on the way back) those of the inputs that go into it: a sparse matrix.
template <class T>
struct AceMixing {
    std::int32_t n_outputs;
    const std::int32_t* first; // (n_outputs + 1)
    const std::int32_t* input;
    const T* weight;
};

// A term c X_a X_b.
template <class T>
struct AceTerm {
    std::int32_t a, b;
    T c;
};

// Terms of the products and of the functions; a and b count in X.
template <class T>
struct AceProgram {
    std::int32_t n_a, n_products, n_functions;
    const std::int32_t* product_first; // (n_products + 1)
    const AceTerm<T>* products;
    const std::int32_t* function_first; // (n_functions + 1)
    const AceTerm<T>* functions;

    __attribute__((always_inline)) std::int32_t size() const { return 1 + n_a + n_products; }
};

// The sum of functions times their weights as a symmetric bilinear form, in runs: its derivatives by X[first + m], m <
// length, are sums of c X[start + m] over n_terms terms, those of one run after those of another. The length is 1, 3,
// 5, 7 or 9.
struct AceRun {
    std::int32_t first, length, n_terms;
};
template <class T>
struct AceRunTerm {
    std::int32_t start;
    T c;
};
template <class T>
struct AceForm {
    std::int32_t n_runs;
    const AceRun* runs;
    const AceRunTerm<T>* terms;
};

// The derivatives of all functions by A, as a flat list: function k has those by A_a for the slots s in [first[k],
// first[k + 1]), a = index[s] counted from 0, and the derivative is the sum of the terms [term_first[s],
// term_first[s + 1]).
template <class T>
struct AceGradientList {
    std::int32_t n_functions, n_slots;
    const std::int32_t* first;
    const std::int32_t* index;
    const std::int32_t* term_first;
    const AceTerm<T>* terms;
};

// Neighbours, and the atoms that they are images of: the number of each among these, -1 for none, or null where each is
// an atom of its own. `own` is the weight for the force on the centre, on which its own images do nothing.
template <class T>
struct AceColumns {
    std::int32_t n, n_atoms;
    const std::int32_t* place;
    const T *weight, *own;   // (n), zero up to ace_slack numbers beyond
    const double *x, *y, *z; // vectors, Å
    std::size_t n_columns;
};

template <class T>
struct AceKernels {
    // Number of T that `expand`, `backward` and `slopes` need as scratch.
    std::size_t (*scratch_size)(const AceShape<T>& shape, std::int32_t n);
    // out[l, m][group * n_pad + n], written entirely, with zeros in the padding.
    void (*expand)(const AceShape<T>& shape, const AceNeighbours<T>& neighbours, T* scratch, T* out);
    // The derivative of sum(adjoint * density) by the vector to each neighbour; the adjoint has the form of `out`
    // above, with zeros in the padding. The gradient can be written up to ace_slack numbers beyond n.
    void (*backward)(const AceShape<T>& shape, const AceNeighbours<T>& neighbours, T* scratch, const T* adjoint,
                     double* const* gradient);

    // From the densities of the first `used` centres of a block to X, including the 1, and for the other lanes zeros;
    // `outputs` are channels, `inputs` are groups.
    void (*pack)(const AceShape<T>& shape, const AceMixing<T>& channels, std::int32_t n_groups,
                 const T* const* densities, std::int32_t used, T* x);
    // From the adjoint of X to those of the densities; outputs are groups.
    void (*unpack)(const AceShape<T>& shape, const AceMixing<T>& groups, const T* adjoint, std::int32_t used,
                   T* const* densities);

    // Write D to X.
    void (*products)(const AceProgram<T>& program, T* x);
    // All functions, [function][lane].
    void (*functions)(const AceProgram<T>& program, const T* x, T* values);
    // For runs of these, of which `first` says where each begins and the last ends: the largest in each lane to
    // sizes[run][lane], and zeros in place of what is below this share of it.
    void (*drop_rounding)(std::int32_t n_runs, const std::int32_t* first, T share, T* values, T* sizes);
    // The first `used` lanes of these as rows.
    void (*transpose)(const T* values, std::int32_t n, std::int32_t used, T* const* rows);
    // values[lane] = the form, and its derivatives by X in `adjoint`, written entirely.
    void (*evaluate)(const AceForm<T>& form, std::int32_t size, const T* x, T* values, T* adjoint);
    // adjoint = derivatives by X of the sum of all functions with cotangents of their own for the first `used` lanes.
    void (*couple)(const AceProgram<T>& program, const T* x, const T* const* cotangents, std::int32_t used, T* adjoint);
    // Add to the adjoints of A what those of D amount to.
    void (*products_backward)(const AceProgram<T>& program, const T* x, T* adjoint);

    // The derivatives of the functions of the centres in the first `used` lanes: values[lane * stride + slot].
    void (*gradients)(const AceGradientList<T>& list, const T* x, std::int32_t used, T* values, std::size_t stride);
    // Derivatives of the density of its group by the vector to each neighbour: columns of a matrix with rows
    // n (l_max + 1)^2 + lm, `stride` numbers each, in blocks [component][ace_lanes neighbours], zero beyond the last.
    void (*slopes)(const AceShape<T>& shape, const AceNeighbours<T>& neighbours, T* scratch, std::size_t stride,
                   T* out);
    // From the slopes the rows of a fit for the density of a channel, as if that were an energy: columns are the forces
    // on each atom, all x, all y, all z; then that on the centre, and the derivatives by strain as `voigt` has them;
    // and zeros up to n_columns, a multiple of ace_lanes. Can write ace_lanes numbers beyond the last row.
    void (*columns)(const AceColumns<T>& columns, const T* slopes, std::size_t stride, std::int32_t n_rows, T* out);
    // rows[column][function] = or += sum over slots of values[slot] * slopes[index[slot]][column], for n_columns
    // columns, a multiple of ace_lanes, of which those without a row are left out; rows of slopes are `stride` apart.
    // The results are filled up to a multiple of ace_lanes, unless they are added.
    void (*jacobian)(const AceGradientList<T>& list, const T* values, const T* slopes, std::size_t stride,
                     std::size_t n_columns, bool add, T* const* rows);
};

// Defined in ace.cpp, for each instruction set; see ace_kernels() in local/ace_basis.hpp.
using AceTables = ForTypes<AceKernels>;

} // namespace atomprint
