"""Units and the time grid: ms, mV, pA, pF, nS, Hz. A pint quantity is converted once; plain numbers are in these units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn.errors import ParameterError, UnitError

FARTHEST = 2.0**53
"""Steps beyond which a time in ms no longer tells one from the next."""
OWN = ("ms", "mV", "pA", "pF", "nS", "Hz")


def magnitude(given: Any, unit: str, who: str) -> Any:
    """The number(s) in `given`: what a pint quantity is in `unit`, anything else as it is."""
    if not (hasattr(given, "magnitude") and hasattr(given, "is_compatible_with")):
        return given
    if not given.is_compatible_with(unit or "dimensionless"):
        raise UnitError(f"{who} must be in {unit or 'plain numbers'}, not in {given.units}")
    return given.to(unit or "dimensionless").magnitude


def own_unit(given: Any) -> str:
    """The unit of this house that has the dimension of a quantity; "" of a plain number."""
    if not hasattr(given, "is_compatible_with"):
        return ""
    return next((unit for unit in OWN if given.is_compatible_with(unit)), "")


def steps(times: npt.ArrayLike, dt: float) -> npt.NDArray[np.int64]:
    """The nearest step of each time: floor(t/dt + 1/2), within +- FARTHEST."""
    return np.clip(np.floor(np.asarray(times, dtype=np.float64) / dt + 0.5), -FARTHEST, FARTHEST).astype(np.int64)


def off_grid(times: npt.NDArray[np.float64], dt: float) -> npt.NDArray[np.float64]:
    """Those times that are not multiples of dt; 1e-9 relative of slack for decimal times such as 0.3."""
    exact = steps(times, dt) * dt
    return times[np.abs(times - exact) > 1e-9 * np.maximum(np.abs(times), dt)]


def grid_steps(times: npt.NDArray[np.float64], dt: float, who: str) -> npt.NDArray[np.int64]:
    """The steps of times that must lie on the grid, else ParameterError."""
    far = times[np.abs(times) >= FARTHEST * dt]
    if far.size:
        raise ParameterError(f"{who}: {far[0]:g} ms is beyond the end of time, {FARTHEST * dt:g} ms")
    off = off_grid(times, dt)
    if off.size:
        raise ParameterError(f"{who}: {float(off[0])!r} ms is not a multiple of dt = {dt:g} ms; round the times to the grid")
    return steps(times, dt)
