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
    always: str = ""
    release: str = ""


@dataclass(frozen=True)
class RuleDeclaration:
    """The class attributes of a SynapseModel as plain data."""

    name: str
    params: tuple[str, ...]
    pre: tuple[tuple[str, str, bool], ...]
    """Traces of the source: (name, parameter with its time constant, nearest)"""
    post: tuple[tuple[str, str, bool], ...]
    states: tuple[tuple[str, float | str], ...]
    """(name, initial)"""
    variables: tuple[tuple[str, float | str, str | None], ...]
    """(name, initial, parameter with its time constant)"""
    values: tuple[tuple[str, str], ...]
    """(name, expression of the target's states)"""
    past: tuple[tuple[str, str], ...]
    """(name, state of the target)"""
    reads: tuple[str, ...]
    when: str
    release: str
    on_pre: str
    on_post: str
    on_modulator: str
    sent: str
    bounds: tuple[str, ...]
