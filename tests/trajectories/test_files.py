"""Trajectories in files: each format, read frame by frame, against ASE."""

import gzip
import tracemalloc

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.io import read, write

from atomprint.trajectories import FrameError, Trajectory


def a_run(n=5, triclinic=False, strain=0.0):
    """Return frames with velocities, each with its step."""
    rng = np.random.default_rng(0)
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=not triclinic)
    frames = []
    for k in range(n):
        frame = atoms.copy()
        frame.set_cell(atoms.cell * (1 + strain * k), scale_atoms=True)
        frame.rattle(0.05, seed=k)
        frame.set_velocities(rng.normal(size=(len(atoms), 3)))
        frame.info["step"] = 10 * k
        frames.append(frame)
    return frames


def same(found, wanted, velocities=True, decimals=6):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.get_chemical_symbols() == other.get_chemical_symbols()
        np.testing.assert_allclose(one.positions, other.positions, atol=10.0**-decimals)
        np.testing.assert_allclose(one.cell, other.cell, atol=10.0**-decimals)
        np.testing.assert_array_equal(one.pbc, other.pbc)
        if velocities:
            np.testing.assert_allclose(one.get_velocities(), other.get_velocities(), atol=10.0**-decimals)


@pytest.mark.parametrize("name", ["run.extxyz", "run.xyz.gz", "run.traj"])
def test_extended_xyz_and_traj(tmp_path, name):
    frames = a_run(strain=0.01)
    write(tmp_path / name, frames)
    trajectory = Trajectory(tmp_path / name, time_step=10.0)
    same(list(trajectory), frames)
    same(list(trajectory), frames)  # again
    assert trajectory.n_frames == 5


@pytest.mark.parametrize("strain", [0.0, 0.01])
def test_xdatcar(tmp_path, strain):
    frames = [frame[frame.numbers.argsort()] for frame in a_run(strain=strain)]
    if strain:  # VASP repeats the head where the cell changes
        text = ""
        for k, frame in enumerate(frames):
            write(tmp_path / "POSCAR", frame, format="vasp", direct=True)
            head = (tmp_path / "POSCAR").read_text().splitlines(keepends=True)
            text += "".join(head[:7]) + f"Direct configuration= {k + 1:5d}\n" + "".join(head[8 : 8 + len(frame)])
        (tmp_path / "XDATCAR").write_text(text)
    else:
        write(tmp_path / "XDATCAR", frames, format="vasp-xdatcar")
    found = list(Trajectory(tmp_path / "XDATCAR", time_step=1.0))
    same(found, read(tmp_path / "XDATCAR", ":", format="vasp-xdatcar"), velocities=False)
    same(found, frames, velocities=False)


def dump(frames, columns, scale_velocities=1.0, labels="pp pp pp", units_item="", origin=(0.0, 0.0, 0.0), shuffle=True):
    """Return frames as LAMMPS writes them, in cells of the form that it has."""
    rng = np.random.default_rng(1)
    text = ""
    types = {number: k + 1 for k, number in enumerate(sorted(set(frames[0].numbers)))}
    for k, frame in enumerate(frames):
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = frame.cell
        bounds = [
            [min(0, xy, xz, xy + xz), xx + max(0, xy, xz, xy + xz), xy],
            [min(0, yz), yy + max(0, yz), xz],
            [0, zz, yz],
        ]
        skewed = bool(xy or xz or yz)
        box = "".join(
            f"{low + o:.12g} {high + o:.12g}" + (f" {tilt:.12g}\n" if skewed else "\n")
            for (low, high, tilt), o in zip(bounds, origin, strict=True)
        )
        head = ("xy xz yz " if skewed else "") + labels
        text += units_item + f"ITEM: TIMESTEP\n{100 * k}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n"
        text += f"ITEM: BOX BOUNDS {head}\n{box}ITEM: ATOMS {columns}\n"
        fractions = frame.get_scaled_positions(wrap=False)
        images = np.floor(fractions)
        wrapped = frame.positions - images @ frame.cell.array
        velocities = frame.get_velocities() * scale_velocities
        order = rng.permutation(len(frame)) if shuffle else range(len(frame))
        for i in order:
            row = {
                "id": i + 1,
                "type": types[frame.numbers[i]],
                "element": frame.symbols[i],
                "mass": frame.get_masses()[i],
            }
            row |= dict(zip(("x", "y", "z"), wrapped[i] + origin, strict=True))
            row |= dict(zip(("xu", "yu", "zu"), frame.positions[i] + origin, strict=True))
            row |= dict(zip(("xs", "ys", "zs"), fractions[i] - images[i], strict=True))
            row |= dict(zip(("xsu", "ysu", "zsu"), fractions[i], strict=True))
            row |= dict(zip(("vx", "vy", "vz"), velocities[i], strict=True))
            row |= dict(zip(("ix", "iy", "iz"), images[i].astype(int), strict=True))
            text += " ".join(str(row[name]) for name in columns.split()) + "\n"
    return text


PLACES = ["x y z ix iy iz", "xu yu zu", "xs ys zs ix iy iz", "xsu ysu zsu"]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("skewed", [False, True])
def test_dumps_of_lammps(tmp_path, places, skewed):
    frames = a_run(strain=0.01)
    for frame in frames:
        if skewed:
            frame.set_cell(frame.cell.array + np.array([[0, 0, 0], [1.2, 0, 0], [-0.7, 0.9, 0]]), scale_atoms=True)
        frame.positions += [7.0, -13.0, 0.0]  # other images
    scale = 1e3 * units.fs  # in Å/ps
    text = dump(frames, f"id element {places} vx vy vz", scale, origin=(1.0, -2.0, 0.5))
    (tmp_path / "run.dump").write_text(text)
    trajectory = Trajectory(tmp_path / "run.dump", time_step=100.0, units="metal")
    same(list(trajectory), frames)
    assert [frame.info["step"] for frame in trajectory] == [0, 100, 200, 300, 400]


@pytest.mark.parametrize("skewed", [False, True])
def test_dumps_are_read_as_ase_reads_them(tmp_path, skewed):
    frames = a_run()
    if skewed:
        for frame in frames:
            frame.set_cell(frame.cell.array + np.array([[0, 0, 0], [1.2, 0, 0], [0.7, 0.9, 0]]), scale_atoms=True)
    for frame in frames:
        frame.wrap()
    (tmp_path / "run.lammpstrj").write_text(dump(frames, "id element x y z vx vy vz"))
    found = list(Trajectory(tmp_path / "run.lammpstrj", time_step=1.0, units="metal"))
    wanted = read(tmp_path / "run.lammpstrj", ":", format="lammps-dump-text")
    same(found, wanted)


def test_elements_and_units_of_dumps(tmp_path):
    frames = a_run(2)
    for frame in frames:
        frame.wrap()
    scale = units.fs  # in Å/fs
    path = tmp_path / "dump.gz"

    def trajectory(columns, units_item="", **given):
        path.write_bytes(gzip.compress(dump(frames, columns, scale, units_item=units_item).encode()))
        return Trajectory(path, time_step=1.0, **given)

    real = "ITEM: UNITS\nreal\n"
    same(list(trajectory("id type x y z vx vy vz", real, species=["Na", "Cl"])), frames)
    same(list(trajectory("id mass x y z vx vy vz", units="real")), frames)
    for message, columns, given in [
        ("file does not tell its units: give units=", "id element x y z", {}),
        ("units 'lj' are not read", "id element x y z", {"units": "lj"}),
        ("no elements: give species=", "id type x y z", {"units": "metal"}),
        ("an element for each type of atom, 2, got 1", "id type x y z", {"units": "metal", "species": ["Na"]}),
        ("has no positions, but the columns id, element", "id element", {"units": "metal"}),
    ]:
        with pytest.raises(ValueError, match=f"^dump.gz, frame 0: .*{message}"):
            list(trajectory(columns, **given))
    with pytest.raises(ValueError, match="must be those of the file, 'real', got 'metal'"):
        list(trajectory("id element x y z", real, units="metal"))


@pytest.mark.parametrize(("name", "cut"), [("run.xyz", 100), ("XDATCAR", 30), ("run.dump", 30)])
def test_files_that_end_too_early(tmp_path, name, cut):
    frames = a_run(3)
    given = {}
    if name == "run.dump":
        (tmp_path / name).write_text(dump(frames, "id element x y z"))
        given = {"units": "metal"}
    else:
        write(tmp_path / name, frames, format="extxyz" if name == "run.xyz" else "vasp-xdatcar")
    whole = (tmp_path / name).read_text()
    (tmp_path / name).write_text(whole[:-cut])
    with pytest.raises(ValueError, match=rf"^{name}, frame 2: "):
        list(Trajectory(tmp_path / name, time_step=1.0, **given))


def test_files_are_never_held_as_a_whole(tmp_path):
    atoms = bulk("Cu", cubic=True) * 3
    frames = [atoms.copy() for _ in range(40)]
    write(tmp_path / "run.xyz", frames)
    (tmp_path / "run.dump").write_text(dump(frames, "id element x y z"))
    write(tmp_path / "XDATCAR", frames, format="vasp-xdatcar")
    for name, given in (("run.xyz", {}), ("run.dump", {"units": "metal"}), ("XDATCAR", {})):
        trajectory = Trajectory(tmp_path / name, time_step=1.0, **given)
        for _ in trajectory[:2]:
            pass  # imports
        tracemalloc.start()
        for _ in trajectory[:10]:
            pass
        few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        for _ in trajectory:
            pass
        many = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert many < 1.5 * few


def test_frames_that_are_not_of_one_trajectory():
    cell = bulk("Cu", cubic=True)
    other = cell.copy()
    other.symbols[2] = "Ag"
    lost = cell.copy()
    lost.positions[1, 0] = np.nan
    open_ = cell.copy()
    open_.pbc = [True, True, False]
    flat = cell.copy()
    flat.cell[2] = 0
    flat.pbc = True
    for message, frames in [
        ("frame 1 must have the atoms of the first, 4, got 3", [cell, cell[:3]]),
        ("frame 2, atom 2: must be of the element that it is in the first frame, got Ag", [cell, cell, other]),
        ("frame 1, atom 1: position must be finite", [cell, lost]),
        ("frame 1 must repeat as the first does", [cell, open_]),
        ("frame 0 must have at least one atom", [Atoms()]),
    ]:
        with pytest.raises(FrameError, match=f"^{message}"):
            list(Trajectory(frames, time_step=1.0))


def test_uneven_times_are_refused(tmp_path):
    frames = a_run(4)
    assert Trajectory(frames, time_step=1.0).n_frames == 4
    del frames[2]
    with pytest.raises(FrameError, match=r"frame 2: frames must come at even times: its step must be 10 \+ 10, got 30"):
        list(Trajectory(frames, time_step=1.0))
    with pytest.raises(FrameError, match="frame 2: frames must come at even times"):  # also where it is passed over
        list(Trajectory(frames, time_step=1.0, every=3, stop=3))
    frames = a_run(3)
    for k, frame in enumerate(frames):
        frame.info["time_ps"] = 0.005 * k
    assert Trajectory(frames, time_step=5.0).n_frames == 3
    with pytest.raises(ValueError, match="time_step must be the time from frame to frame, which the file says is 5 fs"):
        list(Trajectory(frames, time_step=1.0))
    del frames[2].info["step"]
    with pytest.raises(FrameError, match="frame 2 must tell its step as those before do, got None"):
        list(Trajectory(frames, time_step=5.0))


def test_parts_of_a_trajectory():
    frames = [Atoms("H", positions=[[k, 0, 0]]) for k in range(20)]
    whole = Trajectory(frames, time_step=2.0, start=1, every=2)
    assert [frame.positions[0, 0] for frame in whole] == list(range(1, 20, 2))
    part = whole[2:8:3]
    assert [frame.positions[0, 0] for frame in part] == list(range(1, 20, 2))[2:8:3]
    assert (part.interval, part.n_frames, whole.interval, whole.n_frames) == (12.0, 2, 4.0, 10)
    assert [frame.positions[0, 0] for frame in whole[5:5]] == []
    assert [frame.positions[0, 0] for frame in whole[:4][1:9]] == [3, 5, 7]
    with pytest.raises(TypeError, match="can only be sliced, got 3"):
        whole[3]
    with pytest.raises(ValueError, match="start of a slice must be >= 0, got -1"):
        whole[-1:]


def test_sources_that_are_refused(tmp_path):
    for error, message, given in [
        (TypeError, "read several times, got generator", {"source": (atoms for atoms in [])}),
        (TypeError, "source must be a file or a sequence of Atoms, got Atoms", {"source": molecule("H2O")}),
        (FileNotFoundError, "no such file", {"source": tmp_path / "none.xyz"}),
        (ValueError, "time_step must be > 0, got 0", {"source": [], "time_step": 0}),
        (ValueError, "units is for files, got 'metal' for list", {"source": [], "units": "metal"}),
    ]:
        with pytest.raises(error, match=message):
            Trajectory(**{"time_step": 1.0} | given)
    with pytest.raises(ValueError, match="must have a frame from 0 on, got none"):
        _ = Trajectory([], time_step=1.0).first


def test_descriptors_of_frames(tmp_path):
    from atomprint.descriptors import SOAP, CoulombMatrix

    frames = a_run(5)
    write(tmp_path / "run.xyz", frames)
    trajectory = Trajectory(tmp_path / "run.xyz", time_step=1.0)
    small = {"species": ["Na", "Cl"], "r_cut": 3.0, "n_max": 2, "l_max": 1, "periodic": True}
    for descriptor in (SOAP(**small), SOAP(**small, average="outer"), CoulombMatrix(8)):
        pieces = list(trajectory.describe(descriptor, chunk=2))
        assert [len(piece) for piece in pieces] == [2, 2, 1]
        wanted = descriptor.create([Atoms(f.numbers, f.positions, cell=f.cell, pbc=f.pbc) for f in frames])
        np.testing.assert_allclose(np.concatenate(pieces), np.array(wanted), atol=1e-5)
    assert pieces[0].ndim == 2
    assert next(trajectory.describe(SOAP(**small))).shape[:2] == (5, 8)


def test_generators_may_move_the_same_atoms():
    def run():
        atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 1.0]])
        for _ in range(4):
            yield atoms
            atoms.positions[0, 0] += 1

    trajectory = Trajectory(run, time_step=1.0)
    _ = trajectory.first
    assert trajectory.n_frames == 4
    assert trajectory.first.positions[0, 0] == 0
