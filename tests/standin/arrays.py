"""Arrays as strict as CuPy's: they never meet numpy's arrays unless asked to, and what is not known of CuPy is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

SCALARS = (bool, int, float, np.bool_, np.number)
FUNCTIONS = {
    "arange": set(),
    "argsort": {"kind"},
    "asarray": set(),
    "concatenate": set(),
    "cumsum": set(),
    "diff": set(),
    "flatnonzero": set(),
    "full": set(),
    "minimum": set(),
    "ones": set(),
    "searchsorted": {"side"},
    "unique": set(),
    "zeros": set(),
}
"""Functions of CuPy that are used, and what they may be given by name; look at CuPy before you add one."""
OPERATORS = (
    *("add", "sub", "mul", "floordiv", "mod", "and", "or", "xor", "lshift", "rshift"),
    *("truediv", "eq", "ne", "lt", "le", "gt", "ge"),
)


class Array:
    """An array of the device. `whole`: the allocation that it is a part of."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: npt.NDArray[Any], whole: npt.NDArray[Any] | None = None) -> None:
        self.values, self.whole = values, values if whole is None else whole

    def __array__(self, *_: object, **__: object) -> npt.NDArray[Any]:
        raise TypeError("CuPy does not convert to a numpy array unless asked to: use .get()")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise AssertionError("nothing in the stand-in reads this")

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    size = property(lambda self: self.values.size)
    ndim = property(lambda self: self.values.ndim)
    nbytes = property(lambda self: self.values.nbytes)

    def get(self, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """A copy for the host."""
        if out is None:
            return self.values.copy()
        assert (out.shape, out.dtype) == (self.shape, self.dtype)
        out[...] = self.values
        return out

    def set(self, values: npt.NDArray[Any]) -> None:
        """Take up values of the host."""
        if (values.shape, values.dtype) != (self.shape, self.dtype) or not self.values.flags.c_contiguous:
            raise ValueError("shape and type have to be those of the array")
        self.values[...] = values

    def astype(self, dtype: Any) -> Array:
        """A copy of another type."""
        return Array(self.values.astype(dtype))

    def reshape(self, *shape: int) -> Array:
        """Another shape, of the same memory if it can."""
        return self._part(self.values.reshape(*shape))

    def fill(self, value: Any) -> None:
        """One value everywhere."""
        self.values.fill(_plain(value))

    def sum(self) -> Array:
        """0-dimensional: CuPy gives no numbers of the host."""
        return Array(np.asarray(self.values.sum()))

    def __len__(self) -> int:
        return len(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __getitem__(self, key: Any) -> Array:
        return self._part(np.asarray(self.values[_key(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, Array) and key.values.dtype != bool and len(np.unique(key.values)) != key.values.size:
            raise ValueError("which value stays where an index comes twice is open")
        self.values[_key(key)] = _plain(value)

    def _part(self, values: npt.NDArray[Any]) -> Array:
        return Array(values, self.whole if np.shares_memory(values, self.whole) else None)


def _operator(name: str) -> Callable[[Array, Any], Array]:
    def do(self: Array, other: Any) -> Array:
        return Array(np.asarray(getattr(self.values, name)(_plain(other))))

    return do


for _name in OPERATORS:
    for _side in ("", "r"):
        if not (_side and _name in {"eq", "ne", "lt", "le", "gt", "ge"}):
            setattr(Array, f"__{_side}{_name}__", _operator(f"__{_side}{_name}__"))


def _plain(value: Any) -> Any:
    """What an operation of CuPy takes: arrays of the device, and numbers."""
    if isinstance(value, Array):
        return value.values
    if isinstance(value, SCALARS):
        return value
    raise TypeError(f"CuPy takes no {type(value).__name__} here")


def _key(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_key(k) for k in key)
    if key is None or key is Ellipsis or isinstance(key, slice | int | np.integer):
        return key
    if isinstance(key, Array):
        return key.values
    raise TypeError(f"an array of the device is not indexed by a {type(key).__name__} of the host")


class Module:
    """In the place of CuPy's module."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in FUNCTIONS:
            raise AttributeError(f"is {name} a function of CuPy? Then the stand-in must know it")

        def call(*given: Any, **named: Any) -> Any:
            if set(named) - FUNCTIONS[name]:
                raise TypeError(f"{name} takes no {sorted(set(named) - FUNCTIONS[name])}")
            return Array(np.asarray(getattr(np, name)(*(self._argument(x) for x in given), **named)))

        return call

    def empty(self, shape: Any, dtype: Any = np.float64) -> Array:
        """Memory that nobody has written yet: nothing may depend on it."""
        made = np.empty(shape, dtype)
        made.view(np.uint8).fill(0xA5)
        return Array(made)

    def asarray(self, a: Any) -> Array:
        """A copy on the device; an array that lies there as it is."""
        return a if isinstance(a, Array) else Array(np.array(a, order="C"))

    def _argument(self, x: Any) -> Any:
        if isinstance(x, list | tuple):
            return type(x)(self._argument(y) for y in x)
        if isinstance(x, type | np.dtype | str):
            return x
        return _plain(x)
