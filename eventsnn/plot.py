"""Plots of recordings: functions that take a node of an opened store and return the Axes they drew on. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 200_000
"""Above so many points a raster or a set of traces is drawn as an image: dots would hide each other and take seconds."""
PIXELS = (900, 300)
"""Columns and rows of such an image."""


def raster(node: xr.DataTree | xr.Dataset, ax: Axes | None = None, *, offset: int = 0, color: str = "black") -> Axes:
    """Spikes of a recording: time (ms) against the index of the neuron plus `offset`."""
    ax = _axes(ax)
    times, neurons = _events(node)
    if len(times) <= POINTS:
        ax.plot(times, neurons + offset, linestyle="none", marker=".", markersize=1.0, color=color, rasterized=True)
    else:
        counts, time_edges, rows = np.histogram2d(times, neurons + offset, bins=PIXELS)
        _image(ax, np.log1p(counts.T), time_edges, rows, _fading(color))
    ax.set_xlabel("time (ms)")
    ax.set_ylabel("neuron")
    return ax


def rates(
    node: xr.DataTree | xr.Dataset,
    ax: Axes | None = None,
    *,
    neurons: int | None = None,
    width: float = 1.0,
    until: float | None = None,
    color: str = "black",
    label: str | None = None,
) -> Axes:
    """Mean firing rate (Hz) of the recorded neurons over time, in bins of `width` ms.

    `neurons`, if not all, is their number. `until` (ms): where it ends; by default with the run, or else with the last spike.
    """
    times, _ = _events(node)
    neurons = _dataset(node).attrs.get("neurons", 0) if neurons is None else neurons
    if neurons < 1 or not width > 0.0:
        raise ValueError(f"rates: neurons={neurons}, width={width}: both must be positive")
    ax = _axes(ax)
    end = max(times.max(initial=0.0), _end(node) if until is None else until)
    edges = np.round(np.arange(max(1, int(np.ceil(round(end / width, 6)))) + 1) * width, 10)
    # a spike found in (t - dt, t] is stamped t: bins are closed on the right
    counts = np.bincount(np.searchsorted(edges, times, side="left"), minlength=len(edges))[1 : len(edges)]
    ax.stairs(counts / (neurons * width * 1e-3), edges, color=color, label=label)
    ax.set_xlabel("time (ms)")
    ax.set_ylabel("rate (Hz)")
    return ax


def traces(node: xr.DataTree | xr.Dataset, ax: Axes | None = None) -> Axes:
    """A recorded variable over time: a line for each neuron, or an image of neuron against time where points are many."""
    ax = _axes(ax)
    data = _dataset(node)
    variables = [str(name) for name in data.data_vars]
    if len(variables) != 1 or set(data[variables[0]].dims) != {"time", "neuron"}:
        raise ValueError(
            f"traces: the node holds {variables or 'nothing'}; give one with a variable of (time, neuron), such as run['exc/V_m']"
        )
    variable = data[variables[0]].transpose("time", "neuron")
    times, unit = data["time"].values, variable.attrs.get("units", "")
    ax.set_xlabel("time (ms)")
    title = f"{variables[0]} ({unit})" if unit else variables[0]
    if variable.size <= POINTS:
        ax.plot(times, variable.values, linewidth=0.8)
        ax.set_ylabel(title)
        return ax
    edges = np.linspace(times[0], times[-1], len(times) + 1)
    image = _image(ax, variable.values.T, edges, np.arange(variable.shape[1] + 1.0), "viridis")
    ax.figure.colorbar(image, ax=ax, label=title)
    ax.set_ylabel("neuron")
    return ax


def overview(run: xr.DataTree, neurons: Mapping[str, int], means: Sequence[float], reference: Sequence[float] | None) -> Figure:
    """Raster of all populations above their common rate over time, beside mean rates and those of a reference (Hz)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(4, 1))
    dots, bars = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[:, 1])
    below = figure.add_subplot(grid[1, 0], sharex=dots)
    colors = [f"C{k % 10}" for k in range(len(neurons))]
    offset, middles, everyone = 0, [], []
    for (name, size), color in zip(neurons.items(), colors, strict=True):
        spikes = run.children[name].children["spikes"]
        raster(spikes, dots, offset=offset, color=color)
        everyone.append(_events(spikes))
        middles.append(offset + size / 2)
        offset += size
    rates(_spikes(everyone), below, neurons=offset, until=_end(run))
    dots.set(yticks=middles, yticklabels=list(neurons), ylim=(offset, 0), xlabel="", ylabel="")
    dots.tick_params(labelbottom=False)
    below.margins(x=0)
    below.set(xlabel="time (ms)", ylabel="all (Hz)", ylim=(0.0, None))
    bars.barh(range(len(neurons)), means, color=colors)
    if reference is not None:
        bars.plot(reference, range(len(neurons)), linestyle="none", marker="d", color="black", label="NEST")
        bars.legend(frameon=False)
    bars.set(yticks=range(len(neurons)), yticklabels=list(neurons), ylim=(len(neurons) - 0.4, -0.6), xlabel="mean rate (Hz)")
    return figure


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def _dataset(node: xr.DataTree | xr.Dataset) -> xr.Dataset:
    import xarray as xr

    return node.to_dataset() if isinstance(node, xr.DataTree) else node


def _events(node: xr.DataTree | xr.Dataset) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    data = _dataset(node)
    if "time" not in data.variables or data["time"].dims != ("event",):
        raise ValueError("the node holds no spikes; give a recording of spikes, such as run['exc/spikes']")
    return np.asarray(data["time"].values, dtype=np.float64), np.asarray(data["neuron"].values, dtype=np.int64)


def _end(node: xr.DataTree | xr.Dataset) -> float:
    """ms: how far the run that a node belongs to has come, as far as the node knows."""
    return float(getattr(node, "root", node).attrs.get("committed_ms", 0.0))


def _spikes(events: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]) -> xr.Dataset:
    import xarray as xr

    times, neurons = (np.concatenate(column) for column in zip(*events, strict=True))
    return xr.Dataset(coords={"time": ("event", times), "neuron": ("event", neurons)})


def _fading(color: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("density", ["white", color])


def _image(ax: Axes, pixels: npt.NDArray[Any], columns: npt.NDArray[Any], rows: npt.NDArray[Any], cmap: Any) -> Any:
    # aspect and limits are the caller's: several images may stand in one Axes
    image = ax.pcolorfast((columns[0], columns[-1]), (rows[0], rows[-1]), pixels, cmap=cmap)
    ax.update_datalim([(columns[0], rows[0]), (columns[-1], rows[-1])])
    ax.autoscale_view()
    return image
