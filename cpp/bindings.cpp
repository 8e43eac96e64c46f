// The only file that knows Python: check shapes, release the interpreter lock, call.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "batch.hpp"
#include "checks.hpp"
#include "dispatch.hpp"
#include "pairs.hpp"

namespace nb = nanobind;
using namespace atomprint;

namespace {

template <class T, class... Shape> using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu, Shape...>;
template <class T, class... Shape> using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu, Shape...>;

using Positions = In<double, nb::shape<-1, 3>>;
using Numbers = In<std::int32_t, nb::ndim<1>>;
using Offsets = In<std::int64_t, nb::ndim<1>>;
using Cells = In<double, nb::shape<-1, 3, 3>>;
using Pbc = In<bool, nb::shape<-1, 3>>;

void require(bool condition, const char* message) {
    if (!condition)
        throw std::invalid_argument(message);
}

Batch make_batch(const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
                 const Pbc& pbc) {
    require(offsets.shape(0) >= 1, "offsets must not be empty");
    const std::size_t n = offsets.shape(0) - 1;
    require(cells.shape(0) == n && pbc.shape(0) == n, "cells and pbc must have one entry for each structure");
    require(positions.shape(0) == numbers.shape(0), "positions and numbers must have one row for each atom");
    require(offsets.data()[0] == 0 && offsets.data()[n] == static_cast<std::int64_t>(numbers.shape(0)),
            "offsets must run from 0 to the number of atoms");
    for (std::size_t s = 0; s < n; ++s)
        require(offsets.data()[s] <= offsets.data()[s + 1], "offsets must not decrease");
    return {positions.data(),
            numbers.data(),
            offsets.data(),
            cells.data(),
            reinterpret_cast<const std::uint8_t*>(pbc.data()),
            n};
}

template <class T> nb::object to_numpy(std::vector<T>&& values, std::initializer_list<std::size_t> shape) {
    auto* owned = new std::vector<T>(std::move(values));
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape, owner));
}

} // namespace

NB_MODULE(_core, m) {
    m.def("instruction_sets", &instruction_sets,
          "Names of the instruction sets that this processor supports, slowest first.");
    m.def("instruction_set", [] { return std::string(kernels().instruction_set); },
          "Name of the instruction set in use.");
    m.def("use_instruction_set", &use_instruction_set, nb::arg("name"), "Change the instruction set in use.");
    kernels(); // an unusable ATOMPRINT_ISA is reported at import

    nb::enum_<Problem>(m, "Problem")
        .value("none", Problem::none)
        .value("position", Problem::position)
        .value("number", Problem::number)
        .value("cell", Problem::cell)
        .value("no_cell", Problem::no_cell)
        .value("volume", Problem::volume)
        .value("coincident", Problem::coincident);
    m.def(
        "check_batch",
        [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
           const Pbc& pbc, bool need_cell) {
            const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
            Finding finding;
            {
                nb::gil_scoped_release release;
                finding = check_batch(batch, need_cell);
            }
            return nb::make_tuple(finding.problem, finding.structure, finding.atom, finding.other);
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("need_cell"), "First problem of a batch as (problem, structure, atom, other atom).");

    m.def(
        "neighbour_pairs",
        [](const Positions& positions, const Numbers& numbers, const Offsets& offsets, const Cells& cells,
           const Pbc& pbc, const Positions& points, double cutoff) {
            const Batch batch = make_batch(positions, numbers, offsets, cells, pbc);
            require(batch.n_structures == 1, "neighbour_pairs takes one structure");
            require(cutoff > 0.0, "cutoff must be > 0");
            std::vector<std::int64_t> point_index, atom_index, shifts;
            std::vector<double> vectors;
            {
                nb::gil_scoped_release release;
                const NeighbourFinder finder(batch[0], points.data(), points.shape(0), cutoff);
                std::vector<std::int32_t> found;
                for (std::size_t p = 0; p < points.shape(0); ++p) {
                    Vec3 point{points.data()[3 * p], points.data()[3 * p + 1], points.data()[3 * p + 2]};
                    const auto moved = finder.locate(point);
                    const std::size_t n = finder.query(point, found);
                    for (std::size_t k = 0; k < n; ++k) {
                        const auto j = static_cast<std::size_t>(found[k]);
                        point_index.push_back(static_cast<std::int64_t>(p));
                        atom_index.push_back(finder.atom[j]);
                        for (int c = 0; c < 3; ++c)
                            shifts.push_back(finder.shift[j][c] - moved[c]);
                        vectors.insert(vectors.end(),
                                       {finder.x[j] - point[0], finder.y[j] - point[1], finder.z[j] - point[2]});
                    }
                }
            }
            const std::size_t n = point_index.size();
            return nb::make_tuple(to_numpy(std::move(point_index), {n}), to_numpy(std::move(atom_index), {n}),
                                  to_numpy(std::move(shifts), {n, 3}), to_numpy(std::move(vectors), {n, 3}));
        },
        nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"),
        nb::arg("points"), nb::arg("cutoff"),
        "All atoms within the cutoff of points: (point, atom, lattice shift of the atom, vector).");
}
