"""Values: distributions draw what they say, in bounds that hold, and what is no value is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pint
import pytest
from scipy import stats

from eventsnn import spec
from eventsnn.codegen.sampling import look_up, sample
from eventsnn.errors import KindError, ParameterError, ShapeError, UnitError
from eventsnn.values import Constant, Distribution, LogNormal, Normal, Uniform, as_value, bounds

N = 1_000_000


def words(draws: int = 1, n: int = N) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 1 << 32, (n, draws), dtype=np.uint32)


FROZEN = {
    "normal": (Normal(-3.0, 2.0), stats.norm(-3.0, 2.0)),
    "uniform": (Uniform(-70.0, -55.0), stats.uniform(-70.0, 15.0)),
    "lognormal": (LogNormal(0.5, 0.8), stats.lognorm(0.8, scale=np.exp(0.5))),
    "affine": (10.0 - 2.0 * Normal(1.0, 0.5) / 4.0, stats.norm(9.5, 0.25)),
    "truncated": (Normal(1.5, 0.75).truncate(0.1, None), stats.truncnorm((0.1 - 1.5) / 0.75, np.inf, 1.5, 0.75)),
    "negative": ((-Normal(1.0, 1.0)).truncate(None, 0.0), stats.truncnorm(-np.inf, 1.0, -1.0, 1.0)),
    "twice": (Normal(0.0, 1.0).truncate(-1.0, None).truncate(None, 0.5), stats.truncnorm(-1.0, 0.5)),
    "lognormal cut": (LogNormal(0.0, 1.0).truncate(0.5, 4.0), None),
}


@pytest.mark.parametrize("name", [n for n, (_, exact) in FROZEN.items() if exact is not None])
def test_a_million_draws_follow_the_distribution(name: str):
    drawn, exact = FROZEN[name][0].drawn(), FROZEN[name][1]
    x = sample(drawn, words())
    assert x.mean() == pytest.approx(exact.mean(), abs=5.0 * exact.std() / np.sqrt(N))
    assert x.var() == pytest.approx(exact.var(), rel=0.03)
    assert stats.kstest(x[:200_000], exact.cdf).pvalue > 1e-3
    assert drawn.program == (("draw", 0),)
    assert len(drawn.tables) == 1


@pytest.mark.parametrize("name", [n for n, (_, exact) in FROZEN.items() if exact is not None])
def test_quantiles_are_those_of_scipy(name: str):
    drawn, exact = FROZEN[name][0].drawn(), FROZEN[name][1]
    k = np.arange(0, spec.SIDE, 7)
    p = 2.0**-33 * 2.0 ** (k // spec.CELLS) * (1.0 + (k % spec.CELLS) / spec.CELLS)
    low, high = (exact.isf, exact.ppf) if name == "affine" else (exact.ppf, exact.isf)  # its slope is negative
    scale = max(1.0, np.abs(drawn.tables[0]).max())
    np.testing.assert_allclose(drawn.tables[0][0][k], low(p), rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(drawn.tables[0][1][k], high(p), rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("name", FROZEN)
def test_bounds_hold_for_every_extreme_word(name: str):
    distribution = FROZEN[name][0]
    extreme = np.array([0, 1, 2, 3, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1], dtype=np.uint32)
    low, high = distribution.bounds()
    for batch in (extreme, words(n=100_000)[:, 0]):
        x = sample(distribution.drawn(), batch)
        assert low <= x.min()
        assert x.max() <= high


def test_truncation_bounds_are_exact_and_clipping_piles_up():
    cut = sample((2.0 * Normal(0.0, 1.0) + 0.3).truncate(0.1, 0.7).drawn(), words(n=200_000))
    assert cut.min() >= 0.1
    assert cut.max() <= 0.7
    piled = sample(Normal(0.0, 1.0).clip(-1.0, 0.5).drawn(), words(n=200_000))
    assert np.mean(piled == -1.0) == pytest.approx(stats.norm.cdf(-1.0), abs=0.005)
    assert np.mean(piled == 0.5) == pytest.approx(stats.norm.sf(0.5), abs=0.005)
    assert Normal(0.0, 1.0).clip(-1.0, 0.5).bounds() == (-1.0, 0.5)


def test_far_tails_can_be_truncated_to():
    far = Normal(0.0, 1.0).truncate(30.0, None)
    assert far.mean() == pytest.approx(stats.truncnorm(30.0, np.inf).mean(), rel=1e-6)


def test_the_uniform_table_is_linear_in_p():
    u = np.array([0, 1, 5, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 0xDEADBEEF, 12345], dtype=np.uint32)
    x = look_up(Uniform(0.0, 1.0).drawn().tables[0], u)
    np.testing.assert_allclose(x, (u + 0.5) * 2.0**-32, rtol=4e-16)


def test_one_object_is_one_draw_and_two_are_independent():
    x = Uniform(0.0, 1.0)
    double = x + x
    assert double.drawn().program == (("draw", 0),)
    assert sample(double.drawn(), words(n=10_000)).var() == pytest.approx(4.0 / 12.0, rel=0.05)
    assert (x - x).bounds() == (0.0, 0.0)
    triangle = Uniform(0.0, 1.0) + Uniform(0.0, 1.0)
    assert len(triangle.drawn().tables) == 2
    assert sample(triangle.drawn(), words(2, 100_000)).var() == pytest.approx(2.0 / 12.0, rel=0.05)
    assert pickle.loads(pickle.dumps(double)).drawn() is double.drawn()


def test_products_of_draws_have_safe_bounds_and_an_estimated_mean():
    product = Normal(2.0, 0.5).truncate(0.5, None) * (Uniform(-1.0, 3.0) + 1.0)
    x = sample(product.drawn(), words(2, 300_000))
    low, high = product.bounds()
    assert low <= x.min()
    assert x.max() <= high
    assert product.mean() == pytest.approx(x.mean(), abs=5.0 * x.std() / np.sqrt(len(x)))


@pytest.mark.parametrize("name", ["normal", "uniform", "lognormal", "truncated"])
def test_the_mean_is_known_without_drawing(name: str):
    assert FROZEN[name][0].mean() == pytest.approx(FROZEN[name][1].mean(), rel=1e-3)


def test_equal_distributions_share_their_tables():
    assert Normal(0.0, 1.0).truncate(-1.0, 1.0).drawn() is Normal(0.0, 1.0).truncate(-1.0, 1.0).drawn()


def test_tables_are_the_same_in_another_process():
    code = (
        "from eventsnn.values import *; import hashlib;"
        "d = (2 * LogNormal(0.1, 0.5).truncate(None, 3.0) - Normal(0.0, 1.0)).drawn();"
        "print(hashlib.sha256(b''.join(t.tobytes() for t in d.tables)).hexdigest(), d.program)"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [(3, 3.0), (np.float32(0.5), 0.5), (Constant(2.0) * 3.0, 6.0), (Normal(1.5, 0.0), 1.5), (Uniform(2.0, 2.0), 2.0)],
)
def test_numbers_and_constants_become_one_number(given: object, expected: float):
    assert as_value(given, 10, "mV", "V_m") == spec.Fixed(expected)


def test_arrays_become_copies_of_the_right_length():
    given = np.arange(4.0)
    value = as_value(given, 4, "mV", "V_m")
    given[0] = 99.0
    assert isinstance(value, spec.Given)
    assert value.values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert bounds(value) == (0.0, 3.0)
    with pytest.raises(ShapeError, match=r"exc: V_m has shape \(3,\), but there are 4 elements"):
        as_value([1.0, 2.0, 3.0], 4, "mV", "exc: V_m")


def test_pint_quantities_are_converted_once_and_wrong_dimensions_refused():
    u = pint.UnitRegistry()
    assert as_value(-0.07 * u.volt, 1, "mV", "V_m") == spec.Fixed(-70.0)
    array = as_value(np.array([1.0, 2.0]) * u.nA, 2, "pA", "I_e")
    assert isinstance(array, spec.Given)
    np.testing.assert_allclose(array.values, [1000.0, 2000.0], rtol=1e-15)
    with pytest.raises(UnitError, match="tau_m must be in ms, not in millivolt"):
        as_value(3.0 * u.mV, 1, "ms", "tau_m")
    with pytest.raises(UnitError, match="plain number"):
        Normal(3.0 * u.mV, 1.0)
    with pytest.raises(UnitError, match="plain numbers"):
        Normal(3.0, 1.0) * u.Quantity(1.0, "mV")


WRONG: dict[str, tuple[object, type[Exception], str]] = {
    "text": ("10", KindError, "tau_m must be a number"),
    "none": (None, KindError, "tau_m must be a number"),
    "bool": (True, KindError, "tau_m must be a number"),
    "ragged": ([[1.0], [1.0, 2.0]], KindError, "tau_m must be a number"),
    "nan": (float("nan"), ParameterError, "tau_m must be finite, but holds nan"),
    "inf": ([1.0, float("inf")], ParameterError, "tau_m must be finite, but holds inf"),
    "matrix": (np.ones((2, 1)), ShapeError, r"tau_m has shape \(2, 1\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_value_is_refused_by_name(name: str):
    given, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        as_value(given, 2, "ms", "tau_m")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(2.0, 1.0), "low <= high"),
        (lambda: Normal(0.0, -1.0), "std >= 0"),
        (lambda: LogNormal(0.0, -1.0), "sigma >= 0"),
        (lambda: LogNormal(800.0, 1.0), "overflows"),
        (lambda: Uniform(0.0, float("nan")), "finite"),
        (lambda: Normal(0.0, 1.0).clip(2.0, 1.0), "low <= high"),
        (lambda: Normal(0.0, 1.0).truncate(float("inf"), None), "use None"),
        (lambda: Uniform(0.0, 1.0).truncate(2.0, 3.0), "leaves nothing"),
        (lambda: Normal(5.0, 0.0).truncate(None, 4.0), "leaves nothing"),
        (lambda: (Normal(0.0, 1.0) + Normal(0.0, 1.0)).truncate(0.0, None), "truncate its parts"),
        (lambda: (1.0 / Uniform(1.0, 2.0)).truncate(0.0, None), "truncate its parts"),
        (lambda: Normal(0.0, 1.0) / 0.0, "cannot be divided by 0"),
        (lambda: (Normal(0.0, 1.0) / Normal(0.0, 1.0)).drawn(), "0 is among them"),
    ],
)
def test_impossible_distributions_are_refused(make: object, message: str):
    with pytest.raises(ParameterError, match=message):
        make()  # type: ignore[operator]


def test_distributions_combine_with_numbers_only():
    with pytest.raises(KindError, match="not with 'a'"):
        Normal(0.0, 1.0) + "a"
    with pytest.raises(KindError, match="must be one number"):
        Uniform("a", 1.0)  # type: ignore[arg-type]
    assert isinstance(3 - Normal(0.0, 1.0), Distribution)
