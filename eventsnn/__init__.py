"""An event-driven simulator for spiking neural networks.

A Network is data, a Simulation runs it on whatever machine there is, and `open` reads what was recorded.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventsnn.distance import Distance, Exponential, Gaussian, OfDistance
    from eventsnn.errors import EventsnnError
    from eventsnn.model import NeuronModel, Param, Receptor, State
    from eventsnn.network import Network
    from eventsnn.plasticity import PostPast, PostTrace, PostValue, PreState, PreTrace, SynapseModel, Variable
    from eventsnn.positions import Free, Grid, Ring, Scattered
    from eventsnn.regions import Annulus, Ball, Box
    from eventsnn.resuming import resume
    from eventsnn.simulation import Simulation
    from eventsnn.storage.packing import pack
    from eventsnn.storage.results import open_run as open
    from eventsnn.values import Constant, LogNormal, Normal, Uniform

__version__ = version("eventsnn")

__all__ = [
    "Annulus",
    "Ball",
    "Box",
    "Constant",
    "Distance",
    "EventsnnError",
    "Exponential",
    "Free",
    "Gaussian",
    "Grid",
    "LogNormal",
    "Network",
    "NeuronModel",
    "Normal",
    "OfDistance",
    "Param",
    "PostPast",
    "PostTrace",
    "PostValue",
    "PreState",
    "PreTrace",
    "Receptor",
    "Ring",
    "Scattered",
    "Simulation",
    "State",
    "SynapseModel",
    "Uniform",
    "Variable",
    "open",
    "pack",
    "resume",
]

_HOMES = {
    "Network": "eventsnn.network",
    "Simulation": "eventsnn.simulation",
    "open": "eventsnn.storage.results:open_run",
    "pack": "eventsnn.storage.packing",
    "resume": "eventsnn.resuming",
    "EventsnnError": "eventsnn.errors",
    **dict.fromkeys(("NeuronModel", "Param", "Receptor", "State"), "eventsnn.model"),
    **dict.fromkeys(
        ("PostPast", "PostTrace", "PostValue", "PreState", "PreTrace", "SynapseModel", "Variable"), "eventsnn.plasticity"
    ),
    **dict.fromkeys(("Distance", "Exponential", "Gaussian", "OfDistance"), "eventsnn.distance"),
    **dict.fromkeys(("Free", "Grid", "Ring", "Scattered"), "eventsnn.positions"),
    **dict.fromkeys(("Annulus", "Ball", "Box"), "eventsnn.regions"),
    **dict.fromkeys(("Constant", "LogNormal", "Normal", "Uniform"), "eventsnn.values"),
}
"""Where each name lives: looked up on first use, so that `import eventsnn` loads none of what it may never need."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'eventsnn' has no attribute {name!r}")
    module, _, word = _HOMES[name].partition(":")
    found = globals()[name] = getattr(import_module(module), word or name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
