"""A part of a network under a name of its own, such as "cortex/L4": populations and projections in it have names below that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from eventsnn.model import Model, Rule, Stimulus, Synapse
from eventsnn.projection import Projection
from eventsnn.selection import Population, Route, Selection

if TYPE_CHECKING:
    from eventsnn.network import Network


class SubNetwork:
    """Builds in its network under its own path; a function that takes a Network builds here as well.

    Names given here are below the path: `cortex["L4/exc"]` is `network["cortex/L4/exc"]`.
    """

    def __init__(self, network: Network, path: str) -> None:
        self.network, self.path = network, path

    @property
    def seed(self) -> int:
        return self.network.seed

    @property
    def dt(self) -> float:
        """Step of the grid, in ms."""
        return self.network.dt

    @property
    def populations(self) -> Mapping[str, Population]:
        """Of all levels below, by their names here."""
        return self._below(self.network.populations)

    @property
    def projections(self) -> Mapping[str, Projection]:
        return self._below(self.network.projections)

    @property
    def subnetworks(self) -> Mapping[str, SubNetwork]:
        return self._below(self.network.subnetworks)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(p.n for p in self.populations.values())

    def __getitem__(self, name: str) -> Any:
        return self.network[self._path(name)]

    def __contains__(self, name: object) -> bool:
        return f"{self.path}/{name}" in self.network

    def subnetwork(self, name: str, build: Callable[..., Any] | None = None, /, **parameters: object) -> SubNetwork:
        """A sub-network below this one; see Network.subnetwork."""
        return self.network.subnetwork(self._path(name), build, **parameters)

    def population(self, name: str, n: int, model: Model, /, *, positions: object = None, **values: object) -> Population:
        """See Network.population."""
        return self.network.population(self._path(name), n, model, positions=positions, **values)

    def connect(
        self,
        route: Route | None = None,
        rule: Rule | None = None,
        synapse: Synapse | None = None,
        receptor: str | None = None,
        name: str | None = None,
        *,
        like: Projection | str | None = None,
        weight: object = None,
        delay: object = None,
        procedural: bool = False,
    ) -> Projection:
        """See Network.connect."""
        path = None if name is None else self._path(name)
        shared = self._path(like) if isinstance(like, str) else like
        return self.network.connect(
            route, rule, synapse, receptor, path, like=shared, weight=weight, delay=delay, procedural=procedural
        )

    def stimulate(self, target: Population | Selection | SubNetwork, stimulus: Stimulus, receptor: str | None = None) -> Any:
        """See Network.stimulate."""
        return self.network.stimulate(target, stimulus, receptor)

    def record(
        self,
        target: Population | Selection | SubNetwork | Projection | str,
        what: str,
        every: float | None = None,
        dtype: npt.DTypeLike = "float32",
        name: str | None = None,
        keep: float | str | None = None,
        *,
        pre: Population | Selection | None = None,
        post: Population | Selection | None = None,
    ) -> Any:
        """See Network.record; the name of a projection is one here."""
        chosen: Any = self._path(target) if isinstance(target, str) else target
        return self.network.record(chosen, what, every, dtype, name, keep, pre=pre, post=post)

    def merge(self, other: Network) -> None:
        """Add all of another network below this path."""
        self.network.merge(other, self.path)

    def __repr__(self) -> str:
        return f"SubNetwork({self.path!r}: {len(self.populations)} populations, {self.size:,} neurons)"

    def _path(self, name: object) -> str:
        return f"{self.path}/{name}"

    def _below(self, named: Mapping[str, Any]) -> dict[str, Any]:
        start = f"{self.path}/"
        return {name.removeprefix(start): thing for name, thing in named.items() if name.startswith(start)}
