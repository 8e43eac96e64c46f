// A sum of functions times their weights as one bilinear form, and its derivatives, for a block of centres, one in each
// lane. Included inside the namespace of one instruction set.
#pragma once

// adjoint[first + m] += sum over terms of c X[term + m] for m < N, one part of the lanes; returns the sum over m of
// X[first + m] times that.
template <class T, int N>
inline __attribute__((always_inline)) Vec<T, lanes<T>> ace_run(const AceRunTerm<T>* term, const AceRunTerm<T>* end,
                                                               std::int32_t first, const T* x, T* adjoint) {
    using V = Vec<T, lanes<T>>;
    const auto at = [](std::int32_t index)
                        __attribute__((always_inline)) { return static_cast<std::size_t>(index) * ace_lanes<T>; };
    V sums[N] = {};
    for (; term != end; ++term) {
        const V c = broadcast<T, lanes<T>>(term->c);
        const T* const from = x + at(term->start);
        unroll<N>([&](auto m) { sums[m] += c * load<T, lanes<T>>(from + m * ace_lanes<T>); });
    }
    V total{};
    unroll<N>([&](auto m) {
        T* const to = adjoint + at(first + m);
        total += sums[m] * load<T, lanes<T>>(x + at(first + m));
        store<T, lanes<T>>(to, load<T, lanes<T>>(to) + sums[m]);
    });
    return total;
}

template <class T>
void ace_evaluate(const AceForm<T>& form, std::int32_t size, const T* x, T* values, T* adjoint) {
    using V = Vec<T, lanes<T>>;
    for (std::int32_t part = 0; part < ace_parts<T>; ++part) {
        const T* const own = x + part * lanes<T>;
        T* const to = adjoint + part * lanes<T>;
        for (std::int32_t k = 0; k < size; ++k)
            store<T, lanes<T>>(to + static_cast<std::size_t>(k) * ace_lanes<T>, V{});
        V total{};
        const AceRunTerm<T>* term = form.terms;
        for (std::int32_t r = 0; r < form.n_runs; ++r) {
            const AceRun& run = form.runs[r];
            const AceRunTerm<T>* const end = term + run.n_terms;
            switch (run.length) {
            case 1:
                total += ace_run<T, 1>(term, end, run.first, own, to);
                break;
            case 3:
                total += ace_run<T, 3>(term, end, run.first, own, to);
                break;
            case 5:
                total += ace_run<T, 5>(term, end, run.first, own, to);
                break;
            case 7:
                total += ace_run<T, 7>(term, end, run.first, own, to);
                break;
            case 9:
                total += ace_run<T, 9>(term, end, run.first, own, to);
                break;
            }
            term = end;
        }
        store<T, lanes<T>>(values + part * lanes<T>, T(0.5) * total);
    }
}
