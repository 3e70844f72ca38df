"""sympy expressions -> Python text with typed literals and explicit fma and mul, so that no compiler has anything to contract."""

from __future__ import annotations

from typing import Any

import sympy as sp

from eventsnn.codegen.parse import exprel
from eventsnn.errors import ModelError

LARGEST_POWER = 16
"""Integer powers up to it are products."""


class StepPrinter:
    """Prints for a step: F(...) literals, fma(a, b, c) for a*b + c, mul(a, b) for a*b."""

    def number(self, value: float) -> str:
        return f"F({value!r})"

    def product(self, a: str, b: str) -> str:
        return f"mul({a}, {b})"

    def multiply_add(self, a: str, b: str, c: str) -> str:
        return f"fma({a}, {b}, {c})"

    def text(self, e: Any) -> str:
        """The text of an expression; always atomic (a name, a call, or in parentheses)."""
        if getattr(e, "is_number", False):
            return self.number(_round(e))
        for kind in type(e).__mro__:
            visit = getattr(self, f"_{kind.__name__}", None)
            if visit is not None:
                return str(visit(e))
        raise ModelError(f"{e} cannot be computed in a step; if it comes from a derivative, use method = 'rk4'")

    def _Symbol(self, e: sp.Symbol) -> str:
        return str(e)

    def _Add(self, e: sp.Add) -> str:
        products = [t for t in e.args if t.is_Mul and not t.is_number]
        sums = [t for t in e.args if t not in products]
        text = self.text(sums[0]) if sums else self.text(products.pop(0))
        for term in sums[1:]:
            text = f"({text} + {self.text(term)})"
        for term in products:
            text = self._plus(text, term)
        return text

    def _plus(self, text: str, term: sp.Mul) -> str:
        sign, top, bottom = _fraction(term)
        if bottom or len(top) == 1:
            return f"({text} {'+' if sign > 0 else '-'} {self._quotient(1, top, bottom)})"
        first = self.text(top[0])
        return self.multiply_add(first if sign > 0 else f"(-{first})", self._products(top[1:]), text)

    def _Mul(self, e: sp.Mul) -> str:
        return self._quotient(*_fraction(e))

    def _quotient(self, sign: int, top: list[sp.Expr], bottom: list[sp.Expr]) -> str:
        if not top:
            text = self.number(float(sign))
        else:
            text = self._products(top) if sign > 0 else f"(-{self._products(top)})"
        return f"({text} / {self._products(bottom)})" if bottom else text

    def _products(self, factors: list[sp.Expr]) -> str:
        text = self.text(factors[0])
        for factor in factors[1:]:
            text = self.product(text, self.text(factor))
        return text

    def _Pow(self, e: sp.Pow) -> str:
        base, power = e.as_base_exp()
        if power.is_number and power < 0:
            return f"({self.number(1.0)} / {self.text(base**-power)})"
        if power.is_Integer and power <= LARGEST_POWER:
            return self._products([base] * int(power))
        if power == sp.Rational(1, 2):
            return f"sqrt({self.text(base)})"
        return f"exp({self.product(self.text(power), f'log({self.text(base)})')})"

    def _sin(self, e: sp.sin) -> str:
        return f"sin({self.text(e.args[0])})"

    def _cos(self, e: sp.cos) -> str:
        return f"cos({self.text(e.args[0])})"

    def _exp(self, e: sp.exp) -> str:
        return f"exp({self.text(e.args[0])})"

    def _log(self, e: sp.log) -> str:
        return f"log({self.text(e.args[0])})"

    def _tanh(self, e: sp.tanh) -> str:
        twice = self.text(2 * e.args[0])
        return f"({self.number(1.0)} - ({self.number(2.0)} / (exp({twice}) + {self.number(1.0)})))"

    def _exprel(self, e: exprel) -> str:
        return f"exprel({self.text(e.args[0])})"

    def _Abs(self, e: sp.Abs) -> str:
        return f"abs({self.text(e.args[0])})"

    def _Min(self, e: sp.Min) -> str:
        return self._nested("min", sorted(map(self.text, e.args)))

    def _Max(self, e: sp.Max) -> str:
        return self._nested("max", sorted(map(self.text, e.args)))

    def _nested(self, name: str, texts: list[str]) -> str:
        text = texts[0]
        for other in texts[1:]:
            text = f"{name}({text}, {other})"
        return text

    def _Piecewise(self, e: sp.Piecewise) -> str:
        text = self.text(e.args[-1].expr)
        for piece in reversed(e.args[:-1]):
            text = f"({self.text(piece.expr)} if {self.text(piece.cond)} else {text})"
        return text

    def _Relational(self, e: Any) -> str:
        return f"({self.text(e.lhs)} {e.rel_op} {self.text(e.rhs)})"

    def _And(self, e: sp.And) -> str:
        return f"({' & '.join(sorted(map(self.text, e.args)))})"

    def _Or(self, e: sp.Or) -> str:
        return f"({' | '.join(sorted(map(self.text, e.args)))})"

    def _Not(self, e: sp.Not) -> str:
        return f"(not {self.text(e.args[0])})"


class HostPrinter(StepPrinter):
    """Prints for the host: plain operators on float64 scalars or arrays."""

    def number(self, value: float) -> str:
        return repr(value)

    def product(self, a: str, b: str) -> str:
        return f"({a} * {b})"

    def multiply_add(self, a: str, b: str, c: str) -> str:
        return f"({a} * {b} + {c})"

    def _Abs(self, e: sp.Abs) -> str:
        return f"absolute({self.text(e.args[0])})"

    def _nested(self, name: str, texts: list[str]) -> str:
        return super()._nested({"min": "minimum", "max": "maximum"}[name], texts)

    def _Not(self, e: sp.Not) -> str:
        return f"(~{self.text(e.args[0])})"

    def _Piecewise(self, e: sp.Piecewise) -> str:
        text = self.text(e.args[-1].expr)
        for piece in reversed(e.args[:-1]):
            text = f"where({self.text(piece.cond)}, {self.text(piece.expr)}, {text})"
        return text


def _fraction(e: sp.Mul) -> tuple[int, list[sp.Expr], list[sp.Expr]]:
    """(sign, factors above, factors below the line); a numeric coefficient stands above."""
    coefficient, factors = e.as_coeff_mul()
    below = [1 / f for f in factors if f.is_Pow and f.exp.is_number and f.exp.is_negative]
    above = [f for f in factors if not (f.is_Pow and f.exp.is_number and f.exp.is_negative)]
    if abs(coefficient) != 1:
        above.append(abs(coefficient))
    return (1 if coefficient > 0 else -1), above, below


def _round(e: Any) -> float:
    if e.is_Rational:
        return int(e.p) / int(e.q)  # integer division rounds once
    value = sp.N(e, 40)
    if not value.is_Float:
        raise ModelError(f"{e} is not a real number")
    return float(value)
