"""The exact solution of a linear system over one step, x(t + h) = A x(t) + b, from its coefficients. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eventsnn.codegen.hostmath import Number, evaluate, exp_and_phi


@dataclass(frozen=True)
class Propagator:
    """dx/dt = J x + c + d I_stim; coefficients are texts in the parameters, absent ones are 0.

    A = exp(J h), b = h phi(J h) c and B = h phi(J h) d. The entry (i, j) is computed from the states on paths from j to i alone,
    so it is an array only where one of their parameters is one, and its bits depend on nothing else.
    """

    states: tuple[str, ...]
    jacobian: tuple[tuple[int, int, str], ...]
    drive: tuple[tuple[int, str], ...]
    current: tuple[tuple[int, str], ...]
    prefix: str = ""
    """Before the names of the constants, to tell variants apart."""
    span: float = 1.0
    """Fraction of the step."""

    def entries(self, i: int) -> list[int]:
        """The j with A[i, j] != 0, by structure."""
        return [j for j in range(len(self.states)) if self._paths(i, j)]

    def moves(self, i: int) -> bool:
        """Whether state i changes at all by this system."""
        return any(k == i for k, *_ in (*self.jacobian, *self.drive, *self.current))

    def driven(self, i: int) -> bool:
        return any(self._paths(i, j) for j, _ in self.drive)

    def by_current(self, i: int) -> bool:
        return any(self._paths(i, j) for j, _ in self.current)

    def name(self, kind: str, i: int, j: int | None = None) -> str:
        tail = "" if j is None else f"__{self.states[j]}"
        return f"{self.prefix}{kind}__{self.states[i]}{tail}"

    def constants(self, environment: Mapping[str, Number], dt: float) -> dict[str, Number]:
        """All A, b and B by name."""
        h = np.float64(dt) * np.float64(self.span)
        scaled = {(i, j): evaluate(text, environment) * h for i, j, text in self.jacobian}
        out: dict[str, Number] = {}
        for i in range(len(self.states)):
            phi: dict[int, Number] = {}
            for j in self.entries(i):
                out[self.name("A", i, j)], phi[j] = self._entry(scaled, i, j)
            for kind, terms in (("b", self.drive), ("B", self.current)):
                parts = [h * phi[j] * evaluate(text, environment) for j, text in terms if j in phi]
                if parts:
                    out[self.name(kind, i)] = sum(parts[1:], start=parts[0])
        return out

    def _entry(self, scaled: Mapping[tuple[int, int], Number], i: int, j: int) -> tuple[Number, Number]:
        members = self._paths(i, j)
        place = {k: n for n, k in enumerate(members)}
        matrix = {(place[a], place[b]): v for (a, b), v in scaled.items() if a in place and b in place}
        power, phi = exp_and_phi(matrix, len(members), self._cyclic(members))
        zero = np.float64(0.0)
        return power.get((place[i], place[j]), zero), phi.get((place[i], place[j]), zero)

    def _paths(self, i: int, j: int) -> list[int]:
        """The states on paths from j to i, both included; empty if there is no path."""
        after, before = self._reach(j, forward=True), self._reach(i, forward=False)
        return sorted(after & before)

    def _reach(self, start: int, forward: bool) -> set[int]:
        edges = [(j, i) if forward else (i, j) for i, j, _ in self.jacobian]
        found, edge = {start}, [start]
        while edge:
            here = edge.pop()
            new = {b for a, b in edges if a == here} - found
            found |= new
            edge.extend(new)
        return found

    def _cyclic(self, members: list[int]) -> bool:
        inside = [(a, b) for a, b, _ in self.jacobian if a in members and b in members and a != b]
        return any(a in self._reach(b, forward=False) for a, b in inside)
