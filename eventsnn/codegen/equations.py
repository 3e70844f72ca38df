"""A declaration, read and checked: derivatives, effects of receptors, threshold and reset as sympy expressions."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

import sympy as sp

from eventsnn.codegen.declaration import Declaration
from eventsnn.codegen.parse import DRAWS, FUNCTIONS, Reader, Symbols, drawn
from eventsnn.errors import ModelError, valid

RESERVED = {
    *("F", "I0", "I1", "NREF", "I_stim", "before", "current", "dt", "fma", "mul", "np", "receptors", "refr", "values", "xi"),
    *(*DRAWS, *FUNCTIONS),
}
METHODS = (None, "exponential_euler", "rk4", "rk4_divided", "staggered", "euler", "sequential_euler")
STEP = sp.Symbol("h__", positive=True)
"""Length of a step."""


Assignments = tuple[tuple[str, sp.Expr], ...]
"""(state, its new value), one after the other."""


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
    """Of every state, without noise; 0 where there is no equation. Those with one come first, in the order of the equations."""
    noise: dict[str, tuple[tuple[int, sp.Expr], ...]]
    """state -> (number of a draw, factor) of each white noise in its equation."""
    effects: tuple[Effect, ...]
    threshold: sp.Expr
    """A condition."""
    reset: Assignments
    always: Assignments
    """In every step, before the threshold is tested."""
    release: Assignments
    """In the last step of the refractory time."""
    draws: tuple[str, ...]
    """"normal" or "uniform" of each number that is drawn in a step."""

    @property
    def upstroke(self) -> tuple[str, str]:
        """Method "rk4_divided": the potential that runs away, and the parameter that it crosses then."""
        sides = tuple(map(str, self.threshold.args)) if isinstance(self.threshold, (sp.Ge, sp.Gt)) else ("", "")
        d = self.declaration
        if d.crossing:
            raise ModelError(f"{d.name}: method = 'rk4_divided' does not go with crossing; use method = 'rk4'")
        if len(sides) != 2 or sides[0] not in d.states or sides[1] not in d.params:
            raise ModelError(f"{d.name}: method = 'rk4_divided' needs a threshold 'state >= parameter'; or use method = 'rk4'")
        return sides[0], sides[1]

    def only_parameters(self, e: sp.Expr) -> bool:
        return not ({str(s) for s in e.free_symbols} & set(self.declaration.states))


def read(d: Declaration) -> System:
    """The system of a declaration; ModelError names the model, the line and what is valid."""
    _check_names(d)
    symbols = {name: sp.Symbol(name, real=True) for name in (*d.states, *d.params)}
    derivatives, known, noises = _derivatives(d, symbols)
    drift, noise = _without_noise(d, derivatives, noises)
    effects = tuple(e for name, text in d.receptors for e in _effects(d, name, text, known))
    draws = ["normal"] * len(noises)
    threshold = _threshold(d, known, draws)
    reset = _assignments(d, "reset", d.reset, known, draws)
    always = _assignments(d, "always", d.always, known, draws)
    release = _assignments(d, "release", d.release, known, draws)
    moving = {n for n, f in derivatives.items() if f != 0} | {e.target for e in effects}
    moving |= {n for n, _ in (*reset, *always, *release)}
    still = [n for n in d.states if n not in moving]
    if still:
        raise ModelError(
            f"{d.name}: nothing ever changes state {still[0]!r}: it has no equation, no receptor and no reset; "
            f"add d{still[0]}/dt = ..., or declare it as a Param"
        )
    return System(d, symbols, drift, noise, effects, threshold, reset, always, release, tuple(draws))


def _check_names(d: Declaration) -> None:
    for name in (*d.states, *d.params):
        if _reserved(name):
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
    for kind, needs in (("hold", bool(d.hold)), ("release", bool(d.release.strip()))):
        if needs and d.refractory is None:
            raise ModelError(f"{d.name}: {kind} needs refractory, the name of the parameter with the refractory time")
    if d.method not in METHODS:
        raise ModelError(f"{d.name}: method must be {', '.join(map(repr, METHODS[:-1]))} or {METHODS[-1]!r}, not {d.method!r}")
    repeated = [n for n, _ in d.receptors if [r for r, _ in d.receptors].count(n) > 1]
    if repeated:
        raise ModelError(f"{d.name} declares receptor {repeated[0]!r} twice")


def _reserved(name: str) -> bool:
    hidden = "__" in name or name.startswith(("_", "xi_"))
    return keyword.iskeyword(name) or name in RESERVED or hidden


def _derivatives(d: Declaration, symbols: Symbols) -> tuple[dict[str, sp.Expr], Symbols, dict[str, sp.Symbol]]:
    """(derivative of every state, what names stand for, the white noises that the equations name)."""
    noises: dict[str, sp.Symbol] = {}
    known: dict[str, sp.Expr] = dict(symbols)
    found: dict[str, sp.Expr] = {}
    for line in (reader := Reader(f"{d.name}.equations", known)).lines(d.equations):
        for name in re.findall(r"\bxi(?:_\w+)?\b", line):
            if name not in symbols and name not in known:
                noises[name] = known[name] = drawn(len(noises))
        match = re.fullmatch(r"(?:d(\w+)/dt|(\w+))\s*=([^=].*)", line)
        if match is None or match[2] in symbols:
            raise reader.error("an equation reads dx/dt = expression, a name for an expression name = expression")
        if match[2] is not None:
            known[_new_name(match[2], known, reader)] = reader.expression(match[3])
            continue
        name = match[1]
        if name not in d.states:
            raise reader.error(f"{name!r} is not a State; {valid(name, d.states)}")
        if name in found:
            raise reader.error(f"{name!r} has a second equation")
        found[name] = reader.expression(match[3])
    if not found and not d.equations.strip() and not d.receptors:
        raise ModelError(f"{d.name} has no equations; declare equations = 'dx/dt = ...' or a step")
    events = {name: e for name, e in known.items() if not e.free_symbols & set(noises.values())}
    return found | {n: sp.Integer(0) for n in d.states if n not in found}, events, noises


def _new_name(name: str, known: Symbols, reader: Reader) -> str:
    if name in known:
        raise reader.error(f"{name!r} is defined a second time")
    if _reserved(name):
        raise reader.error(f"{name!r} cannot be the name of an expression; it is reserved")
    return name


def _without_noise(
    d: Declaration, derivatives: dict[str, sp.Expr], noises: dict[str, sp.Symbol]
) -> tuple[dict[str, sp.Expr], dict[str, tuple[tuple[int, sp.Expr], ...]]]:
    """The derivatives without their white noises, and the factors of those."""
    silence = dict.fromkeys(noises.values(), sp.Integer(0))
    drift, noise = {}, {}
    for n, f in derivatives.items():
        drift[n] = f.subs(silence)
        terms = [(k, xi, sp.diff(f, xi)) for k, xi in enumerate(noises.values()) if f.has(xi)]
        if not terms:
            continue
        rest = f - drift[n] - sum(factor * xi for _, xi, factor in terms)
        if any(factor.has(*silence) for _, _, factor in terms) or sp.expand(rest) != 0:
            raise ModelError(f"{d.name}.equations: d{n}/dt must contain white noise as a term, expression*xi")
        noise[n] = tuple((k, factor) for k, _, factor in terms)
    return drift, noise


def _effects(d: Declaration, receptor: str, text: str, symbols: Symbols) -> list[Effect]:
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


def _assignments(d: Declaration, kind: str, text: str, symbols: Symbols, draws: list[str]) -> Assignments:
    reader = Reader(f"{d.name}.{kind}", {**symbols, "dt": STEP}, draws, d.states)
    found = []
    for line in reader.lines(text):
        match = re.fullmatch(r"(\w+)\s*([+-]?)=([^=].*)", line)
        if match is None or match[1] not in d.states:
            raise reader.error(
                f"{'an' if kind == 'always' else 'a'} {kind} reads 'state = expression'. States: {', '.join(d.states)}"
            )
        value = reader.expression(match[3])
        old = symbols[match[1]]
        found.append((match[1], {"": value, "+": old + value, "-": old - value}[match[2]]))
    return tuple(found)


def _threshold(d: Declaration, symbols: Symbols, draws: list[str]) -> sp.Expr:
    if not d.threshold.strip():
        raise ModelError(f"{d.name} has no threshold; give a condition such as '{d.states[0]} >= 0'")
    noises = len(draws)
    reader = Reader(f"{d.name}.threshold", {**symbols, "dt": STEP}, draws, d.states)
    condition = reader.expression(d.threshold)
    if not isinstance(condition, (sp.core.relational.Relational, sp.logic.boolalg.BooleanFunction)):
        raise reader.error("a threshold is a condition such as 'V_m >= V_th'")
    if len(draws) == noises and not {str(s).removeprefix("before__") for s in condition.free_symbols} & set(d.states):
        raise reader.error(f"the condition depends on no state. States: {', '.join(d.states)}")
    return condition
