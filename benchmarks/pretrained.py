"""What embeddings of pretrained potentials add on the first official fold of the perovskites of Matbench.

Run it where the extras ``sevennet``, ``chgnet`` and ``neural`` are installed::

    python benchmarks/pretrained.py --data matbench_perovskites.json.gz

Each model is fitted once, with one seed, and some are averaged: nothing is chosen by the samples that judge.
``--samples`` takes a random part of the training samples. Embeddings are kept in the user's cache, so that a second run
is quick.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from atomprint.learn import make_model
from atomprint.learn.task.blocks import with_blocks
from atomprint.learn.task.problem import Problem
from atomprint.workflow.recipes.data import DataSection
from atomprint.workflow.recipes.features import DescriptorSection
from atomprint.workflow.recipes.recipe import Recipe

WEIGHTS = ("sevennet-0", "chgnet-0.3.0")
OWN, SMALL = ("composition", "sites", "roles"), ("composition", "sites")
PROJECTION = {"blocks": ["roles"], "n_components": 300}
AVERAGED = (
    ("kernel ridge", "network"),
    ("kernel ridge on embeddings", "network with embeddings"),
    ("kernel ridge on embeddings", "network with embeddings", "network with all", "network"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a copy of the file; else it is downloaded")
    parser.add_argument("--samples", type=int, help="number of training samples")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args(arguments)
    recipe = Recipe.shipped("matbench_perovskites")
    dataset = DataSection(name="matbench_perovskites", path=given.data).load()
    y = Problem.of(dataset, "e_form").y
    train, test = dataset.folds[0]
    if given.samples:
        train = np.random.default_rng(0).permutation(train)[: given.samples]
    used = dataset.take(np.concatenate([train, test]))

    tables = {}
    sections = {key: recipe.features[key] for key in OWN}
    for name in WEIGHTS:
        options = {"model": name, "pooling": ["mean", "std"]}
        sections[name] = DescriptorSection(name, "PretrainedEmbedding", options)
    for key, section in sections.items():
        start = time.process_time()
        transformer = section.suited_to(used).build(used, given.jobs).transformer
        tables[key] = transformer.fit_transform(used.structures).astype(np.float32)
        print(f"{key}: {tables[key].shape[1]} features, {time.process_time() - start:.0f} s of CPU", flush=True)

    kernel_ridge = dict(recipe.models["ensemble"].parameters["members"][0])
    found = {}
    for title, blocks, model in (
        ("kernel ridge", OWN, kernel_ridge),
        ("network", OWN, {"type": "resnet", "projection": PROJECTION}),
        ("kernel ridge on embeddings", WEIGHTS, {"type": "kernel_ridge", "n_search": 2000}),
        ("network with embeddings", (*WEIGHTS, *SMALL), {"type": "resnet"}),
        ("network with all", (*WEIGHTS, *OWN), {"type": "resnet", "projection": PROJECTION}),
    ):
        start, X = time.process_time(), np.concatenate([tables[key] for key in blocks], axis=1)
        ends = np.cumsum([tables[key].shape[1] for key in blocks]).tolist()
        places = {key: (end - tables[key].shape[1], end) for key, end in zip(blocks, ends, strict=True)}
        options = {name: value for name, value in model.items() if name != "type"}
        made = make_model(model["type"], random_state=0, n_jobs=given.jobs, **options)
        fitted = with_blocks(made, places).fit(X[: len(train)], y[train])
        found[title] = fitted.predict(X[len(train) :])
        show(title, found[title], y[test], time.process_time() - start)
    for titles in AVERAGED:
        show(f"mean of {', '.join(titles)}", np.mean([found[title] for title in titles], axis=0), y[test])


def show(title: str, predicted: np.ndarray, truth: np.ndarray, seconds: float | None = None) -> None:
    """Print the mean absolute error of a model."""
    spent = "" if seconds is None else f"  {seconds:.0f} s of CPU"
    print(f"{np.abs(predicted - truth).mean():.4f} eV/cell  {title}{spent}", flush=True)


if __name__ == "__main__":
    main()
