// The interface between the core and its numerical kernels: plain pointers and numbers, no containers, so
// that no code compiled for one instruction set can be linked into another.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atomprint {

// Asks whether to stop, and then throws: see core/interrupt.hpp.
void poll();

// Neighbours of one centre, relative to it, sorted into segments. A segment belongs to one group (species or
// whatever shares a density) and uses either the full radial table (zone -1) or the short basis of one zone.
struct Segment {
    std::int32_t begin, end; // neighbours
    std::int32_t group, zone;
};
struct Neighbourhood {
    std::int32_t n, n_segments;
    const double *x, *y, *z, *r; // Å; these and the weight can be read up to 15 numbers beyond n
    const double* weight;        // of each neighbour's density
    const Segment* segments;     // groups ascending; the zone -1 of a group comes first
    const double* slope;         // derivative of the weight with respect to r; read by derivatives only
};

// Radial functions R_nl(r) / s^l with s = r / r_max, as piecewise polynomials of degree 5 on equal cells:
// coefficients[cell][power][l][n], n padded with zeros to n_pad, powers of t = r * inverse_step - cell.
//
// On the cells of a zone, all these functions lie, to the precision of the table, in the span of zone_rank
// functions: short_coefficients[cell][power][q], and R_nl = sum_q zone_basis[l][zone][q][n] short_q.
// Neighbours of one zone are summed in the short basis, and the sum is taken to all (l, n) once.
template <class T>
struct RadialTable {
    const T* coefficients;
    const T* short_coefficients;
    const T* zone_basis;
    const T* zone_transposed; // the same as [l][zone][n][q], n not padded
    std::int32_t n_cells, n_zones, n_pad;
    double inverse_step, inverse_r_max;
};
inline constexpr int radial_powers = 6;
inline constexpr int zone_rank = 8;

template <class T>
struct ExpansionModel {
    RadialTable<T> radial;
    std::int32_t n_max, l_max;
    const double* recursion;     // of the harmonics, see harmonics.hpp
    const T* harmonics_gradient; // see harmonics.hpp
};
inline constexpr std::int32_t largest_l = 40, largest_n = 64;

// One run of features: products of the columns [a, a + n_max) and [b, b + n_max) of the coefficient matrix.
struct PowerBlock {
    std::int32_t a, b;       // first columns
    std::int32_t triangular; // only n' >= n
    std::size_t first;       // feature where the block starts
};

template <class T>
struct PowerModel {
    std::int32_t n_max, l_max, n_columns;
    const T* prefactor; // (l_max + 1)
};

// Numbers of degree 0, and of the others, below which they are zero.
template <class T>
struct LeastPower {
    T of_zero, of_others;
};

// Coefficients of a block of centres: for each l a matrix with (centre, m) as rows and n_columns columns.
template <class T>
struct Coefficients {
    T* data;
    const std::size_t* first; // (l_max + 1) where the matrix of each l starts
    std::int32_t n_columns;
};

// One run of features in the derivative with respect to one neighbour, whose species has the weights `u_a`
// and `u_b` in the columns `a` and `b`.
template <class T>
struct GradientBlock {
    std::int32_t a, b;
    T u_a, u_b;
    std::int32_t triangular;
    std::size_t first; // number where the block starts
};

template <class T>
struct SoapKernels {
    // Number of T that one call of `expand`, or of a function for derivatives, needs as scratch.
    std::size_t (*scratch_size)(const ExpansionModel<T>& model);
    // Write the sum over the neighbours of group g of weight * R_nl * Y_lm into the rows of one centre
    // (`centre` of a block) and the columns column[g] onwards. Groups without neighbours are not touched.
    void (*expand)(const ExpansionModel<T>& model, const Neighbourhood& neighbours, T* scratch,
                   const Coefficients<T>& out, std::int32_t centre, const std::int32_t* column);
    // features[block] = prefactor_l * sum over rows of c_a c_b, rows being those of the first n_centres
    // centres.
    void (*power)(const PowerModel<T>& model, const PowerBlock& block, const Coefficients<T>& c, std::int32_t n_centres,
                  LeastPower<T> least, T* features);

    // adjoint = derivative of the sum of cotangent * features over some blocks with respect to the coefficients of one
    // centre, in the form of these. The cotangents of the next centre are likely to be at `next`; `scratch` has room
    // for couple_scratch(n_pad) numbers.
    std::size_t (*couple_scratch)(std::int32_t n_pad);
    void (*couple)(const PowerModel<T>& model, const T* cotangent, const T* next, const PowerBlock* blocks,
                   std::int32_t n_blocks, std::int32_t n_pad, const Coefficients<T>& c, T* adjoint, T* scratch);
    // For each neighbour the derivative of sum(adjoint * coefficients) with respect to the vector to it, with
    // the adjoint of its group in the columns column[group] onwards.
    void (*backward)(const ExpansionModel<T>& model, const Neighbourhood& neighbours, T* scratch,
                     const Coefficients<T>& adjoint, const std::int32_t* column, double* const* gradient);

    // For each neighbour i, factor[l] times R_nl and dR_nl / dr, both with its weight, to values and
    // slopes[i][l][n]; and the harmonics with their gradients, see harmonics.hpp.
    void (*differentiate)(const ExpansionModel<T>& model, const Neighbourhood& neighbours, const T* factor, T* scratch,
                          T* values, T* slopes, T* harmonics);
    // Room for `harmonics` of n neighbours.
    std::size_t (*harmonics_size)(const ExpansionModel<T>& model, std::int32_t n);
    // out[l][a][column] = sum over m of the gradient (a = 0 .. 2) and value (3) of Y_lm of neighbour i times
    // the coefficients of the rows (l, m).
    void (*project)(const ExpansionModel<T>& model, const T* harmonics, std::int32_t i, const Coefficients<T>& c,
                    T* out);
    // The derivative of one centre's features with respect to the vector to one neighbour: numbers `first`
    // onwards of out[component * stride], for each block. `values` and `slopes` are those of this neighbour
    // times the prefactor of l; `unit` is the direction to it.
    void (*gradient)(const PowerModel<T>& model, std::int32_t n_pad, const GradientBlock<T>* blocks,
                     std::int32_t n_blocks, const T* values, const T* slopes, const T* projections, const double* unit,
                     T* out, std::size_t stride);
};

// n_rows sums of n numbers: out[m] = sum over k of weights[k][m] * terms[k], zero below least[m].
template <class T>
struct Combination {
    std::size_t n;
    std::int32_t n_terms, n_rows;
    const T* terms; // `term_stride` apart
    std::size_t term_stride;
    const T* weights; // rows `weight_stride` apart
    std::size_t weight_stride;
    const T* least;
    T* out; // rows `out_stride` apart
    std::size_t out_stride;
};

template <class T>
struct VectorKernels {
    // y += factor * x
    void (*add_scaled)(std::size_t n, T factor, const T* x, T* y);
    void (*combine)(const Combination<T>& combination);
    // to = from; returns whether all of these are finite
    bool (*round_finite)(std::size_t n, const double* from, T* to);
};

// Points within a cutoff: their index, the vector to them and its squared length.
struct Found {
    std::int32_t* index;
    double *x, *y, *z, *r2;
};
inline constexpr std::size_t filter_slack = 16;

// Atoms of one structure for the matrix descriptors. Rows are padded to `stride`, a multiple of matrix_tile,
// with finite numbers; matrices have `stride` rows of `stride` numbers.
inline constexpr std::size_t matrix_tile = 8;
struct MatrixAtoms {
    std::size_t n, stride;
    const double* charge;     // (stride)
    const double* position;   // (3, stride), Å
    const double* fractional; // (3, stride), in units of the lattice vectors
};

// Lattice vectors, zero first.
struct LatticePoints {
    const double *x, *y, *z; // Å
    std::size_t n;
};

// Reciprocal lattice vectors: Miller indices (n, 3), in runs of the same first two, the largest of each, and
// the square root of each vector's weight.
struct Waves {
    const std::int32_t* index;
    const double* amplitude;
    std::size_t n;
    std::int32_t largest[3];
};

// Order of the components of a symmetric tensor.
inline constexpr int voigt[6][2] = {{0, 0}, {1, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 1}};

// Of each wave G: its components, and the derivatives of the logarithm of its weight by strain.
inline constexpr std::size_t wave_slopes = 9;
inline constexpr std::size_t wave_group = 4; // waves whose derivatives are computed together

inline constexpr std::size_t ewald_run = 512;  // distances are turned into terms in runs of about this length
inline constexpr std::size_t ewald_block = 64; // waves that are summed together
inline constexpr double ewald_margin = 1e-10;  // distances above the cutoff by this fraction still count

// The real-space sum as its derivatives need it, with memory for ewald_run + shifts.n + filter_slack images,
// and for one count of each atom.
struct RealSum {
    const double* cell;
    LatticePoints shifts;
    double r_cut, a, a_strain;
    Found found;
    double* weight;
    std::int32_t* counts;
};

struct MatrixKernels {
    // Z_i Z_j over the distance, or over the length of `cell` times sin^2 of pi times the fractional
    // distance. The diagonal has no meaning.
    void (*coulomb)(const MatrixAtoms& atoms, double* matrix);
    void (*sine)(const MatrixAtoms& atoms, const double* cell, double* matrix);
    // Write to, respectively add to, the upper triangle the two sums of the Ewald matrix for unit charges.
    // `squares` has room for ewald_run + shifts.n + 64 numbers, `counts` for atoms.n, `tables` for
    // 2 * matrix_tile * (3 + sum of waves.largest), `panels` for 2 * ewald_block * atoms.stride.
    void (*ewald_real)(const MatrixAtoms& atoms, const double* cell, const LatticePoints& shifts, double r_cut,
                       double a, double* squares, std::int32_t* counts, double* matrix);
    void (*ewald_reciprocal)(const MatrixAtoms& atoms, const Waves& waves, double* tables, double* panels,
                             double* matrix);
    // See eigen.hpp.
    bool (*eigenvalues)(double* matrix, std::size_t n, std::size_t stride, double* values, double* scratch);
    bool (*eigenvectors)(double* matrix, std::size_t n, std::size_t stride, double* values, double* vectors,
                         double* scratch);

    // Derivatives. `contract` adds those of the sum of weights * matrix over all elements, for symmetric
    // weights that are zero in the padding: by positions to `gradient` (3, stride), by strain to `strain` (6)
    // unless it is null. `row` gives those of the elements of atom i with all atoms: by the position of i in
    // `vectors` (3, stride), zero for the diagonal, and by strain in `strains` (6, stride), each unless null.
    void (*coulomb_contract)(const MatrixAtoms& atoms, const double* weights, double* gradient, double* strain);
    void (*coulomb_row)(const MatrixAtoms& atoms, std::size_t i, double* vectors, double* strains);
    void (*sine_contract)(const MatrixAtoms& atoms, const double* cell, const double* inverse, const double* weights,
                          double* gradient, double* strain);
    void (*sine_row)(const MatrixAtoms& atoms, const double* cell, const double* inverse, std::size_t i,
                     double* vectors, double* strains);
    // For unit charges; the row is added. `slope` is (waves.n + wave_group, wave_slopes), zero at the end.
    void (*ewald_real_contract)(const MatrixAtoms& atoms, const RealSum& sum, const double* weights, double* gradient,
                                double* strain);
    void (*ewald_real_row)(const MatrixAtoms& atoms, const RealSum& sum, std::size_t i, double* vectors,
                           double* strains);
    void (*ewald_reciprocal_contract)(const MatrixAtoms& atoms, const Waves& waves, const double* slope,
                                      const double* weights, double* tables, double* panels, double* gradient,
                                      double* strain);
    // amplitude * (cosine, sine) of n waves from `begin` on: [tile of atoms][wave][cosine, sine][atom], with
    // room for ewald_block waves in each tile.
    void (*wave_panels)(const MatrixAtoms& atoms, const Waves& waves, std::size_t begin, std::size_t n, double* tables,
                        double* panels);
    // Add left^T right to one tile of a matrix; both have `depth` rows of matrix_tile numbers.
    void (*add_product)(const double* left, std::size_t left_ld, const double* right, std::size_t right_ld,
                        std::size_t depth, double* matrix, std::size_t ld);
};

// Atom-centred symmetry functions. An angular function is a power of (1 + lambda cos) / 2 times a damping
// term, and many functions share their power, or their term.
template <class T>
struct AcsfPower {
    std::int32_t sign;        // of lambda
    T base, scale;            // (1 + lambda cos) / 2 = base + scale |u_j + sign u_k|^2
    std::int32_t n_minus_one; // zeta - 1 where that is a small integer, else -1
    T zeta_minus_one;
    T slope; // zeta * lambda
};
template <class T>
struct AcsfTerm {
    std::int32_t index; // of eta
    T eta;
    bool near;               // G4: the distance of the neighbours counts too
    std::int32_t begin, end; // functions
};
struct AcsfFunction {
    std::int32_t power, feature; // the feature counts from the first of a pair of species
};
template <class T>
struct AcsfModel {
    double cutoff;
    std::int32_t n_gaussians, n_cosines, n_etas, n_powers, n_terms, n_functions, n_species;
    const double* gaussians; // (n_gaussians, 2), eta and centre
    const double* cosines;   // (n_cosines), kappa
    const double* etas;      // (n_etas) of the angular functions
    const AcsfPower<T>* powers;
    const AcsfTerm<T>* terms;
    const AcsfFunction* functions; // sorted by term

    // Inlined, as all code here, so that no instruction set's version is linked into another.
    __attribute__((always_inline)) std::int32_t n_radial() const { return 1 + n_gaussians + n_cosines; }
    // First feature of a pair of species.
    __attribute__((always_inline)) std::int32_t first_of(std::int32_t a, std::int32_t b) const {
        const std::int32_t high = a > b ? a : b, low = a > b ? b : a;
        return n_species * n_radial() + (high * (high + 1) / 2 + low) * n_functions;
    }
};

// Neighbours of one centre, sorted by species. The first of a species has an index that is a multiple of
// AcsfKernels::lanes. The room behind the last is filled up to such a multiple with points at the cutoff,
// where all functions vanish, and zero vectors. Arrays of values have rows of `stride` numbers, a multiple
// too.
struct AcsfSegment {
    std::int32_t begin, end, kind;
};
template <class T>
struct AcsfNeighbours {
    std::int32_t n_segments;
    const AcsfSegment* segments;
    std::size_t stride;
    const double *x, *y, *z, *r2; // Å

    // Written by `radial`: vector, unit vector, 1 / r, damping term of each eta with the cutoff function.
    T *vector, *unit, *inverse_r; // (3, stride), (3, stride), (stride)
    T* damping;                   // (n_etas, stride)
    // And where slopes, (1 / r) d / dr, are asked for:
    T* damping_slope;     // (n_etas, stride)
    double* radial_slope; // (n_radial, stride)

    T* sums; // (4, stride) for `backward`
};

template <class T>
struct AcsfKernels {
    std::int32_t lanes;
    // Number of T that each call needs as scratch.
    std::size_t (*scratch_size)(const AcsfModel<T>& model);
    // Functions of one neighbour: their sums to zeroed `features`, or where that is null their slopes.
    void (*radial)(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, double* features);
    // Sums of the functions of two neighbours, to zeroed features.
    void (*angular)(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, T* scratch, double* features);
    // Derivative of cotangents * features by the vector to each neighbour.
    void (*backward)(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, const T* cotangents, T* scratch,
                     double* const* gradient);
    // Derivative of the features that neighbour i of a segment touches, numbers of `width` each for x, y and
    // z: the radial functions of its species, then the angular ones with each species.
    void (*gradient)(const AcsfModel<T>& model, const AcsfNeighbours<T>& neighbours, std::int32_t i,
                     std::int32_t segment, T* scratch, T* out, std::size_t width);
};

// Gaussians of one width, integrated over the cells of a regular grid of n points and divided by their
// length. A value v lies at u = (v - origin) * inverse_spacing cells from the lower edge of the first one,
// and reaches `reach` cells to either side of its own. Each cell is cut into n_cells short ones. In each of
// these the integral over the cell o from that of the value is a polynomial of the place t in [-1/2, 1/2]:
// coefficients[short cell][power][reach + o], zero from 2 * reach + 1 to `stride`.
struct BroadeningTable {
    const double* coefficients;
    std::int32_t n, reach, n_cells;
    std::size_t stride;     // 2 * reach + 1 and at least row_slack more
    std::size_t row_stride; // n and at least row_slack more
    double origin, inverse_spacing;
    double inverse_cell; // 1 / length of a short cell
};
inline constexpr int broadening_powers = 10;
inline constexpr std::size_t row_slack = 8;

// The neighbours of one place. All arrays are filled with finite numbers up to star_slack elements beyond n.
struct Star {
    std::size_t n;
    const double *vector[3], *unit[3], *r; // Å, and the direction
    const double *factor, *growth;         // each neighbour's part in a weight, and the derivative of its logarithm
};
inline constexpr std::size_t star_slack = 8;

// Triples of a centre and two neighbours: the value is the angle in degrees or its cosine. With the third
// side c, the weight has the factor exp(-scale c), and is zero from the given perimeter on.
struct TripleRule {
    bool angle, third_side;
    double scale, perimeter;
};

struct BroadeningKernels {
    // Add weight * Gaussian at `value` to the row of each of n terms. A row may be written up to row_slack -
    // 1 numbers beyond the grid, with numbers that have no meaning.
    void (*broaden)(const BroadeningTable& table, std::size_t n, const double* value, const double* weight,
                    const std::int32_t* row, double* rows);
    // For each term with a weight the sum over its row times the Gaussian, and the derivative by the value;
    // else zeros. Rows are zero beyond the grid.
    void (*adjoint)(const BroadeningTable& table, std::size_t n, const double* value, const double* weight,
                    const std::int32_t* row, const double* rows, double* sum, double* slope);
    // The Gaussian at one value, and its derivative, on the points [begin, end) that it reaches; false if
    // none. Both have room for `stride` numbers.
    bool (*one)(const BroadeningTable& table, double value, std::int32_t* begin, std::int32_t* end, double* values,
                double* slopes);

    // The triples of neighbour p with each q in [first, n).
    void (*triples)(const Star& star, const TripleRule& rule, std::size_t p, std::size_t first, double* value,
                    double* weight);
    // Add to the gradient by the vectors to p and q the derivatives of the weight times `sum` and of the
    // value times weight * slope. Weights, sums and slopes are zero in the slack.
    void (*triple_contract)(const Star& star, const TripleRule& rule, std::size_t p, std::size_t first,
                            const double* weight, const double* sum, const double* slope, double* const* gradient);
    // Twelve arrays: the derivatives of the value by the vector to p, by that to q, and those of the
    // logarithm of the weight.
    void (*triple_slopes)(const Star& star, const TripleRule& rule, std::size_t p, std::size_t first,
                          double* const* out);
};

// Similarity of two centres from the scalar product of their features: the product itself (or whatever was
// put in its place), (gamma x.y + coef0)^degree, or exp(-gamma |x - y|^2).
struct LocalKernel {
    enum Kind : std::int32_t { given, polynomial, rbf } kind;
    double gamma, degree, coef0;
};

// What becomes of a regularised match.
enum class Match : std::int32_t { found, not_finite, out_of_range, not_converged };
inline constexpr std::size_t most_iterations = 1000000;
inline constexpr std::size_t similarity_tile = 8; // lanes of the widest vectors

// `stride` of these matrices is m, rounded up to whole vectors; what is beyond m is zero.
struct SimilarityKernels {
    std::size_t (*padded)(std::size_t m);
    // Of n by m centres. `products` has rows of `ld` numbers; the squares are those of the lengths of the
    // features, read with `rbf` only; y_squares can be read up to similarity_tile numbers beyond its end.
    void (*local)(const LocalKernel& kernel, const double* products, std::size_t ld, std::size_t n, std::size_t m,
                  const double* x_squares, const double* y_squares, double* out, std::size_t stride);
    double (*sum)(const double* c, std::size_t n, std::size_t m, std::size_t stride);
    // Write to `value` the sum of P_ij C_ij for the P with uniform marginals that has the smallest sum of
    // P_ij (1 - C_ij + alpha ln P_ij) (Cuturi, Adv. Neural Inf. Process. Syst. 26 (2013) 2292; De et al.,
    // Phys. Chem. Chem. Phys. 18 (2016) 13754). `scratch` has room for scratch_size(n, m) numbers.
    std::size_t (*scratch_size)(std::size_t n, std::size_t m);
    Match (*match)(const double* c, std::size_t n, std::size_t m, double alpha, double threshold, double* scratch,
                   double* value);
};

// A table of kernels for each type of numbers.
template <template <class> class Table>
struct ForTypes {
    Table<double> f64;
    Table<float> f32;

    template <class T>
    __attribute__((always_inline)) const Table<T>& of() const {
        if constexpr (sizeof(T) == sizeof(double))
            return f64;
        else
            return f32;
    }
};

struct Kernels {
    const char* instruction_set;

    // Append to `found`, which holds n already, the points j in [begin, end) with |(x, y, z)_j - point|^2 <
    // limit; returns how many it holds then. May write up to `filter_slack` elements beyond the last.
    std::size_t (*within_cutoff)(const double* x, const double* y, const double* z, std::int32_t begin,
                                 std::int32_t end, const double* point, double limit, const Found& found,
                                 std::size_t n);

    // r[i] = sqrt(r2[i]), and the cell of a table in which it lies.
    void (*distances)(const double* r2, std::int32_t n, double inverse_step, std::int32_t n_cells, double* r,
                      std::int32_t* cell);

    ForTypes<VectorKernels> vectors;
    ForTypes<SoapKernels> soap;
    ForTypes<AcsfKernels> acsf;
    MatrixKernels matrices;
    BroadeningKernels broadening;
    SimilarityKernels similarities;
};

} // namespace atomprint
