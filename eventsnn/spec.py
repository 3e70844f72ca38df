"""What every part of a run is told: plain, picklable data that the client makes from a Network.

Nothing here is symbolic, random or backend specific. A part needs no sympy, no model class and no user code to build itself from
these records, and every number that reaches results was computed once, by the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Key = tuple[int, int]
"""Two uint32 words: the Philox key of one random stream."""

OCTAVES = 32
CELLS = 32
DISTANCES = 4096
"""Cells of a table over the distance; see Shaped."""
SIDE = OCTAVES * CELLS + 1
"""Nodes of one side of a quantile table; see Drawn."""


@dataclass(frozen=True)
class Subset:
    """Ascending, distinct indices of a population: the range [start, stop), or `ids` where that is not None."""

    start: int
    stop: int
    ids: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.stop - self.start if self.ids is None else len(self.ids)

    def array(self) -> npt.NDArray[np.int64]:
        return np.arange(self.start, self.stop, dtype=np.int64) if self.ids is None else self.ids

    def within(self, lo: int, hi: int) -> tuple[int, npt.NDArray[np.int64]]:
        """Members in [lo, hi): (position of the first of them in the subset, their indices)."""
        if self.ids is None:
            a = min(max(self.start, lo), self.stop)
            return a - self.start, np.arange(a, max(a, min(self.stop, hi)), dtype=np.int64)
        a, b = np.searchsorted(self.ids, (lo, hi))
        return int(a), self.ids[a:b]


# ---- values: one number, one per element, or a draw per element


@dataclass(frozen=True)
class Fixed:
    value: float


@dataclass(frozen=True, eq=False)
class Given:
    """One number for each element, in the order of the elements."""

    values: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A random number per element, by inverse-CDF tables, one table per independent draw.

    A table has shape (2, SIDE), float64: row 0 the quantiles of p <= 1/2, row 1 those of 1 - p. Node k of a row stands at
    p = 2**-33 * 2**(k // CELLS) * (1 + (k % CELLS) / CELLS), so cells shrink towards both tails. A uint32 u is looked up by
    side = u >> 31, v = ~u if side else u, x = v + 0.5 (so p = x * 2**-32), and interpolated linearly in p.

    `program` is a postfix expression over the draws: ("draw", k), ("const", c), and the binary operations
    ("add", 0) ("sub", 0) ("mul", 0) ("div", 0) ("min", 0) ("max", 0). A single table has the program (("draw", 0),).
    `low` and `high` bound every value that can come out.
    """

    tables: tuple[npt.NDArray[np.float64], ...]
    program: tuple[tuple[str, float], ...]
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Shaped(Drawn):
    """A Drawn of which some tables are functions of the distance between the two neurons.

    `shapes[t]` holds the values at DISTANCES + 1 even distances from 0 to `reach`, linear in between; it is None where table t is
    a random draw. Where it is not None, tables[t] serves expectations only.
    """

    shapes: tuple[npt.NDArray[np.float64] | None, ...] = ()
    reach: float = 0.0


Value = Fixed | Given | Drawn


# ---- populations


@dataclass(frozen=True)
class ReceptorSpec:
    """An integer accumulator per neuron; one unit of it is 2**exponent of `unit`."""

    name: str
    unit: str
    exponent: int
    wide: bool
    """int64, else int32."""


class KernelSpec(Protocol):
    """A generated update, as text. Made by eventsnn.codegen; a frozen dataclass of plain data there.

    `step` is the text of `def step(...)`, without decorators, on scalars of the float type F. Its arguments, in this order:
    *states, refr (int32; only where `refractory`), *inputs (F, one per receptor, already in physical units),
    I_stim (F; only where current=True was asked for), *draws (F, one per entry of `draws`), *constants (F, in the order of
    `constants`), NREF (int32; where `refractory`).
    It returns (*new states, new refr where `refractory`, spikes) with spikes an integer 0 or 1.
    Free names in the text: F, I0, I1 (np.int32 0 and 1), fma, mul, exp, log, exprel (portable versions).
    """

    name: str
    states: tuple[str, ...]
    receptors: tuple[str, ...]
    refractory: bool
    current_input: bool
    """Whether a stimulus current may enter (then step_source(current=True) works)."""
    draws: tuple[str, ...]
    """Kinds of the numbers that a neuron draws in a step, "normal" or "uniform".

    Number k of step t comes from word t & 3 of Philox with the population's key and the counter (index in the population, t >> 2,
    k, 1).
    """

    @property
    def forms(self) -> tuple[KernelSpec, KernelSpec] | None:
        """Where a step may be divided: its quick form, whose spikes are 2 where it leaves all as it was, and the one that then
        makes the step."""
        ...

    def step_source(self, current: bool) -> str: ...

    def constant_names(self, current: bool) -> tuple[str, ...]: ...

    def constants(self, values: Mapping[str, Any], dt: float, current: bool) -> dict[str, Any]:
        """Parameters (float or float64 array per name) -> step constants (same shapes), plus "NREF" (int or int32 array).

        Uses elementwise IEEE operations only (numpy + - * / and portable exp/log), so the bits do not depend on the machine,
        on the neighbours in an array, or on whether a value came as a scalar or in an array.
        """
        ...


@dataclass(frozen=True)
class Equations:
    """Neurons that integrate a generated kernel."""

    kernel: KernelSpec
    parameters: Mapping[str, Value]
    initial: Mapping[str, Value]
    """Of each state. Values "Fixed" may also come from parameters: see `initial_from`."""
    initial_from: Mapping[str, str]
    """State -> parameter whose (per-neuron) value it starts from, where the user gave none."""
    normal: Drawn | None = None
    """The standard normal distribution, where the kernel draws from it."""


@dataclass(frozen=True, eq=False)
class RateProfile:
    """Rates that change: values[k] holds in steps steps[k] + 1 to steps[k + 1], the last for ever, and 0 before the first."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """Hz; shape (times,) or (times, elements)."""
    period: int = 0
    """Steps after which it begins anew; 0: it does not."""


@dataclass(frozen=True)
class PoissonSource:
    """Independent Poisson neurons; rate in Hz, per neuron."""

    parameters: Mapping[str, Value]
    """{"rate": Value}; where there is a profile, nan until a rate is set."""
    key: Key
    profile: RateProfile | None = None


@dataclass(frozen=True)
class Relay:
    """Parrots: emit as many spikes as arrived in the same step with a positive weight (at most 255)."""


@dataclass(frozen=True, eq=False)
class Train:
    """Given spikes: steps (int64 > 0) and neuron indices, sorted by (step, index)."""

    steps: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]


Dynamics = Equations | PoissonSource | Relay | Train


@dataclass(frozen=True)
class PopulationSpec:
    name: str
    size: int
    first: int
    """Network-wide id of its neuron 0; ids follow the order in which populations were made."""
    dynamics: Dynamics
    receptors: tuple[ReceptorSpec, ...]
    key: Key
    """Stream of its initial values: value of state s in neuron i = f(key, i, ordinal of s)."""
    multiplicity: int = 1
    """Most spikes one neuron can emit in one step."""


# ---- connections


@dataclass(frozen=True)
class FixedDegree:
    """Every target has `count` sources."""

    count: int


@dataclass(frozen=True)
class BinomialDegree:
    """The number of sources of a target is Binomial(candidates, p)."""

    p: float


@dataclass(frozen=True)
class TotalDegree:
    """`total` connections are dealt to targets uniformly (a counter-keyed binomial tree over the targets)."""

    total: int


@dataclass(frozen=True)
class PoissonDegree:
    """The number of connections of each pair is Poisson(mean)."""

    mean: float


@dataclass(frozen=True)
class DrawnSources:
    """Each target draws its sources uniformly from the pre subset; `distinct` draws without replacement."""

    degree: FixedDegree | BinomialDegree | TotalDegree | PoissonDegree
    distinct: bool
    autapses: bool


@dataclass(frozen=True)
class EverySource:
    """All to all."""

    autapses: bool


@dataclass(frozen=True)
class SameSource:
    """One to one: k-th of the pre subset to k-th of the post subset."""


@dataclass(frozen=True)
class DrawnTargets:
    """Each source draws `outdegree` targets uniformly from the post subset."""

    outdegree: int
    distinct: bool
    autapses: bool


@dataclass(frozen=True, eq=False)
class Edges:
    """Explicit connections: positions in the pre subset and in the post subset."""

    pre: npt.NDArray[np.int64]
    post: npt.NDArray[np.int64]


@dataclass(frozen=True)
class SymmetricPairs:
    """Each pair of different neurons of one subset is connected in both directions, with probability p."""

    p: float


@dataclass(frozen=True)
class MatchedStubs:
    """Every target has `indegree` sources and every source `outdegree` targets: a random matching of their stubs."""

    indegree: int
    outdegree: int
    distinct: bool
    autapses: bool


@dataclass(frozen=True, eq=False)
class Space:
    """Where the neurons of the pre and post subsets lie: shapes (neurons, 3); a period of 0 is none, shape (3,).

    Coordinates beyond the `dimensions` are 0.
    """

    pre: npt.NDArray[np.float64]
    post: npt.NDArray[np.float64]
    period: npt.NDArray[np.float64]
    dimensions: int


@dataclass(frozen=True, eq=False)
class Profile:
    """How likely a connection is, by the displacement x of the one neuron from the other.

    `table`: values at DISTANCES + 1 even distances from 0 to `reach`, linear in between. x lies in `low` <= x <= `high`, each of
    shape (3,), and `inner` <= |x - center| <= `outer`.
    """

    table: npt.NDArray[np.float64]
    reach: float
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    inner: float
    outer: float


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Each pair is connected with the probability of its distance; masks hold the target's displacement from the source."""

    profile: Profile
    autapses: bool


@dataclass(frozen=True, eq=False)
class NearSources:
    """Every target draws `count` sources in proportion to the profile; masks hold their displacement from it."""

    profile: Profile
    count: int
    distinct: bool
    autapses: bool


@dataclass(frozen=True, eq=False)
class NearTargets:
    """Every source draws `count` targets in proportion to the profile; masks hold their displacement from it."""

    profile: Profile
    count: int
    distinct: bool
    autapses: bool


@dataclass(frozen=True)
class NearestSources:
    """The `count` sources that lie next to each target; of equally near ones, those of the lowest index."""

    count: int
    autapses: bool


PlainRule = (
    DrawnSources
    | EverySource
    | SameSource
    | DrawnTargets
    | Edges
    | SymmetricPairs
    | MatchedStubs
    | NearPairs
    | NearSources
    | NearTargets
    | NearestSources
)


@dataclass(frozen=True, eq=False)
class Located:
    """A rule between neurons that lie somewhere."""

    rule: PlainRule
    space: Space


@dataclass(frozen=True, eq=False)
class Like:
    """The connections of another projection: `stream` is the name under which those are drawn."""

    rule: PlainRule | Located
    stream: str


Rule = PlainRule | Located | Like


def plain_rule(rule: Rule) -> PlainRule:
    """A rule without what it is wrapped in."""
    inner = rule.rule if isinstance(rule, Like) else rule
    return inner.rule if isinstance(inner, Located) else inner


@dataclass(frozen=True)
class Plasticity:
    """How the weights of a projection change, as text and numbers.

    `source` is the text of four functions on float64 scalars F; each takes (w, *variables, *states, *pre traces, *post traces,
    *values, *past, since_pre, since_post, first, dt, *constants, *each). `release` returns the new states, `on_pre` and `on_post`
    the weight and the new variables, `sent` what a spike carries. Where `when`, a fifth one, `event`, takes (*reads, *constants,
    *each) and returns whether this step counts as a spike of the target, and the values. Times are in ms. Free names in the text:
    F, fma, mul, np, exp, log, sqrt.
    """

    name: str
    source: str
    constants: tuple[tuple[str, float], ...]
    """Parameters of the rule, in the order of the arguments."""
    pre: tuple[tuple[float, bool], ...]
    """Of each trace of the source: time constant (ms), and whether a spike sets it to 1 instead of adding 1."""
    post: tuple[tuple[float, bool], ...]
    states: tuple[float, ...]
    """Initial values."""
    variables: tuple[tuple[float | str, float], ...]
    """Of each number of a synapse besides its weight: initial value, or which of `each` gives it, and time constant (ms) or 0."""
    low: float
    high: float
    """Bounds of the weight, in the unit of the receptor."""
    when: bool = False
    """Whether a condition on the target's states takes the place of its spikes."""
    values: int = 0
    """How many numbers are kept with each of them."""
    reads: tuple[str, ...] = ()
    """States of the target that are read."""
    past: tuple[int, ...] = ()
    """Which of them, by position, are read as they were a delay before the spike of the source."""
    modulated: bool = False
    """Whether spikes of a third population act by `on_modulator`, a function in `source` like `on_post`."""
    each: tuple[tuple[str, Value], ...] = ()
    """Parameters of which every synapse has its own."""


@dataclass(frozen=True)
class ProjectionSpec:
    name: str
    pre: int
    post: int
    """Positions in NetworkSpec.populations."""
    pre_subset: Subset
    post_subset: Subset
    rule: Rule
    key: Key
    weight: Value
    """In `unit` of the receptor. Given only with Edges, one per edge."""
    delay: Value
    """In steps, not yet rounded: a draw x becomes max(1, floor(x + 0.5))."""
    receptor_positive: int
    receptor_negative: int
    """Positions in the target's receptors for weights >= 0 and < 0 (equal where a receptor was named)."""
    magnitude: bool
    """Deliver |w| (conductance receptors)."""
    bits: int
    """How one weight is stored: 0 = one weight for all, else 16 or 32."""
    exponent: int
    """Stored integer = rint(w * 2**-exponent); >= the exponent of both receptors."""
    min_delay: int
    max_delay: int
    """Bounds of the delay in steps, from the description."""
    expected: float
    """Expected number of synapses."""
    per_target: float
    """Bound on the in-degree of one target."""
    by_sign: bool = False
    """Whether weights choose between two receptors by their sign (false: one was named, or there is only one)."""
    plasticity: Plasticity | None = None
    """None: weights stay as they are."""
    modulator: tuple[int, int] | None = None
    """(population, delay in steps): its spikes reach all synapses of a rule that is modulated."""
    procedural: bool = False
    """Whether a spike draws the connections of its source again, which are not kept."""


# ---- inputs that live in their target


@dataclass(frozen=True)
class PoissonStimulus:
    """An independent Poisson train into each neuron of a subset: the count drawn for (t - dt, t] enters at t."""

    population: int
    subset: Subset
    rate: Value
    """Hz; Given: one per member of the subset."""
    receptor: int
    weight: int
    """In units of the receptor's accumulator."""
    key: Key
    profile: RateProfile | None = None
    """In place of the rate; shape (times,) or (times, members of the subset)."""


@dataclass(frozen=True, eq=False)
class CurrentStimulus:
    """A piecewise constant current: values[k] acts on (steps[k], steps[k + 1]]. Before the first step it is 0."""

    population: int
    subset: Subset
    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """pA; shape (times,) or (times, members of the subset)."""


@dataclass(frozen=True, eq=False)
class WaveStimulus:
    """A periodic current: values[(t - 1) mod len(values)] (pA) flows in step t, for start < t <= stop."""

    population: int
    subset: Subset
    values: npt.NDArray[np.float64]
    start: int
    stop: int


@dataclass(frozen=True)
class NoiseStimulus:
    """White noise that holds its value for `hold` steps: mean + std z (pA) flows in step t, for start < t <= stop.

    z of interval k = (t - 1 - start) // hold comes from word k & 3 of Philox with the counter (index in the population, k >> 2,
    0, 2), by the quantiles of the standard normal distribution.
    """

    population: int
    subset: Subset
    mean: Value
    std: Value
    hold: int
    start: int
    stop: int
    normal: Drawn
    key: Key


Stimulus = PoissonStimulus | CurrentStimulus | WaveStimulus | NoiseStimulus
CURRENTS = (CurrentStimulus, WaveStimulus, NoiseStimulus)
"""Stimuli that are currents."""


# ---- recordings


@dataclass(frozen=True)
class RecordingSpec:
    """What is kept: `what` is "spikes", a state, or the input of a receptor."""

    path: str
    """Node of the tree, such as "exc/spikes" or "inh/V_m"."""
    population: int
    subset: Subset
    what: str
    every: int
    """Steps between samples; 0 for spikes."""
    dtype: str
    unit: str
    keep: int = 0
    """Only the rows of the last so many steps are kept; 0 keeps all."""


@dataclass(frozen=True)
class SynapseRecording:
    """What is kept of synapses that change: "weight", or a variable of their rule."""

    path: str
    """Node of the tree, such as "projections/learned/weight"."""
    projection: int
    pre: Subset
    post: Subset
    """Synapses from these sources onto these targets."""
    what: str
    variable: int | None
    """Which one of the rule; None: the weight."""
    every: int
    """Steps between samples."""
    dtype: str
    unit: str
    keep: int
    """As of a RecordingSpec."""


@dataclass(frozen=True, eq=False)
class ListedSynapses(SynapseRecording):
    """The same, where its synapses are known: the sources and targets of each, by target, then as drawn."""

    sources: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Columns:
    """Samples first, first + 1, ... of one part's columns of a sampled recording; sample k is what is after step k * every.

    `values`: shape (samples, columns), in the order of the positions that the part was laid out with.
    """

    first: int
    values: npt.NDArray[Any]

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes)


@dataclass(frozen=True)
class NetworkSpec:
    dt: float
    """ms"""
    seed: int
    precision: str
    """"float64" or "float32"."""
    populations: tuple[PopulationSpec, ...]
    projections: tuple[ProjectionSpec, ...]
    stimuli: tuple[Stimulus, ...]
    recordings: tuple[RecordingSpec, ...]
    """Of populations."""
    synapse_recordings: tuple[SynapseRecording, ...] = ()

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(p.size for p in self.populations)

    @property
    def tables(self) -> tuple[RecordingSpec | SynapseRecording, ...]:
        """All recordings; their numbers are positions in this."""
        return (*self.recordings, *self.synapse_recordings)


# ---- where it lives


@dataclass(frozen=True)
class Slice:
    """Neurons [start, stop) of the population at position `population` of NetworkSpec.populations."""

    population: int
    start: int
    stop: int


Layout = tuple[tuple[Slice, ...], ...]
"""The slices of each part, by rank; together they cover every population once."""
