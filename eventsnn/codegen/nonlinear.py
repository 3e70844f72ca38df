"""Steps of the states that are not linear: exponential Euler and the classical Runge-Kutta method, as text.

Where a potential runs away as it spikes, a step is divided: the crossing of the threshold is located, the reset made there, and
the rest of the step goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from eventsnn.codegen.equations import System
from eventsnn.codegen.printer import StepPrinter
from eventsnn.errors import ModelError

STEEP = 1.0
"""A step is divided where the potential would run away within two steps, as its derivative at the end of the step tells."""
PARTS = 64
"""Of a step, at most; some five are used."""
SPAN = 0.65
"""Of the time in which the potential would run away, what a part takes at most: the rest of the states see its logarithm."""
NEAR = 8.0
"""Where it would run away within this fraction of a step, the rest of its way has a closed form."""
SHORTEST = 2.0**-17
"""How far, in steps, a crossing may be located from where it is."""
STEEPEST = 1e30
"""mV/ms, where a number of single precision would overflow."""
LOWEST = 2.0**-40
"""Of the coordinate of an upstroke."""
U = sp.Symbol("u__", real=True)


@dataclass(frozen=True)
class Upstroke:
    """dx/dt = rest + surge, with surge proportional to exp(sharpness x)."""

    sharpness: sp.Expr
    surge: sp.Expr
    fall: sp.Expr
    """du/dt"""


class Nonlinear:
    """Writes the lines that compute `<state>__new` of `states`, and collects the constants that they read."""

    def __init__(self, system: System, states: tuple[str, ...], derivatives: Mapping[str, sp.Expr]) -> None:
        self.system = system
        self.states = states
        self.order = [n for n in derivatives if n in states]
        self.derivatives = derivatives
        self.printer = StepPrinter()
        self.constants: list[str] = []

    def lines(self) -> list[str]:
        method = self.system.declaration.method
        if not self.states:
            return []
        affine = all(not sp.diff(self.derivatives[n], self._x(n)).has(self._x(n)) for n in self.states)
        if method in ("exponential_euler", "staggered") or (method is None and affine):
            return self._exponential_euler(staggered=method == "staggered")
        if method in ("euler", "sequential_euler"):
            return self._euler(sequential=method == "sequential_euler")
        return self._runge_kutta()

    def steep(self) -> list[str]:
        """The line that says whether the step has to be divided, after the lines of the Runge-Kutta method."""
        x, peak = self.system.upstroke
        self._need(peak, "h__")
        ready = " & (refr <= I0)" if self.system.declaration.refractory else ""
        grows = [*self.emit("steep", [("sharp__", self._upstroke().sharpness)]), f"sharp__ = mul(sharp__, mul({x}__k3, h__))"]
        return [*grows, f"steep__ = ((sharp__ > F({STEEP!r})) | ({x}__new >= {peak})){ready}"]

    def divided(self, reset: list[str]) -> list[str]:
        """The step in parts, for the potential x with dx/dt = r + s exp(k x): `reset` are the lines that are due where x crosses.

        The coordinate is u = exp(k (x0 - x)) with du/dt = -k (s exp(k x0) + u r), which falls almost in a line where x runs away;
        x0 is x at the start of a part. A part takes no more than SPAN of the time 1/(k f) in which u would be 0. Once this is
        below 1/NEAR of the step, the crossing lies (1 - exp(k (x0 - peak)))/(k (f - r/2)) ahead. One that a part finds is
        approached along chords. Linear states are those of the parabola through start, middle and end of the step; `left__` is
        the fraction of the step that is left.
        """
        x, peak = self.system.upstroke
        linear = [n for n in self.system.declaration.states if n not in self.states]
        used = set().union(*(self.derivatives[n].free_symbols for n in self.states))
        between = [n for n in linear if self._x(n) in used]
        self._need("h__", peak)
        return [
            *(line for n in between for line in self._parabola(n)),
            *(f"{n}__at = {n}" for n in self.states),
            *self.emit("sharp", [("k__", self._upstroke().sharpness)]),
            "width__ = F(1.0) / k__",
            "left__ = F(1.0)",
            "most__ = F(1.0)",
            "inside__ = False",
            f"for part__ in range({PARTS}):",
            *_indented(self._part_begins(x, peak, between)),
            "    if not cross__:",
            *_indented(_indented(self._part(x, peak, between))),
            "    if cross__:",
            *_indented(_indented(self._crossing(x, between, reset))),
            "    if left__ <= F(0.0):",
            "        break",
            *(f"{n}__new = {n}__at" for n in self.states),
        ]

    def _part_begins(self, x: str, peak: str, between: list[str]) -> list[str]:
        names = {n: f"{n}__at" for n in self.states} | {n: f"{n}__start" for n in between}
        return [
            *self._between(between, "start", "F(1.0) - left__"),
            *self._stage(0, names, ("surge__", self._upstroke().surge)),
            f"{x}__k0 = min({x}__k0, F({STEEPEST!r}))",
            f"sharp__ = mul(mul(k__, {x}__k0), h__)",
            f"u__k0 = -mul(k__, {x}__k0)",
            "rest__ = F(0.0)",
            f"cross__ = ({x}__at >= {peak}) & (not inside__)",
            f"if (sharp__ > F({NEAR!r})) & (not inside__) & (not cross__):",
            f"    mean__ = mul(F(0.5), {x}__k0 + surge__)",
            f"    rest__ = (F(1.0) - exp(mul(k__, {x}__at - {peak}))) / mul(mul(k__, mean__), h__)",
            "    cross__ = rest__ < left__",
        ]

    def _part(self, x: str, peak: str, between: list[str]) -> list[str]:
        others = [n for n in self.states if n != x]
        lines = [
            "span__ = min(left__, most__)",
            f"if (mul(sharp__, span__) > F({SPAN!r})) & (part__ < {PARTS - 1}):",
            f"    span__ = F({SPAN!r}) / sharp__",
            "step__ = mul(span__, h__)",
            "step__half = mul(F(0.5), step__)",
            *self._between(between, "middle", "F(1.0) - left__ + mul(F(0.5), span__)"),
            *self._between(between, "end", "F(1.0) - left__ + span__"),
        ]
        fall = self._upstroke().fall
        for k, (step, where) in enumerate((("step__half", "middle"), ("step__half", "middle"), ("step__", "end")), 1):
            lines.append(f"u__{k} = max(fma({step}, u__k{k - 1}, F(1.0)), F({LOWEST!r}))")
            lines.append(f"{x}__{k} = fma(log(u__{k}), -width__, {x}__at)")
            lines += [f"{n}__{k} = fma({step}, {n}__k{k - 1}, {n}__at)" for n in others]
            names = {n: f"{n}__{k}" for n in self.states} | {n: f"{n}__{where}" for n in between}
            lines += self._stage(k, names, (f"u__k{k}", fall.subs(U, sp.Symbol(f"u__{k}", real=True))), others)
            if x in self.system.declaration.hold:
                lines.append(f"u__k{k} = F(0.0) if held__ else u__k{k}")
        return [
            *lines,
            f"step__sixth = mul(F({1 / 6!r}), step__)",
            *self._sum("step__sixth", "__at", others),
            "u__new = fma(step__sixth, fma(F(2.0), u__k1 + u__k2, u__k0 + u__k3), F(1.0))",
            f"{x}__new = fma(log(max(u__new, F({LOWEST!r}))), -width__, {x}__at)",
            f"if (({x}__new >= {peak}) | (u__new <= F({LOWEST!r}))) & (not inside__):",
            f"    chord__ = (F(1.0) - exp(mul(k__, {x}__at - {peak}))) / (F(1.0) - u__new)",
            "    rest__ = mul(span__, min(max(chord__, F(0.0)), F(0.9375)))",
            f"    most__ = max(rest__, F({SHORTEST!r}))",
            f"    cross__ = rest__ <= F({SHORTEST!r})",
            "else:",
            *(f"    {n}__at = {n}__new" for n in self.states),
            "    left__ = left__ - span__",
            "    most__ = F(1.0)",
        ]

    def _crossing(self, x: str, between: list[str], reset: list[str]) -> list[str]:
        """On its way the potential is one Delta above where it was, on average."""
        others = [n for n in self.states if n != x]
        names = {n: f"{n}__at" for n in others} | {n: f"{n}__start" for n in between} | {x: f"{x}__mean"}
        return [
            f"{x}__mean = {x}__at + width__",
            *self._stage(4, names, of=others),
            *(f"{n}__new = fma(mul(rest__, h__), {n}__k4, {n}__at)" for n in others),
            *reset,
            *(f"{n}__at = {n}__new" for n in self.states),
            "left__ = max(left__ - rest__, F(0.0))",
            "most__ = F(1.0)",
            "inside__ = True",
            *(["held__ = NREF > I0"] if self.system.declaration.refractory else []),
        ]

    def _parabola(self, n: str) -> list[str]:
        return [
            f"{n}__p = fma(F(4.0), {n}__half, fma(F(-3.0), {n}, -{n}__new))",
            f"{n}__q = fma(F(-4.0), {n}__half, mul(F(2.0), {n} + {n}__new))",
        ]

    @staticmethod
    def _between(names: list[str], where: str, at: str) -> list[str]:
        """Linear states within the step, at a fraction of it."""
        found = [f"{n}__{where} = fma({where}__, fma({where}__, {n}__q, {n}__p), {n})" for n in names]
        return [f"{where}__ = {at}", *found] if found else []

    def _x(self, name: str) -> sp.Symbol:
        return self.system.symbols[name]

    def _need(self, *names: str) -> None:
        self.constants += [n for n in names if n not in self.constants]

    def emit(self, tag: str, outputs: list[tuple[str, sp.Expr]]) -> list[str]:
        """Assignments with common subexpressions taken out; temporaries are called <tag>__<k>."""
        used = set().union(*(e.free_symbols for _, e in outputs))
        self._need(*(n for n in self.system.declaration.params if self._x(n) in used))
        names = (sp.Symbol(f"{tag}__{k}", real=True) for k in range(10**6))
        common, reduced = sp.cse([e for _, e in outputs], symbols=names)
        lines = [f"{name} = {self.printer.text(e)}" for name, e in common]
        return lines + [f"{name} = {self.printer.text(e)}" for (name, _), e in zip(outputs, reduced, strict=True)]

    def _exponential_euler(self, staggered: bool) -> list[str]:
        """y + h phi(J h) f with J = df/dy, exact where f is affine in y and nothing else moves.

        M. Hochbruck, A. Ostermann, Acta Numerica 19 (2010) 209. phi(z) = (exp(z) - 1)/z; near 0 its series.
        If staggered, an equation speaks of the new values of the states above it, and of linear states in the middle of the step:
        of second order where those above live half a step before the others, as gates before the potential.
        """
        lines = []
        linear = [n for n in self.system.declaration.states if n not in self.states] if staggered else []
        new = {self._x(n): sp.Symbol(f"{n}__half", real=True) for n in linear}
        for n in self.order:
            f = self.derivatives[n].subs(new)
            if staggered:
                new[self._x(n)] = sp.Symbol(f"{n}__new", real=True)
            slope = sp.diff(f, self._x(n))
            if slope.has(sp.Derivative, sp.sign, sp.Heaviside, sp.DiracDelta):
                raise ModelError(f"{self.system.declaration.name}: d{n}/dt has a kink; use method = 'rk4'")
            lines += self.emit(n, [(f"{n}__f", f), (f"{n}__z", slope)])
            lines += [f"{n}__z = mul({n}__z, h__)", f"{n}__small = abs({n}__z) < F(0.0625)", *self._phi(n)]
            lines.append(f"{n}__new = fma({n}__f, mul(h__, {n}__phi), {n})")
        self._need("h__")
        return lines

    def _phi(self, n: str) -> list[str]:
        z, series = f"{n}__z", "F(2.48015873015873e-05)"  # 1/8!
        for factor in (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0):
            series = f"fma({z}, {series}, F({factor!r}))"
        return [
            f"{n}__safe = F(1.0) if {n}__small else {z}",
            f"{n}__phi = {series} if {n}__small else (exp({n}__safe) - F(1.0)) / {n}__safe",
        ]

    def _euler(self, sequential: bool) -> list[str]:
        """Forward Euler; if `sequential`, an equation speaks of the new values of the states above it."""
        lines: list[str] = []
        new: dict[sp.Symbol, sp.Symbol] = {}
        for n in self.order:
            lines += self.emit(f"{n}__s", [(f"{n}__f", self.derivatives[n].subs(new))])
            lines.append(f"{n}__new = fma({n}__f, h__, {n})")
            if sequential:
                new[self._x(n)] = sp.Symbol(f"{n}__new", real=True)
        self._need("h__")
        return lines

    def _runge_kutta(self) -> list[str]:
        """Classical fourth order; linear states enter with their exact values at t, t + h/2 and t + h."""
        lines: list[str] = []
        linear = [n for n in self.system.declaration.states if n not in self.states]
        for k, (step, suffix) in enumerate((("", ""), ("h__half", "__half"), ("h__half", "__half"), ("h__", "__new"))):
            if k:
                lines += [f"{n}__{k} = fma({step}, {n}__k{k - 1}, {n})" for n in self.states]
            lines += self._stage(k, {n: f"{n}__{k}" if k else n for n in self.states} | {n: f"{n}{suffix}" for n in linear})
        self._need("h__", "h__half", "h__sixth")
        return lines + self._sum("h__sixth", "", self.states)

    def _stage(
        self, k: int, names: Mapping[str, str], also: tuple[str, sp.Expr] | None = None, of: Sequence[str] | None = None
    ) -> list[str]:
        """Derivatives `of` states (all) at one place, where they are called `names`; and one more expression."""
        stage = {self._x(n): sp.Symbol(name, real=True) for n, name in names.items()}
        of = self.states if of is None else of
        wanted = [(f"{n}__k{k}", self.derivatives[n].subs(stage)) for n in of]
        lines = self.emit(f"s{k}", wanted + ([(also[0], also[1].subs(stage))] if also else []))
        return lines + [f"{n}__k{k} = F(0.0) if held__ else {n}__k{k}" for n in of if n in self.system.declaration.hold]

    def _sum(self, sixth: str, start: str, states: Sequence[str]) -> list[str]:
        inner = "fma(F(2.0), {n}__k1 + {n}__k2, {n}__k0 + {n}__k3)"
        return [f"{n}__new = fma({sixth}, {inner.format(n=n)}, {n}{start})" for n in states]

    def _upstroke(self) -> Upstroke:
        """Of the potential; where it is bounded by its threshold, of what it does up to there."""
        name, peak = self.system.upstroke
        x, d = self._x(name), self.system.declaration
        bounded = sp.Min(x, self._x(peak))
        f = self.derivatives[name].subs(bounded, x)
        rises = [e for e in f.atoms(sp.exp) if e.has(x)]
        sharpness = sp.diff(rises[0].args[0], x) if rises else x
        factor = sp.diff(f.subs(rises[0], U), U) if rises else x
        if len(rises) > 1 or not self.system.only_parameters(sharpness) or factor.has(x, U):
            raise ModelError(f"{d.name}: method = 'rk4_divided' needs one exp(k*{name}) in d{name}/dt; or use method = 'rk4'")
        surge = factor * rises[0].subs(x, bounded)  # as the derivative has it, so that it is computed once
        others = {str(symbol) for symbol in surge.free_symbols} & set(d.states) - {name}
        now = surge.subs(x, sp.Symbol(f"{name}__at", real=True)) if others else sp.Symbol("surge__", real=True)
        return Upstroke(sharpness, surge, -sharpness * (now + U * f.subs(rises[0], 0)))


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
