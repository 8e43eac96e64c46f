// The neighbours of the atoms of one structure, kept while its atoms move and its cell changes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/batch.hpp"
#include "core/lattice.hpp"

namespace atomprint {

// The neighbours of one atom, sorted by kind, atom and lattice translation: images, vectors to them and squared
// distances. Arrays are longer than n.
struct AtomNeighbours {
    std::size_t n = 0;
    std::vector<std::int32_t> image;
    std::vector<double> x, y, z, r2;
    std::vector<double> candidate_x, candidate_y, candidate_z;
};

// Pairs within cutoff + skin are listed once, and at each call those within the cutoff are found among them. They are
// listed again as soon as others might have come within the cutoff. What was near before does not matter: the
// neighbours and their order are those of a new list, and so are the vectors but for rounding.
class KeptPairs {
public:
    KeptPairs(double cutoff, double skin) : cutoff_(cutoff), skin_(skin) {}

    // Moves the atoms; returns whether the pairs were listed again. `kinds` has the species of each atom. Throws what
    // NeighbourFinder does.
    bool update(const Structure& structure, const std::int32_t* kinds);

    // The atoms sorted by kind.
    const std::vector<std::int32_t>& order() const { return order_; }
    // The kinds that are there, ascending.
    const std::vector<std::int32_t>& kinds() const { return present_; }

    // The images of atoms that may be neighbours.
    const std::int32_t* atom_of_image() const { return image_atom_.data(); }
    const std::int32_t* kind_of_image() const { return image_kind_.data(); }
    std::int32_t image_of(std::int32_t atom) const { return own_[atom]; } // which is the atom itself

    void neighbours(std::int32_t atom, AtomNeighbours& found) const;

private:
    bool covers(const Structure& structure, const std::int32_t* kinds, const Lattice& lattice) const;
    void list(const Structure& structure, const std::int32_t* kinds);
    void place(const Structure& structure, const Lattice& lattice);

    double cutoff_, skin_;
    // What the list was made for.
    bool listed_ = false;
    std::vector<double> positions_;
    std::vector<std::int32_t> kinds_;
    std::array<Vec3, 3> cell_{}, inverse_{};
    std::array<bool, 3> periodic_{};
    // The list.
    std::vector<std::int32_t> order_, present_;
    std::vector<std::int32_t> image_atom_, image_kind_;    // by kind, atom and translation
    std::vector<std::array<std::int32_t, 3>> image_shift_; // lattice translation added to the atom's position
    std::vector<std::int32_t> own_;                        // image that is the atom itself
    std::vector<std::size_t> first_;                       // (n_atoms + 1)
    std::vector<std::int32_t> candidates_;                 // images, ascending for each atom
    // Where the images are now.
    std::vector<double> x_, y_, z_;
};

} // namespace atomprint
