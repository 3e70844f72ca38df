"""Synapses that change in a checkpoint: weights by target, what their neurons remember, spikes on their way.

Of projection p a piece holds, over its targets `plastic/p/post`: `degree`, `weight` and `variable/<k>` in order (target, k), and
the words of their spikes, `kept` of each in `history`, and `past` states; of the sources `segment`, `last`, `pre`, `states`,
`flying` and `third`, as cpu.plastic.Plastic gives them; `learning` is the factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.backends.cpu.plastic import order
from eventsnn.backends.moments import LEARN

Arrays = Mapping[str, npt.NDArray[Any]]


def take(blocks: Sequence[Any], now: int) -> dict[str, npt.NDArray[Any]]:
    """The state of all synapses that change, onto the neurons of these blocks."""
    out: dict[str, npt.NDArray[Any]] = {}
    for projection in sorted({p for b in blocks for p in b.incoming.plastic}):
        found = [_block(b, projection, now) for b in blocks if projection in b.incoming.plastic]
        out |= {f"plastic/{projection}/{name}": np.concatenate([x[name] for x in found]) for name in found[0]}
    return out


def put(blocks: Sequence[Any], now: int, pieces: Sequence[Arrays]) -> None:
    """Make the synapses of blocks that have not run what they were after step `now`."""
    for block in blocks:
        for projection, plastic in block.incoming.plastic.items():
            head = f"plastic/{projection}/"
            mine = [{n.removeprefix(head): x for n, x in piece.items() if n.startswith(head)} for piece in pieces]
            mine = [piece for piece in mine if piece]
            by_target: dict[int, tuple[npt.NDArray[Any], ...]] = {}
            for piece in mine:
                plastic.put(now, block.row_of_source(projection), piece)
                plastic.numbers[LEARN] = float(piece["learning"][0])
                by_target |= dict(_targets(piece, len(plastic.variables)))
            for d in block.incoming.drawn(projection):
                rows = [by_target[post] for post in d.posts.tolist()]
                columns = [np.concatenate([np.empty(0), *x]) for x in zip(*(row[2:] for row in rows), strict=True)]
                weights, *variables = (column[order(d)] for column in columns)
                plastic.write(weights, variables)
                plastic.remember(now, d.places, [row[0] for row in rows], [row[1] for row in rows])


def _block(block: Any, projection: int, now: int) -> dict[str, npt.NDArray[Any]]:
    plastic = block.incoming.plastic[projection]
    sources = plastic.taken(now, block.row_of_source(projection))
    (d,) = block.incoming.drawn(projection)
    where = order(d)

    def listed(memory: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        out = np.empty(len(where))
        out[where] = memory
        return out

    kept, words = plastic.history(d.places)
    variables = {f"variable/{k}": listed(x) for k, x in enumerate(plastic.variables)}
    targets = {
        "post": d.posts,
        "degree": d.degrees,
        "weight": listed(plastic.weights),
        **variables,
        "kept": kept,
        "past": plastic.was(now, d.places),
        "history": words,
    }
    return {**targets, **sources, "learning": np.array([plastic.learning])}


def _targets(piece: Arrays, variables: int) -> Iterator[tuple[int, tuple[npt.NDArray[Any], ...]]]:
    """Of each target: its history, its weights and variables."""
    edges, kept = np.cumsum(piece["degree"])[:-1], np.cumsum(piece["kept"])[:-1]
    columns: list[Any] = [np.split(piece["history"], kept), piece["past"], np.split(piece["weight"], edges)]
    columns += [np.split(piece[f"variable/{k}"], edges) for k in range(variables)]
    return zip(piece["post"].tolist(), zip(*columns, strict=True), strict=True)
