"""Units as powers of base units and a scale, for checking equations. No library: a part needs none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from eventsnn.errors import ModelError

BASE = ("A", "V", "s", "m", "mol")
PREFIXES = {"": 0, "G": 9, "M": 6, "k": 3, "c": -2, "m": -3, "u": -6, "µ": -6, "n": -9, "p": -12, "f": -15}
SYMBOLS: dict[str, tuple[tuple[int, ...], int]] = {
    "A": ((1, 0, 0, 0, 0), 0),
    "V": ((0, 1, 0, 0, 0), 0),
    "s": ((0, 0, 1, 0, 0), 0),
    "m": ((0, 0, 0, 1, 0), 0),
    "mol": ((0, 0, 0, 0, 1), 0),
    "Hz": ((0, 0, -1, 0, 0), 0),
    "S": ((1, -1, 0, 0, 0), 0),
    "ohm": ((-1, 1, 0, 0, 0), 0),
    "F": ((1, -1, 1, 0, 0), 0),
    "C": ((1, 0, 1, 0, 0), 0),
    "M": ((0, 0, 0, -3, 1), 3),
}
"""Symbol -> (powers of the base units, power of ten)."""
WORDS = ("ms", "mV", "pA", "pF", "nS", "Hz", "s", "V", "nA", "uA", "nF", "uF", "uS", "mS", "S", "cm", "um", "mM", "uM", "pC")
"""Units that may stand in equations, where nothing else has their name: 10*mV is the number 10."""
HOUSE = ("mV", "pA", "ms", "nS", "pF", "pC")
Scales = frozenset[Fraction]


@dataclass(frozen=True)
class Unit:
    """Powers of the base units, and the powers of ten that its numbers may be meant in.

    There is more than one where a factor such as 1000 may, or may not, be there to convert.
    """

    powers: tuple[Fraction, ...]
    scales: Scales = frozenset((Fraction(0),))

    def times(self, other: Unit, sign: int = 1) -> Unit:
        powers = tuple(a + sign * b for a, b in zip(self.powers, other.powers, strict=True))
        return Unit(powers, frozenset(a + sign * b for a in self.scales for b in other.scales))

    def power(self, exponent: Fraction) -> Unit:
        return Unit(tuple(exponent * a for a in self.powers), frozenset(exponent * a for a in self.scales))

    def common(self, other: Unit) -> Unit | None:
        """The unit in which both can be added; None if there is none."""
        scales = self.scales & other.scales
        return Unit(self.powers, scales) if self.powers == other.powers and scales else None

    def __str__(self) -> str:
        return _text(self)


NONE = Unit((Fraction(0),) * len(BASE))


def parse(text: str, who: str) -> Unit:
    """The unit of a text such as "mV", "pA/ms", "1/ms" or "mS/cm**2"; ModelError naming `who`."""
    if "(" in text:
        raise ModelError(f"{who}: the unit {text!r} has parentheses; write a/b/c for a/(b*c)")
    made, sign = NONE, 1
    for part in re.findall(r"[*/]|[^*/\s]+(?:\s*(?:\*\*|\^)\s*-?\d+(?:\.\d+)?)?", re.sub(r"\s*(\*\*|\^)\s*", "^", text)):
        if part in "*/":
            sign = -1 if part == "/" else 1
            continue
        symbol, _, exponent = part.partition("^")
        made = made.times(_symbol(symbol, text, who).power(Fraction(exponent or "1")), sign)
        sign = 1
    return made


def _symbol(symbol: str, text: str, who: str) -> Unit:
    if symbol in ("1", ""):
        return NONE
    for end in sorted(SYMBOLS, key=len, reverse=True):
        prefix = symbol.removesuffix(end)
        if symbol.endswith(end) and prefix in PREFIXES:
            powers, scale = SYMBOLS[end]
            return Unit(tuple(map(Fraction, powers)), frozenset((Fraction(scale + PREFIXES[prefix]),)))
    known = f"{', '.join(SYMBOLS)}, with a prefix ({', '.join(p for p in PREFIXES if p)}), and *, / and **"
    raise ModelError(f"{who}: {text!r} is no unit; use {known}, or check_units = False")


def _text(unit: Unit) -> str:
    """In the units of this house where it is one of them, else as a product of pA, mV, ms."""
    if not any(unit.powers):
        shift = min(unit.scales, key=abs)
        return "a plain number" if not shift else f"10**{shift}"
    pairs = (f"{a}{sign}{b}" for a, b in product(("1", *HOUSE), HOUSE) for sign in "/*")
    for word in (*HOUSE, *(f"1/{b}" for b in HOUSE), *WORDS, *pairs, *(f"{a}/cm**2" for a in ("uA", "mS", "uF"))):
        if unit.common(parse(word, "")) is not None:
            return word
    products = zip(("pA", "mV", "ms", "m", "mol"), unit.powers, strict=True)
    text = "*".join(name if power == 1 else f"{name}**{_number(power)}" for name, power in products if power)
    shift = min(a - b for a in unit.scales for b in parse(text, "").scales)
    return text if not shift else f"10**{_number(shift)} {text}"


def _number(power: Fraction) -> str:
    return str(power) if power.denominator == 1 else str(float(power))
