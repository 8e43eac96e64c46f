#include "matrices/canonical.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/interrupt.hpp"

namespace atomprint {

namespace {

// A number that looks random for each pair, so that sums of them tell sets of pairs apart.
std::uint64_t mixed(std::int32_t colour, std::int32_t kind) {
    std::uint64_t x =
        (static_cast<std::uint64_t>(static_cast<std::uint32_t>(colour)) << 32) | static_cast<std::uint32_t>(kind);
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

// Sets of rows that are images of each other.
class Orbits {
public:
    explicit Orbits(std::size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), 0); }
    std::int32_t of(std::int32_t i) {
        while (parent_[static_cast<std::size_t>(i)] != i)
            i = parent_[static_cast<std::size_t>(i)] =
                parent_[static_cast<std::size_t>(parent_[static_cast<std::size_t>(i)])];
        return i;
    }
    void join(std::int32_t i, std::int32_t j) { parent_[static_cast<std::size_t>(of(i))] = of(j); }

private:
    std::vector<std::int32_t> parent_;
};

} // namespace

void CanonicalOrder::sort(const double* matrix, std::size_t n, std::size_t stride,
                          const std::vector<std::int32_t>& ends, double equal, std::int32_t* order) {
    n_ = n;
    alike_.clear(), places_.clear();
    slot_.assign(n, -1);
    marks_.assign(n, 0);
    Partition p{{order, order + n}, std::vector<std::int32_t>(n), std::vector<std::int32_t>(n)};
    for (std::size_t first = 0; first < n; first = static_cast<std::size_t>(ends[first])) {
        p.ends[first] = ends[first];
        const bool alone = static_cast<std::size_t>(ends[first]) == first + 1;
        for (auto at = first; at < static_cast<std::size_t>(ends[first]); ++at) {
            const auto row = static_cast<std::size_t>(order[at]);
            p.first[row] = static_cast<std::int32_t>(first);
            if (alone)
                continue;
            slot_[row] = static_cast<std::int32_t>(alike_.size());
            alike_.push_back(order[at]);
            places_.push_back(static_cast<std::int32_t>(at));
        }
    }
    if (alike_.empty())
        return;
    classify(matrix, stride, equal);
    refine(p);
    Leaf best;
    goals_.clear();
    search(p, best);
    std::copy(best.order.begin(), best.order.end(), order);
}

// Elements that follow each other with gaps of no more than `equal` are one kind.
void CanonicalOrder::classify(const double* matrix, std::size_t stride, double equal) {
    elements_.clear();
    for (std::size_t s = 0; s < alike_.size(); ++s) {
        poll();
        const double* row = matrix + static_cast<std::size_t>(alike_[s]) * stride;
        for (std::size_t j = 0; j < n_; ++j)
            elements_.emplace_back(row[j], static_cast<std::int32_t>(s * n_ + j));
    }
    std::size_t compared = 0;
    std::sort(elements_.begin(), elements_.end(), [&](const auto& a, const auto& b) {
        if (++compared % 65536 == 0)
            poll();
        return a < b;
    });
    equal *= std::max(std::abs(elements_.front().first), std::abs(elements_.back().first));
    kinds_.resize(elements_.size());
    std::int32_t kind = 0;
    for (std::size_t e = 0; e < elements_.size(); ++e) {
        kind += e > 0 && elements_[e].first - elements_[e - 1].first > equal;
        kinds_[static_cast<std::size_t>(elements_[e].second)] = kind;
    }
}

void CanonicalOrder::refine(Partition& p) {
    for (bool changed = true; changed;) {
        changed = false;
        for (std::int32_t i : alike_) {
            if (i % 64 == 63)
                poll();
            const auto first = static_cast<std::size_t>(p.first[static_cast<std::size_t>(i)]);
            if (static_cast<std::size_t>(p.ends[first]) == first + 1)
                continue;
            const std::int32_t* kinds =
                kinds_.data() + static_cast<std::size_t>(slot_[static_cast<std::size_t>(i)]) * n_;
            std::uint64_t mark = mixed(-1, kinds[i]);
            for (std::size_t j = 0; j < n_; ++j)
                mark += mixed(p.first[j], kinds[j]);
            marks_[static_cast<std::size_t>(i)] = mark;
        }
        for (std::size_t first = 0, last; first < n_; first = last) {
            last = static_cast<std::size_t>(p.ends[first]);
            if (last > first + 1)
                changed |= split(p, static_cast<std::int32_t>(first));
        }
    }
}

// Split the rows of one colour by their marks.
bool CanonicalOrder::split(Partition& p, std::int32_t first) {
    const std::int32_t last = p.ends[static_cast<std::size_t>(first)];
    const auto mark = [&](std::int32_t place) {
        return marks_[static_cast<std::size_t>(p.order[static_cast<std::size_t>(place)])];
    };
    std::sort(p.order.begin() + first, p.order.begin() + last, [&](auto a, auto b) {
        return marks_[static_cast<std::size_t>(a)] < marks_[static_cast<std::size_t>(b)];
    });
    if (mark(first) == mark(last - 1))
        return false;
    for (std::int32_t begin = first, at = first; at < last; ++at) {
        p.first[static_cast<std::size_t>(p.order[static_cast<std::size_t>(at)])] = begin;
        if (at + 1 == last || mark(at + 1) != mark(at)) {
            p.ends[static_cast<std::size_t>(begin)] = at + 1;
            begin = at + 1;
        }
    }
    return true;
}

int CanonicalOrder::search(const Partition& p, Leaf& best) {
    std::size_t first = 0;
    while (first < n_ && static_cast<std::size_t>(p.ends[first]) == first + 1)
        ++first;
    if (first == n_) {
        best = p;
        for (std::size_t g = 0; g < goals_.size(); ++g)
            if (compare(best, *goals_[g]) == 0)
                return static_cast<int>(g);
        return -1;
    }
    const auto begin = p.order.begin() + static_cast<std::ptrdiff_t>(first);
    const std::vector<std::int32_t> choices(begin, p.order.begin() + p.ends[first]);
    Orbits orbits(n_);
    const auto own = static_cast<int>(goals_.size());
    for (std::size_t c = 0; c < choices.size(); ++c) {
        if (std::any_of(choices.begin(), choices.begin() + static_cast<std::ptrdiff_t>(c),
                        [&](auto tried) { return orbits.of(tried) == orbits.of(choices[c]); }))
            continue;
        Partition next = p;
        const auto to = next.order.begin() + static_cast<std::ptrdiff_t>(first);
        std::iter_swap(to, std::find(to, next.order.end(), choices[c]));
        next.ends[first + 1] = p.ends[first];
        next.ends[first] = static_cast<std::int32_t>(first + 1);
        for (auto at = first + 1; at < static_cast<std::size_t>(p.ends[first]); ++at)
            next.first[static_cast<std::size_t>(next.order[at])] = static_cast<std::int32_t>(first + 1);
        refine(next);
        if (c == 0) {
            if (const int reached = search(next, best); reached >= 0)
                return reached;
            continue;
        }
        Leaf other;
        goals_.push_back(&best);
        const int reached = search(next, other);
        goals_.pop_back();
        if (reached >= 0 && reached < own) {
            best = std::move(other);
            return reached;
        }
        if (reached == own) // a symmetry
            for (std::size_t at = 0; at < n_; ++at)
                orbits.join(best.order[at], other.order[at]);
        else if (compare(other, best) < 0)
            best = std::move(other);
    }
    return -1;
}

// Compare two matrices by the kinds of their elements, row by row; what is not of rows that are alike is the same.
int CanonicalOrder::compare(const Leaf& a, const Leaf& b) const {
    for (std::int32_t place : places_) {
        const auto i = a.order[static_cast<std::size_t>(place)], j = b.order[static_cast<std::size_t>(place)];
        for (std::size_t q = 0; q < n_; ++q)
            if (const auto x = kind(i, a.order[q]), y = kind(j, b.order[q]); x != y)
                return x < y ? -1 : 1;
    }
    return 0;
}

} // namespace atomprint
