// The elements that a descriptor tells apart, numbered in their order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/batch.hpp"

namespace atomprint {

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

private:
    std::array<std::int32_t, 119> index_;
    std::int32_t size_;
};

} // namespace atomprint
