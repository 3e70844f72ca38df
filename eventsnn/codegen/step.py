"""Writes `def step(...)` of a model: the update of one neuron, in the order of NEST's grid.

Propagate; add white noise; add the input that arrived (held states keep their value and drop both); make the
assignments of every step, and those at the end of the refractory time; test the threshold on the new values; reset; count the
refractory time. See spec.KernelSpec for the contract.

Noise is factor * sqrt(h) * a number of mean 0 and variance 1, the factor as the step begins (Euler and Maruyama). Where the
factor and the state's own decay dx/dt = -x/tau are made of parameters, it is factor * sqrt(tau/2 (1 - exp(-2 h/tau))) * that
number: the process is exact for every h. D. T. Gillespie, Phys. Rev. E 54 (1996) 2084, doi:10.1103/PhysRevE.54.2084.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from eventsnn.codegen.equations import STEP, Effect, System
from eventsnn.codegen.linear import linear_states, propagator
from eventsnn.codegen.nonlinear import Nonlinear
from eventsnn.codegen.parse import before, drawn, exprel
from eventsnn.codegen.printer import HostPrinter, StepPrinter
from eventsnn.codegen.propagator import Propagator


@dataclass
class StepText:
    """A step under construction: its text, its constants in order, and how the host computes them."""

    source: str = ""
    constants: list[str] = field(default_factory=list)
    propagators: list[Propagator] = field(default_factory=list)
    computed: list[tuple[str, str]] = field(default_factory=list)
    """(name, host text) of factors made of parameters."""


class StepWriter:
    """Writes one variant: with or without a stimulus current."""

    def __init__(self, system: System, current: bool) -> None:
        self.system = system
        self.d = system.declaration
        self.current = current
        self.out = StepText()
        self.printer = StepPrinter()
        self.linear = self._linear()

    def _linear(self) -> tuple[str, ...]:
        """States with an exact solution over the step; those of a reset within a step have none."""
        gone: set[str] = set()
        if self.d.method == "rk4_divided":
            gone = {name for n, e in self.system.reset for name in (n, *map(str, e.free_symbols))}
        left = [n for n in linear_states(self.system) if n not in gone]
        while True:
            others = set(self.d.states) - set(left)
            free = [n for n in left if not {str(s) for s in self.system.derivatives[n].free_symbols} & others]
            if free == left:
                return tuple(left)
            left = free

    def write(self) -> StepText:
        refractory = bool(self.d.refractory)
        divides = self.d.method == "rk4_divided"
        texts = {name: self._body(name) for name in (("quick", "again") if divides else ("step",))}
        arguments = [*self.d.states, *(["refr"] if refractory else []), *(f"w__{name}" for name, _ in self.d.receptors)]
        arguments += [*(["I_stim"] if self.current else []), *(str(drawn(k)) for k in range(len(self.system.draws)))]
        arguments += [*self.out.constants, *(["NREF"] if refractory else [])]
        given = ", ".join(arguments)
        results = ", ".join([*(f"{n}__new" for n in self.d.states), *(["refr__new"] if refractory else []), "spikes__"])
        if divides:
            calls = [f"{results} = {name}({given})" for name in texts]
            texts["step"] = [calls[0], "if spikes__ > I1:", f"    {calls[1]}"]
        for name, body in texts.items():
            lines = [f"def {name}({given}):", *(f"    {line}" for line in body), f"    return {results}"]
            self.out.source += "\n".join(lines) + "\n"
        return self.out

    def _body(self, name: str) -> list[str]:
        """Lines of the whole step; of its quick form, which leaves a step that has to be divided to "again"; of that."""
        body = [
            *(["held__ = refr > I0"] if self.d.refractory else []),
            *self._propagate(name),
            *self._noise(),
            *(f"{n}__new = {n} if held__ else {n}__new" for n in self.d.hold if name != "again"),
            *(self._input(k, effect) for k, effect in enumerate(self.system.effects)),
            *(f"{n}__new = {self._text(e)}" for n, e in self.system.always),
            *self._release(),
            *self._fire(inside=name == "again"),
        ]
        if name == "quick":
            kept = [*self.d.states, *(["refr"] if self.d.refractory else [])]
            body += [*(f"{n}__new = {n} if steep__ else {n}__new" for n in kept), "spikes__ = I1 + I1 if steep__ else spikes__"]
        return body

    def _need(self, *names: str) -> None:
        self.out.constants += [n for n in names if n not in self.out.constants]

    def _propagate(self, name: str) -> list[str]:
        others = tuple(n for n in self.d.states if n not in self.linear)
        derivatives = self.system.derivatives
        if self.current and self.d.current:
            i = self.system.symbols[self.d.current]
            derivatives = {n: f.subs(i, i + sp.Symbol("I_stim", real=True)) for n, f in derivatives.items()}
        nonlinear = Nonlinear(self.system, others, derivatives)
        rest = nonlinear.divided(self._reset()) if name == "again" else nonlinear.lines()
        if name == "quick":
            rest += nonlinear.steep()
        half = {n for n in self.linear if any(f"{n}__half" in line for line in rest)}
        lines = self._solve("", 1.0, "new", set(self.linear))
        lines += self._solve("half__", 0.5, "half", half) if half else []
        self._need(*nonlinear.constants)
        return lines + rest

    def _reset(self) -> list[str]:
        return [f"{n}__new = {self._text(e)}" for n, e in self.system.reset]

    def _solve(self, prefix: str, span: float, suffix: str, wanted: set[str]) -> list[str]:
        """Lines that give linear states after `span` of the step; those that a held state drives have two solutions."""
        free = propagator(self.system, self.linear, frozenset(), prefix, span)
        held = frozenset(self.d.hold) & frozenset(self.linear)
        still = propagator(self.system, self.linear, held, f"held__{prefix}", span)
        lines, used = [], {free.prefix: free}
        for i, n in enumerate(self.linear):
            if n not in wanted:
                continue
            text = self._row(free, i)
            if n not in held and any(self.linear[j] in held for j in free.entries(i)):
                used[still.prefix] = still
                text = f"{self._row(still, i)} if held__ else {text}"
            elif n in held and suffix == "half":
                text = f"{n} if held__ else {text}"
            lines.append(f"{n}__{suffix} = {text}")
        self.out.propagators += used.values()
        return lines

    def _row(self, p: Propagator, i: int) -> str:
        if not p.moves(i):
            return p.states[i]
        text = ""
        if p.driven(i):
            text = p.name("b", i)
            self._need(text)
        if self.current and p.by_current(i):
            gain = p.name("B", i)
            self._need(gain)
            text = f"fma({gain}, I_stim, {text})" if text else f"mul({gain}, I_stim)"
        for j in reversed(p.entries(i)):
            a, x = p.name("A", i, j), p.states[j]
            self._need(a)
            text = f"fma({a}, {x}, {text})" if text else f"mul({a}, {x})"
        return text

    def _noise(self) -> list[str]:
        lines = []
        for n, terms in self.system.noise.items():
            for k, factor in terms:
                if self.system.only_parameters(factor):
                    gain = f"noise{k}__{n}"
                    root = sp.sqrt(STEP * exprel(2 * self._decay(n) * STEP))
                    self.out.computed.append((gain, HostPrinter().text(factor * root)))
                    self._need(gain)
                else:
                    self._need(*(p for p in self.d.params if self.system.symbols[p] in factor.free_symbols), "h__root")
                    gain = f"mul({self.printer.text(factor)}, h__root)"
                lines.append(f"{n}__new = fma({gain}, {drawn(k)}, {n}__new)")
        return lines

    def _decay(self, n: str) -> sp.Expr:
        """The coefficient of a state in its own equation where nothing else leads from it back to it, else 0."""
        if n not in self.linear:
            return sp.Integer(0)
        symbols, f = self.system.symbols, self.system.derivatives
        reached, edge = set[str](), [n]
        while edge:
            here = edge.pop()
            after = {m for m in self.linear if m not in (here, n) and f[m].has(symbols[here])} - reached
            reached |= after
            edge += after
        back = any(f[n].has(symbols[m]) for m in reached)
        return sp.Integer(0) if back else sp.diff(f[n], symbols[n])

    def _input(self, k: int, effect: Effect) -> str:
        new, w, factor = f"{effect.target}__new", f"w__{effect.receptor}", effect.factor
        if factor == 1:
            added = f"{new} + {w}"
        elif factor == -1:
            added = f"{new} - {w}"
        elif self.system.only_parameters(factor):
            name = f"gain{k}__{effect.target}__{effect.receptor}"
            self.out.computed.append((name, HostPrinter().text(factor)))
            self._need(name)
            added = f"fma({name}, {w}, {new})"
        else:
            added = f"fma({self._text(factor)}, {w}, {new})"
        return f"{new} = {new} if held__ else {added}" if effect.target in self.d.hold else f"{new} = {added}"

    def _release(self) -> list[str]:
        lines = ["free__ = refr == I1"] if self.system.release else []
        return lines + [f"{n}__new = {self._text(e)} if free__ else {n}__new" for n, e in self.system.release]

    def _fire(self, inside: bool) -> list[str]:
        condition = self._text(self.system.threshold)
        if self.d.crossing:
            old = self.system.threshold.subs({before(n): self.system.symbols[n] for n in self.d.states})
            condition = f"({condition} & (not {self.printer.text(old)}))"
        if self.d.refractory:
            condition = f"({condition} & (refr <= I0))"
        if inside:
            condition = f"({condition} & (not inside__))"
        lines = [f"fire__ = {condition}", *(f"{line} if fire__ else {line.split(' = ')[0]}" for line in self._reset())]
        lines += ["fire__ = fire__ | inside__"] if inside else []
        if self.d.refractory:
            lines.append("refr__new = NREF if fire__ else max(refr - I1, I0)")
        return [*lines, "spikes__ = I1 if fire__ else I0"]

    def _text(self, e: sp.Expr) -> str:
        """An expression of the new values."""
        self._need(*(n for n in self.d.params if self.system.symbols[n] in e.free_symbols))
        self._need(*(["h__"] if STEP in e.free_symbols else []))
        new = e.subs({self.system.symbols[n]: sp.Symbol(f"{n}__new", real=True) for n in self.d.states})
        return self.printer.text(new.subs({before(n): self.system.symbols[n] for n in self.d.states}))
