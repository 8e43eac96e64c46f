// Rows of features of which most are zero: by the runs of features that are there, and as a sparse matrix.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace atomprint {

// The features [first, last).
struct FeatureRun {
    std::size_t first, last;

    std::size_t length() const { return last - first; }
};

inline std::size_t length_of(const std::vector<FeatureRun>& runs) {
    std::size_t n = 0;
    for (const FeatureRun& run : runs)
        n += run.length();
    return n;
}

// Write zeros to all of a row but ascending runs.
template <class T>
void fill_gaps(const std::vector<FeatureRun>& runs, std::size_t n_features, T* row) {
    std::size_t at = 0;
    for (const FeatureRun& run : runs) {
        std::fill(row + at, row + run.first, T(0));
        at = run.last;
    }
    std::fill(row + at, row + n_features, T(0));
}

// Dense rows that are zero already, so that what is not there need not be written.
template <class T>
struct ZeroRows {
    T* data;
};

// Ask for large pages, as NumPy does for its arrays: writing to new memory then takes half as long.
inline void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t n_bytes) {
#if defined(__linux__)
    constexpr std::size_t page = 4096, least = std::size_t{4} << 20;
    const std::size_t skip = page - reinterpret_cast<std::uintptr_t>(memory) % page;
    if (n_bytes >= least)
        madvise(static_cast<char*>(memory) + skip, n_bytes - skip, MADV_HUGEPAGE); // no more than a hint
#endif
}

// Numbers one after the other, in memory that is neither touched before it is needed nor, where the system can, copied
// when there is no room left.
template <class T>
class Growing {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    std::size_t size() const { return size_; }
    T* data() const { return data_.get(); }
    // Room for n more, behind those that are there.
    T* room(std::size_t n) {
        if (size_ + n > capacity_)
            move_to(std::max(size_ + n, capacity_ + capacity_ / 2));
        return data_.get() + size_;
    }
    // Count n numbers in that room as there.
    void extend(std::size_t n) { size_ += n; }
    void append(const T* from, std::size_t n) {
        std::copy_n(from, n, room(n));
        size_ += n;
    }
    void clear() { size_ = 0; }
    // Make room for so many in all, if there is.
    void reserve(std::size_t capacity) {
        if (capacity > capacity_)
            try_to_move(capacity);
    }
    std::size_t capacity() const { return capacity_; }
    // Hand the memory over, which free() gives back.
    T* release() {
        move_to(std::max<std::size_t>(size_, 1));
        size_ = capacity_ = 0;
        return data_.release();
    }

private:
    void move_to(std::size_t capacity) {
        if (!try_to_move(capacity))
            throw std::bad_alloc();
    }
    bool try_to_move(std::size_t capacity) {
        void* const moved = std::realloc(data_.get(), capacity * sizeof(T));
        if (!moved)
            return false;
        static_cast<void>(data_.release());
        data_.reset(static_cast<T*>(moved));
        capacity_ = capacity;
        prefer_large_pages(moved, capacity * sizeof(T));
        return true;
    }

    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t size_ = 0, capacity_ = 0;
};

// Some rows of a sparse matrix, one after the other.
template <class T>
struct SparsePart {
    Growing<T> data;
    Growing<std::int32_t> indices;
    Growing<std::int64_t> ends; // of each row among these numbers

    std::int64_t n_rows() const { return static_cast<std::int64_t>(ends.size()); }
    // Add those of `values`, the features of one run after the other, that are not zero to the last row.
    template <class From>
    void add(const FeatureRun& run, const From* values) {
        const std::size_t n = run.length();
        T* const to = data.room(n);
        std::int32_t* const at = indices.room(n);
        std::size_t kept = 0;
        constexpr std::size_t together = 16;
        for (std::size_t k = 0; k < n;) {
            const std::size_t end = std::min(n, k + together);
            T numbers[together];
            int zeros = 0;
            for (std::size_t i = 0; i < end - k; ++i) {
                numbers[i] = static_cast<T>(values[k + i]);
                zeros += numbers[i] == T(0);
            }
            const auto first = static_cast<std::int32_t>(run.first + k);
            if (zeros == 0) { // most often
                for (std::size_t i = 0; i < end - k; ++i)
                    to[kept + i] = numbers[i], at[kept + i] = first + static_cast<std::int32_t>(i);
                kept += end - k;
            } else {
                for (std::size_t i = 0; i < end - k; ++i) {
                    to[kept] = numbers[i], at[kept] = first + static_cast<std::int32_t>(i);
                    kept += numbers[i] != T(0);
                }
            }
            k = end;
        }
        data.extend(kept), indices.extend(kept);
    }
    template <class From>
    void add(const std::vector<FeatureRun>& runs, const From* values) {
        for (const FeatureRun& run : runs) {
            add(run, values);
            values += run.length();
        }
    }
    // Add the entries of a row of another matrix.
    void add_entries(const SparsePart& other, std::size_t row) {
        const std::int64_t begin = row > 0 ? other.ends.data()[row - 1] : 0, end = other.ends.data()[row];
        data.append(other.data.data() + begin, static_cast<std::size_t>(end - begin));
        indices.append(other.indices.data() + begin, static_cast<std::size_t>(end - begin));
    }
    void end_row() {
        const auto end = static_cast<std::int64_t>(data.size());
        ends.append(&end, 1);
    }
    void append(const SparsePart& other) {
        const auto before = static_cast<std::int64_t>(data.size());
        data.append(other.data.data(), other.data.size());
        indices.append(other.indices.data(), other.indices.size());
        std::int64_t* const to = ends.room(other.ends.size());
        for (std::size_t k = 0; k < other.ends.size(); ++k)
            to[k] = before + other.ends.data()[k];
        ends.extend(other.ends.size());
    }
};

// A sparse matrix whose rows are written in runs, by any thread and in any order. A run whose turn it is writes where
// its rows stay; others wait.
template <class T>
class SparseRows {
public:
    using Part = SparsePart<T>;

    explicit SparseRows(std::size_t n_features) : n_features_(n_features) {}

    std::size_t n_features() const { return n_features_; }
    // All rows, while nobody writes.
    Part& all() { return all_; }

    // Let rows that are written from now on be numbered from those that there are; there will be so many.
    void begin(std::size_t n_rows) {
        first_ = next_ = all_.n_rows(), last_ = first_ + static_cast<std::int64_t>(n_rows);
        waiting_.clear();
    }
    // Calls body(part) to add the rows [first, last), numbered from begin() on.
    template <class Body>
    void write(std::int64_t first, const Body& body) {
        bool in_turn;
        {
            const std::scoped_lock lock(mutex_);
            in_turn = next_ == first_ + first;
        }
        if (in_turn)
            expect_rows();
        Part own;
        body(in_turn ? all_ : own);
        const std::scoped_lock lock(mutex_);
        if (!in_turn)
            waiting_.emplace(first_ + first, std::move(own));
        else
            next_ = all_.n_rows();
        for (auto it = waiting_.begin(); it != waiting_.end() && it->first == next_; it = waiting_.erase(it)) {
            all_.append(it->second);
            next_ = all_.n_rows();
        }
    }

    // Add rows whose features are those of several matrices, one after the other.
    template <class Matrices>
    void add_beside(const Matrices& matrices) {
        for (std::size_t row = 0; row < matrices.front().all_.ends.size(); ++row) {
            for (const SparseRows& matrix : matrices)
                all_.add_entries(matrix.all_, row);
            all_.end_row();
        }
    }

private:
    // When the memory is nearly used up, make it as large as rows like those so far will need: it then moves seldom.
    void expect_rows() {
        const std::size_t size = all_.data.size(), done = all_.ends.size();
        if (size == 0 || size + size / 8 < all_.data.capacity())
            return;
        const double of_row = static_cast<double>(size) / static_cast<double>(done);
        const auto expected = static_cast<std::size_t>(1.05 * of_row * static_cast<double>(last_));
        all_.data.reserve(expected), all_.indices.reserve(expected);
    }

    std::size_t n_features_;
    Part all_;
    std::int64_t first_ = 0, next_ = 0, last_ = 0;
    std::map<std::int64_t, Part> waiting_;
    std::mutex mutex_;
};

template <class T>
inline constexpr bool is_zero = false;
template <class T>
inline constexpr bool is_zero<ZeroRows<T>> = true;
template <class T>
inline constexpr bool is_sparse = false;
template <class T>
inline constexpr bool is_sparse<SparseRows<T>> = true;

} // namespace atomprint
