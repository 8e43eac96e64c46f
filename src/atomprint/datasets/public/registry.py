"""The public data sets: where they come from, what is in them, and how to know that a copy is right.

Where nobody publishes the hash of a file there is none here: such a file is not verified, and whoever downloads it is
told so, with the hash that was found.
"""

from __future__ import annotations

from difflib import get_close_matches

from atomprint.datasets.public.entry import Entry, RemoteFile, TargetInfo
from atomprint.datasets.public.matbench_entries import MATBENCH_ENTRIES

_QM7 = Entry(
    name="qm7",
    title="QM7 molecules",
    loader="load_qm7",
    files=(RemoteFile("qm7.mat", "http://quantum-machine.org/data/qm7.mat"),),
    rows=7165,
    kind="structures",
    targets={
        "atomization_energy": TargetInfo(
            "kcal/mol",
            "Atomization energy",
            "Energy of the molecule less those of its free atoms, PBE0 calculation; negative for a bound molecule.",
        )
    },
    description="Molecules of GDB-13 with up to 7 atoms of C, N, O and S and up to 23 atoms with hydrogen, "
    "geometries from a force field, with the five splits of the original work.",
    citation="Blum and Reymond, J. Am. Chem. Soc. 131, 8732 (2009), doi:10.1021/ja902302h; Rupp, "
    "Tkatchenko, Müller and von Lilienfeld, Phys. Rev. Lett. 108, 058301 (2012), doi:10.1103/PhysRevLett.108.058301.",
    licence="none stated by quantum-machine.org",
    page="http://quantum-machine.org/datasets/",
)

_HOPV_TARGETS = {
    "homo": ("eV", "Energy of the HOMO", "from electrochemistry"),
    "lumo": ("eV", "Energy of the LUMO", "from electrochemistry"),
    "gap_electrochemical": ("eV", "Electrochemical gap", "difference of the two levels"),
    "gap_optical": ("eV", "Optical gap", "from the absorption edge"),
    "pce": ("%", "Power conversion efficiency", "of the solar cell"),
    "voc": ("V", "Open-circuit voltage", "of the solar cell"),
    "jsc": ("mA/cm²", "Short-circuit current density", "of the solar cell"),
    "fill_factor": ("%", "Fill factor", "of the solar cell"),
}
_HOPV_COMPUTED = {
    "homo": ("eV", "Energy of the HOMO", "Kohn-Sham orbital energy"),
    "lumo": ("eV", "Energy of the LUMO", "Kohn-Sham orbital energy"),
    "gap": ("eV", "Orbital gap", "difference of the Kohn-Sham orbital energies"),
    "pce": ("%", "Efficiency of the Scharber model", "Scharber model with a fill factor of 65 %"),
    "voc": ("V", "Open-circuit voltage of the Scharber model", "Scharber model"),
    "jsc": ("mA/cm²", "Current density of the Scharber model", "Scharber model"),
}
HOPV_FUNCTIONALS = {"b3lyp": "B3LYP", "bp86": "BP86", "m06-2x": "M06-2X", "pbe0": "PBE0"}

_HOPV = Entry(
    name="hopv15",
    title="Harvard organic photovoltaics",
    loader="load_hopv",
    files=(RemoteFile("HOPV_15_revised_2.data", "https://figshare.com/ndownloader/files/4513735"),),
    rows=350,
    kind="structures",
    targets={
        **{
            name: TargetInfo(unit, title, f"Experiment, {how}, as collected from the literature.")
            for name, (unit, title, how) in _HOPV_TARGETS.items()
        },
        **{
            f"{name}_{key}": TargetInfo(
                unit, f"{title} ({functional})", f"Calculation of this conformer with {functional}/def2-SVP: {how}."
            )
            for key, functional in HOPV_FUNCTIONALS.items()
            for name, (unit, title, how) in _HOPV_COMPUTED.items()
        },
    },
    description="Donor molecules (and fragments of donor polymers) of organic solar cells, each with up to about 20 "
    "conformers, what experiments report of the cells, and calculations of the conformers.",
    citation="Lopez, Pyzer-Knapp, Simm, Lutzow, Li, Seress, Hachmann and Aspuru-Guzik, Sci. Data 3, 160086 (2016), "
    "doi:10.1038/sdata.2016.86.",
    licence="see the page of the data set",
    page="https://figshare.com/articles/dataset/HOPV15_Dataset/1610063",
)

ZUO2020_ROWS = {"Ni": 294, "Cu": 293, "Li": 270, "Si": 239, "Mo": None, "Ge": None}
"""Elements of Zuo et al. (2020), with the number of structures where it is known."""


def _zuo2020(element: str) -> Entry:
    base = f"https://raw.githubusercontent.com/materialsvirtuallab/mlearn/master/data/{element}"
    return Entry(
        name=f"zuo2020_{element}",
        title=f"{element}: energies and forces",
        loader="load_zuo2020",
        files=tuple(
            RemoteFile(f"zuo2020_{element}_{part}.json", f"{base}/{part}.json") for part in ("training", "test")
        ),
        rows=ZUO2020_ROWS[element],
        kind="structures",
        targets={
            "energy": TargetInfo("eV", "Energy", "Total energy of the cell, PBE calculation (VASP)."),
            "energy_per_atom": TargetInfo(
                "eV/atom",
                "Energy per atom",
                "Total energy of the cell over its number of atoms, PBE calculation (VASP).",
            ),
        },
        description=f"Cells of {element}: ground states, strained, with surfaces and vacancies, and snapshots of "
        "ab initio molecular dynamics, with forces.",
        citation="Zuo, Chen, Li, Deng, Chen, Behler, Csányi, Shapeev, Thompson, Wood and Ong, J. Phys. Chem. A "
        "124, 731 (2020), doi:10.1021/acs.jpca.9b08723.",
        licence="BSD-3-Clause (mlearn)",
        page="https://github.com/materialsvirtuallab/mlearn",
        arguments={"element": element},
    )


_BUNDLED = (
    Entry(
        name="g2",
        title="G2 molecules",
        loader="load_g2",
        files=(),
        rows=148,
        kind="structures",
        targets={"enthalpy": TargetInfo("kcal/mol", "Enthalpy of formation", "Experimental, at 298 K.")},
        description="Small molecules of the G2/97 test set; comes with ASE.",
        citation="Curtiss, Raghavachari, Redfern and Pople, J. Chem. Phys. 106, 1063 (1997), doi:10.1063/1.473182.",
        licence="LGPL-2.1-or-later (ASE)",
    ),
    Entry(
        name="dcdft",
        title="Elemental crystals",
        loader="load_dcdft",
        files=(),
        rows=71,
        kind="structures",
        targets={
            "volume": TargetInfo("Å³/atom", "Volume per atom", "PBE calculation with WIEN2k."),
            "bulk_modulus": TargetInfo("GPa", "Bulk modulus", "PBE calculation with WIEN2k."),
        },
        description="Elemental crystals of the delta-codes-DFT project; comes with ASE.",
        citation="Lejaeghere et al., Science 351, aad3000 (2016), doi:10.1126/science.aad3000.",
        licence="LGPL-2.1-or-later (ASE)",
    ),
)

REGISTRY: dict[str, Entry] = {
    one.name: one for one in (*_BUNDLED, *MATBENCH_ENTRIES, _QM7, _HOPV, *map(_zuo2020, ZUO2020_ROWS))
}
"""All public data sets by name."""

ALIASES = {
    "bandgap": "matbench_expt_gap",
    "perovskite": "matbench_perovskites",
    "mp_formation_energy": "matbench_mp_e_form",
    "mp_metallicity": "matbench_mp_is_metal",
    "hopv": "hopv15",
}
"""The names that DeepChem gives to some of them."""


def entry(name: str) -> Entry:
    """Return the entry of a public data set by its name, or by the name that its loader has.

    Raises
    ------
    ValueError
        If there is no such data set; the message names those that are most alike.
    """
    found = REGISTRY.get(ALIASES.get(name, name))
    if found is None:
        alike = get_close_matches(name, [*REGISTRY, *ALIASES], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(alike)}?" if alike else f"there are {', '.join(REGISTRY)}"
        raise ValueError(f"name must be that of a public data set, got {name!r}: {hint}")
    return found
