// Products and functions of a block of centres, one in each lane, and their derivatives. Included inside the namespace
// of one instruction set.
#pragma once

// A row of X: the block of centres as vectors of this instruction set.
template <class T>
inline constexpr int ace_parts = ace_lanes<T> / lanes<T>;
template <class T>
struct AceRow {
    Vec<T, lanes<T>> part[ace_parts<T>];
};

template <class T>
inline __attribute__((always_inline)) AceRow<T> ace_row(const T* x, std::int32_t index) {
    AceRow<T> row;
    unroll<ace_parts<T>>([&](auto p) {
        row.part[p] = load<T, lanes<T>>(x + static_cast<std::size_t>(index) * ace_lanes<T> + p * lanes<T>);
    });
    return row;
}
template <class T>
inline __attribute__((always_inline)) void ace_put(T* x, std::int32_t index, const AceRow<T>& row) {
    unroll<ace_parts<T>>([&](auto p) {
        store<T, lanes<T>>(x + static_cast<std::size_t>(index) * ace_lanes<T> + p * lanes<T>, row.part[p]);
    });
}
// x[index] += a * b
template <class T>
inline __attribute__((always_inline)) void ace_add(T* x, std::int32_t index, const AceRow<T>& a, const AceRow<T>& b) {
    AceRow<T> row = ace_row(x, index);
    unroll<ace_parts<T>>([&](auto p) { row.part[p] += a.part[p] * b.part[p]; });
    ace_put(x, index, row);
}
template <class T>
inline __attribute__((always_inline)) AceRow<T> ace_scaled(T factor, const AceRow<T>& row) {
    AceRow<T> out;
    unroll<ace_parts<T>>([&](auto p) { out.part[p] = factor * row.part[p]; });
    return out;
}

// out[k] = the sum of the terms [first[k], first[k + 1]).
template <class T>
inline void ace_sums(std::int32_t n, const std::int32_t* first, const AceTerm<T>* terms, const T* x, T* out) {
    for (std::int32_t k = 0; k < n; ++k) {
        AceRow<T> sum{};
        for (std::int32_t t = first[k]; t < first[k + 1]; ++t) {
            const AceTerm<T>& term = terms[t];
            const AceRow<T> a = ace_row(x, term.a), b = ace_row(x, term.b);
            unroll<ace_parts<T>>([&](auto p) { sum.part[p] += (term.c * a.part[p]) * b.part[p]; });
        }
        ace_put(out, k, sum);
    }
}

template <class T>
void ace_products(const AceProgram<T>& program, T* x) {
    ace_sums(program.n_products, program.product_first, program.products, x,
             x + static_cast<std::size_t>(1 + program.n_a) * ace_lanes<T>);
}

template <class T>
void ace_functions(const AceProgram<T>& program, const T* x, T* values) {
    ace_sums(program.n_functions, program.function_first, program.functions, x, values);
}

template <class T>
void ace_drop_rounding(std::int32_t n_runs, const std::int32_t* first, T share, T* values, T* sizes) {
    constexpr int W = ace_lanes<T>;
    using V = Vec<T, W>;
    const auto size_of = [](V value) { return value < T(0) ? -value : value; };
    for (std::int32_t run = 0; run < n_runs; ++run) {
        V largest{};
        for (std::int32_t k = first[run]; k < first[run + 1]; ++k) {
            const V size = size_of(load<T, W>(values + static_cast<std::size_t>(k) * W));
            largest = size > largest ? size : largest;
        }
        store<T, W>(sizes + static_cast<std::size_t>(run) * W, largest);
        const V least = largest * share;
        for (std::int32_t k = first[run]; k < first[run + 1]; ++k) {
            T* const place = values + static_cast<std::size_t>(k) * W;
            const V value = load<T, W>(place);
            store<T, W>(place, size_of(value) < least ? V{} : value);
        }
    }
}

template <class T>
void ace_transpose(const T* values, std::int32_t n, std::int32_t used, T* const* rows) {
    constexpr std::int32_t L = ace_lanes<T>;
    constexpr int W = lanes<T>;
    std::int32_t k = 0;
    for (; k + W <= n; k += W)
        for (std::int32_t lane = 0; lane < used; lane += W) {
            Vec<T, W> tile[W];
            unroll<W>([&](auto i) { tile[i] = load<T, W>(values + static_cast<std::size_t>(k + i) * L + lane); });
            transpose<T, W>(tile);
            unroll<W>([&](auto i) {
                if (lane + i < used)
                    store<T, W>(rows[lane + i] + k, tile[i]);
            });
        }
    for (; k < n; ++k)
        for (std::int32_t lane = 0; lane < used; ++lane)
            rows[lane][k] = values[static_cast<std::size_t>(k) * L + lane];
}

// For terms of which each adds c a b to something whose adjoint is `own`.
template <class T>
inline __attribute__((always_inline)) void ace_terms_backward(const AceTerm<T>* term, const AceTerm<T>* end,
                                                              const AceRow<T>& own, const T* x, T* adjoint) {
    for (; term != end; ++term) {
        const AceRow<T> scaled = ace_scaled(term->c, own);
        ace_add(adjoint, term->a, scaled, ace_row(x, term->b));
        ace_add(adjoint, term->b, scaled, ace_row(x, term->a));
    }
}

template <class T>
void ace_couple(const AceProgram<T>& program, const T* x, const T* const* cotangents, std::int32_t used, T* adjoint) {
    constexpr std::int32_t L = ace_lanes<T>;
    constexpr int W = lanes<T>;
    for (std::int32_t k = 0; k < program.size(); ++k)
        ace_put(adjoint, k, AceRow<T>{});
    T block[static_cast<std::size_t>(W) * L] = {}; // [function][lane]
    for (std::int32_t first = 0; first < program.n_functions; first += W) {
        const std::int32_t n = program.n_functions - first < W ? program.n_functions - first : W;
        if (n == W)
            for (std::int32_t lane = 0; lane < used; lane += W) {
                Vec<T, W> tile[W];
                unroll<W>([&](auto i) {
                    tile[i] = lane + i < used ? load<T, W>(cotangents[lane + i] + first) : Vec<T, W>{};
                });
                transpose<T, W>(tile);
                unroll<W>([&](auto i) { store<T, W>(block + i * L + lane, tile[i]); });
            }
        else
            for (std::int32_t k = 0; k < n; ++k)
                for (std::int32_t lane = 0; lane < used; ++lane)
                    block[k * L + lane] = cotangents[lane][first + k];
        for (std::int32_t k = 0; k < n; ++k)
            ace_terms_backward(program.functions + program.function_first[first + k],
                               program.functions + program.function_first[first + k + 1], ace_row(block, k), x,
                               adjoint);
    }
}

template <class T>
void ace_products_backward(const AceProgram<T>& program, const T* x, T* adjoint) {
    for (std::int32_t q = 0; q < program.n_products; ++q)
        ace_terms_backward(program.products + program.product_first[q], program.products + program.product_first[q + 1],
                           ace_row(adjoint, 1 + program.n_a + q), x, adjoint);
}

template <class T>
void ace_gradients(const AceGradientList<T>& list, const T* x, std::int32_t used, T* values, std::size_t stride) {
    constexpr std::int32_t L = ace_lanes<T>;
    constexpr int W = lanes<T>;
    alignas(64) T block[static_cast<std::size_t>(W) * L]; // [slot][lane]
    const AceTerm<T>* term = list.terms;
    for (std::int32_t first = 0; first < list.n_slots; first += W) {
        const std::int32_t n = list.n_slots - first < W ? list.n_slots - first : W;
        for (std::int32_t k = 0; k < n; ++k) {
            AceRow<T> sum{};
            for (const AceTerm<T>* const end = list.terms + list.term_first[first + k + 1]; term != end; ++term) {
                const AceRow<T> a = ace_row(x, term->a), b = ace_row(x, term->b);
                unroll<ace_parts<T>>([&](auto p) { sum.part[p] += (term->c * a.part[p]) * b.part[p]; });
            }
            ace_put(block, k, sum);
        }
        for (std::int32_t lane = 0; n == W && lane < used; lane += W) {
            Vec<T, W> tile[W];
            unroll<W>([&](auto k) { tile[k] = load<T, W>(block + k * L + lane); });
            transpose<T, W>(tile);
            unroll<W>([&](auto k) {
                if (lane + k < used)
                    store<T, W>(values + static_cast<std::size_t>(lane + k) * stride + first, tile[k]);
            });
        }
        for (std::int32_t k = 0; n < W && k < n; ++k)
            for (std::int32_t lane = 0; lane < used; ++lane)
                values[static_cast<std::size_t>(lane) * stride + first + k] = block[k * L + lane];
    }
}

template <class T>
void ace_columns(const AceColumns<T>& c, const T* slopes, std::size_t stride, std::int32_t n_rows, T* out) {
    constexpr int Y = lanes<T>, L = ace_lanes<T>;
    using V = Vec<T, Y>;
    const auto m = static_cast<std::size_t>(c.n_atoms);
    for (std::int32_t row = 0; row < n_rows; ++row, slopes += stride, out += c.n_columns) {
        if (c.place)
            for (std::size_t k = 0; k < 3 * m; ++k)
                out[k] = T(0);
        V sums[9] = {};
        for (std::int32_t i = 0; i < c.n; i += Y) {
            const V weight = load<T, Y>(c.weight + i), own = load<T, Y>(c.own + i);
            const V d[3] = {ace_read<T>(c.x + i), ace_read<T>(c.y + i), ace_read<T>(c.z + i)};
            V g[3];
            unroll<3>([&](auto a) {
                const V slope = load<T, Y>(slopes + i / L * 3 * L + a * L + i % L);
                g[a] = weight * slope;
                sums[a] += own * slope;
            });
            unroll<6>([&](auto v) { sums[3 + v] += g[voigt[v][0]] * d[voigt[v][1]]; });
            if (c.place)
                for (std::int32_t k = 0; k < Y && i + k < c.n; ++k) {
                    if (c.place[i + k] >= 0)
                        for (std::size_t a = 0; a < 3; ++a)
                            out[a * m + static_cast<std::size_t>(c.place[i + k])] -= g[a][static_cast<std::size_t>(k)];
                }
        }
        for (std::size_t a = 0; !c.place && a < 3; ++a) // what is written beyond m is written again
            for (std::int32_t i = 0; i < c.n; i += Y)
                store<T, Y>(out + a * m + i,
                            -load<T, Y>(c.weight + i) * load<T, Y>(slopes + i / L * 3 * L + a * L + i % L));
        for (std::size_t k = 0; k < 9; ++k)
            out[3 * m + k] = sum_of_lanes(sums[k]);
        for (std::size_t k = 3 * m + 9; k < c.n_columns; ++k)
            out[k] = T(0);
    }
}

// C vectors of columns, from `slopes` on, for all functions: some vectors of them at a time are turned into rows.
template <class T, int C>
void ace_jacobian_strip(const AceGradientList<T>& list, const T* values, const T* slopes, std::size_t stride, bool add,
                        T* const* rows) {
    constexpr int W = lanes<T>, F = 2, taken = F * W;
    using V = Vec<T, W>;
    alignas(64) T block[static_cast<std::size_t>(taken) * C * W];
    for (std::int32_t first = 0; first < list.n_functions; first += taken) {
        const std::int32_t n = list.n_functions - first < taken ? list.n_functions - first : taken;
        for (std::int32_t k = 0; k < taken; ++k) {
            V sums[C];
            unroll<C>([&](auto c) { sums[c] = V{}; });
            if (k < n)
                for (std::int32_t s = list.first[first + k]; s < list.first[first + k + 1]; ++s) {
                    const T value = values[s];
                    const T* const from = slopes + static_cast<std::size_t>(list.index[s]) * stride;
                    unroll<C>([&](auto c) { sums[c] += value * load<T, W>(from + c * W); });
                }
            unroll<C>([&](auto c) { store<T, W>(block + static_cast<std::size_t>(k * C + c) * W, sums[c]); });
        }
        for (int c = 0; c < C; ++c) {
            V tile[F][W];
            unroll<F>([&](auto f) {
                unroll<W>([&](auto k) {
                    tile[f][k] = load<T, W>(block + static_cast<std::size_t>((f * W + k) * C + c) * W);
                });
                transpose<T, W>(tile[f]);
            });
            unroll<W>([&](auto j) {
                T* const row = rows[c * W + j];
                if (!row)
                    return;
                T* const to = row + first;
                if (!add || n == taken)
                    unroll<F>([&](auto f) {
                        if (f * W < n)
                            store<T, W>(to + f * W, add ? load<T, W>(to + f * W) + tile[f][j] : tile[f][j]);
                    });
                else
                    for (std::int32_t k = 0; k < n; ++k)
                        to[k] += block[static_cast<std::size_t>(k * C + c) * W + j];
            });
        }
    }
}

template <class T>
void ace_jacobian(const AceGradientList<T>& list, const T* values, const T* slopes, std::size_t stride,
                  std::size_t n_columns, bool add, T* const* rows) {
    constexpr int most = ace_parts<T> == 1 ? 4 : 8; // what is read again and again stays in the cache
    static constexpr auto strip = []<int... C>(std::integer_sequence<int, C...>) {
        return std::array{ace_jacobian_strip<T, C + 1>...};
    }(std::make_integer_sequence<int, most>{});
    const auto n_vectors = static_cast<std::int32_t>(n_columns / lanes<T>);
    const std::int32_t n_strips = (n_vectors + most - 1) / most;
    for (std::int32_t k = 0; k < n_strips; ++k) {
        const std::int32_t begin = n_vectors * k / n_strips, end = n_vectors * (k + 1) / n_strips;
        strip[static_cast<std::size_t>(end - begin - 1)](list, values, slopes + begin * lanes<T>, stride, add,
                                                         rows + begin * lanes<T>);
    }
}
