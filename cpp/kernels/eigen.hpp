// Eigenvalues of real symmetric matrices. Included inside the namespace of one instruction set.
#pragma once

// Reduce a symmetric matrix to tridiagonal form by Householder reflections, last row first (Golub & Van Loan,
// Matrix Computations, 8.3.1). Both triangles are kept up to date, so that every loop runs along rows.
inline void tridiagonalise(double* matrix, std::size_t n, std::size_t ld, double* diagonal,
                           double* off_diagonal, double* u, double* q) {
    constexpr int L = lanes<double>;
    for (std::size_t i = n - 1; i > 0; --i) {
        const double* row = matrix + i * ld;
        diagonal[i] = row[i];
        double sigma = 0.0;
        for (std::size_t k = 0; k + 1 < i; ++k)
            sigma += row[k] * row[k];
        const double f = row[i - 1];
        if (sigma == 0.0) {
            off_diagonal[i - 1] = f;
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
                store<double, L>(to, load<double, L>(to) -
                                         (u[j] * load<double, L>(q + k) + q[j] * load<double, L>(u + k)));
            }
    }
    diagonal[0] = matrix[0];
}

// Eigenvalues of a symmetric tridiagonal matrix by the implicit QL algorithm with Wilkinson's shift
// (Dubrulle, Martin & Wilkinson, Numer. Math. 12 (1968) 377). Returns false if one does not converge, which
// takes input that is not finite. Entries are around one, so that squares neither overflow nor matter where
// they underflow.
inline bool tridiagonal_eigenvalues(double* d, double* e, std::size_t n) {
    constexpr double epsilon = 0x1p-53, negligible = 0x1p-106;
    for (std::size_t l = 0; l < n; ++l)
        for (int iteration = 0;; ++iteration) {
            std::size_t m = l; // e[m] is the first negligible coupling from l on
            while (m + 1 < n && !(__builtin_fabs(e[m]) <=
                                  epsilon * (__builtin_fabs(d[m]) + __builtin_fabs(d[m + 1])) + negligible))
                ++m;
            if (m == l)
                break;
            if (iteration == 60)
                return false;
            const double half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            double g =
                d[m] - d[l] + e[l] / (half + __builtin_copysign(__builtin_sqrt(half * half + 1.0), half));
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
            }
            e[m] = 0.0;
            if (i == l) {
                d[l] -= p;
                e[l] = g;
            }
        }
    return true;
}

// Eigenvalues of a symmetric matrix, in no particular order; the matrix is destroyed. `scratch` has room for
// 3 * ld numbers. Returns false if the iteration does not converge.
inline bool symmetric_eigenvalues(double* matrix, std::size_t n, std::size_t ld, double* values,
                                  double* scratch) {
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
            const double magnitude = __builtin_fabs(matrix[i * ld + j]);
            largest = magnitude > largest ? magnitude : largest;
        }
    if (largest == 0.0) {
        for (std::size_t i = 0; i < n; ++i)
            values[i] = 0.0;
        return true;
    }
    // A power of two, so that scaling there and back is exact.
    const int exponent = static_cast<int>((__builtin_bit_cast(std::uint64_t, largest) >> 52) & 0x7ff) - 1023;
    const double down = __builtin_ldexp(1.0, -exponent), up = __builtin_ldexp(1.0, exponent);
    for (std::size_t k = 0; k < n * ld; ++k)
        matrix[k] *= down;
    double* off_diagonal = scratch;
    tridiagonalise(matrix, n, ld, values, off_diagonal, scratch + ld, scratch + 2 * ld);
    off_diagonal[n - 1] = 0.0;
    const bool converged = tridiagonal_eigenvalues(values, off_diagonal, n);
    for (std::size_t i = 0; i < n; ++i)
        values[i] *= up;
    return converged;
}
