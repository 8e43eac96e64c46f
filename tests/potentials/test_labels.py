"""Labels are found where they are, never taken from another key in silence, and judged."""

import csv
import json
from itertools import permutations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from atomprint.potentials import LabelledStructures, find_references, read_labels

COPPER = 'Lattice="3.6 0 0 0 3.6 0 0 0 3.6" pbc="T T T"'


def frame(said="", columns="", values=("", ""), cell=COPPER, symbols=("Cu", "Cu"), places=("0 0 0", "1.8 1.8 0")):
    """Return a frame of extended xyz with two atoms, or others."""
    rows = [" ".join(row) for row in zip(symbols, places, values, strict=True)]
    head = f"{cell} Properties=species:S:1:pos:R:3{columns and ':' + columns} {said}"
    return "\n".join([str(len(rows)), head, *rows, ""])


@pytest.fixture
def written(tmp_path):
    """Return a function that writes frames to a file."""

    def write(*frames, name="train.extxyz"):
        path = tmp_path / name
        path.write_text("".join(frames))
        return path

    return write


FORCES = ("forces:R:3", ("0.1 0 0", "-0.1 0 0"))


def emt_copper(strain=0.0, seed=0):
    """Return rattled copper with what EMT says of it."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * (1 + strain), scale_atoms=True)
    atoms.rattle(0.05, seed=seed)
    calc = EMT()
    atoms.calc = calc
    results = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms, results


def test_usual_keys_are_found(written):
    path = written(frame("energy=-7.5 config_type=bulk", *FORCES), frame("energy=-7.4", *FORCES))
    found = read_labels(path)
    assert found.energies.tolist() == [-7.5, -7.4]
    assert found.forces[1].tolist() == [-0.1, 0, 0]
    assert found.keys == {"energy": "energy", "forces": "forces", "config_type": "config_type"}
    assert found.config_types == ("bulk", "")
    assert np.isnan(found.stresses).all()
    assert found.places[1] == "train.extxyz, structure 1 (line 5)"


@pytest.mark.parametrize(
    "key", ["energy", "free_energy", "REF_energy", "dft_energy", "Energy", "dftEnergy", "total_energy", "E"]
)
def test_energies_have_many_names(written, key):
    assert read_labels(written(frame(f"{key}=-7.5"))).keys == {"energy": key}


@pytest.mark.parametrize(
    "key", ["energy_per_atom", "formation_energy", "energy_weight", "fermi_energy", "max_force", "energy_error"]
)
def test_what_only_sounds_like_a_label_is_none(written, key):
    with pytest.raises(ValueError, match=rf"no energies, forces or stresses: there are the keys .*'{key}'"):
        read_labels(written(frame(f"{key}=1.0")))


def test_energies_per_atom_are_told_and_used_if_they_are_asked_for(written):
    path = written(frame("energy_per_atom=-3.5", *FORCES))
    found = read_labels(path)
    assert np.isnan(found.energies).all()
    assert "No energies are used: 'energy_per_atom' is per atom, and may be given as energy_key." in found.notes
    found = read_labels(path, energy_key="energy_per_atom")
    assert found.energies.tolist() == [-7.0]
    assert "'energy_per_atom' is an energy per atom by its name: multiplied by the number of atoms." in found.notes


@pytest.mark.parametrize("key", ["force", "forces", "REF_forces", "dft_force"])
def test_forces_have_many_names(written, key):
    assert read_labels(written(frame("", f"{key}:R:3", FORCES[1]))).keys == {"forces": key}


def test_keys_that_differ_are_no_choice_of_ours(written):
    path = written(frame("energy=-7.5 REF_energy=-9.5"))
    with pytest.raises(ValueError, match=r"energy_key must be given.*'energy' in 1 of 1.*'REF_energy'.*differ by 2 eV"):
        read_labels(path)
    assert read_labels(path, energy_key="REF_energy").energies.tolist() == [-9.5]


def test_keys_that_say_the_same_are_told(written):
    found = read_labels(written(frame("energy=-7.5 free_energy=-7.5")))
    assert found.energies.tolist() == [-7.5]
    assert any("says the same" in note for note in found.notes)


def test_small_differences_of_large_energies_are_differences(written):
    with pytest.raises(ValueError, match="energy_key must be given"):
        read_labels(written(frame("energy=-50000.00 free_energy=-50000.04")))
    read_labels(written(frame("energy=-50000.001 free_energy=-50000.00")))  # printed with eight digits


def test_no_key_for_all_is_no_choice_of_ours(written):
    path = written(frame("energy=-7.5"), frame("REF_energy=-9.5"))
    with pytest.raises(ValueError, match=r"no key has all energies: 'energy' in 1 of 2.*'REF_energy' in 1 of 2"):
        read_labels(path)
    assert read_labels(path, energy_key=("energy", "REF_energy")).energies.tolist() == [-7.5, -9.5]
    assert read_labels(path, energy_key="energy").counts["energy"] == 1


def test_a_key_that_does_not_exist_lists_those_that_do(written):
    with pytest.raises(ValueError, match=r"forces_key: no key 'dft_forces': there are .*'energy'.*'forces'"):
        read_labels(written(frame("energy=-7.5", *FORCES)), forces_key="dft_forces")


def test_a_key_is_a_word():
    with pytest.raises(TypeError, match="energy_key must be a name or several names, got 3"):
        read_labels(bulk("Cu"), energy_key=3)
    with pytest.raises(ValueError, match="have no energies, forces or stresses: nothing is said of them; energy_key"):
        read_labels(bulk("Cu"))


def test_a_key_may_be_left_out(written):
    found = read_labels(written(frame("energy=-7.5", *FORCES)), forces_key="")
    assert set(found.keys) == {"energy"}
    assert np.isnan(found.forces).all()


def test_results_of_calculators_are_found_and_units_kept():
    atoms, results = emt_copper()
    found = read_labels([atoms])
    assert found.energies[0] == results["energy"]
    np.testing.assert_array_equal(found.forces, results["forces"])
    np.testing.assert_array_equal(found.stresses[0][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], results["stress"])


def test_results_of_other_positions_are_not_used():
    atoms, _ = emt_copper()
    moved = atoms.copy()
    moved.calc = atoms.calc
    moved.positions[0] += 0.1
    found = read_labels([atoms, moved])
    assert found.counts["energy"] == 1
    assert "structure 1: the results of the calculator belong to other positions" in found.warnings[0]
    several = read_labels([atoms, moved, moved])
    assert len([text for text in several.warnings if "and 1 more" in text]) == 1


def test_a_calculator_is_not_asked():
    atoms = bulk("Cu")
    atoms.calc = EMT()
    with pytest.raises(ValueError, match="calculator, which was not asked to compute"):
        read_labels(atoms)


def test_stresses_are_six_or_nine_numbers(written):
    nine = frame('REF_stress="1 6 5 6 2 4 5 4 3"')
    six = frame('REF_stress="1 2 3 4 5 6"')
    for text in (nine, six):
        assert read_labels(written(text)).stresses[0].tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    with pytest.raises(ValueError, match=r"structure 0 \(line 1\): 'REF_stress' must be six or nine numbers"):
        read_labels(written(frame('REF_stress="1 2 3"')))


def test_stresses_that_are_not_symmetric_are_told_and_named(written):
    crooked = frame('energy=1 REF_stress="1 0.2 0 0 2 0 0 0 3"', places=("0 0 0", "1.8 1.8 0.1"))
    found = read_labels(written(frame('energy=1 REF_stress="1 0 0 0 2 0 0 0 3"'), crooked))
    assert (
        "('REF_stress') of 1 structure are not symmetric, by 0.2 eV/Å^3 for train.extxyz, structure 1"
        in found.warnings[0]
    )
    assert found.stresses[1].tolist() == [[1, 0.1, 0], [0.1, 2, 0], [0, 0, 3]]
    given = np.diag([0.01, 0.02, 0.03])
    given[0, 1] = 0.02
    found = LabelledStructures.of([bulk("Cu")], stresses=[given])
    assert "('stresses') of 1 structure are not symmetric, by 0.02 eV/Å^3 for structure 0" in found.warnings[0]
    assert found.stresses[0, 0, 1] == found.stresses[0, 1, 0] == 0.01
    given[0, 1] = 1e-7
    assert not LabelledStructures.of([bulk("Cu")], stresses=[given]).warnings


def strained():
    return [emt_copper(strain, seed) for seed, strain in enumerate(np.linspace(-0.06, 0.04, 6))]


@pytest.mark.parametrize(("key", "sign"), [("virial", -1), ("stress", 1)])
def test_the_sign_of_stresses_is_told_by_volumes(key, sign):
    structures, wanted = [], []
    for atoms, results in strained():
        bare = atoms.copy()
        s = results["stress"]
        full = np.array([[s[0], s[5], s[4]], [s[5], s[1], s[3]], [s[4], s[3], s[2]]])
        wanted.append(full)
        bare.info["REF_" + key] = full * (sign * atoms.get_volume() if key == "virial" else 1)
        structures.append(bare)
    np.testing.assert_allclose(read_labels(structures).stresses, wanted, rtol=1e-12)
    turned = [atoms.copy() for atoms in structures]
    for atoms in turned:
        atoms.info["REF_" + key] = -atoms.info["REF_" + key]
    with pytest.raises(ValueError, match=rf"stress_convention must be given for 'REF_{key}'.*'-{key}' turns the sign"):
        read_labels(turned)
    np.testing.assert_allclose(read_labels(turned, stress_convention=f"-{key}").stresses, wanted, rtol=1e-12)
    assert "compressed cells would be in tension" in read_labels(turned, stress_convention=key).warnings[0]


def test_the_sign_of_a_virial_is_asked_for_where_nothing_tells(written):
    path = written(frame('virial="1 0 0 0 1 0 0 0 1"'))
    with pytest.raises(ValueError, match="stress_convention must be given for 'virial'"):
        read_labels(path)
    volume = 3.6**3
    assert read_labels(path, stress_convention="virial").stresses[0, 0, 0] == pytest.approx(-1 / volume, rel=1e-12)


def test_a_stress_beside_a_virial_tells_its_sign(written):
    volume = 3.6**3
    stress, virial = (f"{x} 0 0 0 {x} 0 0 0 {x}" for x in (0.01, -0.01 * volume))
    found = read_labels(written(frame(f'REF_virial="{virial}" REF_stress="{stress}"')))
    assert found.keys == {"stress": "REF_stress"}
    assert found.stresses[0, 0, 0] == 0.01


def test_a_virial_stress_is_one_or_the_other(written):
    path = written(frame('virial_stress="1 0 0 0 1 0 0 0 1"'))
    with pytest.raises(ValueError, match="since the name 'virial_stress' does not tell what its numbers are"):
        read_labels(path)
    assert read_labels(path, stress_convention="stress").stresses[0, 0, 0] == 1


def test_energies_that_readers_put_in_are_none(tmp_path):
    atoms, results = emt_copper()
    rows = [
        f"{i + 1} Cu {' '.join(map(str, [*x, *f]))}"
        for i, (x, f) in enumerate(zip(atoms.positions, results["forces"], strict=True))
    ]
    ends = [f"0 {length}" for length in atoms.cell.lengths()]
    dump = ["TIMESTEP", "0", "NUMBER OF ATOMS", "4", "BOX BOUNDS pp pp pp", *ends, "ATOMS id element x y z fx fy fz"]
    head = [f"ITEM: {line}" if line[0].isalpha() else line for line in dump]
    path = tmp_path / "dump.lammpstrj"
    path.write_text("\n".join([*head, *rows, ""]))
    found = read_labels(path)  # ASE says that the energy is 0
    assert found.keys == {"forces": "forces"}
    assert found.warnings[0].startswith("dump.lammpstrj does not say its units, and is read as if they were LAMMPS' 'm")
    assert "Energies ('energy') of dump.lammpstrj are all 0, though there are forces: they are n" in found.warnings[1]
    assert read_labels(path, energy_key="energy").energies.tolist() == [0.0]
    text = path.read_text()
    path.write_text(text.replace("element", "type").replace("Cu", "1"))  # which ASE takes for hydrogen
    with pytest.raises(ValueError, match="has types of atoms and no elements: let LAMMPS write these"):
        read_labels(path)
    path.write_text("ITEM: UNITS\nmetal\n" + text)
    assert "units" not in str(read_labels(path).warnings)
    path.write_text("ITEM: UNITS\nreal\n" + text)
    with pytest.raises(ValueError, match="is in LAMMPS' units 'real', and only those of 'metal' are read"):
        read_labels(path)
    path.write_text(text)
    both = read_labels([path, atoms])
    np.testing.assert_array_equal(both.energies, [np.nan, results["energy"]])


def test_folders_of_calculations(tmp_path):
    for run in ("b", "a"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        write(tmp_path / "runs" / run / "relax.traj", emt_copper(seed=ord(run))[0])
    found = read_labels(tmp_path / "runs")
    assert found.places == ("runs/a/relax.traj, structure 0", "runs/b/relax.traj, structure 0")
    assert found.notes[0] == "runs has 2 calculations: a/relax.traj, b/relax.traj."
    again = read_labels([tmp_path / "runs" / run / "relax.traj" for run in ("a", "b")])
    assert again.places[0] == f"{tmp_path / 'runs' / 'a' / 'relax.traj'}, structure 0"  # files of the same name
    (tmp_path / "runs" / "a" / "OUTCAR").write_text("broken")
    with pytest.raises(ValueError, match="OUTCAR"):
        read_labels(tmp_path / "runs")
    assert len(read_labels(tmp_path / "runs", on_error="skip")) == 2


def test_tables_and_records_have_labels(tmp_path):
    atoms, results = emt_copper()
    record = {
        "structure": {name: getattr(atoms, name).tolist() for name in ("numbers", "positions", "pbc")}
        | {"cell": atoms.cell.array.tolist()},
        "energy": results["energy"],
        "force": results["forces"].tolist(),
        "stress": results["stress"].tolist(),
    }
    (tmp_path / "frames.json").write_text(
        json.dumps({"mp-1": {"mp-1-0": record, "mp-1-1": record}, "mp-2": {"0": record}})
    )
    found = read_labels(tmp_path / "frames.json")  # as of MPtrj
    assert found.counts == {"energy": 3, "forces": 12, "stress": 3}
    assert found.places[1] == "frames.json, structure 1 (mp-1/mp-1-1)"
    cells = {name: value if isinstance(value, float) else json.dumps(value) for name, value in record.items()}
    with (tmp_path / "frames.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, cells)
        table.writeheader()
        table.writerow(cells)
    found = read_labels(tmp_path / "frames.csv")
    np.testing.assert_array_equal(found.forces, results["forces"])
    (tmp_path / "frames.csv").write_text((tmp_path / "frames.csv").read_text().replace("[[-", "[[+-"))
    with pytest.raises(ValueError, match="'force' must be a number or a list, got"):
        read_labels(tmp_path / "frames.csv")


@pytest.mark.parametrize("key", ["energy_kcal_mol", "energy (Ha)", "Energy_Ry"])
def test_a_unit_in_a_name_is_not_passed_over(key):
    atoms = bulk("Cu")
    atoms.info[key] = -3.5
    with pytest.raises(ValueError, match="by its name, and labels must be in eV: convert it, or name the key"):
        read_labels(atoms)
    assert "labels must be in eV" in read_labels(atoms, energy_key=key).warnings[0]


def test_a_stress_needs_a_volume(written):
    found = read_labels(written(frame('energy=1 stress="1 0 0 0 1 0 0 0 1"', cell='pbc="F F F"')))
    assert np.isnan(found.stresses).all()
    assert any("without a cell" in note for note in found.notes)


@pytest.mark.parametrize("word", ["nan", "None", "inf"])
def test_missing_and_infinite_labels_are_left_out_and_counted(written, word):
    found = read_labels(
        written(frame(f"energy={word}", *FORCES), frame("energy=-7.4", "forces:R:3", ("1 0 nan", "0 0 0")))
    )
    assert found.counts == {"energy": 1, "forces": 3, "stress": 0}
    assert any("Energies are missing for 1 of 2 structures (train.extxyz, structure 0" in note for note in found.notes)


def test_a_word_for_a_number_names_structure_key_and_value(written):
    path = written(frame("energy=-7.5"), frame('energy="-7.5 eV"'))
    with pytest.raises(ValueError, match=r"structure 1 \(line 5\): 'energy' must be a number, got '-7.5 eV'"):
        read_labels(path)
    found = read_labels(path, on_error="skip")
    assert len(found) == 1
    assert "Left out, 1 structure" in found.warnings[-1]


def test_a_number_as_text_is_a_number():
    atoms = bulk("Cu")
    atoms.info["REF_energy"] = " -3.5 "
    assert read_labels(atoms).energies.tolist() == [-3.5]


def test_empty_frames_are_named(written):
    path = written(frame("energy=-7.5"), f"0\n{COPPER} energy=0\n", frame("energy=-7.4"))
    with pytest.raises(ValueError, match=r"train.extxyz, structure 1 .*at least one atom"):
        read_labels(path)
    assert len(read_labels(path, on_error="skip")) == 2


def test_duplicates_are_told_and_where_they_contradict():
    atoms = [Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]], info={"energy": e}) for e in (-1.0, -2.0)]
    found = read_labels(atoms)
    assert found.duplicate_of.tolist() == [0, 0]
    assert "1 structure is the same as one before" in found.warnings[0]
    assert "differ by 500 meV/atom" in found.warnings[1]


def test_duplicates_are_found_in_any_order_cell_and_origin():
    rng = np.random.default_rng(0)
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat((2, 1, 1))
    crystal.rattle(0.05, seed=1)
    mixed = crystal[rng.permutation(len(crystal))]
    wrapped = mixed.copy()
    wrapped.positions += rng.integers(-2, 3, (len(mixed), 3)) @ mixed.cell.array
    moved = wrapped.copy()
    moved.positions += [0.3, 1.7, -2.2]
    rounded = moved.copy()
    rounded.positions = rounded.positions.round(4)
    other = mixed.copy()
    other.positions[3, 1] += 0.002
    swapped = crystal.copy()
    swapped.numbers[[0, 1]] = swapped.numbers[[1, 0]]
    squeezed = crystal.copy()
    squeezed.set_cell(crystal.cell * 0.999, scale_atoms=True)
    molecule = Atoms("CO2", rng.normal(size=(3, 3)) * 2)
    slab = mixed.copy()
    slab.pbc = (True, False, True)
    slab_again = slab.copy()
    slab_again.positions += slab.cell[2]
    slab_again.cell[1] = 0.0
    lifted = slab.copy()
    lifted.positions[5] += slab.cell[1]
    structures = [crystal, other, mixed, wrapped, moved, rounded, swapped, squeezed, molecule, molecule[[1, 2, 0]]]
    structures += [slab, slab_again, lifted]
    found = LabelledStructures.of(structures, energies=np.zeros(len(structures)))
    assert found.duplicate_of.tolist() == [0, 1, 0, 0, 0, 0, 6, 7, 8, 8, 10, 10, 12]


def test_duplicates_among_many_like_structures_are_found_fast():
    cell = bulk("Si", cubic=True).repeat(2)
    structures = []
    for seed in range(300):
        atoms = cell.copy()
        atoms.rattle(0.01, seed=seed)
        structures.append(atoms)
    rng = np.random.default_rng(0)
    mixed = [structures[k][rng.permutation(64)] for k in rng.permutation(300)]
    found = LabelledStructures.of([*structures, *mixed], energies=np.zeros(600)).duplicate_of
    assert found[:300].tolist() == list(range(300))
    assert sorted(found[300:].tolist()) == list(range(300))


def test_forces_of_duplicates_are_compared_atom_by_atom():
    atoms, results = emt_copper()
    order = [2, 0, 3, 1]
    mixed = atoms[order]
    both = {"energies": [-1.0, -1.0], "stresses": [np.zeros(6), np.zeros(6)]}
    found = LabelledStructures.of([atoms, mixed], forces=[results["forces"], results["forces"][order]], **both)
    assert len(found.warnings) == 1
    both["stresses"][1] = np.full(6, 0.01)
    found = LabelledStructures.of([atoms, mixed], forces=[results["forces"], results["forces"]], **both)
    assert "1 structure is the same as one before" in found.warnings[0]
    assert "The same structure has different forces: structure 1 and structure 0 differ by" in found.warnings[1]
    assert "different stresses: structure 1 and structure 0 differ by 1.6 GPa" in found.warnings[2]


def test_close_atoms_are_named_and_left_out(written):
    path = written(frame("energy=1", places=("0 0 0", "0.2 0 0")), frame("energy=2"))
    found = read_labels(path)
    assert found.energies.tolist() == [2.0]
    assert "train.extxyz, structure 0 (line 1): atoms 0 (Cu) and 1 (Cu) are 0.2 Å apart" in found.warnings[0]
    both = read_labels(path, allow_close=True)
    assert both.energies.tolist() == [1.0, 2.0]
    assert "are 0.2 Å apart" in both.warnings[0]
    with pytest.raises(ValueError, match="structure 0"):
        read_labels(written(frame("energy=1", places=("0 0 0", "0 0 0"))))
    with pytest.raises(ValueError, match=r"no structure can be used; .*0.2 Å apart"):
        read_labels(written(frame("energy=1", places=("0 0 0", "0.2 0 0"))))


def test_structures_with_huge_forces_are_left_out_and_named(written):
    path = written(frame("energy=1", "forces:R:3", ("1e4 0 0", "0 0 0")), frame("energy=2", *FORCES))
    found = read_labels(path)
    assert found.counts == {"energy": 1, "forces": 2, "stress": 0}
    assert (
        "1 structure with forces above 200 eV/Å are not used (max_force), such as 1e+04 eV/Å on atom 0"
        in found.warnings[0]
    )
    assert "train.extxyz, structure 0" in found.warnings[0]
    assert read_labels(path, max_force=None).counts["energy"] == 2


def test_stresses_as_of_gigapascals_are_told():
    crystals = [bulk("Cu", a=3.5 + 0.05 * k) for k in range(5)]
    stresses = np.linspace(-0.05, 0.05, 5)[:, None] * [1.0, 1, 1, 0, 0, 0]
    labels = LabelledStructures.of(crystals, energies=np.zeros(5), stresses=stresses)
    assert not labels.warnings
    labels = LabelledStructures.of(crystals, energies=np.zeros(5), stresses=160.2 * stresses)
    assert "are 4.01 eV/Å^3 or more in half of the structures, which is 642 GPa. Are the units" in labels.warnings[0]


def test_masks_of_forces(written):
    path = written(frame("", "forces:R:3:force_mask:L:1", ("0.1 0 0 T", "-0.1 0 0 F")))
    assert read_labels(path).counts["forces"] == 1


def test_gradients_are_the_negative_of_forces(written):
    assert read_labels(written(frame("", "gradient:R:3", FORCES[1]))).forces[0].tolist() == [-0.1, 0, 0]


def test_labels_as_arrays():
    atoms = [bulk("Cu"), bulk("Cu", cubic=True)]
    found = LabelledStructures.of(
        atoms, energies=[1, np.nan], forces=[None, np.zeros((4, 3))], stresses=[[1, 2, 3, 4, 5, 6], [np.nan] * 6]
    )
    assert found.counts == {"energy": 1, "forces": 4, "stress": 1}
    assert read_labels(found) is found
    assert found.pick([1]).counts == {"energy": 0, "forces": 4, "stress": 0}
    with pytest.raises(ValueError, match="energies must have shape"):
        LabelledStructures.of(atoms, energies=[1])


def test_labelled_structures_are_taken_apart_and_joined(written):
    one = read_labels(written(frame("energy=-7.5", *FORCES), frame("energy=-7.4"), name="a.extxyz"))
    two = read_labels(written(frame("REF_energy=-7.3"), name="b.extxyz"))
    both = read_labels([one, two])
    assert both.energies.tolist() == [-7.5, -7.4, -7.3]
    assert both.keys == {"energy": "energy or REF_energy", "forces": "forces"}
    assert both.places[2] == "b.extxyz, structure 0 (line 1)"
    assert repr(one) == f"LabelledStructures({one.summary()})"
    for key, wanted in ((2, [-7.3]), (-1, [-7.3]), (slice(1, 3), [-7.4, -7.3]), ([2, 0], [-7.3, -7.5])):
        assert both[key].energies.tolist() == wanted
    assert both[np.array([True, False, False])].counts == {"energy": 1, "forces": 2, "stress": 0}
    assert read_labels([both[k] for k in (2, 0)]).energies.tolist() == [-7.3, -7.5]
    assert repr(one.structures) == "Batch(2 structures, 4 atoms)"


def labelled(*pairs):
    structures = [Atoms(formula, np.arange(3 * len(Atoms(formula))).reshape(-1, 3) * 2.0) for formula, _ in pairs]
    return LabelledStructures.of(structures, energies=[energy for _, energy in pairs])


def test_forces_of_each_structure_fit_its_atoms():
    dimers = [Atoms("Cu2", [[0, 0, 0], [0, 0, d]]) for d in (2.2, 2.3)]
    with pytest.raises(ValueError, match=r"forces of structure 0 must have shape \(2, 3\), got \(1, 3\)"):
        LabelledStructures.of(dimers, forces=[np.zeros((1, 3)), np.zeros((3, 3))])
    labels = LabelledStructures.of([Atoms("Cu"), Atoms("Cu")], forces=[np.zeros((1, 3)), None])
    np.testing.assert_array_equal(labels.forces[:, 0], [0, np.nan])


def test_references_from_isolated_atoms():
    found = find_references(labelled(("H", -1.0), ("O", -5.0), ("H2O", -10.0)))
    assert found.energies == {1: -1.0, 8: -5.0}
    assert found.kind == "isolated"
    assert "isolated atoms in the data for H (-1 eV), O (-5 eV)" in found.note


def test_references_are_fitted_where_there_are_none():
    data = labelled(("H2O", -7.0), ("H2O2", -12.0), ("H4O", -9.0))
    found = find_references(data)
    assert found.kind == "fitted"
    np.testing.assert_allclose([found.energies[1], found.energies[8]], [-1, -5], rtol=1e-10)
    assert "no isolated atom of them" in found.note


def test_references_of_one_composition_are_shared_evenly():
    found = find_references(labelled(("H2O", -9.0), ("H4O2", -18.0)))
    np.testing.assert_allclose(list(found.energies.values()), [-3, -3])
    assert "arbitrary" in found.note


def test_references_may_be_given():
    data = labelled(("H", -1.0), ("H2O", -7.0))
    found = find_references(data, {"H": -2.0})
    np.testing.assert_allclose([found.energies[1], found.energies[8]], [-2, -3])
    assert find_references(data, "fitted").kind == "fitted"
    with pytest.raises(ValueError, match="'Xx'"):
        find_references(data, {"Xx": 1.0})


def test_references_without_energies_are_zero():
    data = LabelledStructures.of([bulk("Cu")], forces=np.zeros((1, 3)))
    found = find_references(data)
    assert (found.kind, found.energies) == ("none", {29: 0.0})
    assert "arbitrary zero" in found.note


@pytest.mark.parametrize(
    "said",
    [
        {"energy_key": ("energy_per_atom", "energy")},
        {"forces_key": ("forces", "gradient")},
        {"stress_key": ("stress", "virial"), "stress_convention": "virial"},
    ],
)
def test_several_keys_are_of_one_kind(said):
    atoms, results = emt_copper()
    atoms.info = {"energy_per_atom": -1.0, "energy": -4.0, "stress": results["stress"], "virial": np.eye(3)}
    atoms.arrays |= {"gradient": -results["forces"], "forces": results["forces"]}
    with pytest.raises(
        ValueError, match=r"_key must name keys of one kind, but '\w+' and '\w+' differ in sign or size"
    ):
        read_labels([atoms], **said)


def test_labels_that_are_given_are_not_changed():
    stresses = np.zeros((2, 3, 3))
    stresses[1] = np.inf
    LabelledStructures.of([bulk("Cu"), bulk("Cu")], energies=[0.0, 1.0], stresses=stresses)
    assert np.isinf(stresses[1]).all()


def test_the_order_by_content_looks_at_all_labels():
    atoms = bulk("Cu")
    for name, values in (
        ("forces", [[[x, 0, 0]] for x in (1.0, 2.0, 3.0)]),
        ("stresses", np.eye(3) * [[[1]], [[2]], [[3]]]),
    ):
        orders = set()
        for order in permutations(range(3)):
            labels = LabelledStructures.of([atoms] * 3, energies=[1.0] * 3, **{name: [values[k] for k in order]})
            orders.add(tuple(np.array(order)[labels.by_content].tolist()))
        assert len(orders) == 1
