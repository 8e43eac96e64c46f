"""Fingerprints of molecules: circular fragments, and the keys of MACCS."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atomprint.chemistry.smiles import quiet_rdkit
from atomprint.descriptors.molecular.contract import (
    MolecularDescriptor,
    Molecules,
    read_molecules,
    sparse_rows,
)
from atomprint.layout import Axis, Block, Layout
from atomprint.util.extras import require
from atomprint.util.items import items_of
from atomprint.util.registry import public
from atomprint.util.types import PathOrStr
from atomprint.util.validation import check_bool, check_choice, check_integer

_INVARIANTS = ("atoms", "features")
_LOOKED_AT = 5000  # molecules of fit whose fragments name the features


@public("MorganFingerprint", version=1, in_recipes=True)
class MorganFingerprint(MolecularDescriptor):
    """Morgan's fingerprint: which circular fragments a molecule has, folded to a fixed number of features.

    A fragment is an atom with all that is within some number of bonds. With ``radius=2`` and ``invariants="atoms"`` it
    is much the same as ECFP4, with ``"features"`` as FCFP4 [1]_. Values are those of RDKit's generator.

    Parameters
    ----------
    radius : int
        Number of bonds that fragments reach from their centre; all smaller fragments count, too.
    n_bits : int
        Number of features. Fragments are spread over them by a hash, so several may share one.
    counts : bool
        Whether to count how often fragments occur, or only tell whether they do.
    invariants : {"atoms", "features"}
        What atoms are told apart by: element, neighbours, hydrogens, charge, isotope and rings; or what they do: donors
        and acceptors of hydrogen bonds, aromatic, halogen, basic, acidic.
    chirality : bool
        Whether mirror images differ.
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float32", "float64"}
        Precision of the result; both hold counts exactly.
    n_jobs : int
        Number of threads. Molecules are read on one.

    Attributes
    ----------
    fragments_ : ndarray of str, shape (n_bits,)
        The fragment of each feature that most of the first 5000 molecules of ``fit`` have, as SMILES, with how many
        others share the feature; empty where none was seen. Names of features have it.

    Notes
    -----
    Needs RDKit: ``pip install 'atomprint[rdkit]'``. Isotopes and charges count, stereo only with ``chirality``; open
    ends (``*``) are atoms of no element. The features do not depend on ``fit``, only their names do.

    References
    ----------
    .. [1] D. Rogers and M. Hahn, J. Chem. Inf. Model. 50, 742 (2010).

    Examples
    --------
    >>> from atomprint.descriptors import MorganFingerprint
    >>> MorganFingerprint(radius=1, n_bits=64, counts=True).create(["CCO", "CCCO"]).sum(axis=1)  # doctest: +SKIP
    array([6., 8.], dtype=float32)
    """

    def __init__(
        self,
        radius: int = 2,
        n_bits: int = 2048,
        counts: bool = False,
        invariants: str = "atoms",
        chirality: bool = False,
        sparse: bool = False,
        dtype: Any = "float32",
        n_jobs: int | None = 1,
    ) -> None:
        self._initialise(locals())

    def _validate(self) -> None:
        super()._validate()
        check_integer("radius", self.radius, 0, 20)
        check_integer("n_bits", self.n_bits, 1, 2**24)
        check_bool("counts", self.counts)
        check_choice("invariants", self.invariants, _INVARIANTS)
        check_bool("chirality", self.chirality)

    def _generator(self) -> Any:
        generators = require("rdkit.Chem.rdFingerprintGenerator", "rdkit", type(self).__name__)
        options = {"radius": int(self.radius), "fpSize": int(self.n_bits), "includeChirality": bool(self.chirality)}
        if self.invariants == "features":
            options["atomInvariantsGenerator"] = generators.GetMorganFeatureAtomInvGen()
        return generators.GetMorganGenerator(**options)

    def _rows(self, molecules: Sequence[Any], n_threads: int) -> Any:
        generator, n_features = self._generator(), int(self.n_bits)
        with quiet_rdkit():
            if self.counts:
                found = [one.GetNonzeroElements() for one in generator.GetCountFingerprints(molecules, n_threads)]
                return sparse_rows(found, [one.values() for one in found], n_features)
            prints = generator.GetFingerprints(molecules, n_threads)
        if self.sparse:
            return sparse_rows([one.GetOnBits() for one in prints], None, n_features)
        return _unpacked(prints, n_features)

    def _observer(self) -> _Seen:
        return _Seen(self._generator())

    def _learn(self, observer: _Seen) -> None:
        self.fragments_ = observer.names(int(self.n_bits))

    def _layout(self) -> Layout:
        fragments = getattr(self, "fragments_", None)
        if fragments is None or len(fragments) != self.n_bits:  # parameters were set after the fit
            fragments = [""] * int(self.n_bits)
        texts = [f"{bit} {text}".strip() for bit, text in enumerate(fragments)]
        groups = [text.partition(" ")[0] for text in fragments]
        return Layout(type(self).__name__, [Block((), [Axis("fragments", texts, groups)])])

    def draw(
        self, feature: int, molecules: Molecules, path: PathOrStr | None = None, *, format: str | None = None
    ) -> str | bytes:
        """Draw the fragment that a feature is about, in the first of some molecules that has it.

        Parameters
        ----------
        feature : int
            Which feature, from 0.
        molecules : molecule or sequence of molecules
            Where to look for it.
        path : path, optional
            A file to write the picture to.
        format : {"svg", "png"}, optional
            Kind of picture. Default: by the ending of ``path``, or else SVG.

        Returns
        -------
        str or bytes
            The text of an SVG, or the bytes of a PNG. The centre of the fragment is blue, its aromatic atoms yellow;
            bonds that leave it are grey.

        Raises
        ------
        ValueError
            If there is no such feature or format, or no molecule has it.
        """
        feature = check_integer("feature", feature, 0, int(self.n_bits) - 1)
        if format is None:
            format = "png" if str(path or "").lower().endswith(".png") else "svg"
        check_choice("format", format, ("svg", "png"))
        molecules = items_of("molecules", molecules)
        found = read_molecules([molecules] if isinstance(molecules, str) or not np.iterable(molecules) else molecules)
        output = require("rdkit.Chem.rdFingerprintGenerator", "rdkit").AdditionalOutput()
        output.AllocateBitInfoMap()
        generator = self._generator()
        for mol in found:
            generator.GetFingerprint(mol, additionalOutput=output)
            info = output.GetBitInfoMap()
            if feature in info:
                draw = require("rdkit.Chem.Draw", "rdkit").DrawMorganBit
                picture = draw(mol, feature, info, whichExample=0, useSVG=format == "svg")
                made = picture if format == "svg" else _png(picture)
                if path is not None:
                    with open(path, "wb") as file:
                        file.write(made.encode() if isinstance(made, str) else made)
                return made
        raise ValueError(f"feature {feature} is in none of {len(found)} molecules")


def _png(picture: Any) -> bytes:
    if isinstance(picture, bytes):
        return picture
    from io import BytesIO

    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _unpacked(prints: Sequence[Any], n_features: int) -> npt.NDArray[np.uint8]:
    """Return bit vectors of RDKit as an array of 0 and 1."""
    to_binary = require("rdkit.DataStructs", "rdkit").BitVectToBinaryText
    packed = np.frombuffer(b"".join(map(to_binary, prints)), dtype=np.uint8).reshape(len(prints), -1)
    return np.unpackbits(packed, axis=1, count=n_features, bitorder="little")


class _Seen:
    """Fragments of molecules, by the hash of each, and in how many molecules they are."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.output = require("rdkit.Chem.rdFingerprintGenerator", "rdkit").AdditionalOutput()
        self.output.AllocateBitInfoMap()
        self.texts: dict[int, str] = {}
        self.counts: Counter[int] = Counter()
        self.left = _LOOKED_AT

    def add(self, molecules: Sequence[Any]) -> None:
        """Look at more molecules."""
        for mol in molecules[: self.left]:
            self.generator.GetSparseFingerprint(mol, additionalOutput=self.output)
            info = self.output.GetBitInfoMap()
            self.counts.update(info.keys())
            for code, places in info.items():
                if code not in self.texts:
                    self.texts[code] = fragment_smiles(mol, *places[0])
        self.left -= len(molecules[: self.left])

    def names(self, n_bits: int) -> npt.NDArray[np.str_]:
        """Return for each feature its most frequent fragment, and how many others it has."""
        by_bit: dict[int, list[int]] = {}
        for code, _ in self.counts.most_common():
            by_bit.setdefault(code % n_bits, []).append(code)
        names = [""] * n_bits
        for bit, codes in by_bit.items():
            names[bit] = self.texts[codes[0]] + (f" (+{len(codes) - 1})" if len(codes) > 1 else "")
        return np.array(names, dtype=np.str_)


def fragment_smiles(mol: Any, atom: int, radius: int) -> str:
    """Return the SMILES of all that is within some bonds of an atom; of a single atom with its hydrogens.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        The molecule.
    atom : int
        Index of the centre.
    radius : int
        Number of bonds.
    """
    from rdkit import Chem

    bonds = list(Chem.FindAtomEnvironmentOfRadiusN(mol, radius, atom)) if radius else []
    atoms = {atom}
    for bond in bonds:
        found = mol.GetBondWithIdx(bond)
        atoms |= {found.GetBeginAtomIdx(), found.GetEndAtomIdx()}
    root = atom if len(Chem.GetMolFrags(mol)) == 1 else -1  # RDKit takes none for salts
    return str(Chem.MolFragmentToSmiles(mol, sorted(atoms), bonds, rootedAtAtom=root, allHsExplicit=not bonds))


@public("MACCSKeys", version=1, in_recipes=True)
class MACCSKeys(MolecularDescriptor):
    """The 166 public MACCS keys: whether a molecule has certain atoms, groups and rings.

    Parameters
    ----------
    sparse : bool
        Whether to return SciPy sparse arrays.
    dtype : {"float32", "float64"}
        Precision of the result.
    n_jobs : int
        Present as for all descriptors. RDKit uses one thread.

    Notes
    -----
    Needs RDKit: ``pip install 'atomprint[rdkit]'``. Features are its keys 1 to 166 (its first bit is never set), and
    are named by the number of the key and its SMARTS, with the number of matches that it must exceed. RDKit's
    definitions are an interpretation, so other programs differ in some keys.

    References
    ----------
    J. L. Durant, B. A. Leland, D. R. Henry and J. G. Nourse, J. Chem. Inf. Comput. Sci. 42, 1273 (2002).

    Examples
    --------
    >>> from atomprint.descriptors import MACCSKeys
    >>> MACCSKeys().create("CCO").shape  # doctest: +SKIP
    (166,)
    """

    def __init__(self, sparse: bool = False, dtype: Any = "float32", n_jobs: int | None = 1) -> None:
        self._initialise(locals())

    def get_number_of_features(self) -> int:
        """Return the number of features of one row."""
        return 166

    def _rows(self, molecules: Sequence[Any], n_threads: int) -> Any:
        make = require("rdkit.Chem.rdMolDescriptors", "rdkit", "MACCSKeys").GetMACCSKeysFingerprint
        with quiet_rdkit():
            return _unpacked([make(mol) for mol in molecules], 167)[:, 1:]

    def _layout(self) -> Layout:
        patterns = require("rdkit.Chem.MACCSkeys", "rdkit", "names of MACCSKeys").smartsPatts
        known = {1: "isotope", 125: "more than one aromatic ring", 166: "several parts"}
        texts = [f"{key} {known.get(key) or _key(*patterns[key])}" for key in range(1, 167)]
        return Layout("MACCSKeys", [Block((), [Axis("keys", texts)])])


def _key(smarts: str, more_than: int) -> str:
    return re.sub(r"\s", "", smarts) + (f" more than {more_than}" if more_than else "")
