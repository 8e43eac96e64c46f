#include "local/ace_basis.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/interrupt.hpp"
#include "local/harmonics.hpp"

namespace atomprint {

namespace {

// Radial functions are padded to a multiple of this.
template <class T>
constexpr std::int32_t ace_padding = sizeof(T) == 8 ? 4 : 8;

void require(bool condition, const char* rule) {
    if (!condition)
        throw std::invalid_argument(rule);
}

bool all_finite(const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

bool all_below(const std::vector<std::int32_t>& values, std::int32_t limit) {
    return std::all_of(values.begin(), values.end(), [&](std::int32_t v) { return v >= 0 && v < limit; });
}

// In the type of a calculator, which must be able to hold it.
template <class T>
T narrowed(double value) {
    const T found = static_cast<T>(value);
    require(std::isfinite(found), "tables, channels and coefficients must be within the range of the type of numbers");
    return found;
}

// Whether these are the starts of runs of n terms in all.
bool are_starts(const std::vector<std::int32_t>& first, std::size_t n) {
    return !first.empty() && first.front() == 0 && static_cast<std::size_t>(first.back()) == n &&
           std::is_sorted(first.begin(), first.end());
}

// Terms with the same operands become one.
struct Term {
    std::int32_t a, b;
    double c;
};
void merge(std::vector<Term>& terms) {
    for (Term& term : terms)
        if (term.a > term.b)
            std::swap(term.a, term.b);
    const auto key = [](const Term& term) { return std::pair(term.a, term.b); };
    std::sort(terms.begin(), terms.end(), [&](const Term& s, const Term& t) { return key(s) < key(t); });
    std::size_t n = 0;
    for (const Term& term : terms)
        if (n > 0 && key(terms[n - 1]) == key(term))
            terms[n - 1].c += term.c;
        else
            terms[n++] = term;
    terms.resize(n);
}

} // namespace

AceBasis::AceBasis(AceArrays arrays) : arrays_(std::move(arrays)), species_(arrays_.species) {
    const AceArrays& p = arrays_;
    const auto size = [](std::int64_t a, std::int64_t b, std::int64_t c = 1, std::int64_t d = 1) {
        return static_cast<std::size_t>(a * b * c * d);
    };
    const std::int32_t n_species = species_.size();
    require(n_species >= 1 && p.n_max >= 1 && p.n_max <= largest_n && p.l_max >= 0 && p.l_max <= largest_l &&
                p.n_tables >= 1 && p.n_cells >= 1 && p.n_channels >= 1 && p.cutoff > 0.0 && std::isfinite(p.cutoff),
            "ACE needs n_max in 1..64, l_max in 0..40, species, tables, channels and a cutoff > 0");
    require(p.tables.size() == size(p.n_tables, p.n_cells, radial_powers, p.n_max) && all_finite(p.tables),
            "tables must have shape (n_tables, n_cells, 6, n_max) and be finite");
    require(p.table_of.size() == size(n_species + 1, n_species) && all_below(p.table_of, p.n_tables),
            "table_of must have shape (n_species + 1, n_species) and name tables");
    require(p.channels.size() == size(p.n_channels, n_species) && all_finite(p.channels),
            "channels must have shape (n_channels, n_species) and be finite");
    const std::size_t n_factors = p.product_a.size(), n_terms = p.function_p.size();
    require(p.product_b.size() == n_factors && p.product_c.size() == n_factors &&
                are_starts(p.product_first, n_factors) && all_finite(p.product_c),
            "product_first must rise from 0 to the number of product_a, product_b and product_c, which are finite");
    require(p.function_q.size() == n_terms && p.function_c.size() == n_terms && are_starts(p.function_first, n_terms) &&
                all_finite(p.function_c),
            "function_first must rise from 0 to the number of function_p, function_q and function_c, which are finite");
    // So that 32 bits count what is made of them.
    const std::int64_t n_a = std::int64_t{p.n_channels} * p.n_max * n_lm(),
                       n_functions = std::ssize(p.function_first) - 1;
    require(n_a + std::ssize(p.product_first) < (std::int64_t{1} << 26) && n_factors < (std::size_t{1} << 28) &&
                n_terms < (std::size_t{1} << 28) && n_functions * n_species < (std::int64_t{1} << 31) &&
                p.channels.size() < (std::size_t{1} << 31),
            "the basis is too large");
    require(all_below(p.product_a, this->n_a()) && all_below(p.product_b, this->n_a()),
            "product_a and product_b must be indices of A");
    const std::int32_t limit = 1 + this->n_a() + n_products();
    require(all_below(p.function_p, limit) && all_below(p.function_q, limit),
            "function_p and function_q must be indices of 1, A and the products");
}

std::int32_t AceBasis::order_of(std::int32_t function) const {
    const auto factors = [&](std::int32_t x) { return x == 0 ? 0 : x <= n_a() ? 1 : 2; };
    std::int32_t order = 0;
    for (std::int32_t t = arrays_.function_first[function]; t < arrays_.function_first[function + 1]; ++t)
        order = std::max(order, factors(arrays_.function_p[t]) + factors(arrays_.function_q[t]));
    return order;
}

AceBasis::Channels AceBasis::channels_of(std::int32_t function) const {
    using Set = std::set<std::int32_t>;
    const std::int32_t per_channel = arrays_.n_max * n_lm();
    Set all;
    // Channels of every term, each of which has those of both its factors.
    const auto common = [&](const std::vector<std::int32_t>& first, std::int32_t k, const auto& of_term) {
        Set needed;
        for (std::int32_t t = first[k]; t < first[k + 1]; ++t) {
            const Set own = of_term(t);
            all.insert(own.begin(), own.end());
            if (t == first[k])
                needed = own;
            std::erase_if(needed, [&](std::int32_t channel) { return !own.contains(channel); });
        }
        return needed;
    };
    const auto of_x = [&](std::int32_t x) -> Set {
        if (x == 0)
            return {};
        if (x <= n_a())
            return {(x - 1) / per_channel};
        return common(arrays_.product_first, x - 1 - n_a(), [&](std::int32_t t) {
            return Set{arrays_.product_a[t] / per_channel, arrays_.product_b[t] / per_channel};
        });
    };
    const Set needed = common(arrays_.function_first, function, [&](std::int32_t t) {
        Set own = of_x(arrays_.function_p[t]);
        own.merge(of_x(arrays_.function_q[t]));
        return own;
    });
    return {{all.begin(), all.end()}, {needed.begin(), needed.end()}};
}

template <class T>
void AceGroups<T>::set(const AceBasis& basis, std::span<const std::int32_t> kinds) {
    const AceArrays& p = basis.arrays();
    const bool made = forward_.first.size() > 1; // there is a channel, but there may be no atom
    if (made && std::equal(kinds.begin(), kinds.end(), kinds_.begin(), kinds_.end()))
        return;
    kinds_.assign(kinds.begin(), kinds.end());
    forward_ = backward_ = {};
    const auto weight = [&](std::int32_t channel, std::int32_t group) {
        return narrowed<T>(p.channels[static_cast<std::size_t>(channel) * basis.species().size() + kinds_[group]]);
    };
    const auto put = [](Sparse& to, std::int32_t n_outputs, std::int32_t n_inputs, const auto& value) {
        for (std::int32_t output = 0; output < n_outputs; ++output) {
            for (std::int32_t input = 0; input < n_inputs; ++input)
                if (const T w = value(output, input); w != T(0))
                    to.input.push_back(input), to.weight.push_back(w);
            to.first.push_back(static_cast<std::int32_t>(to.input.size()));
        }
    };
    put(forward_, p.n_channels, size(), weight);
    put(backward_, size(), p.n_channels,
        [&](std::int32_t group, std::int32_t channel) { return weight(channel, group); });
}

template <class T>
AceModel<T>::AceModel(const AceBasis& basis)
    : n_species_(basis.species().size()), table_of_(basis.arrays().table_of),
      product_first_(basis.arrays().product_first), function_first_(basis.arrays().function_first) {
    const AceArrays& p = basis.arrays();
    const std::int32_t n_pad = (p.n_max + ace_padding<T> - 1) / ace_padding<T> * ace_padding<T>;
    table_size_ = static_cast<std::size_t>(p.n_cells) * radial_powers * n_pad;
    tables_.assign(table_size_ * p.n_tables, T(0));
    for (std::size_t row = 0; row < tables_.size() / n_pad; ++row)
        for (std::int32_t n = 0; n < p.n_max; ++n)
            tables_[row * n_pad + n] = narrowed<T>(p.tables[row * p.n_max + n]);
    recursion_ = harmonics_recursion(p.l_max);
    for (std::int32_t m = 0; m <= p.l_max; ++m) // the others are relative to these
        recursion_[m] *= std::sqrt(4.0 * std::numbers::pi);
    for (const double value : harmonics_gradient(p.l_max, 1.0))
        harmonics_gradient_.push_back(static_cast<T>(value));
    for (std::size_t t = 0; t < p.product_a.size(); ++t)
        products_.push_back({1 + p.product_a[t], 1 + p.product_b[t], narrowed<T>(p.product_c[t])});
    for (std::size_t t = 0; t < p.function_p.size(); ++t)
        functions_.push_back({p.function_p[t], p.function_q[t], narrowed<T>(p.function_c[t])});
    shape_ = {p.n_max, n_pad, p.l_max, p.n_cells, p.n_cells / p.cutoff, recursion_.data(), harmonics_gradient_.data()};
    program_ = {basis.n_a(),      basis.n_products(),     basis.n_functions(), product_first_.data(),
                products_.data(), function_first_.data(), functions_.data()};
}

template <class T>
AceGradients<T>::AceGradients(const AceBasis& basis) : first_{0}, term_first_{0} {
    const AceArrays& p = basis.arrays();
    const std::int32_t n_a = basis.n_a();
    struct Slope {
        std::int32_t a;
        Term term;
    };
    std::vector<Slope> slopes;
    std::vector<Term> of_a;
    for (std::int32_t k = 0; k < basis.n_functions(); ++k) {
        poll();
        slopes.clear();
        for (std::int32_t t = p.function_first[k]; t < p.function_first[k + 1]; ++t) {
            const auto add = [&](std::int32_t by, std::int32_t other) {
                const double c = p.function_c[t];
                if (by > 0 && by <= n_a)
                    slopes.push_back({by - 1, {0, other, c}});
                const std::int32_t q = by - 1 - n_a;
                for (std::int32_t u = q < 0 ? 0 : p.product_first[q]; q >= 0 && u < p.product_first[q + 1]; ++u) {
                    slopes.push_back({p.product_a[u], {1 + p.product_b[u], other, c * p.product_c[u]}});
                    slopes.push_back({p.product_b[u], {1 + p.product_a[u], other, c * p.product_c[u]}});
                }
            };
            add(p.function_p[t], p.function_q[t]);
            add(p.function_q[t], p.function_p[t]);
        }
        std::stable_sort(slopes.begin(), slopes.end(), [](const Slope& s, const Slope& t) { return s.a < t.a; });
        for (std::size_t begin = 0, end; begin < slopes.size(); begin = end) {
            of_a.clear();
            for (end = begin; end < slopes.size() && slopes[end].a == slopes[begin].a; ++end)
                of_a.push_back(slopes[end].term);
            merge(of_a);
            index_.push_back(slopes[begin].a);
            for (const Term& term : of_a)
                terms_.push_back({term.a, term.b, narrowed<T>(term.c)});
            require(terms_.size() < std::size_t{1} << 31, "the functions have too many terms for their derivatives");
            term_first_.push_back(static_cast<std::int32_t>(terms_.size()));
        }
        first_.push_back(static_cast<std::int32_t>(index_.size()));
    }
}

template class AceGroups<double>;
template class AceGroups<float>;
template class AceModel<double>;
template class AceModel<float>;
template class AceGradients<double>;
template class AceGradients<float>;

} // namespace atomprint
