"""The numbers that a rule of plasticity reads when a spike is at a synapse, as text for the loops of every backend.

A history of a target is a list of entries: the step of a spike, the traces and values just before it, and whether it was one of
the modulator. How a backend reads an entry, and a table of decays, is a `Reading`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from eventsnn.codegen.hostmath import exp
from eventsnn.spec import Plasticity

DIGITS = 4
"""Tables of exp(-k dt/tau) for k = j * 256**digit, j < 256: a decay is a product of one number of each."""
SCALE, LEARN, DT, LOW, HIGH, MOST, CONSTANTS = range(7)
"""Places in the numbers that the loops read; NUMBERS are their names there."""
NUMBERS = ("scale", "learn", "dt", "low", "high", "most")

KEPT = """
{decorator}
def kept(w, low, high):
    w = w if w > low else low
    return w if w < high else high
"""


@dataclass(frozen=True)
class Reading:
    """How a backend reads step, number k, and whether it is a modulator's, of entry i; the entry before; decays; past states."""

    step: Callable[[str], str]
    value: Callable[[str, int], str]
    third: Callable[[str], str]
    before: Callable[[str], str]
    decayed: Callable[[int, str], str]
    past: Callable[[int], str]


class Words:
    """What loops call the numbers of a rule, and which of them its functions read."""

    def __init__(self, p: Plasticity) -> None:
        self.p = p
        self.variables = [f"v{k}" for k in range(len(p.variables))]
        self.states = [f"s{k}" for k in range(len(p.states))]
        self.pre = [f"x{k}" for k in range(len(p.pre))]
        self.post = [f"y{k}" for k in range(len(p.post))]
        self.values = [f"z{k}" for k in range(p.values)]
        self.past = [f"u{k}" for k in range(len(p.past))]
        self.each = [f"p{k}" for k in range(len(p.each))]
        self.own = [*self.variables, *self.each]
        """Numbers of a synapse besides its weight, in the order in which they are kept."""
        self.arguments = ["w", *self.variables, *self.states, *self.pre, *self.post, *self.values, *self.past]
        self.arguments += ["since_pre", "since_post", "first", "dt", *(f"c{k}" for k in range(len(p.constants))), *self.each]
        self.decaying = [k for k, (_, tau) in enumerate(p.variables) if tau > 0.0]
        gaps = [f"g{k}" for k in self.decaying]
        read = self.read("on_post") | (self.read("on_modulator") if p.modulated else set())
        self.event = [x for x in (*self.pre, *self.post, *self.values, "since_pre", "since_post") if x in read] + gaps
        self.event += ["third"] * p.modulated
        """Numbers of each event of a target."""
        self.each_event = [x for x in self.each if x in read]
        read = self.read("on_pre") | self.read("sent")
        self.now = [x for x in (*self.post, *self.past, "since_post") if x in read] + gaps
        """Numbers of each target when a spike of the source arrives."""
        self.each_now = [x for x in self.each if x in read]

    @property
    def table(self) -> dict[str, int]:
        """Which table of decays is whose."""
        names = [*self.pre, *self.post, *(self.variables[k] for k in self.decaying)]
        return {name: k for k, name in enumerate(names)}

    def call(self, function: str, instead: Mapping[str, str] | None = None) -> str:
        """A call; `instead`: other text for some of the arguments."""
        return f"{function}({', '.join((instead or {}).get(x, x) for x in self.arguments)})"

    def read(self, function: str) -> set[str]:
        """Arguments that a function of the rule reads, as the loops call them."""
        found = next(x for x in ast.parse(self.p.source).body if isinstance(x, ast.FunctionDef) and x.name == function)
        names = {x.id for line in found.body for x in ast.walk(line) if isinstance(x, ast.Name)}
        return {ours for theirs, ours in zip(found.args.args, self.arguments, strict=True) if theirs.arg in names}

    # ---- what a spike does: lines that take w, and what is told above, to the w after it

    @property
    def changed(self) -> str:
        return "w = kept(fma(learn, w__ - w, w) if learn != 1.0 else w__, low, high)"

    def decay(self) -> list[str]:
        return [f"v{k} = mul(v{k}, g{k})" for k in self.decaying]

    def on_pre(self) -> list[str]:
        return [f"{', '.join(['w__', *self.variables])} = {self.call('on_pre')}", self.changed]

    def on_event(self) -> list[str]:
        """A spike of the target, or of the modulator."""
        made = ["w__", *self.variables]
        lines = [f"{', '.join(made)} = {self.call('on_post')}"]
        if self.p.modulated:
            lines.insert(0, f"{', '.join(f'{x}third' for x in made)} = {self.call('on_modulator')}")
            lines += [f"{x} = {x}third if third > 0.0 else {x}" for x in made]
        return [*lines, self.changed]

    # ---- what those numbers are

    def of_event(self, r: Reading) -> list[str]:
        """Those of entry i, which arrives at `arrival`; the source spiked at `spiked` before."""
        before = r.before("i")
        values = {f"x{k}": f"mul(x{k}__, {r.decayed(self.table[f'x{k}'], 'arrival - spiked')})" for k in range(len(self.pre))}
        values |= {x: r.value("i", k) for k, x in enumerate((*self.post, *self.values))}
        values["since_pre"] = "mul(F(arrival - spiked), dt)"
        values["since_post"] = f"mul(F(spike - {r.step(before)} if i > 0 else arrival), dt)"
        values["third"] = f"F(1.0) if {r.third('i')} else F(0.0)"
        lines = [f"{name} = {value}" for name, value in values.items() if name in self.event]
        if self.decaying:
            lines += [f"moved = max(spiked, {r.step(before)} + delay) if i > 0 else spiked"]
            lines += [f"g{k} = {r.decayed(self.table[f'v{k}'], 'arrival - moved')}" for k in self.decaying]
        return lines

    def of_arrival(self, r: Reading, latest: str) -> list[str]:
        """Those of a target when a spike of the source of step `until` - delay = `new` + delay arrives.

        `end`: end of the entries up to `new`; `latest`: the same, by the time these lines have used `end` up.
        """
        before = r.before("end")
        values: dict[str, str] = {}
        for k in range(len(self.post)):
            value = f"mul({self.grown(r, k)}, {r.decayed(self.table[f'y{k}'], f'new - {r.step(before)}')})"
            values[f"y{k}"] = f"{value} if end > 0 else F(0.0)"
        values |= {x: r.past(k) for k, x in enumerate(self.past)}
        values["since_post"] = f"mul(F(new - {r.step(before)} if end > 0 else until), dt)"
        lines = [f"while end > 0 and {r.step(before)} >= new:", f"    end = {before}"]
        lines += [f"{name} = {value}" for name, value in values.items() if name in self.now]
        if self.decaying:
            # the last event of the synapse may be a spike of the target that arrives with this one
            lines += ["moved = spiked", f"latest = {latest}"]
            lines += ["if latest > 0:", f"    moved = max(moved, {r.step(r.before('latest'))} + delay)"]
            lines += [f"g{k} = {r.decayed(self.table[f'v{k}'], 'until - moved')}" for k in self.decaying]
        return lines

    def grown(self, r: Reading, k: int) -> str:
        """Trace k of the target just after the last entry before `end`."""
        last = r.before("end")
        before = r.value(last, k)
        after = "F(1.0)" if self.p.post[k][1] else f"{before} + F(1.0)"
        return f"({before} if {r.third(last)} else {after})" if self.p.modulated else after

    def of_entry(self, r: Reading) -> list[str]:
        """The traces of the target that an entry made at `step` keeps."""
        gap = f"step - {r.step(r.before('end'))}"
        return [
            f"y{k} = mul({self.grown(r, k)}, {r.decayed(self.table[f'y{k}'], gap)}) if end > 0 else F(0.0)"
            for k in range(len(self.post))
        ]

    def of_source(self, r: Reading) -> list[str]:
        """Of a spike of the source that arrives at `until`: its traces and states, and whether it is the first."""
        lines = ["first = F(1.0) if before < 0 else F(0.0)", "since_pre_now = mul(F(until - spiked), dt)"]
        lines += [f"x{k}__now = mul(x{k}__, {r.decayed(self.table[f'x{k}'], 'until - spiked')})" for k in range(len(self.pre))]
        if self.states:
            unknown = ("w", *self.variables, *self.pre, *self.post, *self.values, *self.past, *self.each, "since_post")
            release = self.call("release", {**dict.fromkeys(unknown, "F(0.0)"), "since_pre": "since_pre_now"})
            lines.append(f"{', '.join(f'{s}__new' for s in self.states)}, = {release}")
        return lines

    def after_source(self) -> list[str]:
        """Traces and states of the source after its spike."""
        grown = [f"x{k}__ = {'F(1.0)' if nearest else f'x{k}__now + F(1.0)'}" for k, (_, nearest) in enumerate(self.p.pre)]
        return grown + [f"{s} = {s}__new" for s in self.states]

    def happens(self) -> list[str]:
        """Whether a step counts as a spike of the target, from the states r0, ... that are read; and the values kept with it."""
        reads, constants = ([f"{x}{k}" for k in range(len(n))] for x, n in (("r", self.p.reads), ("c", self.p.constants)))
        arguments = ", ".join([*reads, *constants, *("F(0.0)" for _ in self.each)])
        outputs = ["happens", *self.values]
        return [f"{', '.join(outputs)}{',' * (len(outputs) == 1)} = event({arguments})"]

    @staticmethod
    def none(*names: str) -> list[str]:
        return [f"{x} = F(0.0)" for x in names]

    @property
    def unread(self) -> list[str]:
        """Arguments of an event that no function reads."""
        given = (*self.pre, *self.post, *self.values, *self.past, "since_pre", "since_post")
        return [x for x in (*given, *self.each) if x not in (*self.event, *self.each_event)]

    @property
    def absent(self) -> list[str]:
        """Arguments that no function reads when a spike of the source arrives."""
        given = (*self.post, *self.values, *self.past, "since_post", *self.each)
        return [x for x in given if x not in (*self.now, *self.each_now)]


def numbers_of(p: Plasticity, exponent: int, dt: float) -> npt.NDArray[np.float64]:
    """SCALE to MOST, and the constants. `exponent`: of the receptor."""
    return np.array([2.0**-exponent, 1.0, dt, p.low, p.high, max(abs(p.low), abs(p.high)), *(value for _, value in p.constants)])


def tables_of(p: Plasticity, dt: float) -> npt.NDArray[np.float64]:
    """The tables of decays, one after the other."""
    taus = [tau for tau, _ in (*p.pre, *p.post)] + [tau for _, tau in p.variables if tau > 0.0]
    return np.concatenate([np.empty(0), *(decays(dt / tau) for tau in taus)])


@cache
def decays(rate: float) -> npt.NDArray[np.float64]:
    """exp(-rate * j * 256**digit) for j < 256, by digit."""
    made = [exp(np.float64(-rate * j * 256.0**digit)) for digit in range(DIGITS) for j in range(256)]
    table = np.array(made, np.float64)
    table.setflags(write=False)
    return table


def filled(template: str, **parts: str | list[str]) -> str:
    """The template with lines put in where a brace stands alone on one, at its depth; other braces are words."""
    lines = []
    for line in template.split("\n"):
        name = line.strip().removeprefix("{").removesuffix("}")
        part = parts.get(name) if line.strip() == f"{{{name}}}" else None
        if part is None:
            lines.append(line.format(**{k: v for k, v in parts.items() if isinstance(v, str)}) if "{" in line else line)
            continue
        depth = line[: len(line) - len(line.lstrip())]
        text = part if isinstance(part, str) else "\n".join(part)
        lines += [depth + x for x in text.split("\n") if x.strip()]
    return "\n".join(lines)
