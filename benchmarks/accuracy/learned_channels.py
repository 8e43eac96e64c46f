"""What channels of the elements that are learnt from targets are worth, against those of tabulated properties.

    python benchmarks/accuracy/learned_channels.py mp_20_biternary_val.csv.gz

Formation energies of crystals (eV/atom) by SOAP in few channels and kernel ridge, fitted to 2500 crystals of the file
and tested on 1500 others. Channels are learnt from the training part alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.pipeline import make_pipeline

from atomprint.datasets import read_dataset
from atomprint.descriptors import SOAP, LearnedEmbedding
from atomprint.elements import ElementEmbedding
from atomprint.learn import make_model

N_TRAINING, N_TEST = 2500, 1500


def main() -> None:
    """Print the mean absolute error for each embedding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a copy of mp_20_biternary_val.csv.gz")
    parser.add_argument("--channels", type=int, nargs="+", default=[4, 8])
    arguments = parser.parse_args()
    target = "formation_energy_per_atom"
    dataset = read_dataset(arguments.data, structure="cif", targets=[target])
    y = np.asarray(dataset.targets[target].values, dtype=float)
    order = np.random.default_rng(0).permutation(len(y))[: N_TRAINING + N_TEST]
    structures = [dataset.structures[i] for i in order]
    species = sorted({int(z) for atoms in structures for z in atoms.numbers})
    print(f"{'channels':>8}  {'embedding':<18}{'features':>9}{'MAE':>8}{'seconds':>9}")
    for n in arguments.channels:
        for embedding in (ElementEmbedding(n), LearnedEmbedding(n)):
            start = time.perf_counter()
            soap = SOAP(
                species=species,
                r_cut=5.0,
                n_max=4,
                l_max=3,
                sigma=0.6,
                periodic=True,
                average="outer",
                dtype="float32",
                species_embedding=embedding,
            )
            ridge = make_model("kernel_ridge", kernels=["matern52"], scalings=["none"], random_state=0)
            model = make_pipeline(soap, ridge).fit(structures[:N_TRAINING], y[order[:N_TRAINING]])
            error = np.abs(model.predict(structures[N_TRAINING:]) - y[order[N_TRAINING:]]).mean()
            width, seconds = model[0].get_number_of_features(), time.perf_counter() - start
            print(f"{n:>8}  {type(embedding).__name__:<18}{width:>9}{error:>8.4f}{seconds:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
