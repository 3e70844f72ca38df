"""What the code generator is told about a model: text and names only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Declaration:
    """The class attributes of a NeuronModel as plain data; hashable, so that equal declarations share one kernel."""

    name: str
    params: tuple[str, ...]
    states: tuple[str, ...]
    equations: str
    receptors: tuple[tuple[str, str], ...]
    """(name, effect)"""
    threshold: str
    reset: str
    refractory: str | None
    hold: tuple[str, ...]
    current: str | None
    method: str | None
    crossing: bool
    step: str | None
    """The text of a step given as a plain function."""
