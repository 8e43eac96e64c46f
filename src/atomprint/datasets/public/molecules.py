"""Data sets of molecules: QM7 and Harvard organic photovoltaics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.units import Bohr, Hartree

from atomprint.chemistry.formula import atomic_number
from atomprint.datasets.dataset import Dataset
from atomprint.datasets.failures import Failures, check_on_error
from atomprint.datasets.public.archives import AGAIN, DataFileError, archive_files, damage_reported
from atomprint.datasets.public.batch_builder import BatchBuilder
from atomprint.datasets.public.cache import fetch, find_file
from atomprint.datasets.public.entry import Entry, TargetInfo
from atomprint.datasets.public.finish import check_rest, entry_dataset, folds_of_kept
from atomprint.datasets.public.registry import HOPV_FUNCTIONALS, entry
from atomprint.formats.opening import open_binary
from atomprint.util.progress import Progress, silent
from atomprint.util.types import FloatArray, PathOrStr

_ENERGIES = "hof_qm7.txt"
_ARCHIVES = ("qm7_xyz.tar.xz", "qm7.tar.gz", "qm7.tar.xz", "qm7_xyz.tar.gz")

_CHEAP = {
    "atomization_energy_cheap": TargetInfo(
        "kcal/mol",
        "Atomization energy at a cheaper level",
        "The same as the atomization energy, from a semi-empirical calculation (DFTB).",
    )
}


def load_qm7(
    *,
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return the QM7 molecules with their atomization energies in kcal/mol.

    Parameters
    ----------
    path : path, optional
        A copy that you have: ``qm7.mat``, or a folder with it, or a folder with ``hof_qm7.txt`` and the xyz files as
        an archive (``qm7_xyz.tar.xz`` or ``qm7.tar.gz``) or in a folder ``qm7``, the form in which the QML code has
        them. By default ``qm7.mat`` is downloaded once; no hash of it is published.
    cache, offline, progress
        As in :func:`~atomprint.datasets.load_matbench`.
    on_error : {"raise", "skip"}
        What to do with a molecule that cannot be read.

    Returns
    -------
    Dataset
        Target ``"atomization_energy"``; from the form of the QML code also ``"atomization_energy_cheap"``, the same at
        a cheaper level, for learning differences. ``qm7.mat`` has 7165 molecules and five official folds, the form of
        the QML code 7101 and none.

    Raises
    ------
    ValueError
        If a molecule cannot be read.
    DataFileError
        If a file is missing, damaged or not of these formats.
    """
    check_on_error(on_error)
    found = entry("qm7")
    if path is None:
        (place,) = fetch(found.name, cache=cache, offline=offline, progress=progress)
    else:
        place = find_file(path, ("qm7.mat", _ENERGIES))
    return _read_qml(place, found, on_error) if place.suffix == ".txt" else _read_mat(place, found, on_error)


def _read_mat(place: Path, found: Entry, on_error: str) -> Dataset:
    """Read ``qm7.mat``: charges Z, positions R in Bohr, both padded with zeros, energies T in kcal/mol, splits P."""
    from scipy.io import loadmat

    try:
        data = loadmat(place)
        z, r, t, splits = (np.asarray(data[key]) for key in ("Z", "R", "T", "P"))
    except Exception as error:  # SciPy raises whatever it meets
        raise DataFileError(f"{place} is damaged, or not qm7.mat ({error!r}): {AGAIN}") from error
    n = len(z)
    if z.ndim != 2 or r.shape != (*z.shape, 3) or t.size != n:
        raise DataFileError(f"{place} is not qm7.mat: Z, R and T have shapes {z.shape}, {r.shape} and {t.shape}")
    builder, failures, kept = BatchBuilder(), Failures(str(place), on_error), list[int]()
    for row in range(n):
        real = z[row] > 0
        try:
            if not real.any() or not (z[row][real] == np.rint(z[row][real])).all() or z[row].max() > 118:
                raise ValueError(f"nuclear charges must be those of elements, got {z[row][real].tolist()}")
            if not np.isfinite(r[row][real]).all():
                raise ValueError("positions must be finite")
        except ValueError as error:
            failures.add(row, str(row), "structure", error)
            continue
        builder.append(np.rint(z[row][real]).astype(np.int32), r[row][real] * Bohr)
        kept.append(row)
    check_rest(failures, len(kept))
    rows = np.array(kept, dtype=np.intp)
    parts = [np.sort(np.asarray(part, dtype=np.intp)) for part in splits]
    folds = tuple((np.setdiff1d(np.arange(n), part), part) for part in parts)
    return entry_dataset(
        found,
        [f"qm7-{row + 1:0{len(str(n))}d}" for row in kept],
        {"atomization_energy": t.ravel()[rows].astype(np.float64)},
        structures=builder.build(),
        folds=folds_of_kept(folds, rows, n),
        failures=failures,
    )


def _read_qml(place: Path, found: Entry, on_error: str) -> Dataset:
    """Read lines of ``0001.xyz -417.031 -431.787``: file, PBE0 energy and cheaper one, in kcal/mol."""
    xyz = _xyz_files(place.parent)
    builder, failures = BatchBuilder(), Failures(str(place), on_error)
    ids, energies = list[str](), list[tuple[float, float]]()
    for row, line in enumerate(place.read_text().splitlines()):
        step, name = "target", str(row)
        try:
            name, pbe0, cheap = line.split()
            pair = (float(pbe0), float(cheap))
            step = "structure"
            if name not in xyz:
                raise ValueError(f"there is no file {name}")
            builder.append(*_parse_xyz(xyz[name]))
        except ValueError as error:
            failures.add(row, name, step, error)
            continue
        ids.append(f"qm7-{Path(name).stem}")
        energies.append(pair)
    check_rest(failures, len(ids))
    columns = np.array(energies, dtype=np.float64).reshape(-1, 2).T
    values = dict(zip(("atomization_energy", "atomization_energy_cheap"), columns, strict=True))
    return entry_dataset(found, ids, values, structures=builder.build(), failures=failures, more=_CHEAP)


def _xyz_files(folder: Path) -> dict[str, bytes]:
    for name in _ARCHIVES:
        if (folder / name).exists():
            with damage_reported(folder / name):
                return {Path(member).name: content.read() for member, content in archive_files(folder / name)}
    if (folder / "qm7").is_dir():
        return {file.name: file.read_bytes() for file in (folder / "qm7").glob("*.xyz")}
    raise DataFileError(f"{folder} must have the xyz files as {', '.join(_ARCHIVES)} or in a folder qm7")


def _parse_xyz(content: bytes) -> tuple[npt.NDArray[np.int32], FloatArray]:
    lines = content.decode().splitlines()
    n = int(lines[0]) if lines else 0
    if n < 1:
        raise ValueError("the xyz file has no atoms")
    return _parse_atoms(lines[2 : 2 + n], n)


def _parse_atoms(lines: list[str], n: int) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Return numbers and positions of lines such as ``C 1.0 2.0 3.0``."""
    words = [line.split() for line in lines]
    if len(words) != n or any(len(word) < 4 for word in words):
        raise ValueError(f"there must be {n} lines with a symbol and three coordinates")
    numbers = np.array([atomic_number(word[0]) for word in words], dtype=np.int32)
    positions = np.array([word[1:4] for word in words], dtype=np.float64)
    if not np.isfinite(positions).all():
        raise ValueError("positions must be finite")
    return numbers, positions


@dataclass(frozen=True, slots=True)
class _Molecule:
    """One molecule of HOPV15: labels, what experiments say, and its conformers with what calculations say."""

    smiles: str
    inchi: str
    labels: Mapping[str, str]
    experiment: Mapping[str, float]
    conformers: tuple[tuple[Atoms, Mapping[str, float]], ...]


_LABELS = ("doi", "inchikey", "construction", "architecture", "complement")
_EXPERIMENT = ("homo", "lumo", "gap_electrochemical", "gap_optical", "pce", "voc", "jsc", "fill_factor")
# The file has orbital energies in Hartree and currents of the model in A/m²: with them, and not with mA/cm², the
# efficiencies in the file are those of the Scharber model, 0.65 × voltage × current at 1000 W/m².
_COMPUTED = {"homo": Hartree, "lumo": Hartree, "gap": Hartree, "pce": 1.0, "voc": 1.0, "jsc": 0.1}


def load_hopv(
    *,
    conformers: str = "first",
    path: PathOrStr | None = None,
    cache: PathOrStr | None = None,
    offline: bool | None = None,
    on_error: str = "raise",
    progress: Progress = silent,
) -> Dataset:
    """Return the Harvard organic photovoltaic data set (HOPV15).

    Parameters
    ----------
    conformers : {"first", "all"}
        Whether each molecule is there once, with its first conformer, or with all of them. Group ``"molecule"`` keeps
        the conformers of a molecule together in splits, which they must be: what experiments say is the same for all.
    path : path, optional
        A copy that you have: ``HOPV_15_revised_2.data`` or a folder with it. By default it is downloaded once; no hash
        of it is published.
    cache, offline, progress
        As in :func:`~atomprint.datasets.load_matbench`.
    on_error : {"raise", "skip"}
        What to do with a molecule that cannot be read.

    Returns
    -------
    Dataset
        Structures with ``smiles`` and ``inchi`` in ``atoms.info``. Targets from experiments ``"homo"``, ``"lumo"``,
        ``"gap_electrochemical"``, ``"gap_optical"`` (eV), ``"pce"`` (%), ``"voc"`` (V), ``"jsc"`` (mA/cm²) and
        ``"fill_factor"`` (%), nan where not reported; calculated ones such as ``"homo_b3lyp"``, for each of
        B3LYP, BP86, M06-2X and PBE0 (``"_b3lyp"``, ``"_bp86"``, ``"_m06-2x"``, ``"_pbe0"``), in the same units. Groups
        ``"molecule"`` (InChIKey), ``"smiles"``, ``"doi"``, ``"construction"``, ``"architecture"``, ``"complement"``.

    Raises
    ------
    ValueError
        If a molecule cannot be read.
    DataFileError
        If the file is missing, damaged or not of this format.
    """
    check_on_error(on_error)
    if conformers not in ("first", "all"):
        raise ValueError(f'conformers must be "first" or "all", got {conformers!r}')
    found = entry("hopv15")
    if path is None:
        (place,) = fetch(found.name, cache=cache, offline=offline, progress=progress)
    else:
        place = find_file(path, (found.files[0].name,))
    failures = Failures(str(place), on_error)
    molecules = list[_Molecule]()
    with damage_reported(place), open_binary(place) as file:
        for row, molecule in enumerate(_read_hopv(file, place)):
            if isinstance(molecule, ValueError):
                failures.add(row, str(row), "structure", molecule)
            else:
                molecules.append(molecule)
            progress(f"read {place.name}", row + 1, found.rows)
    check_rest(failures, len(molecules))
    structures, ids, rows = list[Atoms](), list[str](), list[tuple[_Molecule, Mapping[str, float]]]()
    names = dict[str, int]()
    for molecule in molecules:
        key = molecule.labels["inchikey"]
        names[key] = names.get(key, 0) + 1
        name = key if names[key] == 1 else f"{key}-{names[key]}"  # two donors with one key in two devices
        for number, (atoms, computed) in enumerate(molecule.conformers, 1):
            structures.append(atoms)
            ids.append(f"{name}/{number}" if conformers == "all" else name)
            rows.append((molecule, computed))
            if conformers == "first":
                break
    values = {name: np.array([one.experiment[name] for one, _ in rows]) for name in _EXPERIMENT}
    for key in HOPV_FUNCTIONALS:
        for name in _COMPUTED:
            values[f"{name}_{key}"] = np.array([c.get(f"{name}_{key}", np.nan) for _, c in rows])
    groups = {
        "molecule": np.array([one.labels["inchikey"] for one, _ in rows], dtype=np.str_),
        "smiles": np.array([one.smiles for one, _ in rows], dtype=np.str_),
        **{
            label: np.array([one.labels[label] for one, _ in rows], dtype=np.str_)
            for label in _LABELS
            if label != "inchikey"
        },
    }
    return entry_dataset(found, ids, values, structures=structures, groups=groups, failures=failures)


def _read_hopv(file: IO[bytes], place: Path) -> Iterator[_Molecule | ValueError]:
    """Give each molecule, or why it could not be read. A broken count ends it all: nobody knows what follows."""
    lines = (line.decode().strip() for line in file)

    def take(n: int) -> list[str]:
        found = list(islice(lines, n))
        if len(found) < n:
            raise DataFileError(f"{place} is truncated: it ends within a molecule: {AGAIN}")
        return found

    def count(line: str, what: str) -> int:
        if not line.isdigit():
            raise DataFileError(f"{place} is damaged or not of HOPV15: expected {what}, got {line!r:.60}: {AGAIN}")
        return int(line)

    for smiles in lines:
        if not smiles:
            continue
        inchi, experiment, _ = take(3)
        blocks = []
        for _ in range(count(take(1)[0], "the number of conformers")):
            _, number = take(2)
            n = count(number, "the number of atoms")
            blocks.append((n, take(n), take(len(HOPV_FUNCTIONALS))))
        try:
            yield _parse_hopv(smiles, inchi, experiment, blocks)
        except ValueError as error:
            yield error


def _parse_hopv(smiles: str, inchi: str, experiment: str, blocks: list[tuple[int, list[str], list[str]]]) -> _Molecule:
    words = experiment.split(",")
    if len(words) != len(_LABELS) + len(_EXPERIMENT):
        raise ValueError(f"there must be {len(_LABELS) + len(_EXPERIMENT)} experimental fields, got {len(words)}")
    if not blocks:
        raise ValueError("there is no conformer")
    conformers = []
    for n, atoms, calculations in blocks:
        numbers, positions = _parse_atoms(atoms, n)
        computed = {}
        for line in calculations:  # QChem B3LYP/def2-SVP DFT,-0.187,-0.099,0.088,1.56,0.488,49.288
            method, *numbers_text = line.split(",")
            functional = method.removeprefix("QChem ").partition("/")[0].lower()
            if functional not in HOPV_FUNCTIONALS or len(numbers_text) != len(_COMPUTED):
                raise ValueError(f"a calculation must be of {', '.join(HOPV_FUNCTIONALS.values())}, got {line!r}")
            for (name, unit), text in zip(_COMPUTED.items(), numbers_text, strict=True):
                computed[f"{name}_{functional}"] = float(text) * unit
        conformers.append((Atoms(numbers, positions, info={"smiles": smiles, "inchi": inchi}), computed))
    return _Molecule(
        smiles,
        inchi,
        dict(zip(_LABELS, words, strict=False)),
        {name: float(word) for name, word in zip(_EXPERIMENT, words[len(_LABELS) :], strict=True)},
        tuple(conformers),
    )
