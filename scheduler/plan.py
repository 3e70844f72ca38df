"""The plan of a run: which slices live where, and what that will cost. Made, and looked at, before anything is allocated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from eventsnn.devices import Gpu
from eventsnn.scheduler.device_memory import device_bytes
from eventsnn.scheduler.epochs import crossing, epoch_steps
from eventsnn.scheduler.errors import PlanError
from eventsnn.scheduler.estimate import RATE, Cost, cost
from eventsnn.scheduler.layout import Owners, named, overlap, tidy
from eventsnn.scheduler.partition import Partition, balanced
from eventsnn.scheduler.placement import Place, Placement, in_order, placed
from eventsnn.scheduler.report import aligned, size
from eventsnn.spec import Layout, NetworkSpec, ProjectionSpec, Slice, plain_rule

GB = 1e9


GPU = 50
"""Threads that one GPU is taken to be worth, where a run has both."""
WORTH = 1024
"""Neurons of a part per thread, where the number of threads was left open."""


@dataclass(frozen=True)
class Share:
    """One part: its slices, its place, its threads, and its expected cost."""

    rank: int
    place: Place
    threads: int
    slices: tuple[Slice, ...]
    names: str
    cost: Cost
    leaving: float
    """Spikes per second, at the nominal rate, that may have targets in another part."""
    backend: str = "cpu"
    """What computes it: "cpu" or "cuda"."""
    device: float = 0.0
    """Expected bytes on the GPU while it is built."""


@dataclass(frozen=True, repr=False)
class Plan:
    """Prints as a table; `bytes` and `traffic` are its sums."""

    shares: tuple[Share, ...]
    epoch: int
    """Steps between two exchanges of the parts."""
    dt: float

    @property
    def layout(self) -> Layout:
        return tuple(share.slices for share in self.shares)

    @cached_property
    def owners(self) -> Owners:
        return Owners(self.layout)

    @property
    def bytes(self) -> float:
        """Expected memory of all parts, once they are built."""
        return sum(share.cost.bytes for share in self.shares)

    @property
    def traffic(self) -> float:
        """Expected spikes that leave a part, over all parts, per epoch."""
        return sum(share.leaving for share in self.shares) * self.epoch * self.dt * 1e-3

    def check_memory(self) -> None:
        """PlanError where the parts at a place need more than it, or its GPU, has."""
        devices: dict[tuple[str, str], Gpu] = {}  # processes that share one may have looked at different moments
        parts = defaultdict(list)
        for share in self.shares:
            if share.backend == "cuda" and isinstance(share.place.gpu, Gpu):
                key, gpu = (share.place.host, share.place.gpu.uuid), share.place.gpu
                devices[key] = min(devices.get(key, gpu), gpu, key=lambda g: g.free)
                parts[key].append(share)
        for where, gpu in devices.items():
            here = parts[where]
            need = sum(share.device for share in here)
            if need > gpu.free:
                raise PlanError(
                    f"{_who(here)} need{'s' if len(here) == 1 else ''} about {need / GB:.2f} GB of GPU memory while it is built"
                    f" and {gpu.name} has {gpu.free / GB:.2f} GB free of {gpu.memory / GB:.2f} GB;"
                    " use more GPUs, end what else uses it, or make the network smaller"
                )
        for place in dict.fromkeys(share.place for share in self.shares):
            here = [share for share in self.shares if share.place == place and share.backend == "cpu"]
            need = sum(share.cost.peak for share in here)
            if place.memory_limit and need > place.memory_limit:
                raise PlanError(
                    f"{_who(here)} need{'s' if len(here) == 1 else ''} about {need / GB:.2f} GB while it is built and"
                    f" {place.address} has {place.memory_limit / GB:.2f} GB;"
                    " use more workers, give them more memory, or make the network smaller"
                )

    def __repr__(self) -> str:
        neurons, synapses = (sum(getattr(share.cost, what) for share in self.shares) for what in ("neurons", "synapses"))
        parts = f"{len(self.shares)} part{'' if len(self.shares) == 1 else 's'}"
        return f"<Plan of {parts}: {neurons:,} neurons, {synapses:,.0f} synapses, {size(self.bytes)}; print it for the table>"

    def __str__(self) -> str:
        head = ("part", "place", "threads", "neurons", "synapses", "memory", "slices")
        rows = [head, *(_row(share) for share in self.shares)]
        lines = aligned(rows, {1, 6})
        if len(self.shares) > 1:
            lines.append(
                f"epoch: {self.epoch} steps ({self.epoch * self.dt:g} ms), about {self.traffic:,.0f} spikes cross parts in one "
                f"at {RATE:g} Hz"
            )
        return "\n".join(lines)


def make_plan(
    spec: NetworkSpec,
    places: Sequence[Place],
    n: int,
    threads: int | None,
    partition: Partition | None = None,
    placement: Placement | None = None,
    alone: bool = False,
    backend: str = "cpu",
) -> Plan:
    """Cuts the network into n parts and gives each a place, to which it may be `alone`; PlanError where that cannot be.

    `backend`: "cpu", "cuda" (PlanError where a place has no GPU), or "auto": the GPU where there is one that knows
    all of the network.
    """
    if unkept := [p.name for p in spec.projections if p.procedural and getattr(plain_rule(p.rule), "distinct", False)]:
        if backend == "cuda":
            raise PlanError(
                f"backend='cuda': projection {unkept[0]!r} is procedural, and a GPU cannot draw different targets again; "
                "connect it with multapses, without procedural=True, or use backend='cpu'"
            )
        backend = "cpu"
    if not 1 <= n <= spec.size:
        raise PlanError(f"parts={n}: there must be at least 1 and at most as many parts as neurons ({spec.size})")
    cut = partition(spec, n) if partition else balanced(spec, n, _powers(n, places, backend, placement is None))
    layout = tidy(spec, cut, n)
    chosen = placed((placement or in_order)(layout, places), layout, places, alone)
    if threads is not None:
        _check_threads(threads, [places[index] for index in chosen])
    crosses = crossing(spec, layout)
    leaving = _leaving(crosses, layout)
    shares = []
    for rank, (slices, index) in enumerate(zip(layout, chosen, strict=True)):
        together = sum(1 for other in chosen if other == index)
        how = computing(backend, places[index])
        each = 1 if how == "cuda" else threads or _useful(slices, max(1, places[index].threads // together))
        device = device_bytes(spec, slices)[1] if how == "cuda" else 0.0
        expected = cost(spec, slices, each)
        shares.append(Share(rank, places[index], each, slices, named(spec, slices), expected, leaving[rank], how, device))
    return Plan(tuple(shares), epoch_steps(spec.dt, crosses), spec.dt)


def computing(backend: str, place: Place) -> str:
    """ "cpu" or "cuda"; PlanError where a GPU was asked for and there is none."""
    if backend == "cpu" or (backend == "auto" and (isinstance(place.gpu, str) or place.gpu.simulated)):
        return "cpu"
    if isinstance(place.gpu, str):
        where = "" if place.address == "here" else f" on {place.address}"
        raise PlanError(f"backend='cuda'{where}: {place.gpu}; or use backend='cpu'")
    return "cuda"


def _powers(n: int, places: Sequence[Place], backend: str, in_turn: bool) -> list[int]:
    """How fast parts that are placed in turn compute; all alike where that is not known."""
    kinds = [computing(backend, place) for place in places]
    if not in_turn or len(set(kinds)) == 1:
        return [1] * n
    return [GPU if kinds[k % len(places)] == "cuda" else places[k % len(places)].threads for k in range(n)]


def _useful(slices: Sequence[Slice], threads: int) -> int:
    """As many threads as have WORTH neurons each: they meet once per epoch, which costs more than a small network's step."""
    return max(1, min(threads, sum(s.stop - s.start for s in slices) // WORTH))


def _check_threads(threads: int, places: Sequence[Place]) -> None:
    for place in places:
        if threads > place.threads:
            raise PlanError(
                f"threads={threads}: {place.address} has {place.threads}; more threads than cores only slow each other down"
            )


def _leaving(crosses: Sequence[ProjectionSpec], layout: Layout) -> list[float]:
    """Spikes per second, of each part, that may have targets in another."""
    owners = Owners(layout)
    routes = defaultdict(list)
    for projection in crosses:
        routes[projection.pre].append((projection.pre_subset, owners.ranks(projection.post, projection.post_subset)))
    rates = []
    for rank, slices in enumerate(layout):
        total = 0.0
        for s in slices:
            subsets = [subset for subset, targets in routes[s.population] if targets - {rank}]
            total += max((overlap(subset, s.start, s.stop) for subset in subsets), default=0) * RATE
        rates.append(total)
    return rates


def _row(share: Share) -> tuple[str, ...]:
    limit = f" of {share.place.memory_limit / GB:.1f} GB" if share.place.memory_limit else ""
    memory = size(share.cost.bytes) + limit if share.backend == "cpu" else f"{size(share.device)} on the GPU"
    counts = (f"{share.cost.neurons:,}", f"{share.cost.synapses:,.0f}", memory)
    place = share.place.address
    if share.backend == "cuda" and isinstance(share.place.gpu, Gpu):
        place += f" ({share.place.gpu.name})"
    return (str(share.rank), place, str(share.threads), *counts, share.names)


def _who(shares: Sequence[Share]) -> str:
    if len(shares) == 1:
        return f"part {shares[0].rank} ({shares[0].names})"
    return f"parts {', '.join(str(share.rank) for share in shares)}"
