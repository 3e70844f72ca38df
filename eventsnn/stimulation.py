"""An input that lives inside the update of its target: Poisson pulses into a receptor, or a current."""

from __future__ import annotations

from dataclasses import dataclass, field

from eventsnn import spec
from eventsnn.arguments import offers, on_behalf_of, shown
from eventsnn.errors import KindError, ParameterError
from eventsnn.model import Stimulus, StimulusTarget
from eventsnn.receptors import candidates, entered
from eventsnn.selection import Selection


@dataclass(frozen=True, eq=False)
class Stimulation:
    """`stimulus` acting on the neurons of `target`."""

    target: Selection
    stimulus: Stimulus
    receptor: str | None
    pulse: float | None = field(repr=False)
    """Weight of one pulse, in the unit of the receptor; None: a current."""
    position: int = field(repr=False)
    """Of the receptor in the target's; -1 for a current."""
    ordinal: int = field(repr=False)
    """Which of the pulse stimuli of its population this is: the name of its random stream."""

    def lower(self, population: int, dt: float, key: spec.Key, exponent: int) -> spec.Stimulus:
        """In the words of a part; the accumulator of its receptor counts in 2**exponent."""
        unit = None if self.pulse is None else self.target.population.model.receptors[self.position].unit
        return self.stimulus.lower(StimulusTarget(population, self.target.subset, dt, key, self.position, exponent, unit))

    def most(self, dt: float) -> int:
        """Most pulses into one neuron in one step."""
        return self.stimulus.most(len(self.target), dt)


def stimulation(target: Selection, stimulus: Stimulus, receptor: str | None, ordinal: int, dt: float) -> Stimulation:
    """A checked stimulation on a grid of dt ms."""
    who = f"stimulus on {target!r}"
    if not offers(stimulus, "pulse", "most", "lower"):
        raise KindError(
            f"{who}: {shown(stimulus)} is no stimulus; "
            "give PoissonInput(rate=..., weight=...) or StepCurrent(times=..., values=...)"
        )
    if isinstance(target.population.dynamics, spec.PoissonSource | spec.Train):
        model = type(target.population.model).__name__
        raise ParameterError(f"{who}: a {model} only emits spikes and takes no input; stimulate the neurons that it drives")
    pulse, position = _pulse(target, stimulus, receptor, who)
    made = Stimulation(target, stimulus, receptor, pulse, position, ordinal)
    with on_behalf_of(who):  # lowered and dropped: whatever is wrong with its shapes and times shows at the user's line
        made.lower(0, dt, (0, 0), 0)
    return made


def _pulse(target: Selection, stimulus: Stimulus, receptor: str | None, who: str) -> tuple[float | None, int]:
    """(weight of a pulse, position of its receptor), or (None, -1) of a current."""
    population, kind = target.population, type(stimulus).__name__
    units = {r.name: r.unit for r in population.model.receptors}
    pulse = stimulus.pulse(units.get(receptor or "ex", next(iter(units.values()), "pA")), f"{who}: weight")
    if pulse is not None:
        pair = candidates(population, receptor, who)
        return pulse, entered(population, pair, receptor, (pulse, pulse), who)[0]
    if receptor is not None:
        raise ParameterError(f"{who}: {kind} is a current and enters no receptor; leave receptor={receptor!r} out")
    if population.model.current is None:
        model = type(population.model).__name__
        raise ParameterError(f"{who}: {model} takes no current (it declares no `current` parameter); give PoissonInput instead")
    return None, -1
