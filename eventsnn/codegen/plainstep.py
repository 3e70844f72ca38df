"""A step that the model gives as a plain Python function: checked, and its float literals typed."""

from __future__ import annotations

import ast

from eventsnn.codegen.declaration import Declaration
from eventsnn.errors import ModelError


def plain_step(d: Declaration, current: bool) -> tuple[str, tuple[str, ...]]:
    """(text of `def step`, its constants), with or without the argument I_stim."""
    function = _function(d)
    names = [a.arg for a in function.args.args]
    constants = tuple(p for p in d.params if p != d.refractory)
    before = len(d.states) + bool(d.refractory) + len(d.receptors)
    head = [*d.states, *(["refr"] if d.refractory else [])]
    tail = [*(["I_stim"] if d.current else []), *constants, *(["NREF"] if d.refractory else [])]
    if names[: len(head)] != head or names[before:] != tail:
        expected = ", ".join([*head, *(f"w_{r}" for r, _ in d.receptors), *tail])
        raise ModelError(f"{d.name}: step must take ({expected}), not ({', '.join(names)})")
    function.decorator_list = []
    function.returns = None
    for argument in function.args.args:
        argument.annotation = None
    function.body = [_Typed().visit(line) for line in function.body]
    if d.current and not current:
        del function.args.args[names.index("I_stim")]
        function.body.insert(0, ast.parse("I_stim = F(0.0)").body[0])
    return ast.unparse(ast.fix_missing_locations(function)) + "\n", constants


def _function(d: Declaration) -> ast.FunctionDef:
    try:
        found = [n for n in ast.parse(d.step or "").body if isinstance(n, ast.FunctionDef)]
    except SyntaxError:
        found = []
    if len(found) != 1:
        raise ModelError(f"{d.name}: step must be one plain function: 'def step(...)' under @staticmethod")
    found[0].name = "step"
    a = found[0].args
    if a.posonlyargs or a.kwonlyargs or a.vararg or a.kwarg or a.defaults:
        raise ModelError(f"{d.name}: step takes plain positional arguments without defaults")
    return found[0]


class _Typed(ast.NodeTransformer):
    """0.5 -> F(0.5): a bare literal would promote float32 to float64."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return node if isinstance(node.func, ast.Name) and node.func.id == "F" else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, float):
            return node
        return ast.Call(func=ast.Name(id="F", ctx=ast.Load()), args=[node], keywords=[])
