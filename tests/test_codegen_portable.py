"""exp, log, sin and cos of the generated code: accurate, defined everywhere, and the same bits compiled as in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpmath import mp
from numba import njit

from eventsnn.backends.cpu.intrinsics import fma
from eventsnn.codegen.portable import COS_SOURCE, EXP_SOURCE, LOG_SOURCE, SIN_SOURCE
from eventsnn.codegen.reference import exact_fma, names

PRECISIONS = ("float64", "float32")


def ulps(found: Any, exact: Any) -> float:
    """Error in units of the last place of the exact number."""
    place = mp.mpf(2) ** (mp.floor(mp.log(abs(exact), 2))) * mp.mpf(float(np.finfo(type(found)).eps))
    return float(abs(mp.mpf(float(found)) - exact) / place)


def arguments(precision: str, function: str) -> np.ndarray:
    rng = np.random.default_rng(11)
    wide = 700.0 if precision == "float64" else 87.0
    if function in ("sin", "cos"):
        quarters = np.arange(-50, 51) * (np.pi / 2.0) * (1.0 + 1e-7)
        x = np.concatenate([rng.uniform(-1e6, 1e6, 300), rng.uniform(-4.0, 4.0, 500), quarters, [0.0]])
        x = x if precision == "float64" else x[np.abs(x) < 1e3]
    elif function == "exp":
        x = np.concatenate([rng.uniform(-wide, wide, 400), rng.uniform(-1.0, 1.0, 400), [0.0]])
    else:
        near = 1.0 + rng.uniform(-1e-4, 1e-4, 100)
        x = np.concatenate([10.0 ** rng.uniform(-30.0, 30.0, 400), rng.uniform(0.5, 2.0, 400), near])
    return x.astype(precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("function", ["exp", "log"])
def test_errors_stay_below_one_unit_in_the_last_place(precision: str, function: str):
    mine = names(precision)[function]
    with mp.workprec(200):
        for x in arguments(precision, function):
            exact = getattr(mp, function)(mp.mpf(float(x)))
            assert mine(x) == 0.0 if exact == 0 else ulps(mine(x), exact) < 1.0, x


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("function", ["sin", "cos"])
def test_waves_are_right_to_an_error_of_their_largest_value(precision: str, function: str):
    mine, eps = names(precision)[function], float(np.finfo(precision).eps)
    with mp.workprec(200):
        for x in arguments(precision, function):
            exact = getattr(mp, function)(mp.mpf(float(x)))
            assert abs(float(mine(x)) - exact) < 0.75 * eps, x
            assert type(mine(x)) is np.dtype(precision).type


@pytest.mark.parametrize("precision", PRECISIONS)
def test_special_arguments(precision: str):
    space = names(precision)
    F, exp, log = space["F"], space["exp"], space["log"]
    assert exp(F(0.0)) == 1.0
    assert 0.0 < exp(F(-1e30)) < 1e-37
    assert 1e37 < exp(F(1e30)) < np.inf
    assert np.isnan(exp(F(np.nan)))
    assert log(F(1.0)) == 0.0
    assert log(F(0.0)) == -np.inf
    assert log(F(np.inf)) == np.inf
    assert np.isnan(log(F(-1.0)))
    assert np.isnan(log(F(np.nan)))
    assert space["sin"](F(0.0)) == 0.0 and space["cos"](F(0.0)) == 1.0
    for wave in (space["sin"], space["cos"]):
        with np.errstate(invalid="ignore"):
            assert np.isnan(wave(F(np.nan))) and np.isnan(wave(F(np.inf)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("function", ["exp", "log", "sin", "cos"])
def test_compiled_code_gives_the_same_bits(precision: str, function: str):
    space = {"np": np, "F": np.dtype(precision).type, "fma": fma, "mul": njit(lambda a, b: a * b)}
    sources = {"exp": EXP_SOURCE, "log": LOG_SOURCE, "sin": SIN_SOURCE, "cos": COS_SOURCE}
    exec(sources[function][precision], space)
    compiled = njit(space[function])
    plain = names(precision)[function]
    for x in arguments(precision, function)[::3]:
        assert compiled(x) == plain(x)


def test_the_reference_fma_rounds_once():
    a = np.float64(1.0 + 2.0**-30)
    assert exact_fma(a, a, np.float64(-1.0 - 2.0**-29)) == 2.0**-60
    b = np.float32(1.0 + 2.0**-12)
    halfway = exact_fma(b, b, np.float32(2.0**-50))  # a detour over float64 would lose 2**-50 and then round to even
    assert halfway == np.float32(1.0 + 2.0**-11 + 2.0**-23)
    assert exact_fma(np.float64(np.inf), np.float64(1.0), np.float64(0.0)) == np.inf
