// Structures and centres, their checks, and the neighbour search.
#include "bind/arrays.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <limits>

#include "bind/ase_atoms.hpp"
#include "core/checks.hpp"
#include "core/parallel.hpp"
#include "core/scatter.hpp"

namespace atomprint::bind {

BatchArrays::BatchArrays(Positions positions, Numbers numbers, Integers offsets, Cells cells, Pbc pbc)
    : Batch{positions.data(),
            numbers.data(),
            offsets.data(),
            cells.data(),
            reinterpret_cast<const std::uint8_t*>(pbc.data()),
            offsets.shape(0) - 1},
      positions_(std::move(positions)), numbers_(std::move(numbers)), offsets_(std::move(offsets)),
      cells_(std::move(cells)), pbc_(std::move(pbc)) {
    require(offsets_.shape(0) >= 1, "offsets must not be empty");
    require(cells_.shape(0) == n_structures && pbc_.shape(0) == n_structures,
            "cells and pbc must have one entry for each structure");
    require(positions_.shape(0) == n_atoms(), "positions and numbers must have one row for each atom");
    require(Batch::offsets[0] == 0 && Batch::offsets[n_structures] == static_cast<std::int64_t>(n_atoms()),
            "offsets must run from 0 to the number of atoms");
    for (std::size_t s = 0; s < n_structures; ++s)
        require(Batch::offsets[s] <= Batch::offsets[s + 1], "offsets must not decrease");
}

RowWeightArrays::RowWeightArrays(Integers offsets, Integers rows, In<double, nb::ndim<1>> values, std::size_t n_rows)
    : RowWeights{offsets.data(), rows.data(), values.data(), n_rows}, offsets_(std::move(offsets)),
      rows_(std::move(rows)), values_(std::move(values)) {
    const std::size_t n = offsets_.shape(0);
    require(n >= 1 && RowWeights::offsets[0] == 0 && rows_.shape(0) == values_.shape(0) &&
                RowWeights::offsets[n - 1] == static_cast<std::int64_t>(rows_.shape(0)),
            "weights must have a row each, and offsets from 0 to their number");
    for (std::size_t k = 0; k + 1 < n; ++k)
        require(RowWeights::offsets[k] <= RowWeights::offsets[k + 1], "offsets of weights must not decrease");
    for (std::size_t k = 0; k < rows_.shape(0); ++k)
        require(RowWeights::rows[k] >= 0 && static_cast<std::size_t>(RowWeights::rows[k]) < n_rows,
                "rows of weights must be below n_rows");
}

CentreArrays::CentreArrays(Positions points, Integers atoms, Integers offsets, std::optional<RowWeightArrays> weights)
    : Centres{points.data(), atoms.data(), offsets.data(), weights ? *weights : RowWeights{}},
      points_(std::move(points)), atoms_(std::move(atoms)), offsets_(std::move(offsets)), weights_(std::move(weights)) {
    const std::size_t n = offsets_.shape(0);
    require(atoms_.shape(0) == size() &&
                (n == 0 ? size() == 0
                        : Centres::offsets[0] == 0 && Centres::offsets[n - 1] == static_cast<std::int64_t>(size())),
            "centres must have an atom each, and offsets from 0 to their number");
    require(!weights_ || weights_->n_centres() == size(), "there must be weights for each centre");
    for (std::size_t s = 0; s + 1 < n; ++s)
        require(Centres::offsets[s] <= Centres::offsets[s + 1], "offsets of centres must not decrease");
}

namespace {

using Radii = In<double, nb::ndim<1>>;

CloseLimits limits_of(const Radii& radii, double fraction, double least) {
    require(radii.shape(0) >= 119, "radii must have an entry for each atomic number up to 118");
    require(fraction >= 0.0 && least > coincidence, "fraction must be >= 0 and least greater than coincidence");
    return {radii.data(), fraction, least};
}

nb::tuple to_python(ClosePairs&& pairs) {
    const std::size_t n = pairs.structure.size();
    if (n == 0)
        return nb::make_tuple(); // most often, and quickly
    return nb::make_tuple(to_numpy(std::move(pairs.structure), {n}), to_numpy(std::move(pairs.atom), {n}),
                          to_numpy(std::move(pairs.other), {n}), to_numpy(std::move(pairs.distance), {n}),
                          to_numpy(std::move(pairs.limit), {n}));
}

// None where there is nothing to tell, most often.
nb::object inspected(const Batch& batch, bool need_cell, const std::optional<Radii>& radii, double fraction,
                     double least, int n_threads) {
    const CloseLimits limits = radii ? limits_of(*radii, fraction, least) : CloseLimits{};
    Inspection found;
    {
        nb::gil_scoped_release release;
        found = inspect(batch, need_cell, radii ? &limits : nullptr, n_threads);
    }
    const Finding& first = found.problem;
    if (first.problem == Problem::none && found.close.structure.empty())
        return nb::none();
    return nb::make_tuple(first.problem, first.structure, first.atom, first.other, to_python(std::move(found.close)));
}

nb::object arrays_of(AseArrays&& read) {
    const std::size_t n = read.offsets.size() - 1, n_atoms = static_cast<std::size_t>(read.offsets.back());
    return nb::make_tuple(to_numpy(std::move(read.numbers), {n_atoms}),
                          to_numpy(std::move(read.positions), {n_atoms, 3}), to_numpy(std::move(read.offsets), {n + 1}),
                          to_numpy(std::move(read.cells), {n, 3, 3}), to_numpy(std::move(read.pbc), {n, 3}));
}

nb::object inspect_batch(const BatchArrays& batch, bool need_cell, const std::optional<Radii>& radii, double fraction,
                         double least, int n_threads) {
    return inspected(batch, need_cell, radii, fraction, least, n_threads);
}

nb::object atoms_to_numpy(const nb::list& items, const nb::type_object& atoms_type) {
    AseArrays read;
    return read_atoms(items, atoms_type, read) ? arrays_of(std::move(read)) : nb::none();
}

nb::object read_and_inspect(const nb::list& items, const nb::type_object& atoms_type, std::optional<bool> periodic,
                            const Radii& radii, double fraction, double least, int n_threads) {
    AseArrays read;
    if (!read_atoms(items, atoms_type, read))
        return nb::none();
    const std::size_t n = items.size();
    bool *pbc = read.pbc.get(), *end = pbc + 3 * n;
    std::size_t n_repeating = 0;
    for (const bool* own = pbc; own < end; own += 3)
        n_repeating += own[0] || own[1] || own[2];
    if (periodic == false) {
        std::fill_n(read.cells.get(), 9 * n, 0.0);
        std::fill(pbc, end, false);
    }
    const Batch batch{read.positions.get(), read.numbers.get(), read.offsets.data(), read.cells.get(), read.flags(), n};
    const nb::object found = inspected(batch, periodic == true, radii, fraction, least, n_threads);
    return nb::make_tuple(arrays_of(std::move(read)), n_repeating, found);
}

// Large arrays are gone through on several threads, so many bytes at a time.
constexpr std::size_t bytes_per_task = std::size_t{1} << 20;

// The exponent of what is not finite has all bits, so that one more carries over to the sign.
template <class T, class Bits>
bool are_finite(const T* x, std::size_t n) {
    constexpr Bits exponent = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
    constexpr Bits lowest = exponent & (~exponent + 1);
    constexpr std::size_t lanes = 64 / sizeof(T); // several vectors at once
    std::array<Bits, lanes> carried{};
    const auto add = [&](std::size_t lane, T value) {
        carried[lane] |= (std::bit_cast<Bits>(value) & exponent) + lowest;
    };
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane)
            add(lane, x[i + lane]);
    for (std::size_t lane = 0; i < n; ++i, ++lane)
        add(lane, x[i]);
    return std::none_of(carried.begin(), carried.end(), [](Bits bits) { return bits >> (8 * sizeof(Bits) - 1) != 0; });
}

template <class T, class Bits>
bool all_finite(const In<T, nb::ndim<1>>& numbers, int n_threads) {
    constexpr std::size_t together = bytes_per_task / sizeof(T);
    const T* x = numbers.data();
    const std::size_t n = numbers.shape(0);
    if (n <= together)
        return are_finite<T, Bits>(x, n);
    const nb::gil_scoped_release release;
    std::atomic<bool> finite{true};
    parallel_for((n + together - 1) / together, n_threads, [&](std::size_t task, int) {
        if (finite && !are_finite<T, Bits>(x + task * together, std::min(together, n - task * together)))
            finite = false;
    });
    return finite;
}

template <class T>
bool join(const nb::list& arrays, const Rows<T>& out, int n_threads) {
    const std::size_t width = out.shape(1);
    std::vector<Rows<const T>> parts;
    std::vector<std::size_t> first{0};
    for (const nb::handle array : arrays) {
        Rows<const T> part;
        if (!nb::try_cast(array, part, false) || part.shape(1) != width)
            return false;
        first.push_back(first.back() + part.shape(0) * width);
        parts.push_back(std::move(part));
    }
    if (first.back() != out.shape(0) * width)
        return false;
    const nb::gil_scoped_release release;
    constexpr std::size_t together = bytes_per_task / sizeof(T);
    parallel_for((first.back() + together - 1) / together, n_threads, [&](std::size_t task, int) {
        const std::size_t end = std::min(first.back(), (task + 1) * together);
        std::size_t at = task * together;
        auto k = static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), at) - first.begin()) - 1;
        for (; at < end; ++k) {
            const std::size_t n = std::min(end, first[k + 1]) - at;
            std::copy_n(parts[k].data() + (at - first[k]), n, out.data() + at);
            at += n;
        }
    });
    return true;
}

std::int64_t first_unknown(const In<std::int32_t, nb::ndim<1>>& numbers,
                           const In<std::int32_t, nb::shape<119>>& index_of_number) {
    const std::int32_t *z = numbers.data(), *table = index_of_number.data();
    for (std::size_t i = 0; i < numbers.shape(0); ++i)
        if (z[i] < 0 || z[i] > 118 || table[z[i]] < 0)
            return static_cast<std::int64_t>(i);
    return -1;
}

nb::tuple pairs_too_close(const BatchArrays& batch, const Radii& radii, double fraction, double least) {
    const CloseLimits limits = limits_of(radii, fraction, least);
    ClosePairs pairs;
    {
        nb::gil_scoped_release release;
        pairs = close_pairs(batch, limits);
    }
    return to_python(std::move(pairs));
}

nb::tuple pairs_within(const BatchArrays& batch, const CentreArrays& centres, double cutoff, bool with_own,
                       const std::optional<In<double, nb::ndim<1>>>& radii, std::size_t n_nearest, bool keep_ties,
                       double tolerance, std::int64_t most, int n_threads) {
    require(cutoff > 0.0, "cutoff must be > 0");
    require(tolerance >= 0.0, "tolerance must be >= 0");
    const Centres& places = centres.of(batch);
    NeighbourRule rule{nullptr, n_nearest, keep_ties, tolerance};
    if (radii) {
        const auto n_atoms = static_cast<std::size_t>(batch.offsets[batch.n_structures]);
        require(radii->shape(0) == n_atoms, "radii must be those of all atoms");
        for (std::int64_t c = 0; c < places.offsets[batch.n_structures]; ++c)
            require(places.atoms[c] >= 0, "radii need centres that are atoms");
        rule.radii = radii->data();
    }
    const auto found = [&] {
        try {
            const nb::gil_scoped_release release;
            return neighbour_pairs(batch, places, cutoff, with_own, rule, most, n_threads);
        } catch (const TooManyPairs& error) {
            PyErr_SetString(PyExc_MemoryError, error.what());
            throw nb::python_error();
        }
    };
    Pairs pairs = found();
    const std::size_t n = pairs.n;
    return nb::make_tuple(to_numpy(std::move(pairs.structure), {n}), to_numpy(std::move(pairs.centre), {n}),
                          to_numpy(std::move(pairs.atom), {n}), to_numpy(std::move(pairs.shift), {n, 3}),
                          to_numpy(std::move(pairs.vector), {n, 3}), to_numpy(std::move(pairs.distance), {n}));
}

void define(nb::module_& m) {
    nb::class_<BatchArrays>(m, "Batch", "Structures as flat arrays, which are shared and not copied.")
        .def(nb::init<Positions, BatchArrays::Numbers, Integers, BatchArrays::Cells, BatchArrays::Pbc>(),
             nb::arg("positions"), nb::arg("numbers"), nb::arg("offsets"), nb::arg("cells"), nb::arg("pbc"));
    nb::class_<RowWeightArrays>(m, "RowWeights",
                                "Which rows of its structure each centre goes to, and with which weights.")
        .def(nb::init<Integers, Integers, In<double, nb::ndim<1>>, std::size_t>(), nb::arg("offsets"), nb::arg("rows"),
             nb::arg("values"), nb::arg("n_rows"));
    nb::class_<CentreArrays>(m, "Centers", "Centres of the structures of a batch: points with their atoms.")
        .def(nb::init<Positions, Integers, Integers, std::optional<RowWeightArrays>>(), nb::arg("points"),
             nb::arg("atoms"), nb::arg("offsets"), nb::arg("weights") = nb::none());
    nb::enum_<Problem>(m, "Problem")
        .value("none", Problem::none)
        .value("empty", Problem::empty)
        .value("position", Problem::position)
        .value("number", Problem::number)
        .value("cell", Problem::cell)
        .value("no_cell", Problem::no_cell)
        .value("volume", Problem::volume)
        .value("far", Problem::far)
        .value("coincident", Problem::coincident);
    m.def("read_atoms", &atoms_to_numpy, nb::arg("items"), nb::arg("type"),
          "Arrays of a list of ase.Atoms as (numbers, positions, offsets, cells, pbc); None if any is no object of "
          "the type, or not as ASE makes it.");
    m.def("read_checked", &read_and_inspect, nb::arg("items"), nb::arg("type"), nb::arg("periodic").none(),
          nb::arg("radii"), nb::arg("fraction"), nb::arg("least"), nb::arg("n_threads"),
          "The same, how many structures repeat, and what inspect_batch finds. With periodic=False cells are zeros; "
          "with True there must be some.");
    m.def("all_finite", &all_finite<double, std::uint64_t>, nb::arg("numbers").noconvert(), nb::arg("n_threads") = 1);
    m.def("all_finite", &all_finite<float, std::uint32_t>, nb::arg("numbers").noconvert(), nb::arg("n_threads") = 1,
          "Whether there is neither an infinity nor a nan among numbers.");
    m.def("join", &join<double>, nb::arg("arrays"), nb::arg("out").noconvert(), nb::arg("n_threads"));
    m.def("join", &join<float>, nb::arg("arrays"), nb::arg("out").noconvert(), nb::arg("n_threads"),
          "Write the rows of arrays one after the other, unless some are of another type or number, or not contiguous: "
          "then return False.");
    m.def("first_unknown", &first_unknown, nb::arg("numbers"), nb::arg("index_of_number"),
          "First atom whose number has no index, that is -1, in a table of all up to 118; -1 if there is none.");
    m.def("inspect_batch", &inspect_batch, nb::arg("batch"), nb::arg("need_cell"), nb::arg("radii").none(),
          nb::arg("fraction"), nb::arg("least"), nb::arg("n_threads"),
          "None or, if there is something to tell, the first problem of a batch and, if there is none, what "
          "close_pairs returns: (problem, structure, atom, other "
          "atom, close pairs); none are looked for if radii is None.");
    m.def("close_pairs", &pairs_too_close, nb::arg("batch"), nb::arg("radii"), nb::arg("fraction"), nb::arg("least"),
          "For each structure of a checked batch with atoms nearer than fraction of the sum of their radii or than "
          "least, those nearest to each other: (structure, atom, other atom, distance, limit); () if there are none.");
    m.def(
        "neighbour_pairs", &pairs_within, nb::arg("batch"), nb::arg("centers"), nb::arg("cutoff"), nb::arg("with_own"),
        nb::arg("radii").none(), nb::arg("n_nearest"), nb::arg("keep_ties"), nb::arg("tolerance"), nb::arg("most"),
        nb::arg("n_threads"),
        "Pairs of centres and atoms, sorted: (structure, centre and atom in it, shift, vector, distance). With "
        "with_own an atom "
        "on its own centre is one, too. With radii of all atoms those closer than the sum of two; of these n_nearest, "
        "unless 0. More than most raise MemoryError.");
}

const Family family("structures", define);

} // namespace

} // namespace atomprint::bind
