// Reading the arrays of many ase.Atoms: for small molecules, going through Python takes longer than all else.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

namespace atomprint {

struct AseArrays {
    std::vector<std::int64_t> offsets;
    std::unique_ptr<std::int32_t[]> numbers;
    std::unique_ptr<double[]> positions, cells;
    std::unique_ptr<bool[]> pbc;

    const std::uint8_t* flags() const { return reinterpret_cast<const std::uint8_t*>(pbc.get()); }
};

namespace ase {

namespace nb = nanobind;

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
inline constexpr int contiguous = 0x1 | 0x100, plain = contiguous | 0x200; // and aligned, in the machine's byte order

// How NumPy lays out an array in memory, as compiled extensions have relied on since its 1.7.
struct ArrayLayout {
    PyObject head;
    void* data;
    int n_dimensions;
    Py_intptr_t *shape, *strides;
    PyObject *base, *dtype;
    int flags;
};

inline void fetch(const void* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address);
#endif
}

// Arrays of one kind, numbers in all of them alike. An array that shares the type of its numbers with one that was
// asked through the interface is read directly, if what it says there is where the layout has it.
class Reader {
public:
    Reader(nb::handle array_type, const char* kinds, int item_size, std::initializer_list<Py_intptr_t> shape)
        : array_type_(array_type), kinds_(kinds), item_size_(item_size), shape_(shape) {}

    // Have an array in cache soon.
    static void fetch(nb::handle array) {
        ase::fetch(array.ptr());
        ase::fetch(reinterpret_cast<const char*>(array.ptr()) + 64);
    }

    // The numbers in an array of this kind, size and shape (-1: any), or null. They belong to the array.
    const void* operator()(nb::handle array, Py_intptr_t& length) {
        if (nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(array.ptr()))).is(array_type_)) {
            const auto* found = reinterpret_cast<const ArrayLayout*>(array.ptr());
            if (found->dtype == dtype_)
                return (found->flags & contiguous) == contiguous && fits(found->n_dimensions, found->shape, length)
                           ? found->data
                           : nullptr;
        }
        return ask(array, length);
    }

private:
    nb::handle array_type_;
    const char* kinds_;
    int item_size_;
    std::vector<Py_intptr_t> shape_;
    PyObject* dtype_ = nullptr; // kept for ever

    bool fits(int n_dimensions, const Py_intptr_t* shape, Py_intptr_t& length) const {
        if (n_dimensions != static_cast<int>(shape_.size()))
            return false;
        for (std::size_t k = 0; k < shape_.size(); ++k)
            if (shape_[k] >= 0 && shape[k] != shape_[k])
                return false;
        length = shape[0];
        return true;
    }

    const void* ask(nb::handle array, Py_intptr_t& length) {
        const nb::object capsule = nb::getattr(array, "__array_struct__", nb::none());
        if (!PyCapsule_CheckExact(capsule.ptr())) // not an array
            return nullptr;
        const auto* found = static_cast<const ArrayInterface*>(PyCapsule_GetPointer(capsule.ptr(), nullptr));
        if (!found)
            throw nb::python_error();
        if (found->two != 2 || (found->flags & plain) != plain || !std::strchr(kinds_, found->kind) ||
            found->item_size != item_size_ || !fits(found->n_dimensions, found->shape, length))
            return nullptr;
        if (nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(array.ptr()))).is(array_type_)) {
            const auto* direct = reinterpret_cast<const ArrayLayout*>(array.ptr());
            if (direct->data == found->data && direct->n_dimensions == found->n_dimensions &&
                (direct->flags & contiguous) == contiguous &&
                std::equal(found->shape, found->shape + found->n_dimensions, direct->shape))
                dtype_ = nb::borrow(direct->dtype).release().ptr();
        }
        return found->data; // which the array owns, not the capsule
    }
};

// What is looked up in all of them, made once: it would take half the time of a small molecule.
struct Names {
    nb::handle ndarray = nb::object(nb::module_::import_("numpy").attr("ndarray")).release();
    Reader numbers{ndarray, "iu", 8, {-1}}, positions{ndarray, "f", 8, {-1, 3}}, cells{ndarray, "f", 8, {3, 3}},
        flags{ndarray, "b", 1, {3}};
    nb::handle arrays_ = name("arrays"), cell_ = name("cell"), pbc_ = name("pbc"), array_ = name("array"),
               numbers_ = name("numbers"), positions_ = name("positions"), own_cell_ = name("_cellobj"),
               own_pbc_ = name("_pbc");

    static Names& get() {
        static auto* const names = new Names; // which no thread but that with the GIL touches
        return *names;
    }

private:
    static nb::handle name(const char* text) { return PyUnicode_InternFromString(text); }
};

// The arrays of one structure, kept while they are read.
struct Found {
    nb::object numbers, positions, cell, pbc;
    const std::int64_t* z;
    const double *r, *vectors;
    const bool* repeats;
};

} // namespace ase

// What a list of ase.Atoms holds, or false where something is not as ASE makes it, or an atomic number is out of
// range: then the slow way finds out what is wrong, if anything is.
inline bool read_atoms(const nanobind::list& items, nanobind::handle atoms_type, AseArrays& out) {
    namespace nb = nanobind;
    auto& [ndarray, numbers, positions, cells, flags, arrays_, cell_, pbc_, array_, numbers_, positions_, own_cell_,
           own_pbc_] = ase::Names::get();

    // Some structures at a time, so that memory is fetched for all of them at once.
    constexpr std::size_t together = 16;
    const std::size_t n = items.size();
    std::vector<ase::Found> all(n);
    out.offsets.assign(n + 1, 0);
    PyTypeObject* last_type = nullptr;
    bool own = false; // whether what the properties of this type give is had without calling them
    for (std::size_t first = 0; first < n; first += together) {
        const std::size_t end = std::min(first + together, n);
        std::array<nb::object, together> held;
        for (std::size_t i = first; i < end; ++i) {
            PyObject* borrowed = PyList_GetItem(items.ptr(), static_cast<Py_ssize_t>(i));
            if (!borrowed)
                throw nb::python_error();
            const nb::object item = nb::borrow(borrowed);
            if (Py_TYPE(borrowed) != last_type) {
                last_type = Py_TYPE(borrowed);
                if (!PyType_IsSubtype(last_type, reinterpret_cast<PyTypeObject*>(atoms_type.ptr())))
                    return false;
                own = nb::getattr(item, own_cell_, nb::none()).is(nb::getattr(item, cell_)) &&
                      nb::getattr(item, own_pbc_, nb::none()).is(nb::getattr(item, pbc_));
            }
            held[i - first] = nb::getattr(item, arrays_);
            all[i].cell = nb::getattr(item, own ? own_cell_ : cell_);
            all[i].pbc = nb::getattr(item, own ? own_pbc_ : pbc_);
            ase::Reader::fetch(all[i].pbc);
        }
        for (std::size_t i = first; i < end; ++i) {
            PyObject* dict = held[i - first].ptr();
            if (!PyDict_Check(dict))
                return false;
            const nb::handle z = PyDict_GetItemWithError(dict, numbers_.ptr()),
                             r = PyDict_GetItemWithError(dict, positions_.ptr());
            if (!z.is_valid() || !r.is_valid())
                return false;
            all[i].numbers = nb::borrow(z), all[i].positions = nb::borrow(r);
            all[i].cell = nb::getattr(all[i].cell, array_);
            for (const nb::handle array : {z, r, nb::handle(all[i].cell)})
                ase::Reader::fetch(array);
        }
        for (std::size_t i = first; i < end; ++i) {
            ase::Found& of = all[i];
            Py_intptr_t n_atoms = 0, n_positions = 0, any = 0;
            of.z = static_cast<const std::int64_t*>(numbers(of.numbers, n_atoms));
            of.r = static_cast<const double*>(positions(of.positions, n_positions));
            of.vectors = static_cast<const double*>(cells(of.cell, any));
            of.repeats = static_cast<const bool*>(flags(of.pbc, any));
            if (!of.z || !of.r || !of.vectors || !of.repeats || n_positions != n_atoms)
                return false;
            out.offsets[i + 1] = out.offsets[i] + n_atoms;
        }
    }

    const auto n_atoms = static_cast<std::size_t>(out.offsets[n]);
    out.numbers.reset(new std::int32_t[n_atoms]);
    out.positions.reset(new double[3 * n_atoms]);
    out.cells.reset(new double[9 * n]);
    out.pbc.reset(new bool[3 * n]);
    const nb::gil_scoped_release release; // the arrays are kept
    bool known = true;
    for (std::size_t i = 0; i < n; ++i) {
        const auto begin = static_cast<std::size_t>(out.offsets[i]), own_atoms = out.offsets[i + 1] - begin;
        for (std::size_t k = 0; k < own_atoms; ++k) {
            known &= all[i].z[k] >= 1 && all[i].z[k] <= 118;
            out.numbers[begin + k] = static_cast<std::int32_t>(all[i].z[k]);
        }
        std::copy_n(all[i].r, 3 * own_atoms, out.positions.get() + 3 * begin);
        std::copy_n(all[i].vectors, 9, out.cells.get() + 9 * i);
        std::copy_n(all[i].repeats, 3, out.pbc.get() + 3 * i);
    }
    return known;
}

} // namespace atomprint
