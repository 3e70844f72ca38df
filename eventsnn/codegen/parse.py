"""Text of equations -> sympy expressions, by Python's own grammar and a short list of functions; nothing is evaluated."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import sympy as sp

from eventsnn.codegen.dimension import WORDS
from eventsnn.errors import ModelError, valid

Symbols = Mapping[str, sp.Expr]
"""What names stand for: symbols, and expressions of them."""


class exprel(sp.Function):  # type: ignore[misc]  # the name that it has in an equation
    """(exp(x) - 1)/x, and 1 at 0."""

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        if x.is_number:
            return (sp.exp(x) - 1) / x if x != 0 else sp.Integer(1)
        return None


FUNCTIONS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "exp": (sp.exp, (1,)),
    "log": (sp.log, (1,)),
    "sqrt": (sp.sqrt, (1,)),
    "tanh": (sp.tanh, (1,)),
    "sin": (sp.sin, (1,)),
    "cos": (sp.cos, (1,)),
    "sign": (lambda x: sp.Piecewise((1, x > 0), (-1, x < 0), (0, True)), (1,)),
    "abs": (sp.Abs, (1,)),
    "min": (sp.Min, (2, 3, 4)),
    "max": (sp.Max, (2, 3, 4)),
    "clip": (lambda x, low, high: sp.Min(sp.Max(x, low), high), (3,)),
    "exprel": (exprel, (1,)),
    "where": (lambda c, a, b: sp.Piecewise((a, c), (b, True)), (3,)),
}
"""name -> (sympy function, allowed numbers of arguments)"""

BINARY: dict[type, Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
LARGEST_POWER = 1000
COMPARE: dict[type, Any] = {ast.Gt: sp.Gt, ast.GtE: sp.Ge, ast.Lt: sp.Lt, ast.LtE: sp.Le}
NUMBERS: dict[str, Any] = {"e": sp.E, "pi": sp.pi}
DRAWS = ("uniform", "normal")
"""Functions without arguments: a number in (0, 1), one of mean 0 and variance 1; each call draws its own."""


def statements(text: str) -> Iterator[str]:
    """One per line or separated by ";", without comments."""
    parts = (part.strip() for part in re.split(r"[;\n]", re.sub(r"#[^\n]*", "", text)))
    return (part for part in parts if part)


def drawn(k: int) -> sp.Symbol:
    """What stands for the k-th number that a neuron draws in a step."""
    return sp.Symbol(f"draw__{k}", real=True)


def before(state: str) -> sp.Symbol:
    """What stands for the value that a state had before the step."""
    return sp.Symbol(f"before__{state}", real=True)


class Reader:
    """Reads expressions of one model; `who` names the model and the attribute that the text stands in.

    Where an event is described, `draws` collects the kinds of the numbers that are drawn, and `states` may be asked for their
    values before the step.
    """

    def __init__(self, who: str, symbols: Symbols, draws: list[str] | None = None, states: tuple[str, ...] = ()) -> None:
        self.who = who
        self.symbols = symbols
        self.draws = draws
        self.states = states
        self.line = ""

    def lines(self, text: str) -> Iterator[str]:
        """Statements; an error names the last."""
        for self.line in statements(text):
            yield self.line

    def expression(self, text: str) -> sp.Expr:
        self.line = self.line or text.strip()
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError:
            raise self.error("it is not a Python expression") from None
        return self._visit(tree.body)

    def error(self, what: str) -> ModelError:
        return ModelError(f"{self.who}: {self.line!r}: {what}")

    def _visit(self, node: ast.AST) -> Any:
        visit = getattr(self, f"_{type(node).__name__}", None)
        if visit is None:
            allowed = f"names, numbers, + - * / **, comparisons and {', '.join(FUNCTIONS)}"
            raise self.error(f"{ast.unparse(node)!r} is not allowed; use {allowed}")
        return visit(node)

    def _Constant(self, node: ast.Constant) -> sp.Expr:
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise self.error(f"{node.value!r} is not a number")
        return sp.Rational(repr(node.value))  # exact: 0.1 is one tenth until it is printed

    def _Name(self, node: ast.Name) -> sp.Expr:
        if node.id in self.symbols:
            return self.symbols[node.id]
        if node.id in NUMBERS:
            return NUMBERS[node.id]
        if node.id in WORDS:
            return sp.Integer(1)
        raise self.error(f"unknown name {node.id!r}; {valid(node.id, self.symbols)}")

    def _UnaryOp(self, node: ast.UnaryOp) -> sp.Expr:
        value = self._visit(node.operand)
        match node.op:
            case ast.USub():
                return -value
            case ast.UAdd():
                return value
            case ast.Not():
                return sp.Not(value)
        raise self.error("'~' is not allowed; use 'not'")

    def _BinOp(self, node: ast.BinOp) -> sp.Expr:
        if type(node.op) not in BINARY:
            raise self.error("use + - * / and ** (a power is **, not ^)")
        left, right = self._visit(node.left), self._visit(node.right)
        if isinstance(node.op, ast.Pow) and left.is_number and right.is_number:
            digits = abs(float(right)) * max(1.0, abs(math.log10(abs(float(left)) or 1.0)))
            if digits > LARGEST_POWER:
                raise self.error(f"a power of numbers must have fewer than {LARGEST_POWER} digits")
        return BINARY[type(node.op)](left, right)

    def _BoolOp(self, node: ast.BoolOp) -> sp.Expr:
        join = sp.And if isinstance(node.op, ast.And) else sp.Or
        return join(*(self._visit(v) for v in node.values))

    def _Compare(self, node: ast.Compare) -> sp.Expr:
        sides = [node.left, *node.comparators]
        if any(type(op) not in COMPARE for op in node.ops):
            raise self.error("compare with >, >=, < or <=; equality of real numbers has no meaning here")
        pairs = zip(node.ops, sides[:-1], sides[1:], strict=True)
        return sp.And(*(COMPARE[type(op)](self._visit(a), self._visit(b)) for op, a, b in pairs))

    def _Call(self, node: ast.Call) -> sp.Expr:
        name = ast.unparse(node.func)
        if name in DRAWS:
            return self._draw(name, node)
        if name == "before":
            return self._before(node)
        if name not in FUNCTIONS:
            raise self.error(f"unknown function {name!r}; {valid(name, FUNCTIONS)}")
        function, counts = FUNCTIONS[name]
        if len(node.args) not in counts or node.keywords:
            raise self.error(f"{name} takes {' or '.join(map(str, counts))} arguments")
        return function(*(self._visit(a) for a in node.args))

    def _IfExp(self, node: ast.IfExp) -> sp.Expr:
        return FUNCTIONS["where"][0](self._visit(node.test), self._visit(node.body), self._visit(node.orelse))

    def _draw(self, name: str, node: ast.Call) -> sp.Symbol:
        if self.draws is None:
            raise self.error(f"{name}() may stand in conditions and assignments only; white noise in an equation is xi")
        if node.args or node.keywords:
            raise self.error(f"{name}() takes no arguments")
        self.draws.append(name)
        return drawn(len(self.draws) - 1)

    def _before(self, node: ast.Call) -> sp.Symbol:
        if self.draws is None:
            raise self.error(
                "before(x) may stand in conditions and assignments only: an equation speaks of the values at the start"
            )
        name = node.args[0].id if len(node.args) == 1 and isinstance(node.args[0], ast.Name) else ""
        if name not in self.states or node.keywords:
            raise self.error(f"before(x) takes the name of a state. States: {', '.join(self.states)}")
        return before(name)
