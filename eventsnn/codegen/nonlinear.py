"""Steps of the states that are not linear: exponential Euler and the classical Runge-Kutta method, as text."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from eventsnn.codegen.equations import System
from eventsnn.codegen.printer import StepPrinter
from eventsnn.errors import ModelError


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
        held = [n for n in self.states if n in self.system.declaration.hold]
        lines: list[str] = []
        for k, (step, suffix) in enumerate((("", ""), ("h__half", "__half"), ("h__half", "__half"), ("h__", "__new"))):
            stage = {self._x(n): sp.Symbol(f"{n}__{k}" if k else n, real=True) for n in self.states}
            linear = [n for n in self.system.declaration.states if n not in self.states]
            stage |= {self._x(n): sp.Symbol(f"{n}{suffix}", real=True) for n in linear}
            if k:
                lines += [f"{n}__{k} = fma({step}, {n}__k{k - 1}, {n})" for n in self.states]
            lines += self.emit(f"s{k}", [(f"{n}__k{k}", self.derivatives[n].subs(stage)) for n in self.states])
            lines += [f"{n}__k{k} = F(0.0) if held__ else {n}__k{k}" for n in held]
        for n in self.states:
            inner = f"fma(F(2.0), {n}__k1 + {n}__k2, {n}__k0 + {n}__k3)"
            lines.append(f"{n}__new = fma(h__sixth, {inner}, {n})")
        self._need("h__", "h__half", "h__sixth")
        return lines
