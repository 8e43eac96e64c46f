"""Formulas as people write them: each is read rightly, or refused with advice that helps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomprint.chemistry.formula import parse_formula, reduced_formula


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("3Al2O3.2SiO2", "Al6Si2O13"),
        ("Al2O3.2SiO2.2H2O", "Al2Si2O9H4"),
        ("MgCl2.6NH3", "MgCl2N6H18"),
        ("Na2O.2SiO2", "Na2Si2O5"),
        ("K2SO4.2MgSO4", "K2Mg2S3O12"),
        ("LiI.3NH3", "LiIN3H9"),
        ("MgO.2SiO2", "MgSi2O5"),
        ("NaOH.4H2O", "NaO5H9"),
        ("CO.3H2", "COH6"),
        ("Ni(CO)4.2H2O", "NiC4O6H4"),
        ("CaCl2.4CH3OH", "CaCl2C4H16O4"),
        ("(NH4)2SO4.2NH4Cl", "N4H16SO4Cl2"),
        ("CuCl2.2KCl", "CuK2Cl4"),
        ("C6H6.2HCl", "C6H8Cl2"),
        ("Mg(ClO4)2.3NH3", "MgCl2O8N3H9"),
        ("KAl(SO4)2.12H2O", "KAlS2O20H24"),
        ("CuSO4.5D2O", "CuSO9H10"),
        ("CuSO4×5H2O", "CuSO9H10"),
        ("CuSO4*5H2O", "CuSO9H10"),
        ("Fe0.5Ni0.5", "FeNi"),
        ("Bi2Sr2.5CaCu2O8", "Bi4Sr5Ca2Cu4O16"),
        ("Li2MnO2.5F0.5", "Li4Mn2O5F"),
        ("CsPbI2.5Br0.5", "Cs2Pb2I5Br"),
        ("La0.7Sr2.3MnO3", "La7Sr23Mn10O30"),
        ("Sr2FeO3.5Cl", "Sr4Fe2O7Cl2"),
        ("SrFeO2.5", "Sr2Fe2O5"),
        ("Fe1Al5e-1", "Fe2Al"),
        ("NaCl(s)", "NaCl"),
        ("NaCl (aq)", "NaCl"),
        ("Na 1 Cl 1", "NaCl"),
        ("Si O2", "SiO2"),
        ("H₂O", "H2O"),
    ],
)
def test_read_rightly(text: str, right: str):
    assert reduced_formula(text) == reduced_formula(right)


@pytest.mark.parametrize(
    ("texts", "advice"),
    [
        ("9e-05 5.5 -3 1,5 1/2", "this is a number"),
        ("YBa2Cu3O7-δ O7-x Li1-x Li1-xCoO2 LixCoO2 La1−xSrxMnO3 Li(1-x)CoO2 Li1+xMn2-xO4 CuSO4·xH2O", "unknown amount"),
        ("Fe-18Cr-8Ni Ti-6Al-4V Al-4.5Cu", "an alloy in per cent: give the amounts of the atoms"),
        ("80Ni-20Cr Ni80-Cr20 Cu60-Zn40", "an alloy in per cent: give the amounts of the atoms"),
        (
            "La.7Sr.3MnO3 Na.5CoO2 LiNi.5Mn1.5O4 LiFe.5PO4 LaO.9F.1FeAs FeSe.5Te H.5O 0.5CaO.5SiO2",
            r"write 0\.5 for \.5",
        ),
        ("Pb(Zr.5Ti.5)O3 (Ba.6K.4)Fe2As2", "a decimal has a digit before its point"),
        ("Fe(III) Fe(III)2O3 Cu(I)2O V(IV)O2 CsPb(I)3", "may be an oxidation state: write an element without brackets"),
        ("SrTiO3:Nb Fe:SrTiO3 70Li2S:30P2S5", "give the amounts with the dopant"),
        ("Cu(111) Bi2Te3(0001) Si(100)-2x1", "leave out the surface"),
        ("Fe-18%Cr Ni80%", "no per cent"),
        ("Fe-Cr-Ni Na-Cl Fe/Cr", "elements alone have no amounts"),
        ("4H-SiC 3C-SiC 2H-MoS2 1T'-MoTe2 15R-SiC", "leave out the name of the polytype"),
        ("α-Fe2O3 alpha-Fe2O3 h-BN γ-Al2O3", "leave out the name of the phase"),
        ("SO4^2- Fe3+ Na+ Fe2+O2- NH4⁺ [Fe(CN)6]4- PO4-3", "charges are not part of a composition"),
        ("Na0.5.5H2O Fe2O3.1.5H2O", "one of two full stops is a decimal point, and either may be"),
        ("K2SO4.2MgCl2 Na3PO4.3CaF2 PbI2.2CH3NH3I Ca10(PO4)5.5CO3", "may be a decimal point or join two compounds"),
        ("0.7BiFeO3-0.3BaTiO3 70SiO2-30Na2O NaCl;KCl Fe2O3+Al2O3", "join parts by a dot|charges are not part"),
        ("nacl water sio2", "symbols begin with a capital letter, as in NaCl, and names are not read"),
        ("NACL BACO3", "the second letter of a symbol is a small one|this must be"),
        ("Fe2O3(hematite)", "names are not read"),
        ("Fe<sub>2</sub>O3 Fe_2O_3 Fe$_2$O3", "write numbers without signs around them"),
    ],
)
def test_refused_with_advice(texts: str, advice: str):
    for text in texts.split():
        with pytest.raises(ValueError, match=advice):
            parse_formula(text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("CuSO4 5H2O", "join parts by a dot, as in CuSO4·5H2O"),
        ("NaCl 2H2O", "may belong to either"),
        ("CuSO4 xH2O", "unknown amount"),
        ("SO4 2-", "charges are not part"),
        ("Fe2O3 + Al2O3", "join parts by a dot"),
        ("Fe80B20 at%", "no per cent"),
        ("silicon dioxide", "names are not read"),
        ("Fe" + "-" * 100_000, r"formula 'Fe-*\.\.\.'"),
    ],
)
def test_texts_with_blanks(text: str, advice: str):
    with pytest.raises(ValueError, match=advice):
        parse_formula(text)


OXIDES = ("Na2O", "SiO2", "Al2O3", "CaO", "Fe2O3", "P2O5", "K2SO4", "MgSO4", "NaNO3", "Ca(NO3)2")
parts = st.lists(st.tuples(st.sampled_from(OXIDES), st.integers(1, 9)), min_size=1, max_size=4)


@settings(max_examples=150)
@given(
    parts, st.sampled_from([".", "·", "*", " · ", "•"]), st.sampled_from([str, lambda text: text.translate(SUBSCRIPTS)])
)
def test_joined_parts_come_back(given_parts, dot, write):
    """Oxides and salts joined in every way, whose parts all share oxygen."""
    text = dot.join(f"{factor if factor > 1 else ''}{write(part)}" for part, factor in given_parts)
    expected: dict[str, float] = {}
    for part, factor in given_parts:
        for symbol, amount in parse_formula(part).items():
            expected[symbol] = expected.get(symbol, 0) + factor * amount
    assert parse_formula(text) == pytest.approx(expected)


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

shares = st.lists(
    st.tuples(st.sampled_from(["La", "Sr", "Mn", "Fe", "Ni", "Ti", "O", "F"]), st.integers(1, 499)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150)
@given(shares, st.booleans())
def test_decimals_stay_decimals(given_shares, brackets):
    """Solid solutions, with two decimals each."""
    text = "".join(f"({symbol}){n / 100:.2f}" if brackets else f"{symbol}{n / 100:.2f}" for symbol, n in given_shares)
    expected: dict[str, float] = {}
    for symbol, n in given_shares:
        expected[symbol] = expected.get(symbol, 0) + n / 100
    assert parse_formula(text) == pytest.approx(expected)
