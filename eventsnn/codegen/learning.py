"""The rule of a synapse that changes: statements are read, put one into the other, and printed as functions on scalars."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import sympy as sp

from eventsnn.codegen.declaration import RuleDeclaration
from eventsnn.codegen.hostmath import evaluate
from eventsnn.codegen.parse import FUNCTIONS, Reader
from eventsnn.codegen.printer import HostPrinter, StepPrinter
from eventsnn.errors import ModelError, valid
from eventsnn.spec import Plasticity, Value

TIMES = ("since_pre", "since_post", "first", "dt")
WORDS = ("release", "on_pre", "on_post", "on_modulator", "sent", "when")
RESERVED = {"w", "weight", "delay", "modulator", "modulator_delay", "F", "fma", "mul", "np", *TIMES, *FUNCTIONS}
Statements = dict[str, sp.Expr]


def generate(d: RuleDeclaration, values: Mapping[str, float], each: Mapping[str, Value] | None = None) -> Plasticity:
    """The rule of a declaration with these parameters, and those of which each synapse has its own; ModelError where it makes no
    sense."""
    _check(d)
    each = each or {}
    _check_each(d, each)
    d = replace(d, params=tuple(sorted(d.params, key=lambda name: name in each)))
    exponents = _exponents(d)
    source = _texts(d, tuple((name, values[name]) for name in sorted(exponents)))
    for tau in (*(tau for _, tau, _ in (*d.pre, *d.post)), *(tau for *_, tau in d.variables if tau)):
        if not values[tau] > 0.0:
            raise ModelError(f"{d.name}: the time constant {tau} must be > 0 ms, not {values[tau]:g}")
    numbers = {name: np.float64(value) for name, value in values.items()}

    def number(given: float | str, what: str) -> float:
        if isinstance(given, str):
            return float(evaluate(_bound(d, given, what), numbers))
        return float(given)

    low, high = sorted(number(text, "bounds") for text in d.bounds) if d.bounds else (0.0, 0.0)
    if not np.isfinite([low, high]).all():
        raise ModelError(f"{d.name}: the bounds {' and '.join(d.bounds)} must be finite: the input of targets is scaled by them")
    return Plasticity(
        name=d.name,
        source=source,
        constants=tuple((name, float(values[name])) for name in d.params if name in values),
        pre=tuple((float(values[tau]), nearest) for _, tau, nearest in d.pre),
        post=tuple((float(values[tau]), nearest) for _, tau, nearest in d.post),
        states=tuple(number(initial, name) for name, initial in d.states),
        variables=tuple(
            (v if isinstance(v, str) and v in each else number(v, name), float(values[tau]) if tau else 0.0)
            for name, v, tau in d.variables
        ),
        low=low,
        high=high,
        when=bool(d.when),
        modulated=bool(d.on_modulator),
        values=len(d.values),
        reads=d.reads,
        past=tuple(d.reads.index(state) for _, state in d.past),
        each=tuple((name, each[name]) for name in d.params if name in each),
    )


def _bound(d: RuleDeclaration, text: str, what: str) -> str:
    reader = Reader(f"{d.name}.{what}", {name: sp.Symbol(name, real=True) for name in d.params})
    return HostPrinter().text(reader.expression(text))


def _names(d: RuleDeclaration) -> list[str]:
    """All arguments of the functions, in order."""
    return ["w", *_own(d), *TIMES, *d.params]


def _own(d: RuleDeclaration) -> list[str]:
    return [str(entry[0]) for entries in (d.variables, d.states, d.pre, d.post, d.values, d.past) for entry in entries]


def _check(d: RuleDeclaration) -> None:
    names = [*_own(d), *d.params, *d.reads]
    for name in names:
        if keyword.iskeyword(name) or name in RESERVED or "__" in name or name.startswith("_") or names.count(name) > 1:
            raise ModelError(f"{d.name}: {name!r} cannot be the name of a parameter, trace, state or variable; it is taken")
    for word in WORDS:
        if not isinstance(getattr(d, word), str):
            raise ModelError(f'{d.name}: {word} must be text, such as "w += 1", not {getattr(d, word)!r}')
    if len(d.bounds) not in (0, 2):
        raise ModelError(f'{d.name}: bounds must be two expressions, such as ("0", "Wmax"), or none, not {d.bounds!r}')
    for kind, taus in (("trace", [t for _, t, _ in (*d.pre, *d.post)]), ("variable", [t for *_, t in d.variables if t])):
        for tau in taus:
            if tau not in d.params:
                raise ModelError(f"{d.name}: tau={tau!r} of a {kind} names no parameter; {valid(tau, d.params)}")
    for name, state in d.past:
        if state not in d.reads:
            raise ModelError(f"{d.name}: {name} is the past of {state!r}, which is not among reads; {valid(state, d.reads)}")
    if d.values and not d.when:
        raise ModelError(f"{d.name}: {d.values[0][0]} is kept with the steps that `when` chooses; give that condition")
    for name, initial in [(n, i) for n, i in d.states] + [(n, i) for n, i, _ in d.variables]:
        if isinstance(initial, str) and initial not in d.params:
            raise ModelError(f"{d.name}: the initial value {initial!r} of {name} names no parameter; {valid(initial, d.params)}")


def _check_each(d: RuleDeclaration, each: Mapping[str, object]) -> None:
    """Where a parameter must be one number for all synapses, because what it belongs to is not a synapse's."""
    taus = [tau for _, tau, _ in (*d.pre, *d.post)] + [tau for *_, tau in d.variables if tau]
    shared = {
        "a bound of weights": " ".join(d.bounds),
        "the time constant of a trace or variable": " ".join(taus),
        "the initial value of a source's state": " ".join(str(initial) for _, initial in d.states),
        "read by `release`": d.release,
        "read by `when`, or a value kept with it": " ".join([d.when, *(text for _, text in d.values)]),
        "an exponent": " ".join(_exponents(d)),
    }
    for name in each:
        for what, text in shared.items():
            if name in re.findall(r"\w+", text):
                raise ModelError(f"{d.name}: {name} is one number for all synapses, because it is {what}")


def _exponents(d: RuleDeclaration) -> frozenset[str]:
    """Parameters that are exponents: their values go into the text, so that w**0 is 1 and w**1 is w."""
    found: set[str] = set()
    for made in _rules(d, {}).values():
        for e in made.values():
            found |= {str(s) for p in e.atoms(sp.Pow) for s in p.exp.free_symbols}
    return frozenset(found & set(d.params))


@lru_cache(maxsize=256)
def _texts(d: RuleDeclaration, exponents: tuple[tuple[str, float], ...]) -> str:
    made = _rules(d, dict(exponents))
    results = {
        "release": [name for name, _ in d.states],
        "on_pre": ["w", *(name for name, *_ in d.variables)],
        "on_post": ["w", *(name for name, *_ in d.variables)],
        "on_modulator": ["w", *(name for name, *_ in d.variables)],
        "sent": ["sent"],
    }
    texts = [_function(_names(d), name, made[name], outputs) for name, outputs in results.items()]
    if d.when:
        texts.append(_event(d))
    return "\n\n".join(texts)


def _event(d: RuleDeclaration) -> str:
    symbols = {name: sp.Symbol(name, real=True) for name in (*d.reads, *d.params)}
    reader = Reader(f"{d.name}.when", symbols)
    condition = reader.expression(d.when)
    if not isinstance(condition, (sp.core.relational.Relational, sp.logic.boolalg.BooleanFunction)):
        raise reader.error("it must be a condition such as 'V_m > theta_plus'")
    made = {"when": condition}
    for name, text in d.values:
        made[name] = sp.sympify(Reader(f"{d.name}.{name}", symbols).expression(text))
    return _function([*d.reads, *d.params], "event", made, list(made))


def _rules(d: RuleDeclaration, exponents: Mapping[str, float]) -> dict[str, Statements]:
    symbols = {name: sp.Symbol(name, real=True) for name in _names(d)}
    symbols |= {name: sp.Rational(repr(value)) for name, value in exponents.items()}
    weights = ["w", *(name for name, *_ in d.variables)]
    found = {
        "release": _read(d, "release", d.release, symbols, [name for name, _ in d.states]),
        "on_pre": _read(d, "on_pre", d.on_pre, symbols, weights),
        "on_post": _read(d, "on_post", d.on_post, symbols, weights),
        "on_modulator": _read(d, "on_modulator", d.on_modulator, symbols, weights),
    }
    reader = Reader(f"{d.name}.sent", symbols)
    found["sent"] = {"sent": sp.sympify(reader.expression(d.sent))}
    _check_known(d, found)
    return found


def _check_known(d: RuleDeclaration, found: Mapping[str, Statements]) -> None:
    """ModelError where statements read what is not known at their time."""
    variables, values, past = ([entry[0] for entry in entries] for entries in (d.variables, d.values, d.past))
    traces = [name for name, *_ in (*d.pre, *d.post)]
    unknown = {
        "release": {"w", "since_post", *variables, *traces, *values, *past},
        "on_pre": set(values),
        "sent": set(values),
        "on_post": {"first", *past},
        "on_modulator": {"first", *past},
    }
    if d.on_modulator:  # a history holds the spikes of both
        unknown |= {word: unknown[word] | {"since_post"} for word in ("on_pre", "on_post", "on_modulator", "sent")}
    for word, made in found.items():
        read = {str(s) for name, e in made.items() if str(e) != name for s in e.free_symbols}
        for name in sorted(read & unknown[word]):
            raise ModelError(f"{d.name}.{word}: {name!r} is not known there; a Variable of the rule can keep what it needs")


def _read(d: RuleDeclaration, what: str, text: str, symbols: dict[str, sp.Symbol], targets: list[str]) -> Statements:
    """The value of every target after all statements, in terms of what there was before them."""
    reader = Reader(f"{d.name}.{what}", symbols)
    now: Statements = {}
    for line in reader.lines(text):
        match = re.fullmatch(r"(\w+)\s*([-+*]?)=([^=].*)", line)
        if match is None:
            raise reader.error("a rule reads 'w = expression' or 'w += expression'")
        if match[1] not in targets:
            raise reader.error(f"{match[1]!r} cannot be changed here; {valid(match[1], targets)}")
        before = now.get(match[1], symbols[match[1]])
        given = reader.expression(match[3])
        if isinstance(given, (sp.core.relational.Relational, sp.logic.boolalg.BooleanFunction)):
            raise reader.error("a condition is no number; where(condition, 1, 0) is one")
        value = sp.sympify(given).subs({symbols[n]: e for n, e in now.items()}, simultaneous=True)
        now[match[1]] = {"": value, "+": before + value, "-": before - value, "*": before * value}[match[2]]
    return {name: now.get(name, symbols[name]) for name in targets}


def _function(arguments: list[str], name: str, made: Statements, outputs: list[str]) -> str:
    printer = StepPrinter()
    names = (sp.Symbol(f"c__{k}", real=True) for k in range(10**6))
    common, reduced = sp.cse([made[n] for n in outputs], symbols=names)
    body = [f"    {n} = {printer.text(e)}" for n, e in common]
    results = ", ".join(printer.text(e) for e in reduced)
    one = "," * (len(outputs) == 1 and name in ("release", "event"))
    body.append(f"    return ({results}{one})")
    return "\n".join([f"def {name}({', '.join(arguments)}):", *body]) + "\n"
