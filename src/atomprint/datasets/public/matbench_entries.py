"""The 13 tasks of Matbench v0.1.

Hashes and numbers of rows are those that matminer's ``dataset_metadata.json`` and Matbench's own metadata give.
"""

from __future__ import annotations

from atomprint.datasets.public.entry import Entry, RemoteFile, TargetInfo

_MATBENCH = (
    "Matbench v0.1: Dunn, Wang, Ganose, Dopp and Jain, npj Comput. Mater. 6, 138 (2020), doi:10.1038/s41524-020-00406-3"
)
_MATERIALS_PROJECT = (
    "Jain, Ong, Hautier, Chen, Richards, Dacek, Cholia, Gunter, Skinner, Ceder and Persson, APL Mater. 1, 011002 "
    "(2013), doi:10.1063/1.4812323 (Materials Project)"
)
_ELASTIC = "de Jong et al., Sci. Data 2, 150009 (2015), doi:10.1038/sdata.2015.9"
_BAND_GAPS = "Zhuo, Mansouri Tehrani and Brgoch, J. Phys. Chem. Lett. 9, 1668 (2018), doi:10.1021/acs.jpclett.8b00124"
_STABLE = (
    "Crystals of the Materials Project as of 2 April 2019, without noble gases and without those more than "
    "0.15 eV/atom above the convex hull"
)


def _matbench(
    task: str,
    title: str,
    loader: str,
    rows: int,
    sha256: str,
    target: str,
    info: TargetInfo,
    description: str,
    citation: str,
    *,
    kind: str = "structures",
) -> Entry:
    name = f"matbench_{task}"
    file = f"{name}.json.gz"
    return Entry(
        name=name,
        title=title,
        loader=loader,
        files=(RemoteFile(file, f"https://ml.materialsproject.org/projects/{file}", sha256),),
        rows=rows,
        kind=kind,
        targets={target: info},
        description=description,
        citation=f"{_MATBENCH}; {citation}.",
        licence="MIT (Matbench v0.1)",
        page="https://matbench.materialsproject.org",
        arguments={} if loader != "load_matbench" else {"task": name},
    )


MATBENCH_ENTRIES = (
    _matbench(
        "expt_gap",
        "Experimental band gaps",
        "load_bandgap",
        4604,
        "783e7d1461eb83b00b2f2942da4b95fda5e58a0d1ae26b581c24cf8a82ca75b2",
        "gap",
        TargetInfo("eV", "Band gap", "Experimental band gap from the literature; 0 for metals.", column="gap expt"),
        "Compositions of inorganic solids; of several reports the one nearest to their mean, and none where they span "
        "more than 0.1 eV. DeepChem serves it as bandgap.",
        _BAND_GAPS,
        kind="compositions",
    ),
    _matbench(
        "perovskites",
        "Perovskites",
        "load_perovskite",
        18928,
        "4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483",
        "e_form",
        TargetInfo(
            "eV/cell",
            "Formation energy of the 5-atom cell",
            "Heat of formation of the whole cell of 5 atoms (not for one atom), RPBE calculation; oxygen is referred "
            "to water vapour, not to O2; negative if heat is released.",
        ),
        "Cubic perovskite cells ABX3 of 5 atoms: oxides, oxynitrides, oxysulfides, oxyfluorides and oxyfluoronitrides. "
        "DeepChem serves it as perovskite.",
        "Castelli, Landis, Thygesen, Dahl, Chorkendorff, Jaramillo and Jacobsen, Energy Environ. Sci. 5, 9034 (2012), "
        "doi:10.1039/C2EE22341D",
    ),
    _matbench(
        "mp_e_form",
        "Formation energies of the Materials Project",
        "load_mp_formation_energy",
        132752,
        "dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f",
        "e_form",
        TargetInfo(
            "eV/atom",
            "Formation energy per atom",
            "Formation energy from the elements as the Materials Project gives it (PBE and PBE+U, mixed and "
            "corrected); negative if the compound is stable against its elements.",
        ),
        "Crystals of the Materials Project as of 2 April 2019, without noble gases and without outliers of "
        "the formation energy. DeepChem serves it as mp_formation_energy.",
        _MATERIALS_PROJECT,
    ),
    _matbench(
        "mp_is_metal",
        "Metallicity of the Materials Project",
        "load_mp_metallicity",
        106113,
        "9a028ed5750a4c76ca36e9f3c8d48fe0bf3fb21b76ec2289e58ae7048d527919",
        "is_metal",
        TargetInfo(
            "", "Metal", "Whether the PBE band structure has no gap, as pymatgen finds it.", ("non-metal", "metal")
        ),
        f"{_STABLE}. DeepChem serves it as mp_metallicity.",
        _MATERIALS_PROJECT,
    ),
    _matbench(
        "mp_gap",
        "Band gaps of the Materials Project",
        "load_matbench",
        106113,
        "58b65746bd88329986ed66031a2ac1369c7c522f7bc9f9081528e07097c2c057",
        "gap",
        TargetInfo("eV", "Band gap (PBE)", "Kohn-Sham band gap of a PBE calculation.", column="gap pbe"),
        f"{_STABLE}.",
        _MATERIALS_PROJECT,
    ),
    _matbench(
        "log_gvrh",
        "Shear moduli",
        "load_matbench",
        10987,
        "098af941f4c663270f1fe21abf20ffad6fb85ecbfcba5786ceac03983ac29da7",
        "log_g_vrh",
        TargetInfo(
            "log10(GPa)",
            "Logarithm of the shear modulus",
            "Decadic logarithm of the Voigt-Reuss-Hill average in GPa, PBE calculation.",
            column="log10(G_VRH)",
        ),
        f"{_STABLE}, with elastic constants that pass the usual checks.",
        _ELASTIC,
    ),
    _matbench(
        "log_kvrh",
        "Bulk moduli",
        "load_matbench",
        10987,
        "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
        "log_k_vrh",
        TargetInfo(
            "log10(GPa)",
            "Logarithm of the bulk modulus",
            "Decadic logarithm of the Voigt-Reuss-Hill average in GPa, PBE calculation.",
            column="log10(K_VRH)",
        ),
        f"{_STABLE}, with elastic constants that pass the usual checks.",
        _ELASTIC,
    ),
    _matbench(
        "dielectric",
        "Refractive indices",
        "load_matbench",
        4764,
        "83befa09bc2ec2f4b6143afc413157827a90e5e2e42c1eb507ccfa01bf26a1d6",
        "n",
        TargetInfo("", "Refractive index", "Refractive index from density-functional perturbation theory."),
        f"{_STABLE}, with refractive indices of at least 1.",
        "Petousis et al., Sci. Data 4, 160134 (2017), doi:10.1038/sdata.2016.134",
    ),
    _matbench(
        "phonons",
        "Highest phonon peaks",
        "load_matbench",
        1265,
        "4db551f21ec5f577e6202725f10e34dfc509aa7df3a6bdaac497da7f6dbbb9b3",
        "last_phdos_peak",
        TargetInfo(
            "cm^-1",
            "Highest peak of the phonon density of states",
            "Frequency of the highest optical phonon peak, density-functional perturbation theory.",
            column="last phdos peak",
        ),
        "Semiconducting crystals within 0.15 eV/atom of the convex hull.",
        "Petretto et al., Sci. Data 5, 180065 (2018), doi:10.1038/sdata.2018.65",
    ),
    _matbench(
        "jdft2d",
        "Exfoliation energies",
        "load_matbench",
        636,
        "26057dc4524e193e32abffb296ce819b58b6e11d1278cae329a2f97817a4eddf",
        "exfoliation_en",
        TargetInfo("meV/atom", "Exfoliation energy", "Energy to exfoliate a layer, OptB88vdW calculation."),
        "Layered crystals of the JARVIS-DFT database.",
        "Choudhary, Kalish, Beams and Tavazza, Sci. Rep. 7, 5179 (2017), doi:10.1038/s41598-017-05402-0",
    ),
    _matbench(
        "expt_is_metal",
        "Experimental metallicity",
        "load_matbench",
        4921,
        "8f2a4f9bacdcbc5c2c73615629ee7986f09d39bed40ba7db52b61b2889730887",
        "is_metal",
        TargetInfo("", "Metal", "Whether experiments report a metal.", ("non-metal", "metal")),
        "Compositions of inorganic solids on which all reports agree.",
        _BAND_GAPS,
        kind="compositions",
    ),
    _matbench(
        "glass",
        "Metallic glasses",
        "load_matbench",
        5680,
        "36beb654e2a463ee2a6572105bea0ca2961eee7c7b26a25377bff2c3b338e53a",
        "gfa",
        TargetInfo("", "Glass forming", "Whether the alloy forms a fully amorphous glass.", ("crystal", "glass")),
        "Compositions of ternary alloys from Landolt-Börnstein on which all reports agree.",
        "Kawazoe, Masumoto, Tsai, Yu and Aihara, Landolt-Börnstein III/37A (1997), doi:10.1007/10510374_2; Ward, "
        "Agrawal, Choudhary and Wolverton, npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28",
        kind="compositions",
    ),
    _matbench(
        "steels",
        "Yield strengths of steels",
        "load_matbench",
        312,
        "473bc4957b2ea5e6465aef84bc29bb48ac34db27d69ea4ec5f508745c6fae252",
        "yield_strength",
        TargetInfo("MPa", "Yield strength", "Experimental yield strength.", column="yield strength"),
        "Compositions of steels.",
        "Citrine Informatics, Mechanical properties of some steels, https://citrination.com/datasets/153092",
        kind="compositions",
    ),
)
