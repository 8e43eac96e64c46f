// The functions of a potential that evaluate() of potentials/evaluate.hpp runs, the same for all.
#pragma once

#include <nanobind/stl/unique_ptr.h>

#include <cmath>
#include <memory>
#include <mutex>

#include "bind/arrays.hpp"
#include "core/checks.hpp"
#include "potentials/evaluate.hpp"

namespace atomprint::bind {

// Structures that a potential is asked about again and again, with their atoms elsewhere; calls wait for each other.
class PreparedPairs {
public:
    PreparedPairs(const BatchArrays& batch, double cutoff, double skin)
        : batch(batch), kept(batch.n_structures, cutoff, skin) {}

    BatchArrays batch;
    KeptPairsOfBatch kept;
    std::mutex mutex;
};

// As inspect() of core/checks.hpp wants them: farther away positions are too coarse to be told apart.
inline void require_finite(const double* values, std::size_t n) {
    bool all = true;
    for (std::size_t k = 0; k < n; ++k)
        all &= std::abs(values[k]) <= farthest;
    require(all, "positions and cell must be finite and within 1e7 Å");
}

template <class Model>
void define_potential(nb::class_<Model>& model) {
    using Energies = Out<double, nb::ndim<1>>;
    using Gradient = Out<double, nb::shape<-1, 3>>;
    using Strain = Out<double, nb::shape<-1, 3, 3>>;
    const auto check = [](const BatchArrays& batch, const Energies& energies, const Gradient& gradient,
                          const Strain& strain) {
        require(energies.shape(0) == batch.n_atoms() && gradient.shape(0) == batch.n_atoms() &&
                    strain.shape(0) == batch.n_structures,
                "energies and gradient must have a row for each atom and strain one for each structure");
    };
    model.def_prop_ro("cutoff", &Model::cutoff)
        .def(
            "evaluate",
            [check](const Model& self, const BatchArrays& batch, const Energies& energies, const Gradient& gradient,
                    const Strain& strain, int n_threads) {
                check(batch, energies, gradient, strain);
                require_finite(batch.positions, 3 * batch.n_atoms());
                require_finite(batch.cells, 9 * batch.n_structures);
                nb::gil_scoped_release release;
                return evaluate(self, batch, nullptr, n_threads, {energies.data(), gradient.data(), strain.data()});
            },
            nb::arg("batch"), nb::arg("energies").noconvert(), nb::arg("gradient").noconvert(),
            nb::arg("strain").noconvert(), nb::arg("n_threads"),
            "Write energies by atoms, and their sum's derivatives by positions and by strain; returns the distance of "
            "the "
            "two atoms that are nearest to each other in units of that which is known, where one is.")
        .def(
            "prepare",
            [](const Model& self, const BatchArrays& batch, double skin) {
                require(skin >= 0.0 && std::isfinite(skin), "skin must be >= 0 and finite");
                return std::make_unique<PreparedPairs>(batch, self.cutoff(), skin);
            },
            nb::arg("batch"), nb::arg("skin"), "Return what keeps the pairs of these structures between calls.")
        .def(
            "evaluate_moved",
            [check](const Model& self, PreparedPairs& prepared, const Positions& positions,
                    const In<double, nb::shape<-1, 3, 3>>& cells, const Energies& energies, const Gradient& gradient,
                    const Strain& strain, int n_threads) {
                check(prepared.batch, energies, gradient, strain);
                require(positions.shape(0) == prepared.batch.n_atoms() && cells.shape(0) == prepared.batch.n_structures,
                        "positions and cells must be those of the structures that were prepared");
                require_finite(positions.data(), positions.size());
                require_finite(cells.data(), cells.size());
                require(prepared.kept.cutoff == self.cutoff(), "pairs must have been prepared for the same cutoff");
                Batch moved = prepared.batch;
                moved.positions = positions.data(), moved.cells = cells.data();
                nb::gil_scoped_release release;
                const std::scoped_lock lock(prepared.mutex);
                return evaluate(self, moved, &prepared.kept, n_threads,
                                {energies.data(), gradient.data(), strain.data()});
            },
            nb::arg("prepared"), nb::arg("positions"), nb::arg("cells"), nb::arg("energies").noconvert(),
            nb::arg("gradient").noconvert(), nb::arg("strain").noconvert(), nb::arg("n_threads"),
            "The same for other positions and cells, with the pairs that were kept.");
}

} // namespace atomprint::bind
