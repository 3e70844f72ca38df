"""A generated kernel: texts and names. It needs numpy alone; sympy is imported only where one is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from eventsnn import spec
from eventsnn.codegen.declaration import Declaration
from eventsnn.codegen.hostmath import evaluate
from eventsnn.codegen.propagator import Propagator
from eventsnn.errors import ParameterError
from eventsnn.units import steps

LONGEST = 2**31 - 1
"""Steps of a refractory time: more than a run can have."""


@dataclass(frozen=True)
class Variant:
    """The text of a step and the names of its constants, in order."""

    source: str
    constants: tuple[str, ...]

    def form(self, name: str) -> Variant:
        """One of its functions as `step`."""
        found = next(part for part in self.source.split("def ") if part.startswith(f"{name}("))
        return Variant("def step" + found.removeprefix(name), self.constants)


@dataclass(frozen=True)
class Kernel:
    """The generated update of a model; see spec.KernelSpec."""

    name: str
    states: tuple[str, ...]
    receptors: tuple[str, ...]
    plain: Variant
    driven: Variant | None
    """With a stimulus current."""
    propagators: tuple[Propagator, ...]
    computed: tuple[tuple[str, str], ...]
    t_ref: str | None
    draws: tuple[str, ...] = ()

    @property
    def refractory(self) -> bool:
        return self.t_ref is not None

    @property
    def current_input(self) -> bool:
        return self.driven is not None

    @property
    def forms(self) -> tuple[spec.KernelSpec, spec.KernelSpec] | None:
        """See spec.KernelSpec."""
        if "def again(" not in self.plain.source:
            return None
        quick, again = (
            replace(self, plain=self.plain.form(name), driven=self.driven and self.driven.form(name))
            for name in ("quick", "again")
        )
        return cast(spec.KernelSpec, quick), cast(spec.KernelSpec, again)  # frozen, where a Protocol's attributes can be set

    def step_source(self, current: bool) -> str:
        """The text of `def step`."""
        return self._variant(current).source

    def constant_names(self, current: bool) -> tuple[str, ...]:
        """The constants, in the order of the step's arguments (without NREF)."""
        return self._variant(current).constants

    def constants(self, values: Mapping[str, Any], dt: float, current: bool) -> dict[str, Any]:
        """Constants from parameters (float or float64 array each): arrays only where a parameter they depend on is one."""
        env: dict[str, Any] = {name: np.asarray(v, dtype=np.float64)[()] for name, v in values.items()}
        h = np.float64(dt)
        found = {**env, "h__": h, "h__half": h * 0.5, "h__sixth": h / 6.0, "h__root": np.sqrt(h)}
        for propagator in self.propagators:
            with np.errstate(all="ignore"):  # a zero time constant is answered below
                found |= propagator.constants(env, dt)
        found |= {name: evaluate(text, {**env, "h__": h}) for name, text in self.computed}
        out: dict[str, Any] = {}
        for name in self.constant_names(current):
            if not np.isfinite(found[name]).all():
                raise ParameterError(f"{self.name}: constant {name} is not finite; check the parameters (a time constant of 0?)")
            out[name] = found[name] if np.ndim(found[name]) else float(found[name])
        if self.t_ref is not None:
            count = np.minimum(steps(env[self.t_ref], dt), LONGEST)
            out["NREF"] = count.astype(np.int32) if np.ndim(count) else int(count)
        return out

    def _variant(self, current: bool) -> Variant:
        if not current:
            return self.plain
        if self.driven is None:
            raise ParameterError(f"{self.name} takes no stimulus current; declare current = 'I_e' in the model")
        return self.driven


@lru_cache(maxsize=256)
def generate(d: Declaration) -> Kernel:
    """The kernel of a declaration; ModelError where it makes no sense."""
    receptors = tuple(name for name, _ in d.receptors)
    if d.step is not None:
        from eventsnn.codegen.plainstep import plain_step

        variants = [Variant(*plain_step(d, current)) for current in ((False, True) if d.current else (False,))]
        return Kernel(d.name, d.states, receptors, variants[0], variants[-1] if d.current else None, (), (), d.refractory)

    from eventsnn.codegen.equations import read
    from eventsnn.codegen.step import StepWriter

    system = read(d)
    texts = [StepWriter(system, current).write() for current in ((False, True) if d.current else (False,))]
    variants = [Variant(t.source, tuple(t.constants)) for t in texts]
    driven = variants[-1] if d.current else None
    plain = texts[0]  # both variants need the same constants but for B
    return Kernel(
        d.name, d.states, receptors, variants[0], driven, tuple(plain.propagators), tuple(plain.computed), d.refractory,
        system.draws,
    )  # fmt: skip
