// The order of rows of a symmetric matrix that does not depend on the order in which they are given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace atomprint {

// Orders rows that are alike by what else the matrix says of them, in memory of its own: one object for each thread.
//
// Rows get colours. A row tells others of its colour by which elements it has with rows of which colours, until no
// colour splits any more (colour refinement, also called Weisfeiler-Leman). If rows are still alike, each of those with
// the first such colour is made the first of them in turn, the others are refined again, and of the matrices at the
// ends of all these ways the smallest one is taken. Ways that lead to the same matrix are symmetries: rows that
// they map on each other need not be tried, so that few ways are left (McKay & Piperno, J. Symb. Comput. 60 (2014) 94).
class CanonicalOrder {
public:
    // Reorder each run order[first .. last) of rows that are alike, of n rows in all;
    // the run that begins at place p ends at ends[p]. Elements that differ by less than the fraction `equal` of the
    // largest are the same.
    void sort(const double* matrix, std::size_t n, std::size_t stride, const std::vector<std::int32_t>& ends,
              double equal, std::int32_t* order);

private:
    struct Partition {
        std::vector<std::int32_t> order; // (n) rows by their colour
        std::vector<std::int32_t> first; // (n) place at which the rows of the colour of each row begin: the colour
        std::vector<std::int32_t> ends;  // (n) where the colour ends that begins at a place
    };
    using Leaf = Partition; // without rows that are alike

    void classify(const double* matrix, std::size_t stride, double equal);
    void refine(Partition& p);
    bool split(Partition& p, std::int32_t first);
    // Writes the best way on from `p` to `best`. Returns the index of the goal that was reached, -1 if none: then
    // the rest of the way is known.
    int search(const Partition& p, Leaf& best);
    int compare(const Leaf& a, const Leaf& b) const;
    std::int32_t kind(std::int32_t i, std::int32_t j) const {
        return kinds_[static_cast<std::size_t>(slot_[static_cast<std::size_t>(i)]) * n_ + static_cast<std::size_t>(j)];
    }

    std::size_t n_ = 0;
    std::vector<std::int32_t> alike_; // rows that are not alone in their run
    std::vector<std::int32_t> slot_;  // (n) their index among these
    std::vector<std::int32_t> kinds_; // (n_alike, n) rank of each element among all different ones
    std::vector<std::int32_t> places_;
    std::vector<std::uint64_t> marks_; // (n)
    std::vector<const Leaf*> goals_;
    std::vector<std::pair<double, std::int32_t>> elements_;
};

} // namespace atomprint
