"""The chemical elements: symbols, names and places in the periodic table, without importing a chemistry library."""

from __future__ import annotations

from dataclasses import dataclass

N_REFERENCED = 94
"""CHGNet knows hydrogen to plutonium: compositions have this many columns, references this many entries."""

_NAMES = """
H Hydrogen, He Helium, Li Lithium, Be Beryllium, B Boron, C Carbon, N Nitrogen, O Oxygen, F
Fluorine, Ne Neon, Na Sodium, Mg Magnesium, Al Aluminum, Si Silicon, P Phosphorus, S Sulfur, Cl
Chlorine, Ar Argon, K Potassium, Ca Calcium, Sc Scandium, Ti Titanium, V Vanadium, Cr Chromium, Mn
Manganese, Fe Iron, Co Cobalt, Ni Nickel, Cu Copper, Zn Zinc, Ga Gallium, Ge Germanium, As Arsenic,
Se Selenium, Br Bromine, Kr Krypton, Rb Rubidium, Sr Strontium, Y Yttrium, Zr Zirconium, Nb Niobium,
Mo Molybdenum, Tc Technetium, Ru Ruthenium, Rh Rhodium, Pd Palladium, Ag Silver, Cd Cadmium, In
Indium, Sn Tin, Sb Antimony, Te Tellurium, I Iodine, Xe Xenon, Cs Cesium, Ba Barium, La Lanthanum,
Ce Cerium, Pr Praseodymium, Nd Neodymium, Pm Promethium, Sm Samarium, Eu Europium, Gd Gadolinium, Tb
Terbium, Dy Dysprosium, Ho Holmium, Er Erbium, Tm Thulium, Yb Ytterbium, Lu Lutetium, Hf Hafnium, Ta
Tantalum, W Tungsten, Re Rhenium, Os Osmium, Ir Iridium, Pt Platinum, Au Gold, Hg Mercury, Tl
Thallium, Pb Lead, Bi Bismuth, Po Polonium, At Astatine, Rn Radon, Fr Francium, Ra Radium, Ac
Actinium, Th Thorium, Pa Protactinium, U Uranium, Np Neptunium, Pu Plutonium, Am Americium, Cm
Curium, Bk Berkelium, Cf Californium, Es Einsteinium, Fm Fermium, Md Mendelevium, No Nobelium, Lr
Lawrencium, Rf Rutherfordium, Db Dubnium, Sg Seaborgium, Bh Bohrium, Hs Hassium, Mt Meitnerium, Ds
Darmstadtium, Rg Roentgenium, Cn Copernicium, Nh Nihonium, Fl Flerovium, Mc Moscovium, Lv
Livermorium, Ts Tennessine, Og Oganesson
"""
_NOBLE_GASES = (2, 10, 18, 36, 54, 86, 118)


@dataclass(frozen=True)
class Element:
    """An element and its cell in the 18-column table.

    Attributes:
        symbol: such as ``Fe``.
        name: such as ``Iron``.
        z: atomic number.
        column: 1 to 18; the f-block stands in columns 3 to 17.
        row: 1 to 7; the f-block is drawn below, in rows 9 (lanthanides) and 10 (actinides).
    """

    symbol: str
    name: str
    z: int
    column: int
    row: int


def _place(z: int) -> tuple[int, int]:
    """Column and row of the cell of element ``z``."""
    for first, row in ((57, 9), (89, 10)):
        if first <= z <= first + 14:
            return z - first + 3, row
    row = next(i for i, noble in enumerate(_NOBLE_GASES, start=1) if z <= noble)
    from_left = z - ((0, *_NOBLE_GASES)[row - 1])
    to_right = _NOBLE_GASES[row - 1] - z
    s_block = 1 if row == 1 else 2
    return (from_left if from_left <= s_block else 18 - to_right), row


def _element(z: int, entry: str) -> Element:
    symbol, name = entry.split()
    return Element(symbol, name, z, *_place(z))


ELEMENTS: tuple[Element, ...] = tuple(_element(z, entry) for z, entry in enumerate(_NAMES.replace("\n", " ").split(","), start=1))
SYMBOLS: tuple[str, ...] = tuple(element.symbol for element in ELEMENTS)
"""Symbols by Z − 1."""
Z_OF: dict[str, int] = {element.symbol: element.z for element in ELEMENTS}

METALLOIDS = frozenset(["B", "Si", "Ge", "As", "Sb", "Te", "Po"])
"""Neither metals nor non-metals."""
_NONMETALS = frozenset(["H", "He", "C", "N", "O", "F", "Ne", "P", "S", "Cl", "Ar", "Se", "Br", "Kr", "I", "Xe", "At", "Rn"])
METALS = frozenset(SYMBOLS[:N_REFERENCED]) - METALLOIDS - _NONMETALS
"""Elements up to plutonium that are metals by convention: alkali, alkaline earth, transition and post-transition metals (Al, Ga, In, Sn,
Tl, Pb, Bi), lanthanides and actinides."""
