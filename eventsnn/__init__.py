"""An event-driven simulator for spiking neural networks.

A Network is data, a Simulation runs it on whatever machine there is, and `open` reads what was recorded.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventsnn.errors import EventsnnError
    from eventsnn.model import NeuronModel, Param, Receptor, State
    from eventsnn.network import Network
    from eventsnn.plasticity import PostPast, PostTrace, PostValue, PreState, PreTrace, SynapseModel, Variable
    from eventsnn.resuming import resume
    from eventsnn.simulation import Simulation
    from eventsnn.storage.packing import pack
    from eventsnn.storage.results import open_run as open
    from eventsnn.values import Constant, LogNormal, Normal, Uniform

__version__ = version("eventsnn")

__all__ = [
    "Constant",
    "EventsnnError",
    "LogNormal",
    "Network",
    "NeuronModel",
    "Normal",
    "Param",
    "PostPast",
    "PostTrace",
    "PostValue",
    "PreState",
    "PreTrace",
    "Receptor",
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
