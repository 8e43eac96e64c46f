// Eigenvalues and eigenvectors of real symmetric matrices. Included inside the namespace of one instruction
// set.
#pragma once

// Reduce a symmetric matrix to tridiagonal form by Householder reflections, last row first (Golub & Van Loan,
// Matrix Computations, 8.3.1). Both triangles are kept up to date, so that every loop runs along rows. For
// the eigenvectors, reflection i stays in row i as u, with zeros after its i numbers, and 1 / h in
// `inverse_hs`, or 0 where there is nothing to reflect.
template <bool keep>
inline void tridiagonalise(double* matrix, std::size_t n, std::size_t ld, double* diagonal, double* off_diagonal,
                           double* u, double* q, double* inverse_hs) {
    constexpr int L = lanes<double>;
    for (std::size_t i = n - 1; i > 0; --i) {
        if (i >= 64)
            poll();
        double* row = matrix + i * ld;
        diagonal[i] = row[i];
        double sigma = 0.0;
        for (std::size_t k = 0; k + 1 < i; ++k)
            sigma += row[k] * row[k];
        const double f = row[i - 1];
        if (sigma == 0.0) {
            off_diagonal[i - 1] = f;
            if constexpr (keep)
                inverse_hs[i] = 0.0;
            continue;
        }
        const double length = __builtin_sqrt(sigma + f * f), g = f > 0.0 ? -length : length;
        off_diagonal[i - 1] = g;
        const double inverse_h = 1.0 / (sigma + f * (f - g)); // the reflection is 1 - u u^T / h

        const std::size_t end = (i + L - 1) / L * L;
        for (std::size_t k = 0; k < end; ++k) {
            u[k] = k < i ? row[k] : 0.0;
            q[k] = 0.0;
        }
        u[i - 1] = f - g;
        if constexpr (keep) {
            inverse_hs[i] = inverse_h;
            for (std::size_t k = 0; k < end; k += L)
                store<double, L>(row + k, load<double, L>(u + k));
        }
        for (std::size_t j = 0; j < i; ++j)
            for (std::size_t k = 0; k < end; k += L)
                store<double, L>(q + k, load<double, L>(q + k) + u[j] * load<double, L>(matrix + j * ld + k));
        double projection = 0.0;
        for (std::size_t k = 0; k < i; ++k)
            projection += u[k] * q[k];
        projection *= 0.5 * inverse_h;
        for (std::size_t k = 0; k < end; ++k)
            q[k] = k < i ? (q[k] - projection * u[k]) * inverse_h : 0.0;
        for (std::size_t j = 0; j < i; ++j)
            for (std::size_t k = 0; k < end; k += L) {
                double* to = matrix + j * ld + k;
                store<double, L>(to,
                                 load<double, L>(to) - (u[j] * load<double, L>(q + k) + q[j] * load<double, L>(u + k)));
            }
    }
    diagonal[0] = matrix[0];
}

// Eigenvalues of a symmetric tridiagonal matrix by the implicit QL algorithm with Wilkinson's shift
// (Dubrulle, Martin & Wilkinson, Numer. Math. 12 (1968) 377). Returns false if one does not converge, which
// takes input that is not finite. Entries are around one, so that squares neither overflow nor matter where
// they underflow. After each sweep, rotate(l, m, c, s) is told of its plane rotations: with cosine c[i] and
// sine s[i] in the plane of i - 1 and i, for i from m down to l + 1.
template <class Rotate>
inline bool tridiagonal_eigenvalues(double* d, double* e, std::size_t n, double* cosines, double* sines,
                                    const Rotate& rotate) {
    constexpr double epsilon = 0x1p-53, negligible = 0x1p-106;
    for (std::size_t l = 0; l < n; ++l)
        for (int iteration = 0;; ++iteration) {
            std::size_t m = l; // e[m] is the first negligible coupling from l on
            while (m + 1 < n &&
                   !(__builtin_fabs(e[m]) <= epsilon * (__builtin_fabs(d[m]) + __builtin_fabs(d[m + 1])) + negligible))
                ++m;
            if (m == l)
                break;
            if (iteration == 60)
                return false;
            if (n >= 64)
                poll();
            const double half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            double g = d[m] - d[l] + e[l] / (half + __builtin_copysign(__builtin_sqrt(half * half + 1.0), half));
            double s = 1.0, c = 1.0, p = 0.0;
            std::size_t i = m;
            for (; i > l; --i) { // chase the bulge upwards
                const double f = s * e[i - 1], b = c * e[i - 1], r = __builtin_sqrt(f * f + g * g);
                e[i] = r;
                if (r == 0.0) { // the matrix falls into two parts
                    d[i] -= p;
                    break;
                }
                s = f / r, c = g / r;
                g = d[i] - p;
                const double t = (d[i - 1] - g) * s + 2.0 * c * b;
                p = s * t;
                d[i] = g + p;
                g = c * t - b;
                cosines[i] = c, sines[i] = s;
            }
            rotate(i, m, cosines, sines);
            e[m] = 0.0;
            if (i == l) {
                d[l] -= p;
                e[l] = g;
            }
        }
    return true;
}

// Scale a matrix by a power of two, so that it is exact, to entries around one; returns the factor that
// undoes it, or 0 for a matrix of zeros.
inline double normalise(double* matrix, std::size_t n, std::size_t ld) {
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
            const double magnitude = __builtin_fabs(matrix[i * ld + j]);
            largest = magnitude > largest ? magnitude : largest;
        }
    if (largest == 0.0)
        return 0.0;
    const int exponent = static_cast<int>((__builtin_bit_cast(std::uint64_t, largest) >> 52) & 0x7ff) - 1023;
    const double down = __builtin_ldexp(1.0, -exponent);
    for (std::size_t k = 0; k < n * ld; ++k)
        matrix[k] *= down;
    return __builtin_ldexp(1.0, exponent);
}

// Eigenvalues of a symmetric matrix, in no particular order; the matrix is destroyed. `scratch` has room for
// 5 * ld numbers. Returns false if the iteration does not converge.
inline bool symmetric_eigenvalues(double* matrix, std::size_t n, std::size_t ld, double* values, double* scratch) {
    const double up = normalise(matrix, n, ld);
    if (up == 0.0) {
        for (std::size_t i = 0; i < n; ++i)
            values[i] = 0.0;
        return true;
    }
    double* off_diagonal = scratch;
    tridiagonalise<false>(matrix, n, ld, values, off_diagonal, scratch + ld, scratch + 2 * ld, nullptr);
    off_diagonal[n - 1] = 0.0;
    const bool converged = tridiagonal_eigenvalues(values, off_diagonal, n, scratch + 3 * ld, scratch + 4 * ld,
                                                   [](std::size_t, std::size_t, const double*, const double*) {});
    for (std::size_t i = 0; i < n; ++i)
        values[i] *= up;
    return converged;
}

// Multiply the reflections that tridiagonalise kept, the last one applied first: rows of the product times
// the matrix times its transpose is tridiagonal.
inline void accumulate_reflections(const double* matrix, std::size_t n, std::size_t ld, const double* inverse_h,
                                   double* vectors) {
    constexpr int L = lanes<double>;
    for (std::size_t k = 0; k < n * ld; ++k)
        vectors[k] = 0.0;
    for (std::size_t i = 0; i < n; ++i)
        vectors[i * ld + i] = 1.0;
    for (std::size_t i = 2; i < n; ++i) { // the block of the first i rows and columns is done so far
        if (i >= 64)
            poll();
        if (inverse_h[i] == 0.0)
            continue;
        const double* u = matrix + i * ld;
        for (std::size_t r = 0; r < i; ++r) {
            double* row = vectors + r * ld;
            Double projection{};
            for (std::size_t k = 0; k < i; k += L)
                projection += load<double, L>(row + k) * load<double, L>(u + k);
            const double share = sum_of_lanes(projection) * inverse_h[i];
            for (std::size_t k = 0; k < i; k += L)
                store<double, L>(row + k, load<double, L>(row + k) - share * load<double, L>(u + k));
        }
    }
}

// Apply the rotations of one sweep to rows, each of which is read and written once.
template <int N>
ATOMPRINT_INLINE void rotate_columns(double* vectors, std::size_t ld, std::size_t l, std::size_t m,
                                     const double* cosines, const double* sines) {
    constexpr int L = lanes<double>;
    Double carry[N];
    for (int k = 0; k < N; ++k)
        carry[k] = load<double, L>(vectors + m * ld + L * k);
    for (std::size_t i = m; i > l; --i) {
        const double c = cosines[i], s = sines[i];
        for (int k = 0; k < N; ++k) {
            const Double above = load<double, L>(vectors + (i - 1) * ld + L * k);
            store<double, L>(vectors + i * ld + L * k, s * above + c * carry[k]);
            carry[k] = c * above - s * carry[k];
        }
    }
    for (int k = 0; k < N; ++k)
        store<double, L>(vectors + l * ld + L * k, carry[k]);
}

// Eigenvalues and eigenvectors of a symmetric matrix, in no particular order: row k of `vectors`, which has
// the shape of the matrix, belongs to values[k]. They are orthonormal to rounding, whether eigenvalues are
// equal or not. The matrix is destroyed; `scratch` has room for 6 * ld numbers.
inline bool symmetric_eigenvectors(double* matrix, std::size_t n, std::size_t ld, double* values, double* vectors,
                                   double* scratch) {
    constexpr int L = lanes<double>, together = 4;
    const double up = normalise(matrix, n, ld);
    double *off_diagonal = scratch, *inverse_h = scratch + 3 * ld;
    if (up == 0.0) {
        for (std::size_t i = 0; i < n; ++i)
            values[i] = inverse_h[i] = 0.0;
        accumulate_reflections(matrix, n, ld, inverse_h, vectors);
        return true;
    }
    tridiagonalise<true>(matrix, n, ld, values, off_diagonal, scratch + ld, scratch + 2 * ld, inverse_h);
    off_diagonal[n - 1] = 0.0;
    accumulate_reflections(matrix, n, ld, inverse_h, vectors);
    const bool converged =
        tridiagonal_eigenvalues(values, off_diagonal, n, scratch + 4 * ld, scratch + 5 * ld,
                                [&](std::size_t l, std::size_t m, const double* cosines, const double* sines) {
                                    std::size_t k = 0;
                                    for (; k + together * L <= ld; k += together * L)
                                        rotate_columns<together>(vectors + k, ld, l, m, cosines, sines);
                                    for (; k < ld; k += L)
                                        rotate_columns<1>(vectors + k, ld, l, m, cosines, sines);
                                });
    for (std::size_t i = 0; i < n; ++i)
        values[i] *= up;
    return converged;
}
