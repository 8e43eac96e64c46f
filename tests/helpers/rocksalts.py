"""A recipe of joined features for made-up crystals of rock salt, and a table of these."""

import csv
import io

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

RECIPE = """
[data]
path = "{path}"
structure = "cif"
target = "y"

[split]
test_size = 0.25
n_folds = 3

[features.composition]
type = "CompositionChannels"
channels = [{{ type = "PropertyChannels", properties = ["period", "electronegativity"], constant = false }}, "species"]

[features.roles]
type = "SOAP"
r_cut = 4.0
n_max = 2
l_max = 1
compression = "mu2"
dtype = "float32"
[features.roles.pooling]
type = "Pooling"
method = "covariance"
channels = [{{ type = "PropertyChannels", properties = ["period", "electronegativity"], constant = false }}, "species"]

[features.all]
join = ["composition", "roles"]
only_joined = true
weights = {{ roles = 0.01 }}

[models.kernel_ridge]
projection = {{ n_components = 12, whiten = 0.1 }}
kernels = ["matern52"]
scalings = ["none"]
"""


@pytest.fixture
def rocksalts(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "data.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["cif", "y"])
        for _ in range(40):
            a, b = rng.choice(["Na", "K", "Mg", "Ca"]), rng.choice(["Cl", "F", "O"])
            length = 5 + rng.random()
            buffer = io.BytesIO()
            write(buffer, bulk(a + b, "rocksalt", a=length), format="cif")
            rows.writerow([buffer.getvalue().decode(), length + len(a) + 0.1 * ord(b[0])])
    return path
