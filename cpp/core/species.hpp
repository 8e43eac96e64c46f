// The elements that a descriptor tells apart, numbered in their order.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/batch.hpp"

namespace atomprint {

// The species of the atoms of a batch: among all, and among those that their structure has.
struct Kinds {
    std::vector<std::int32_t> of_atom, place;
    std::vector<std::int32_t> members; // of each structure, ascending: `place` counts these
    std::vector<std::size_t> first;    // (n_structures + 1), where those of a structure start
};

class Species {
public:
    explicit Species(const std::vector<std::int32_t>& atomic_numbers)
        : size_(static_cast<std::int32_t>(atomic_numbers.size())) {
        index_.fill(-1);
        for (std::int32_t kind = 0; kind < size_; ++kind)
            index_.at(static_cast<std::size_t>(atomic_numbers[kind])) = kind;
    }

    std::int32_t size() const { return size_; }

    // The number of every atom's element; std::invalid_argument where that is not among them.
    std::vector<std::int32_t> of(const Batch& batch) const {
        std::vector<std::int32_t> kinds(static_cast<std::size_t>(batch.offsets[batch.n_structures]));
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            const auto z = static_cast<std::size_t>(batch.numbers[i]);
            kinds[i] = z < index_.size() ? index_[z] : -1;
            if (kinds[i] < 0)
                throw std::invalid_argument("atomic number " + std::to_string(batch.numbers[i]) +
                                            " is none of the species");
        }
        return kinds;
    }

    // The same, and which of them each structure has.
    Kinds by_structure(const Batch& batch) const {
        Kinds kinds{of(batch), {}, {}, {0}};
        kinds.place.resize(kinds.of_atom.size());
        std::vector<std::int32_t> place(static_cast<std::size_t>(size_), -1);
        for (std::size_t s = 0; s < batch.n_structures; ++s) {
            const std::int64_t begin = batch.offsets[s], end = batch.offsets[s + 1];
            const auto first = static_cast<std::ptrdiff_t>(kinds.members.size());
            for (std::int64_t i = begin; i < end; ++i)
                if (std::int32_t& seen = place[kinds.of_atom[i]]; seen < 0)
                    seen = 0, kinds.members.push_back(kinds.of_atom[i]);
            std::sort(kinds.members.begin() + first, kinds.members.end());
            for (auto k = static_cast<std::size_t>(first); k < kinds.members.size(); ++k)
                place[kinds.members[k]] = static_cast<std::int32_t>(k) - static_cast<std::int32_t>(first);
            for (std::int64_t i = begin; i < end; ++i)
                kinds.place[i] = place[kinds.of_atom[i]];
            for (auto k = static_cast<std::size_t>(first); k < kinds.members.size(); ++k)
                place[kinds.members[k]] = -1;
            kinds.first.push_back(kinds.members.size());
        }
        return kinds;
    }

private:
    std::array<std::int32_t, 119> index_;
    std::int32_t size_;
};

} // namespace atomprint
