"""What a recording is to the writer: rows of many parts come in, in any order; whole rows in one order go out to arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eventsnn.spec import ListedSynapses, RecordingSpec
from eventsnn.storage.arrays import GrowingArray, Objects, Read
from eventsnn.storage.spikes import SpikeTable
from eventsnn.storage.states import SampleTable, neurons_of, synapses_of


class Table(Protocol):
    """One recording. Rows wait in it until every part has reported their step."""

    arrays: tuple[GrowingArray, ...]
    growing: tuple[GrowingArray, ...]
    """Those that gain rows while the run goes on; the others are coordinates."""
    groups: dict[str, dict[str, Any]]
    """Path -> attributes of the groups that the arrays lie in."""

    @property
    def waiting(self) -> int:
        """Bytes of rows that wait for other parts."""
        ...

    def lay_out(self, part: int, positions: npt.NDArray[np.int64]) -> None:
        """`positions`: which columns of the recording the part owns. Events name their neuron and need none."""
        ...

    def create(self, out: Objects) -> None:
        """Write what is known before the run, such as coordinates."""
        ...

    def rewind(self, step: int, read: Read) -> None:
        """The growing arrays were taken up as they were after `step`: go on from there.

        Raises ValueError where their rows are not those of that step.
        """
        ...

    def expire(self, step: int) -> None:
        """Say from which row on the arrays are valid after `step`, to which advance() was called: in them and in the groups."""
        ...

    def check(self, part: int, chunk: Any, since: int, step: int) -> None:
        """Raise where a part's chunk does not hold the rows of the steps (since, step]."""
        ...

    def add(self, part: int, chunk: Any) -> None: ...

    def advance(self, step: int, out: Objects) -> None:
        """All parts have reported up to `step`: move the rows of those steps to the arrays."""
        ...


def make_tables(specs: Sequence[RecordingSpec | ListedSynapses], dt: float, parts: int) -> list[Table]:
    return [_table(spec, dt, parts) for spec in specs]


def _table(spec: RecordingSpec | ListedSynapses, dt: float, parts: int) -> Table:
    if isinstance(spec, ListedSynapses):
        return SampleTable(spec, synapses_of(spec), dt, parts)
    return SampleTable(spec, neurons_of(spec), dt, parts) if spec.every else SpikeTable(spec, dt, parts)
