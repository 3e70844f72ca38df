"""Plots draw what was recorded, on the Axes they are given, as dots or as an image."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.figure import Figure

from eventsnn import plot


def spikes(times: np.ndarray, neurons: np.ndarray) -> xr.Dataset:
    return xr.Dataset(coords={"time": ("event", times, {"units": "ms"}), "neuron": ("event", neurons.astype(np.int32))})


def many(events: int) -> xr.Dataset:
    rng = np.random.default_rng(1)
    return spikes(np.sort(rng.uniform(0.0, 100.0, events)), rng.integers(0, 50, events))


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    pyplot.close("all")


def test_raster_marks_each_spike_at_its_time_and_shifted_neuron():
    ax = Figure().add_subplot()
    assert plot.raster(spikes(np.array([1.0, 2.5]), np.array([3, 0])), ax, offset=10) is ax
    assert ax.lines[0].get_xydata().tolist() == [[1.0, 13.0], [2.5, 10.0]]


def test_raster_of_many_spikes_is_an_image_that_counts_all_of_them():
    ax = plot.raster(many(plot.POINTS + 1))
    assert not ax.lines
    (image,) = ax.images
    assert np.expm1(image.get_array()).sum() == pytest.approx(plot.POINTS + 1)


def test_rates_are_spikes_per_neuron_and_second_in_bins_closed_on_the_right():
    ax = plot.rates(spikes(np.array([0.1, 1.0, 1.1, 2.0, 2.0]), np.zeros(5)), neurons=10, width=1.0)
    values, edges, _ = ax.patches[0].get_data()
    assert values[:2].tolist() == [2 / (10 * 1e-3), 3 / (10 * 1e-3)]
    assert edges[:3].tolist() == [0.0, 1.0, 2.0]
    assert values.sum() * 10 * 1e-3 == 5


def test_rates_of_no_spikes_are_zero():
    ax = plot.rates(spikes(np.empty(0), np.empty(0)), neurons=10)
    assert not ax.patches[0].get_data().values.any()


def test_rates_know_how_many_neurons_were_recorded():
    recorded = spikes(np.array([0.5]), np.zeros(1)).assign_attrs(neurons=4)
    assert plot.rates(recorded).patches[0].get_data().values[0] == 1 / (4 * 1e-3)


@pytest.mark.parametrize(("neurons", "width"), [(0, 1.0), (5, 0.0), (5, -1.0)])
def test_rates_refuse_no_neurons_and_no_width(neurons, width):
    with pytest.raises(ValueError, match="must be positive"):
        plot.rates(many(3), neurons=neurons, width=width)


def state(samples: int, neurons: int) -> xr.Dataset:
    values = np.arange(samples * neurons, dtype=np.float32).reshape(samples, neurons)
    variable = xr.DataArray(values, dims=("time", "neuron"), attrs={"units": "mV"})
    return xr.Dataset({"V_m": variable}, coords={"time": np.arange(1.0, samples + 1), "neuron": np.arange(neurons)})


def test_traces_draw_a_line_for_each_neuron_with_its_unit():
    ax = plot.traces(xr.DataTree(state(4, 3)))
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert ax.get_ylabel() == "V_m (mV)"


def test_many_traces_are_an_image_of_neuron_against_time():
    data = state(500, 500)
    ax = plot.traces(data)
    assert not ax.lines
    assert np.array_equal(ax.images[0].get_array(), data["V_m"].values.T)


def test_a_node_of_the_wrong_kind_is_refused_with_the_right_one_named():
    with pytest.raises(ValueError, match="run\\['exc/spikes'\\]"):
        plot.raster(state(2, 2))
    weights = xr.Dataset({"weight": (("time", "synapse"), np.ones((2, 3)))}, coords={"time": [1.0, 2.0]})
    for other in (weights, state(2, 2)):
        with pytest.raises(ValueError, match="no spikes; give a recording of spikes, such as run\\['exc/spikes'\\]"):
            plot.rates(other)
    with pytest.raises(ValueError, match="run\\['exc/V_m'\\]"):
        plot.traces(many(3))


def test_overview_stacks_populations_and_shows_the_reference():
    run = xr.DataTree.from_dict({"a/spikes": many(20), "b/spikes": many(30)})
    figure = plot.overview(run, {"a": 50, "b": 50}, [4.0, 6.0], [5.0, 5.0])
    dots, bars, below = figure.axes
    assert [len(line.get_xdata()) for line in dots.lines] == [20, 30]
    assert dots.lines[1].get_ydata().min() >= 50
    assert [patch.get_width() for patch in bars.patches] == [4.0, 6.0]
    assert bars.lines[0].get_xdata().tolist() == [5.0, 5.0]
    assert below.patches[0].get_data().values.sum() * 100 * 1e-3 == pytest.approx(50)
