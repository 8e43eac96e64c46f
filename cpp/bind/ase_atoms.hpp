// Reading the arrays of many ase.Atoms: for small molecules, going through Python takes longer than all else.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace atomprint {

struct AseArrays {
    std::vector<std::int32_t> numbers;
    std::vector<double> positions, cells;
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uint8_t> pbc;
};

namespace ase {

// What an array's attribute __array_struct__ points to: NumPy's array interface, C side. It is had in less
// than half the time of a buffer.
struct ArrayInterface {
    int two;
    int n_dimensions;
    char kind;
    int item_size;
    int flags;
    Py_intptr_t *shape, *strides;
    void* data;
};
inline constexpr int plain = 0x1 | 0x100 | 0x200; // C-contiguous, aligned, in the byte order of the machine

// The numbers in an array of this kind, size and shape (-1: any), or null.
inline const void* data_of(nanobind::handle array, const char* kinds, int item_size,
                           std::initializer_list<Py_intptr_t> shape, Py_intptr_t& length) {
    const nanobind::object capsule = nanobind::getattr(array, "__array_struct__", nanobind::none());
    if (!PyCapsule_CheckExact(capsule.ptr())) // not an array
        return nullptr;
    const auto* found = static_cast<const ArrayInterface*>(PyCapsule_GetPointer(capsule.ptr(), nullptr));
    if (!found)
        throw nanobind::python_error();
    if (found->two != 2 || (found->flags & plain) != plain || !std::strchr(kinds, found->kind) ||
        found->item_size != item_size || found->n_dimensions != static_cast<int>(shape.size()))
        return nullptr;
    const Py_intptr_t* n = found->shape;
    for (const Py_intptr_t wanted : shape)
        if (const Py_intptr_t got = *n++; wanted >= 0 && got != wanted)
            return nullptr;
    length = found->shape[0];
    return found->data; // which the array owns, not the capsule
}

} // namespace ase

// Append what a list of ase.Atoms holds, or return false where something is not as ASE makes it, or an atomic
// number is out of range: then the slow way finds out what is wrong, if anything is.
inline bool read_atoms(const nanobind::list& items, bool periodic, AseArrays& out) {
    namespace nb = nanobind;
    const nb::str arrays("arrays"), cell("cell"), array("array"), pbc("pbc");
    const nb::str numbers("numbers"), positions("positions");
    for (const nb::handle item : items) {
        const nb::object held = nb::getattr(item, arrays);
        if (!PyDict_Check(held.ptr()))
            return false;
        const nb::handle z = PyDict_GetItemWithError(held.ptr(), numbers.ptr()),
                         r = PyDict_GetItemWithError(held.ptr(), positions.ptr());
        Py_intptr_t n = 0, n_positions = 0, any = 0;
        if (!z.is_valid() || !r.is_valid())
            return false;
        const auto* from = static_cast<const std::int64_t*>(ase::data_of(z, "iu", 8, {-1}, n));
        const auto* points = static_cast<const double*>(ase::data_of(r, "f", 8, {-1, 3}, n_positions));
        if (!from || !points || n_positions != n)
            return false;
        const std::size_t first = out.numbers.size();
        out.numbers.resize(first + static_cast<std::size_t>(n));
        std::int32_t* to = out.numbers.data() + first;
        bool known = true;
        for (Py_intptr_t i = 0; i < n; ++i) {
            known &= from[i] >= 1 && from[i] <= 118;
            to[i] = static_cast<std::int32_t>(from[i]);
        }
        if (!known)
            return false;
        out.positions.insert(out.positions.end(), points, points + 3 * n);
        out.offsets.push_back(static_cast<std::int64_t>(out.numbers.size()));
        if (!periodic)
            continue;
        const nb::object vectors = nb::getattr(nb::getattr(item, cell), array), repeats = nb::getattr(item, pbc);
        const auto* rows = static_cast<const double*>(ase::data_of(vectors, "f", 8, {3, 3}, any));
        const auto* flags = static_cast<const std::uint8_t*>(ase::data_of(repeats, "b", 1, {3}, any));
        if (!rows || !flags)
            return false;
        out.cells.insert(out.cells.end(), rows, rows + 9);
        out.pbc.insert(out.pbc.end(), flags, flags + 3);
    }
    return true;
}

} // namespace atomprint
