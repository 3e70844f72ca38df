"""Connections given one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn import spec
from eventsnn.errors import KindError, ParameterError, ShapeError
from eventsnn.model import value_object


@value_object
class Explicit:
    """Connection k goes from the pre[k]-th neuron of `pre` to the post[k]-th of `post`; repetitions are multapses."""

    pre: npt.ArrayLike
    post: npt.ArrayLike

    def __post_init__(self) -> None:
        for name in ("pre", "post"):
            object.__setattr__(self, name, _positions(getattr(self, name), name))
        if len(self._edges[0]) != len(self._edges[1]):
            sources, targets = map(len, self._edges)
            raise ShapeError(f"Explicit: {sources} sources but {targets} targets; give one pair per connection")

    @property
    def _edges(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return np.asarray(self.pre), np.asarray(self.post)

    def lower(self, pre: spec.Subset, post: spec.Subset, same: bool) -> spec.Edges:
        for name, positions, n in zip(("pre", "post"), self._edges, (len(pre), len(post)), strict=True):
            if positions.size and (positions.min() < 0 or positions.max() >= n):
                wrong = positions.min() if positions.min() < 0 else positions.max()
                raise ParameterError(f"Explicit: {name} holds {wrong}, but that side has {n} neurons (0 to {n - 1})")
        return spec.Edges(*self._edges)

    def expected(self, n_pre: int, n_post: int) -> float:
        return float(len(self._edges[0]))

    def per_target(self, n_pre: int, n_post: int) -> float:
        post = self._edges[1]
        return float(np.bincount(post).max()) if post.size else 0.0


def _positions(given: object, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(given)
    if array.ndim != 1:
        raise ShapeError(f"Explicit: {name} must be a list of positions, not of shape {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise KindError(f"Explicit: {name} must hold whole numbers, positions in its side, not {array.dtype}")
    array = array.astype(np.int64, copy=False)
    if array.flags.writeable:
        array = array.copy()
        array.setflags(write=False)
    return array
