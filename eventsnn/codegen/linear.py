"""Finds the closed linear subsystem of a model: the states that can be integrated exactly."""

from __future__ import annotations

import sympy as sp

from eventsnn.codegen.equations import System
from eventsnn.codegen.printer import HostPrinter
from eventsnn.codegen.propagator import Propagator
from eventsnn.errors import ModelError


def linear_states(system: System) -> tuple[str, ...]:
    """The largest set of states whose derivatives are affine in the set, with coefficients made of parameters."""
    x = system.symbols
    inside = set(system.declaration.states)
    while True:
        bad = {n for n in inside if not _affine(system, n, inside)}
        if not bad:
            return tuple(n for n in x if n in inside)
        inside -= bad


def _affine(system: System, state: str, inside: set[str]) -> bool:
    f, x = system.derivatives[state], system.symbols
    used = {str(s) for s in f.free_symbols} & set(system.declaration.states)
    return used <= inside and all(system.only_parameters(sp.diff(f, x[m])) for m in used)


def propagator(system: System, states: tuple[str, ...], frozen: frozenset[str], prefix: str, span: float) -> Propagator:
    """The propagator of the linear `states` while those in `frozen` stand still."""
    d, x, text = system.declaration, system.symbols, HostPrinter().text
    current = None if d.current is None else x[d.current]
    jacobian, drive, response = [], [], []
    for i, state in enumerate(states):
        if state in frozen:
            continue
        f = system.derivatives[state]
        slopes = [sp.simplify(sp.diff(f, x[other])) for other in states]
        jacobian += [(i, j, text(slope)) for j, slope in enumerate(slopes) if slope != 0]
        rest = f.subs({x[other]: 0 for other in states})
        if sp.simplify(rest) != 0:
            drive.append((i, text(rest)))
        if current is not None and f.has(current):
            gain = sp.simplify(sp.diff(f, current))
            if gain.has(current) or not system.only_parameters(gain):
                raise ModelError(f"{d.name}: d{state}/dt must contain the current {d.current!r} as a term times parameters")
            response.append((i, text(gain)))
    return Propagator(states, tuple(jacobian), tuple(drive), tuple(response), prefix, span)
