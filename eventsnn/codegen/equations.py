"""A declaration, read and checked: derivatives, effects of receptors, threshold and reset as sympy expressions."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

import sympy as sp

from eventsnn.codegen.declaration import Declaration
from eventsnn.codegen.parse import FUNCTIONS, Reader
from eventsnn.errors import ModelError, valid

RESERVED = {"F", "I0", "I1", "NREF", "I_stim", "current", "fma", "mul", "np", "receptors", "refr", "values", *FUNCTIONS}
METHODS = (None, "exponential_euler", "rk4")


@dataclass(frozen=True)
class Effect:
    """target += factor * w, when w has arrived at a receptor."""

    receptor: str
    target: str
    factor: sp.Expr


@dataclass(frozen=True)
class System:
    """What the equations of a model say."""

    declaration: Declaration
    symbols: dict[str, sp.Symbol]
    """Of states and parameters."""
    derivatives: dict[str, sp.Expr]
    """Of every state; 0 where there is no equation."""
    effects: tuple[Effect, ...]
    threshold: sp.Expr
    """A condition."""
    reset: tuple[tuple[str, sp.Expr], ...]

    def only_parameters(self, e: sp.Expr) -> bool:
        return not ({str(s) for s in e.free_symbols} & set(self.declaration.states))


def read(d: Declaration) -> System:
    """The system of a declaration; ModelError names the model, the line and what is valid."""
    _check_names(d)
    symbols = {name: sp.Symbol(name, real=True) for name in (*d.states, *d.params)}
    derivatives = _derivatives(d, symbols)
    effects = tuple(e for name, text in d.receptors for e in _effects(d, name, text, symbols))
    reset = tuple(_assignments(d, symbols))
    moving = {n for n, f in derivatives.items() if f != 0} | {e.target for e in effects} | {n for n, _ in reset}
    still = [n for n in d.states if n not in moving]
    if still:
        raise ModelError(
            f"{d.name}: nothing ever changes state {still[0]!r}: it has no equation, no receptor and no reset; "
            f"add d{still[0]}/dt = ..., or declare it as a Param"
        )
    return System(d, symbols, derivatives, effects, _threshold(d, symbols), reset)


def _check_names(d: Declaration) -> None:
    for name in (*d.states, *d.params):
        if keyword.iskeyword(name) or name in RESERVED or "__" in name or name.startswith("_"):
            raise ModelError(f"{d.name}: {name!r} cannot be the name of a state or parameter; it is reserved")
    if not d.states:
        raise ModelError(f"{d.name} declares no State; a neuron model needs at least one")
    for kind, given, names in (
        ("refractory", () if d.refractory is None else (d.refractory,), d.params),
        ("current", () if d.current is None else (d.current,), d.params),
        ("hold", d.hold, d.states),
    ):
        for name in given:
            if name not in names:
                raise ModelError(f"{d.name}: {kind} = {name!r} names nothing declared; {valid(name, names)}")
    if d.hold and d.refractory is None:
        raise ModelError(f"{d.name}: hold needs refractory, the name of the parameter with the refractory time")
    if d.method not in METHODS:
        raise ModelError(f"{d.name}: method must be None, 'exponential_euler' or 'rk4', not {d.method!r}")
    repeated = [n for n, _ in d.receptors if [r for r, _ in d.receptors].count(n) > 1]
    if repeated:
        raise ModelError(f"{d.name} declares receptor {repeated[0]!r} twice")


def _derivatives(d: Declaration, symbols: dict[str, sp.Symbol]) -> dict[str, sp.Expr]:
    reader = Reader(f"{d.name}.equations", symbols)
    found: dict[str, sp.Expr] = {}
    for line in reader.lines(d.equations):
        match = re.fullmatch(r"d(\w+)/dt\s*=([^=].*)", line)
        if match is None:
            raise reader.error("an equation reads dx/dt = expression")
        name = match[1]
        if name not in d.states:
            raise reader.error(f"{name!r} is not a State; {valid(name, d.states)}")
        if name in found:
            raise reader.error(f"{name!r} has a second equation")
        found[name] = reader.expression(match[2])
    if not found and not d.equations.strip() and not d.receptors:
        raise ModelError(f"{d.name} has no equations; declare equations = 'dx/dt = ...' or a step")
    return {n: found.get(n, sp.Integer(0)) for n in d.states}


def _effects(d: Declaration, receptor: str, text: str, symbols: dict[str, sp.Symbol]) -> list[Effect]:
    w = sp.Symbol("w", real=True)
    # here w is the weight, even where a state is called w, too
    reader = Reader(f"{d.name}: effect of receptor {receptor!r}", {**symbols, "w": w})
    effects = []
    for line in reader.lines(text):
        match = re.fullmatch(r"(\w+)\s*([+-])=(.*)", line)
        if match is None or match[1] not in d.states:
            raise reader.error(f"an effect reads 'state += expression of w'. States: {', '.join(d.states)}")
        value = reader.expression(match[3]) * (1 if match[2] == "+" else -1)
        factor = sp.diff(value, w)
        if factor.has(w) or sp.expand(value - factor * w) != 0 or factor == 0:
            raise reader.error("it must be proportional to w: the weights that arrive in a step are summed before")
        effects.append(Effect(receptor, match[1], factor))
    if not effects:
        raise ModelError(f"{d.name}: receptor {receptor!r} has no effect; give one such as '{d.states[0]} += w'")
    return effects


def _assignments(d: Declaration, symbols: dict[str, sp.Symbol]) -> list[tuple[str, sp.Expr]]:
    reader = Reader(f"{d.name}.reset", symbols)
    found = []
    for line in reader.lines(d.reset):
        match = re.fullmatch(r"(\w+)\s*([+-]?)=([^=].*)", line)
        if match is None or match[1] not in d.states:
            raise reader.error(f"a reset reads 'state = expression'. States: {', '.join(d.states)}")
        value = reader.expression(match[3])
        old = symbols[match[1]]
        found.append((match[1], {"": value, "+": old + value, "-": old - value}[match[2]]))
    return found


def _threshold(d: Declaration, symbols: dict[str, sp.Symbol]) -> sp.Expr:
    if not d.threshold.strip():
        raise ModelError(f"{d.name} has no threshold; give a condition such as '{d.states[0]} >= 0'")
    reader = Reader(f"{d.name}.threshold", symbols)
    condition = reader.expression(d.threshold)
    if not isinstance(condition, (sp.core.relational.Relational, sp.logic.boolalg.BooleanFunction)):
        raise reader.error("a threshold is a condition such as 'V_m >= V_th'")
    if not {str(s) for s in condition.free_symbols} & set(d.states):
        raise reader.error(f"the condition depends on no state. States: {', '.join(d.states)}")
    return condition
