"""What learnt channels of the elements are worth in the automatic recipe: its kernel ridge with and without them.

    python benchmarks/accuracy/auto_channels.py mp_20_biternary_val.csv.gz [--training 2000] [--test 1000]
        [--target formation_energy_per_atom] [--table FILE --structure COLUMN]

Crystals are drawn at random; channels are learnt from the training part alone. The other members of the ensemble, which
do not see the channels (trees) or are left out here (networks), are the same with and without.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from atomprint.datasets import read_dataset
from atomprint.learn.evaluation.evaluate import fit_estimator, predict
from atomprint.learn.models.make import make_model
from atomprint.learn.splits.split import Split
from atomprint.learn.task.problem import Problem
from atomprint.workflow import auto_recipe
from atomprint.workflow.recipes.features import build_features, read_features
from atomprint.workflow.runs.describe import compute_features


def main() -> None:
    """Print the mean absolute error of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a table with crystals in a column, or structures")
    parser.add_argument("--table", help="targets of structures in an archive")
    parser.add_argument("--structure", help="the column with crystals")
    parser.add_argument("--target", default="formation_energy_per_atom")
    parser.add_argument("--most", type=float, default=np.inf, help="larger targets are left out")
    parser.add_argument("--training", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    arguments = parser.parse_args()
    given = {} if arguments.table is None else {"table": arguments.table}
    structure = arguments.structure or (None if given else "cif")
    dataset = read_dataset(arguments.data, structure=structure, targets=[arguments.target], **given)
    values = np.asarray(dataset.targets[arguments.target].values, dtype=float)
    known = np.flatnonzero(np.isfinite(values) & (values <= arguments.most))
    n = arguments.training + arguments.test
    dataset = dataset.take(np.random.default_rng(0).permutation(known)[:n])
    problem = Problem.of(dataset, arguments.target)
    train, test = np.arange(arguments.training), np.arange(arguments.training, n)
    chosen = auto_recipe(dataset, arguments.target, parts=[train])
    sections = {key: section.suited_to(dataset) for key, section in read_features(chosen.features).items()}
    features, _ = compute_features(build_features(sections, dataset, "structure", 1)[-1], problem)
    entry = next(m for m in chosen.models["ensemble"]["members"] if m["type"] == "kernel_ridge")
    options = {name: value for name, value in entry.items() if name not in ("type", "blocks")}
    split = Split(train, test, (), 0)
    for blocks in ([name for name in entry["blocks"] if name != "channels"], entry["blocks"]):
        start = time.process_time()
        model = make_model("kernel_ridge", "regression", random_state=0, blocks=blocks, **options)
        fitted = fit_estimator(model, features, problem, split, train)
        error = np.abs(predict(fitted, features, problem, train, test).values - problem.y[test]).mean()
        print(f"{', '.join(blocks)}: MAE {error:.4f}, {time.process_time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
