"""A plan covers every neuron once, is the same each time, and says no before anything is allocated."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from eventsnn.scheduler.epochs import crossing, epoch_steps
from eventsnn.scheduler.errors import LinkLost, PlanError, WorkerLost
from eventsnn.scheduler.estimate import cost
from eventsnn.scheduler.layout import Owners, tidy
from eventsnn.scheduler.partition import Partition, balanced, whole
from eventsnn.scheduler.placement import Place
from eventsnn.scheduler.plan import Plan, make_plan
from eventsnn.scheduler.tables import Bundle, Kind, segments
from eventsnn.spec import (
    DrawnSources,
    Fixed,
    FixedDegree,
    Given,
    Layout,
    NetworkSpec,
    PopulationSpec,
    ProjectionSpec,
    ReceptorSpec,
    Relay,
    Slice,
    Subset,
)

HERE = Place("here", "", 2, 0)
INPUT = (ReceptorSpec("in", "", 0, wide=False),)


def network(sizes: list[int], *projections: tuple[int, int, int, int], dt: float = 0.1, bits: int = 0) -> NetworkSpec:
    """Parrots; a projection is (pre, post, in-degree, delay in steps)."""
    first = np.cumsum([0, *sizes])
    populations = tuple(PopulationSpec(f"p{k}", n, int(first[k]), Relay(), INPUT, (k, 0)) for k, n in enumerate(sizes))
    made = tuple(projection(sizes, *p, bits=bits) for p in projections)
    return NetworkSpec(dt, 1, "float64", populations, made, (), ())


def projection(sizes: list[int], pre: int, post: int, degree: int, delay: int, bits: int = 0) -> ProjectionSpec:
    return ProjectionSpec(
        name=f"p{pre}_to_p{post}",
        pre=pre,
        post=post,
        pre_subset=Subset(0, sizes[pre]),
        post_subset=Subset(0, sizes[post]),
        rule=DrawnSources(FixedDegree(degree), distinct=False, autapses=True),
        key=(0, 0),
        weight=Fixed(1.0),
        delay=Fixed(float(delay)),
        receptor_positive=0,
        receptor_negative=0,
        magnitude=False,
        bits=bits,
        exponent=0,
        min_delay=delay,
        max_delay=delay,
        expected=float(degree * sizes[post]),
        per_target=float(degree),
    )


def epoch(spec: NetworkSpec, layout: Layout) -> int:
    return epoch_steps(spec.dt, crossing(spec, layout))


def covered(spec: NetworkSpec, layout: Layout) -> list[int]:
    """How often each neuron of the network occurs, by brute force."""
    seen = np.zeros(spec.size, int)
    for part in layout:
        for s in part:
            seen[spec.populations[s.population].first + np.arange(s.start, s.stop)] += 1
    return sorted(set(seen.tolist()))


@pytest.mark.parametrize("partition", [balanced, whole])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_partitions_cover_every_neuron_once_and_leave_no_part_empty(partition: Partition, n: int) -> None:
    for sizes in ([8000, 2000], [5, 3], [1] * 9, [100_000, 7, 900, 1300], [10] * 2000):
        if partition is whole and len(sizes) < n:
            continue
        if sum(sizes) < n:
            continue
        spec = network(sizes, (0, 1, 3, 15), (1, 0, 4, 2))
        layout = tidy(spec, partition(spec, n), n)
        assert len(layout) == n and all(layout)
        assert covered(spec, layout) == [1]
        assert layout == tidy(spec, partition(spec, n), n)


def test_balanced_splits_large_populations_evenly_and_keeps_small_ones_whole() -> None:
    layout = balanced(network([8000, 2000, 100]), 4)
    assert [[s for s in part if s.population == 0] for part in layout] == [[Slice(0, 2000 * r, 2000 * (r + 1))] for r in range(4)]
    assert sum(s.population == 2 for part in layout for s in part) == 1


def test_balanced_counts_synapses_as_load() -> None:
    """Population 0 costs as much as ten others: 200 neurons, each with 10,000 synapses, are worth 2,200 neuron updates."""
    spec = network([200] * 11, (1, 0, 10_000, 15))
    heavy = next(part for part in balanced(spec, 2) if any(s.population == 0 for s in part))
    assert len(heavy) == 1


def test_whole_keeps_short_delays_inside_a_part() -> None:
    spec = network([500, 500, 500, 500], (0, 2, 10, 1), (1, 3, 10, 1), (0, 1, 10, 100), (2, 3, 10, 80))
    layout = whole(spec, 2)
    assert sorted(sorted(s.population for s in part) for part in layout) == [[0, 2], [1, 3]]
    assert epoch(spec, layout) == 80


def test_whole_refuses_more_parts_than_populations() -> None:
    with pytest.raises(PlanError, match=r"3 parts were asked for.* never splits: the network has 2 populations"):
        make_plan(network([10, 10]), [HERE], 3, None, whole)


def test_epoch_is_the_smallest_delay_between_parts_only() -> None:
    spec = network([10, 10, 10], (0, 0, 1, 3), (0, 1, 1, 7), (1, 2, 1, 5))
    apart = ((Slice(0, 0, 10),), (Slice(1, 0, 10),), (Slice(2, 0, 10),))
    assert epoch(spec, apart) == 5
    assert epoch(spec, (apart[0], apart[1] + apart[2])) == 7
    assert epoch(spec, ((Slice(0, 0, 5),), (Slice(0, 5, 10), *apart[1], *apart[2]))) == 3
    unconnected = network([10, 10], dt=0.25)
    assert epoch(unconnected, ((Slice(0, 0, 10),), (Slice(1, 0, 10),))) == 4
    assert epoch(replace(unconnected, dt=5.0), ((Slice(0, 0, 10),), (Slice(1, 0, 10),))) == 1


def test_epoch_looks_at_the_neurons_a_projection_really_joins() -> None:
    """Sources and targets that lie in the first halves only do not cross a cut in the middle."""
    spec = network([10, 10], (0, 1, 1, 2))
    halves = (Slice(0, 0, 5), Slice(1, 0, 5)), (Slice(0, 5, 10), Slice(1, 5, 10))
    assert epoch(spec, halves) == 2
    first = replace(spec.projections[0], pre_subset=Subset(0, 5), post_subset=Subset(0, 0, np.array([1, 3])))
    assert epoch(replace(spec, projections=(first,)), halves) == 10


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ([[Slice(0, 0, 10)]], "returned 1 parts, 2 were asked for"),
        ([[Slice(0, 0, 10), Slice(1, 0, 5)], []], "part 1 of 2 holds no neurons"),
        ([[Slice(0, 0, 10)], [Slice(1, 0, 4)]], r"neurons 4 to 4 of population 'p1' are in no part"),
        ([[Slice(0, 0, 10)], [Slice(1, 0, 5), Slice(0, 9, 10)]], r"neuron 9 of population 'p0' is in more than one part"),
        ([[Slice(0, 0, 11)], [Slice(1, 0, 5)]], r"slice \[0:11\] of population 'p0' is not within its 10 neurons"),
        ([[Slice(0, 5, 5)], [Slice(1, 0, 5)]], r"slice \[5:5\]"),
        ([[Slice(2, 0, 5)], [Slice(1, 0, 5)]], "names population 2; there are 2"),
        ([[(0, 0, 10)], [Slice(1, 0, 5)]], r"a layout is made of eventsnn.spec.Slice"),
    ],
)
def test_a_wrong_partition_function_is_told_what_is_wrong(layout: object, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        make_plan(network([10, 5]), [HERE], 2, None, lambda spec, n: layout)  # type: ignore[arg-type, return-value]


def test_neighbouring_slices_of_one_part_become_one() -> None:
    layout = tidy(network([10, 5]), [[Slice(1, 0, 5), Slice(0, 5, 10), Slice(0, 0, 5)]], 1)
    assert layout == ((Slice(0, 0, 10), Slice(1, 0, 5)),)


@pytest.mark.parametrize("n", [0, -1, 16])
def test_the_number_of_parts_lies_between_one_and_the_neurons(n: int) -> None:
    with pytest.raises(PlanError, match=rf"parts={n}: .* at least 1 and at most as many parts as neurons \(15\)"):
        make_plan(network([10, 5]), [HERE], n, None)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ((0,), "chose 1 places for 2 parts"),
        ((0, 2), "part 1 at place 2; there are 2"),
        ((1, 1), "a worker process takes one part"),
    ],
)
def test_a_wrong_placement_function_is_told_what_is_wrong(chosen: tuple[int, ...], told: str) -> None:
    places = [replace(HERE, address=a) for a in ("tcp://a:1", "tcp://b:2")]
    with pytest.raises(PlanError, match=told):
        make_plan(network([600, 600]), places, 2, None, placement=lambda layout, places: chosen, alone=True)


def test_a_plan_that_does_not_fit_says_both_numbers() -> None:
    spec = network([1000, 100_000], (0, 1, 1000, 15), bits=32)  # 1e8 synapses of 6 bytes, 12 more while they are sorted
    plan = make_plan(spec, [replace(HERE, address="tcp://a:1", memory_limit=100_000_000)], 1, None)
    with pytest.raises(
        PlanError, match=r"part 0 \(p0, p1\) needs about 1.8\d GB while it is built and tcp://a:1 has 0.10 GB; use more workers"
    ):
        plan.check_memory()
    make_plan(spec, [replace(HERE, memory_limit=2 * 10**9)], 1, None).check_memory()
    make_plan(spec, [HERE], 1, None).check_memory()


def test_parts_that_share_a_place_share_its_memory() -> None:
    spec = network([1000, 100_000], (0, 1, 1000, 15), bits=32)
    with pytest.raises(PlanError, match=r"parts 0, 1 need about 1.8\d GB"):
        make_plan(spec, [replace(HERE, memory_limit=400_000_000)], 2, None).check_memory()


def test_segments_are_counted_as_balls_in_bins() -> None:
    p = projection([200, 300], 0, 1, 20, 15)
    p = replace(p, delay=Given(np.arange(10.0, 20.0)), min_delay=10, max_delay=19)
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 200 * 10 * 2, size=(50, 6000))
    counted = np.mean([len(set(row.tolist())) for row in cells])
    assert math.isclose(segments([Bundle(Kind(0, False, 16, 0), p, 6000.0)], 2), counted, rel_tol=0.01)


def test_projections_from_the_same_sources_share_segments() -> None:
    p = projection([200, 300], 0, 1, 20, 15)
    kind = Kind(0, False, 16, 0)
    once, twice = (segments([Bundle(kind, p, 6000.0)] * n, 1) for n in (1, 2))
    assert math.isclose(once, 200.0, rel_tol=1e-6) and math.isclose(twice, 200.0, rel_tol=1e-6)


def test_costs_of_parts_add_up() -> None:
    spec = network([8000, 2000], (0, 0, 800, 15), (0, 1, 800, 15), (1, 0, 200, 15))
    costs = [cost(spec, part, 1) for part in balanced(spec, 4)]
    assert sum(c.neurons for c in costs) == 10_000
    assert math.isclose(sum(c.synapses for c in costs), 8000 * 800 + 2000 * 800 + 8000 * 200)


def test_threads_of_a_place_are_shared_by_its_parts() -> None:
    spec = network([20_000])
    assert [s.threads for s in make_plan(spec, [replace(HERE, threads=8)], 3, None).shares] == [2, 2, 2]
    assert [s.threads for s in make_plan(spec, [replace(HERE, threads=8)], 3, 5).shares] == [5, 5, 5]
    assert [s.threads for s in make_plan(spec, [replace(HERE, threads=1)], 3, None).shares] == [1, 1, 1]
    assert [s.threads for s in make_plan(network([1500]), [replace(HERE, threads=8)], 1, None).shares] == [1]


def test_a_plan_prints_what_it_decides() -> None:
    plan: Plan = make_plan(network([8000, 10], (0, 0, 100, 15)), [replace(HERE, address="tcp://10.0.0.1:3")], 2, 1)
    lines = str(plan).splitlines()
    assert lines[0].split() == ["part", "place", "threads", "neurons", "synapses", "memory", "slices"]
    assert lines[1].split()[:5] == ["0", "tcp://10.0.0.1:3", "1", "4,010", "400,000"] and lines[1].endswith("p0[0:4000], p1")
    assert lines[3] == "epoch: 15 steps (1.5 ms), about 120 spikes cross parts in one at 10 Hz"


def test_a_plan_of_many_populations_stays_short() -> None:
    plan = make_plan(network([10] * 2000), [HERE], 2, 1)
    assert max(len(line) for line in str(plan).splitlines()) < 130
    assert "and 996 more" in str(plan)


def test_owned_finds_every_id_in_its_slice() -> None:
    layout = ((Slice(0, 0, 4), Slice(1, 0, 3)), (Slice(0, 4, 10),))
    ids = np.array([9, 0, 3, 4, 9])
    found = Owners(layout).of(0, ids)
    assert [(o.rank, o.where.tolist(), o.ids.tolist()) for o in found] == [(0, [1, 2], [0, 3]), (1, [0, 3, 4], [9, 4, 9])]


def test_errors_survive_pickling_with_their_text() -> None:
    for error in (LinkLost(1, 2, 30, "gone"), WorkerLost("tcp://a:1", "exc", "at 3 ms")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
