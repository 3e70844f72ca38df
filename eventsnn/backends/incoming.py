"""The connections onto the neurons of a block, before they are drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.connect import ANY, Draws
from eventsnn.backends.cpu.located import resolved
from eventsnn.backends.cpu.strands import Choose, Strand, Targets, no_sources, strands
from eventsnn.backends.members import Members
from eventsnn.spec import NetworkSpec, ProjectionSpec


class Incoming:
    """Strands by projection; weights that were set since replace those drawn."""

    def __init__(self, spec: NetworkSpec, members: Members, choose: Choose | None = None) -> None:
        """`choose`: who draws distinct sources of connections that are kept and do not change."""
        self._spec, self._members, self._choose = spec, members, choose
        self.overrides: dict[int, npt.NDArray[np.float64]] = {}
        """By projection, in order (target, k)."""
        self.plastic: dict[int, Any] = {}
        """By projection: the synapses that change, a Plastic of the backend."""

    def targets(self, projection: int) -> Targets:
        """The projection's targets that live here, by position."""
        p = self._spec.projections[projection]
        ranks, posts, places = [], [], []
        for m in self._members.members:
            if m.slice.population == p.post:
                at, ids = p.post_subset.within(m.slice.start, m.slice.stop)
                ranks.append(np.arange(at, at + len(ids), dtype=np.int64))
                posts.append(ids)
                places.append(m.where(ids))
        none = np.empty(0, np.int64)
        return Targets(*(np.concatenate([none, *x]) for x in (ranks, posts, places)))

    def strands(self, projection: int, choose: Choose | None = None) -> list[Strand]:
        """Of a projection."""
        targets, described = self.targets(projection), self._spec.projections[projection]
        if not len(targets.posts) or not len(described.pre_subset):
            return []
        spec = self._resolved(projection, targets)
        found = strands(spec, projection, targets, self.overrides.get(projection), choose=choose)
        return [replace(s, delay=described.delay) for s in found]

    def procedural(self) -> list[tuple[ProjectionSpec, Targets, list[Strand]]]:
        """Projections whose connections are not kept, their targets here, and their strands, which hold no connections."""
        found = []
        for k, described in enumerate(self._spec.projections):
            targets = self.targets(k)
            if described.procedural and len(targets.posts) and len(described.pre_subset):
                spec, nothing = self._resolved(k, targets), no_sources(len(targets.posts))
                found.append((spec.projections[k], targets, list(strands(spec, k, targets, sources=nothing))))
        return found

    def _resolved(self, projection: int, targets: Targets) -> NetworkSpec:
        """The network, where the projection has plain rules and values only."""
        described, others = self._spec.projections[projection], self._spec.projections
        plain = resolved(described, self._spec.seed, targets)
        if plain is described:
            return self._spec
        return replace(self._spec, projections=(*others[:projection], plain, *others[projection + 1 :]))

    def drawn(self, projection: int) -> list[Draws]:
        """The projection's connections into this block, both signs together and told with their sign."""
        return [s.draws._replace(sign=ANY, magnitude=0) for s in self.strands(projection)[:1]]

    def all(self) -> list[Strand]:
        """The strands of every projection that is kept, with in-degrees within the bounds that the input was scaled for."""
        found = []
        for k, p in enumerate(self._spec.projections):
            if not p.procedural:
                found += self.strands(k, None if p.plasticity is not None else self._choose)
        for s in found:
            projection = self._spec.projections[s.projection]
            if int(s.draws.degrees.max(initial=0)) > projection.per_target:
                raise RuntimeError(
                    f"projection {projection.name!r}: a target drew {int(s.draws.degrees.max())} sources, more than the bound of"
                    f" {projection.per_target:g} that the integer input was scaled for; use another seed"
                )
        return found
