"""Whether the two sides of every line of a model have one unit.

A bare number may be added to anything, or be compared with it or assigned to it: it is meant in that unit. As a factor it has
none, but a power of ten may convert (rate*dt/1000, of Hz and ms). Names of units stand for 1: 10*mV.
"""

from __future__ import annotations

import ast
import math
import re
from fractions import Fraction
from functools import lru_cache, reduce

from eventsnn.codegen.declaration import Declaration
from eventsnn.codegen.dimension import NONE, WORDS, Unit, parse
from eventsnn.codegen.parse import statements
from eventsnn.errors import ModelError

Units = tuple[tuple[str, str], ...]
"""(name, unit)"""
Measured = Unit | float
"""The unit of an expression, or the value of a bare number."""
PLAIN = ("exp", "log", "tanh", "exprel", "sin", "cos")
"""Functions of plain numbers."""
SAME = ("abs", "min", "max", "clip")
"""Functions whose result has the unit of their arguments."""
CURE = "write numbers with their units (10*mV), or set check_units = False"


@lru_cache(maxsize=256)
def check(d: Declaration, names: Units, weights: Units) -> None:
    """ModelError where a line of a declaration mixes units. `names`: parameters and states; `weights`: receptors.

    A model that declares no unit at all, and one whose step is a function, is left alone.
    """
    if d.step is not None or not any(unit for _, unit in names):
        return
    ms = parse("ms", d.name)
    known = {word: parse(word, d.name) for word in WORDS} | {"dt": ms}
    known |= {name: parse(unit, f"{d.name}: {name}") for name, unit in names}
    if d.refractory is not None and known[d.refractory].common(ms) is None:
        raise ModelError(f"{d.name}: the refractory time {d.refractory} must be in ms, not in {known[d.refractory]}")
    for line in statements(d.equations):
        meter = _Meter(f"{d.name}.equations", line, known)
        match = re.fullmatch(r"(?:d(\w+)/dt|(\w+))\s*=([^=].*)", line)
        assert match is not None, line
        value = meter.measure(match[3])
        if match[1] is None:
            known[match[2]] = value if isinstance(value, Unit) else NONE
        else:
            meter.fits(f"d{match[1]}/dt", known[match[1]].times(ms, -1), value)
    for receptor, effect in d.receptors:
        weight = parse(dict(weights)[receptor], f"{d.name}: receptor {receptor!r}")
        _assignments(f"{d.name}: effect of receptor {receptor!r}", effect, {**known, "w": weight}, known)
    _Meter(f"{d.name}.threshold", d.threshold.strip(), known).measure(d.threshold)
    for kind, text in (("reset", d.reset), ("always", d.always), ("release", d.release)):
        _assignments(f"{d.name}.{kind}", text, known, known)


def _assignments(who: str, text: str, inside: dict[str, Unit], targets: dict[str, Unit]) -> None:
    for line in statements(text):
        meter = _Meter(who, line, inside)
        match = re.fullmatch(r"(\w+)\s*[+-]?=(.*)", line)
        assert match is not None, line
        meter.fits(match[1], targets[match[1]], meter.measure(match[2]))


class _Meter:
    """Measures expressions of a line whose grammar and names are known to be right."""

    def __init__(self, who: str, line: str, known: dict[str, Unit]) -> None:
        self.who = who
        self.line = line
        self.known = known

    def error(self, what: str) -> ModelError:
        return ModelError(f"{self.who}: {self.line!r}: {what}; {CURE}")

    def fits(self, left: str, unit: Unit, right: Measured) -> None:
        if isinstance(right, Unit) and unit.common(right) is None:
            raise self.error(f"{left} is in {unit}, but the right side in {right}")

    def measure(self, text: str) -> Measured:
        return self.visit(ast.parse(text.strip(), mode="eval").body)

    def visit(self, node: ast.AST) -> Measured:
        found: Measured = getattr(self, f"_{type(node).__name__}")(node)
        return found

    def _together(self, nodes: list[ast.expr]) -> Measured:
        """The unit that all of them have."""
        return reduce(self._pair, ((n, self.visit(n)) for n in nodes))[1]

    def _pair(self, a: tuple[ast.expr, Measured], b: tuple[ast.expr, Measured]) -> tuple[ast.expr, Measured]:
        if not isinstance(a[1], Unit) or not isinstance(b[1], Unit):
            return a if isinstance(a[1], Unit) else b
        common = a[1].common(b[1])
        if common is None:
            raise self.error(f"{ast.unparse(a[0])!r} is in {a[1]}, but {ast.unparse(b[0])!r} in {b[1]}")
        return a[0], common

    def _plain(self, node: ast.expr, what: str) -> None:
        found = self.visit(node)
        if isinstance(found, Unit) and found.common(NONE) is None:
            raise self.error(f"{ast.unparse(node)!r} is in {found}, but {what} must be a plain number")

    def _Constant(self, node: ast.Constant) -> Measured:
        assert isinstance(node.value, int | float)
        return float(node.value)

    def _Name(self, node: ast.Name) -> Measured:
        if node.id in self.known:
            return self.known[node.id]
        if node.id == "xi" or node.id.startswith("xi_"):
            return parse("ms", self.who).power(Fraction(-1, 2))
        return math.e  # or pi

    def _UnaryOp(self, node: ast.UnaryOp) -> Measured:
        found = self.visit(node.operand)
        return -found if isinstance(found, float) and isinstance(node.op, ast.USub) else found

    def _BinOp(self, node: ast.BinOp) -> Measured:
        if isinstance(node.op, ast.Pow):
            return self._power(node)
        if isinstance(node.op, ast.Add | ast.Sub):
            return self._together([node.left, node.right])
        a, b = self.visit(node.left), self.visit(node.right)
        sign = -1 if isinstance(node.op, ast.Div) else 1
        if isinstance(a, float) and isinstance(b, float):
            return a * b if sign == 1 else (a / b if b else math.nan)
        return _as_factor(a).times(_as_factor(b), sign)

    def _power(self, node: ast.BinOp) -> Measured:
        base, exponent = self.visit(node.left), self.visit(node.right)
        if isinstance(base, float):
            self._plain(node.right, "an exponent")
            return base if isinstance(exponent, float) else NONE
        if isinstance(exponent, float):
            return base.power(Fraction(exponent).limit_denominator(1000))
        self._plain(node.left, "what has an exponent that is not a number")
        self._plain(node.right, "an exponent")
        return NONE

    def _Compare(self, node: ast.Compare) -> Measured:
        self._together([node.left, *node.comparators])
        return NONE

    def _BoolOp(self, node: ast.BoolOp) -> Measured:
        for value in node.values:
            self.visit(value)
        return NONE

    def _IfExp(self, node: ast.IfExp) -> Measured:
        self.visit(node.test)
        return self._together([node.body, node.orelse])

    def _Call(self, node: ast.Call) -> Measured:
        name = ast.unparse(node.func)
        if name == "where":
            self.visit(node.args[0])
            return self._together(node.args[1:])
        if name == "before":
            return self.visit(node.args[0])
        if name == "sign":
            self.visit(node.args[0])
            return NONE
        if name in SAME:
            return self._together(node.args)
        if name == "sqrt":
            found = self.visit(node.args[0])
            return found.power(Fraction(1, 2)) if isinstance(found, Unit) else found
        for argument in node.args:
            self._plain(argument, f"the argument of {name}")
        return NONE  # of PLAIN, and of draws


def _as_factor(a: Measured) -> Unit:
    """A number, as a factor, has no unit; a power of ten may be there to convert."""
    if isinstance(a, Unit):
        return a
    shift = round(math.log10(abs(a))) if a and math.isfinite(a) else 0
    converts = shift != 0 and math.isclose(abs(a), 10.0**shift, rel_tol=1e-12)
    return Unit(NONE.powers, NONE.scales | {Fraction(-shift)}) if converts else NONE
