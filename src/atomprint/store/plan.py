"""What all rows of a store have in common: the descriptor with all its parameters, and the version of its numbers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from atomprint import descriptors, kernels
from atomprint.chemistry.smiles import Smiles
from atomprint.descriptors.composition.contract import CompositionDescriptor
from atomprint.descriptors.molecular.contract import MolecularDescriptor
from atomprint.descriptors.usual import FEW_ELEMENTS, usual_parameters
from atomprint.layout import Meanings
from atomprint.util.environment import versions
from atomprint.util.objects import class_of, make_object
from atomprint.util.plain import plain
from atomprint.util.registry import KNOWN
from atomprint.util.store import digest_of
from atomprint.util.validation import check_species

RECORD = "store.json"
"""Name of the file of a store that says what is in it."""

FORMAT = 1
_BLOCK_BYTES = 2**24  # of the features of a shard
_MOST_ROWS = 4096  # of a shard
_SPARSE_ROW = 2**16  # bytes of a sparse row, at most, as far as is known before
_LEAST_ROWS = 16
_COMPACT = {"n_max": 5, "l_max": 5, "species_embedding": {"type": "ElementEmbedding", "n_channels": 4}}
_PACKAGES = ("python", "system", "atomprint", "numpy", "scipy", "ase")
_LEARNT = {"descriptors_", "fragments_", "species_", "periodic_", "n_atoms_max_", "feature_names_in_", "n_features_in_"}


@dataclass(frozen=True)
class Plan:
    """What a store holds, and how a row of it is made.

    Parameters
    ----------
    descriptor : str
        Name of a class of :mod:`atomprint.descriptors`, or an import path.
    parameters : mapping
        All parameters that nothing else follows from, as JSON holds them.
    inputs : {"structures", "molecules", "compositions"}
        What is described.
    species : tuple of str
        Symbols of the elements that structures may have, in the order of atomic numbers; empty if the descriptor takes
        any.
    dtype : str
        Type of the features.
    sparse : bool
        Whether shards are sparse.
    names : tuple of str
        Names of the features.
    block : int
        Number of rows of a shard.
    allow_close : bool
        Whether atoms may be nearer than any in matter.
    numbers : mapping of str to int
        Versions of the numbers that the descriptor and its parts make.
    digest : str
        Of all that the features of a structure depend on.
    """

    descriptor: str
    parameters: Mapping[str, Any]
    inputs: str
    species: tuple[str, ...]
    dtype: str
    sparse: bool
    names: tuple[str, ...]
    block: int
    allow_close: bool
    numbers: Mapping[str, int]
    digest: str

    def transformer(self) -> Any:
        """Return the descriptor, for one thread."""
        return make_object({"type": self.descriptor, **self.parameters}, "descriptor", 1)

    def meanings(self) -> Meanings:
        """Return what the features are about."""
        transformer = self.transformer()
        if not hasattr(transformer, "get_feature_meanings"):
            return Meanings.of_names(self.names)
        found: Meanings = transformer.get_feature_meanings()
        return found

    def is_of(self, descriptor: Any) -> bool:
        """Return whether a fitted descriptor makes the features that the store has, of all structures that it takes.

        It must have the same parameters, of which it may have learnt some, and numbers of the same version; where an
        embedding mixes the elements it may know fewer of them, with the same weights.
        """
        own = self.transformer()
        learnt = {name for name in vars(descriptor) if name.endswith("_") and not name.startswith("_")} - _LEARNT
        if learnt or type(descriptor) is not type(own) or digest_of(own).hex() != self.digest:
            return False
        (species, parameters), (others, given) = map(_settled, (own, descriptor))
        mixed = getattr(descriptor, "species_embedding", None) is not None
        if mixed and set(others) < set(species):
            rows = [species.index(number) for number in others]
            same = np.array_equal(own._mixing(species)[rows], descriptor._mixing(others))
            del parameters["species_embedding"], given["species_embedding"]
            return same and parameters == given
        return bool(species == others and parameters == given)

    def differences(self, other: Plan) -> list[str]:
        """Return in words what another plan has that this one has not, where rows of both would not fit together."""
        found = []
        for what in ("descriptor", "inputs", "dtype", "sparse", "allow_close"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                found.append(f"{what} is {mine}, not {theirs}")
        if self.descriptor == other.descriptor:
            for name in sorted({*self.parameters, *other.parameters}):
                mine, theirs = (plan.parameters.get(name, "its default") for plan in (self, other))
                if name != "species" and mine != theirs:
                    found.append(f"{name} is {mine}, not {theirs}")
        for name in sorted({*self.numbers, *other.numbers}):
            if (was := self.numbers.get(name)) != (now := other.numbers.get(name)) and was and now:
                found.append(f"the numbers of {name} are of version {was}, and those made now of version {now}")
        if not found and self.species != other.species:
            found.append(f"species are {', '.join(self.species)}, not {', '.join(other.species)}")
        if not found and self.digest != other.digest:
            found.append("the descriptor makes other numbers")
        return found

    def text(self) -> str:
        """Return the text of ``store.json``."""
        table = {
            "format": "atomprint store",
            "format_version": FORMAT,
            "descriptor": self.descriptor,
            "parameters": dict(self.parameters),
            "inputs": self.inputs,
            "species": list(self.species),
            "dtype": self.dtype,
            "sparse": self.sparse,
            "block": self.block,
            "allow_close": self.allow_close,
            "numerical_versions": dict(self.numbers),
            "digest": self.digest,
            "made_with": {name: found for name, found in versions().items() if name in _PACKAGES},
            "features": list(self.names),
        }
        return json.dumps(table, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the plan of a store.

        Raises
        ------
        FileNotFoundError
            If there is no store.
        ValueError
            If ``store.json`` is damaged, or of a newer atomprint.
        """
        path = folder / RECORD
        if not path.is_file():
            raise FileNotFoundError(f"{str(folder)!r} is no store: there is no {RECORD} in it")
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            version = int(table["format_version"])
            if version > FORMAT:
                raise ValueError(f"{str(path)!r} is of format {version}, and this atomprint reads up to {FORMAT}")
            return cls(
                str(table["descriptor"]),
                dict(table["parameters"]),
                str(table["inputs"]),
                tuple(map(str, table["species"])),
                str(table["dtype"]),
                bool(table["sparse"]),
                tuple(map(str, table["features"])),
                int(table["block"]),
                bool(table["allow_close"]),
                {str(name): int(number) for name, number in table["numerical_versions"].items()},
                str(table["digest"]),
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{str(path)!r} is damaged: {error!r}") from error


@dataclass(frozen=True)
class Traits:
    """What is known of the structures that come before any of them is described.

    Parameters
    ----------
    species : tuple of str
        Elements that occur.
    periodic : bool or None
        Whether they repeat; None where some do and some do not.
    n_atoms_max : int
        Number of atoms of the largest.
    has_structures : bool
        Whether there are structures, and not formulas alone.
    """

    species: tuple[str, ...]
    periodic: bool | None
    n_atoms_max: int
    has_structures: bool = True


def needs(descriptor: str, given: Mapping[str, Any]) -> set[str]:
    """Return which of :class:`Traits` the parameters of a descriptor depend on where they are not given."""
    cls = _class_of(descriptor)
    accepted = inspect.signature(cls).parameters
    return {name for name in ("species", "periodic", "n_atoms_max") if name in accepted and name not in given}


def settled(
    descriptor: str, given: Mapping[str, Any], traits: Traits, *, allow_close: bool = False, block: int | None = None
) -> Plan:
    """Return the plan of a new store: all parameters that the structures decide are put down.

    Parameters
    ----------
    descriptor : str
        Name of a class of :mod:`atomprint.descriptors`, or an import path.
    given : mapping
        Parameters that are given.
    traits : Traits
        What is known of the structures.
    allow_close : bool
        Whether atoms may be nearer than any in matter.
    block : int, optional
        Number of rows of a shard. Default: about 16 MB of features.

    Raises
    ------
    ValueError, TypeError
        If there is no such descriptor or parameter, its features are not one row for each structure, or do not follow
        from its parameters alone.
    """
    cls = _class_of(descriptor)
    accepted = inspect.signature(cls).parameters
    chosen = usual_parameters(descriptor, given, len(traits.species))
    if descriptor == "SOAP" and len(traits.species) > FEW_ELEMENTS:
        taken = given.keys() & {"species_embedding", "compression"}
        chosen |= {} if taken else {name: value for name, value in _COMPACT.items() if name not in given}
    usual = {
        "species": list(traits.species),
        "periodic": traits.periodic,
        "n_atoms_max": traits.n_atoms_max,
        "dtype": "float32",
        "pooling": None if given.get("average", "off") != "off" else "mean",
    }
    chosen |= {name: value for name, value in usual.items() if name in accepted and name not in given}
    if "species" in accepted and chosen.get("species", 0) is None:  # ValleOganov's
        chosen["species"] = list(traits.species)
    if "periodic" in chosen and traits.periodic is None:
        raise ValueError("periodic must be given (-s periodic=true, or false): some structures repeat, and some do not")
    parameters = _whole({**chosen, **given})
    transformer = make_object({"type": descriptor, **parameters}, "descriptor", 1)
    of_molecules = isinstance(transformer, MolecularDescriptor)
    if not traits.has_structures and not of_molecules and not isinstance(transformer, CompositionDescriptor):
        raise ValueError(
            f"{descriptor} needs structures, and there are formulas or SMILES only: ElementProperty takes these"
        )
    sample: list[Any] = [Smiles("C"), Smiles("O")]
    if not of_molecules:
        repeats = bool(parameters.get("periodic", traits.periodic))
        sample = _sample(parameters.get("species") or traits.species, repeats)
    fitted(transformer, sample)
    learnt = {name for name in vars(transformer) if name.endswith("_") and not name.startswith("_")} - _LEARNT
    if learnt:
        raise ValueError(
            f"the features of a store must follow from the parameters of its descriptor alone, and {descriptor} learns "
            f"{', '.join(sorted(learnt))}"
        )
    made = transformer.transform(sample)
    if getattr(made, "ndim", 0) != 2 or made.shape[0] != len(sample):
        raise ValueError(
            f"a store has one row for each structure, and {descriptor} makes several: give pooling or average"
        )
    names = tuple(map(str, transformer.get_feature_names_out()))
    sparse = hasattr(made, "toarray")
    dtype = np.dtype(made.dtype).name
    if block is None:
        row = len(names) * made.dtype.itemsize
        row = min(row, _SPARSE_ROW) if sparse else row
        block = int(np.clip(2 ** int(np.log2(max(1, _BLOCK_BYTES // row))), _LEAST_ROWS, _MOST_ROWS))
    kept = plain(parameters)
    species = tuple(map(str, kept.get("species") or ())) if "species" in accepted else ()
    digest = digest_of(make_object({"type": descriptor, **kept}, "descriptor", 1)).hex()
    numbers = dict(sorted(_versions({"type": descriptor, **kept})))
    inputs = "molecules" if of_molecules else "structures" if traits.has_structures else "compositions"
    return Plan(descriptor, kept, inputs, species, dtype, sparse, names, block, allow_close, numbers, digest)


def fitted(transformer: Any, items: Any) -> Any:
    """Return a descriptor that can be used: what nothing is left to learn for may still have to be fitted."""
    if not getattr(transformer, "__sklearn_is_fitted__", lambda: False)():
        transformer.fit(items)
    return transformer


def _settled(descriptor: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return elements, and all other parameters, given or learnt, on which the features of a descriptor depend."""
    given = descriptor.get_params(deep=False)
    given |= {name: vars(descriptor)[f"{name}_"] for name in given if f"{name}_" in vars(descriptor)}
    species = given.pop("species", None)
    given.pop("n_jobs", None)
    return () if species is None else check_species(species), _whole(plain(given))


def _whole(value: Any) -> Any:
    """Return parameters with whole numbers as such: 5.0 is 5, and no other parameter."""
    if isinstance(value, Mapping):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _class_of(descriptor: str) -> type[Any]:
    _ = descriptors.__all__ and [getattr(descriptors, name) for name in descriptors.__all__]  # so that they are known
    cls = class_of(descriptor, "descriptor")
    if issubclass(cls, kernels.StructureKernel) or not hasattr(cls, "transform"):
        raise ValueError(f"descriptor must make features of structures, got {descriptor!r}")
    return cls


def _sample(species: Sequence[Any], periodic: bool) -> list[Any]:
    """Return structures that have an element each, which show what features of others are like."""
    from ase import Atoms

    first = list(species)[:2] or ["H", "O"]
    cell = [4.0, 4.0, 4.0] if periodic else None
    return [Atoms([symbol, symbol], [[0, 0, 0], [1.1, 1.2, 1.3]], cell=cell, pbc=periodic) for symbol in first]


def _versions(value: Any) -> Iterator[tuple[str, int]]:
    """Yield versions of the numbers of all classes that a table names."""
    if isinstance(value, Mapping):
        if (known := KNOWN.get(str(value.get("type")))) is not None:
            changed = [number for (name, of), number in known.versions.items() if value.get(name) == of]
            yield str(value["type"]), max([known.version, *changed])
        for part in value.values():
            yield from _versions(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _versions(part)
