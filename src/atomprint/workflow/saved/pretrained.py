"""Embeddings of pretrained potentials inside a model: what their weights have seen, and whose files they read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from atomprint.descriptors.pretrained.embedding import PretrainedEmbedding
from atomprint.learn.task.problem import Problem
from atomprint.workflow.saved.bounds import parts_of
from atomprint.workflow.saved.container import ModelFileError

_ENERGY = re.compile(r"energ|e_form|e_hull|e_above|hull|stability|enthalp|cohesive|\be_?tot", re.IGNORECASE)
_ENERGY_UNIT = re.compile(r"^(m?eV|kJ|kcal|Ry|Ha|Hartree)\s*/\s*(mol|atom|cell|cation|f\.?u\.?)", re.IGNORECASE)
_OTHERS = {
    "forces": re.compile(r"\bforces?\b", re.IGNORECASE),
    "stress": re.compile(r"stress|pressure|virial", re.IGNORECASE),
    "magnetic moments": re.compile(r"magmom|magneti", re.IGNORECASE),
}
# Data sets whose crystals are those of the Materials Project.
_OF_MP = re.compile(r"^(matbench_)?(mp_|log_gvrh|log_kvrh|dielectric|phonons)|materials.?project", re.IGNORECASE)


def embeddings_in(item: Any) -> Iterator[PretrainedEmbedding]:
    """Yield the embeddings that a transformer or pipeline consists of."""
    return (part for part in parts_of(item) if isinstance(part, PretrainedEmbedding))


def seen_in_training(item: Any, problem: Problem) -> list[str]:
    """Return what the weights of embeddings in a transformer were trained on, and what that means for a target."""
    found = {str(each.model): each for each in embeddings_in(item)}
    return [sentence for each in found.values() for sentence in _of_one(each, problem)]


def _of_one(embedding: PretrainedEmbedding, problem: Problem) -> Iterator[str]:
    weights = embedding.known
    if weights is None:
        yield (
            f"Features are those of {embedding.model!r}, a model of your own: whether it has seen the target in its "
            "training is not known here."
        )
        return
    yield (
        f"Features are embeddings of {weights.title} ({weights.source}; licence: {weights.licence}), which was trained "
        f"on {weights.trained_on} to predict {', '.join(weights.seen)}."
    )
    seen = _reads_like(weights.seen, problem)
    if seen:
        yield (
            f"Warning: the target reads like the {seen} that {weights.title} was trained with. It remembers crystals "
            "of the Materials Project: errors for these say nothing of new ones."
        )
    elif _OF_MP.search(problem.dataset.name) or _OF_MP.search(problem.dataset.title):
        yield (
            f"{weights.title} has seen these crystals of the Materials Project in its training, though not this "
            "target: errors for crystals that it has not seen may be larger."
        )


def _reads_like(seen: Collection[str], problem: Problem) -> str:
    """Return which of the quantities that a network was trained with a target reads like; empty if none."""
    target, words = problem.target, f"{problem.target_name} {problem.target.title}"
    if problem.kind == "classification":
        return ""
    if "energy" in seen and (_ENERGY.search(words) or _ENERGY_UNIT.search(target.unit)):
        return "energy"
    return next((name for name, of_words in _OTHERS.items() if name in seen and of_words.search(words)), "")


def check_benchmark(item: Any, task: str, problem: Problem) -> None:
    """Raise where a benchmark would measure what weights remember.

    Raises
    ------
    ValueError
        If a transformer has an embedding whose weights have seen the very targets of the task, or may have.
    """
    for embedding in embeddings_in(item):
        known = embedding.known
        seen = _reads_like(("energy",) if known is None else known.seen, problem)
        if seen and _OF_MP.search(task):
            who = f"{embedding.model!r} may have" if known is None else f"{known.title} has"
            raise ValueError(
                f"features: {who} been trained with the {seen} of the crystals of {task}, so that a result would be "
                "one of memory: no benchmark is run with its embeddings"
            )


def check_trusted(item: Any, trusted: Collection[str]) -> None:
    """Raise if a loaded model would read a checkpoint whose SHA-256 is not trusted by who loads it.

    What such a model keeps goes to the cache of the user, and to no folder that the file names.

    Raises
    ------
    ModelFileError
        Before any of the checkpoint is read.
    """
    for embedding in embeddings_in(item):
        embedding.cache = embedding.cache is not False
        if embedding.known is None and not callable(embedding.model) and embedding.trusted not in trusted:
            raise ModelFileError(
                f"the model reads the checkpoint {str(embedding.model)!r} with the SHA-256 {embedding.trusted}, a file "
                "of somebody: if you know its origin, name this SHA-256 in trusted"
            )
