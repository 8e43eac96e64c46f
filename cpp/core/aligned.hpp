// Arrays that start on a cache line, so that vectors of a padded row never straddle two, and scratch memory.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace atomprint {

template <class T>
struct CacheLineAllocator {
    using value_type = T;
    static constexpr std::align_val_t alignment{64};

    CacheLineAllocator() = default;
    template <class U>
    CacheLineAllocator(const CacheLineAllocator<U>&) {}
    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
    void deallocate(T* p, std::size_t) { ::operator delete(p, alignment); }
    template <class U>
    bool operator==(const CacheLineAllocator<U>&) const {
        return true;
    }
};

template <class T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

// Make room in scratch memory, which never shrinks.
template <class V>
void grow(V& values, std::size_t size) {
    if (values.size() < size)
        values.resize(size);
}

} // namespace atomprint
