"""Writes a page for every model of the library, from its declaration, with a picture of what it does.

`python docs/make_models.py`; with `--text` it leaves the pictures as they are, with names it draws those only.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sympy as sp
from model_pictures import caption, draw, mark

from eventsnn import models
from eventsnn.codegen.equations import read
from eventsnn.codegen.parse import Reader, statements
from eventsnn.model import Model, NeuronModel
from eventsnn.plasticity import SynapseModel

FOLDER = Path(__file__).resolve().parent / "models"
GREEK = ("tau", "delta", "alpha", "beta", "gamma", "theta", "rho", "omega", "sigma", "lambda", "mu", "eta")
EXAMPLES = {
    "conductance_lif": "conductance_lif(ampa=AMPA, gaba=GABA, nmda=NMDA)",
    "iaf_psc_exp_multisynapse": "iaf_psc_exp_multisynapse(fast=2.0, slow=100.0)",
    "power_law_alif": "power_law_alif(bases=4, exponent=0.7, shortest=20.0, longest=2000.0)",
    "rate_function": "rate_function(lambda t: 10.0 + 0.05 * t, until=200.0, every=10.0)",
    "with_noise": "with_noise(IafPscExp)",
}
"""A call of each function that makes a model or a value of one."""


def library() -> dict[str, type]:
    """Every class that a user can name, by name."""
    return {name: made for name in models.__all__ if isinstance(made := getattr(models, name), type)}


def functions() -> dict[str, Callable[..., Any]]:
    """Every function that a user can name, by name."""
    return {name: made for name in models.__all__ if inspect.isfunction(made := getattr(models, name))}


def kinds() -> dict[str, list[str]]:
    """Names by the folder that their file lies in."""
    found: dict[str, list[str]] = {}
    for name, made in {**library(), **functions()}.items():
        found.setdefault(made.__module__.split(".")[-2], []).append(name)
    return found


def example(name: str) -> Any:
    """What a page is about: the class of that name, or what the function of that name returns in its example."""
    return library().get(name) or eval(EXAMPLES[name], dict(vars(models)))


def drawn() -> dict[str, type]:
    """What has a picture, by the name of its page."""
    found = {name: example(name) for name in (*library(), *functions())}
    return {name: made for name, made in found.items() if isinstance(made, type) and issubclass(made, NeuronModel | SynapseModel)}


def page(name: str) -> str:
    """The text of a page."""
    made, named = example(name), getattr(models, name)
    lines = [f"# {name}", "", inspect.cleandoc(named.__doc__ or ""), ""]
    if name in functions():
        lines += _call(name)
    made = made if isinstance(made, type) else type(None)
    if issubclass(made, NeuronModel):
        lines += _equations(made)
    elif issubclass(made, SynapseModel):
        lines += _rule(made)
    if issubclass(made, Model | SynapseModel):
        lines += _parameters(made)
    if issubclass(made, Model):
        lines += _states(made)
    if issubclass(made, NeuronModel | SynapseModel):
        lines += [f"![What {name} does]({name}.svg)", "", caption(made), ""]
    source = named.__module__.replace("eventsnn.", "", 1).replace(".", "/")
    return "\n".join([*lines, f"Declared in [`{source}.py`](../../{source}.py)."]) + "\n"


def index() -> str:
    lines = ["# Models", "", "Made from their declarations by `python docs/make_models.py`.", ""]
    for kind, names in sorted(kinds().items()):
        lines += [f"## {kind.capitalize()}", "", *(f"- [{n}]({n}.md): {_first(getattr(models, n))}" for n in names), ""]
    return "\n".join(lines)


def _first(made: object) -> str:
    return inspect.cleandoc(made.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _call(name: str) -> list[str]:
    call = EXAMPLES[name]
    words = [n for n in models.__all__ if re.search(rf"\b{n}\b", call)]
    signature = str(inspect.signature(functions()[name])).replace("eventsnn.model.", "").replace("'", "")
    result = "Cells" if name in drawn() else "rates"
    made = ["What follows is said of this model.", ""] if name in drawn() else []
    code = ["```python", f"from eventsnn.models import {', '.join(words)}", "", f"{result} = {call}", "```", ""]
    return [f"`{name}{signature}`", "", *code, *made]


# ---- neurons


def _equations(made: type[NeuronModel]) -> list[str]:
    if made.step is not None:
        return ["The step is given as a function: see its source.", ""]
    d = made.declaration()
    lines = ["## Equations", ""]
    for left, e in _derivatives(made):
        lines += [f"$${left} = {e}$$", ""]
    if d.always.strip():
        lines += ["In every step, before the threshold is tested: " + _statements(d.always) + ".", ""]
    if d.threshold:
        lines += [f"A spike: `{' '.join(d.threshold.split())}`" + (", when it becomes true." if d.crossing else "."), ""]
    if d.reset.strip():
        lines += ["After it: " + _statements(d.reset) + ".", ""]
    if d.refractory:
        held = f", and {', '.join(f'`{n}`' for n in d.hold)} held" if d.hold else ""
        then = f"; at its end {_statements(d.release)}" if d.release.strip() else ""
        lines += [f"Refractory for `{d.refractory}`{held}{then}.", ""]
    for name, effect in d.receptors:
        told = "; ".join(statements(re.sub(r"\bw\b", "weight", effect) if "w" in d.states else effect))
        lines += [f"Receptor `{name}`: `{told}`."]
    return [*lines, ""] if d.receptors else lines


def _statements(text: str) -> str:
    return "; ".join(f"`{line}`" for line in statements(text))


def _derivatives(made: type[NeuronModel]) -> list[tuple[str, str]]:
    """Both sides of each line of the equations, in their order; names that stand for expressions keep their names."""
    d = made.declaration()
    system = read(d)
    known: dict[str, Any] = dict(system.symbols)
    for line in statements(d.equations):
        known |= {name: sp.Symbol(name, real=True) for name in re.findall(r"\bxi(?:_\w+)?\b|^\w+(?=\s*=)", line)}
    names = {symbol: _tex(name) for name, symbol in known.items()}
    found = []
    for line in (reader := Reader(made.__name__, known)).lines(d.equations):
        left, _, right = line.partition("=")
        state = re.fullmatch(r"d(\w+)/dt", left.strip())
        tex = rf"\frac{{d\,{_tex(state[1])}}}{{dt}}" if state else _tex(left.strip())
        found.append((tex, sp.latex(_short(reader.expression(right)), symbol_names=names)))
    return found


def _short(e: sp.Expr) -> sp.Expr:
    """Fractions of long numbers with four significant digits."""
    long = [r for r in e.atoms(sp.Rational) if r.q > 1000 or (r.q > 1 and abs(r.p) > 1000)]
    return e.xreplace({r: sp.Float(r, 4) for r in long})


def _tex(name: str) -> str:
    head, *tail = name.split("_")
    head = f"\\{head}" if head.lower() in (*GREEK, "xi", "phi") else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    return head if not tail else rf"{head}_{{\mathrm{{{','.join(tail)}}}}}"


# ---- synapses


def _rule(made: type[SynapseModel]) -> list[str]:
    d = made.declaration()
    lines = ["## Rule", "", "```"]
    for side, traces in (("of the source", d.pre), ("of the target", d.post)):
        for name, tau, nearest in traces:
            lines.append(f"{name}: trace {side}, decays with {tau}, {'set to' if nearest else 'grows by'} 1 at a spike")
    lines += [f"{name}: kept with each source, at first {initial}" for name, initial in d.states]
    lines += [
        f"{name}: kept with each synapse, at first {v}{f', decays with {tau}' if tau else ''}" for name, v, tau in d.variables
    ]
    lines += [f"{name} = {text}" for name, text in d.values]
    lines += [f"{name}: {state} of the target, a delay before the spike of the source" for name, state in d.past]
    target = f"in each step in which {' '.join(d.when.split())}" if d.when else "at a spike of the target"
    for what, text in (
        ("at a spike of the source, first", d.release),
        ("at a spike of the source", d.on_pre),
        (target, d.on_post),
        ("at a spike of the modulator", d.on_modulator),
    ):
        if text.strip():
            lines += [f"{what}:", *(f"    {' '.join(line.split())}" for line in statements(text))]
    if d.sent != "w":
        lines.append(f"a spike carries {d.sent}")
    return [*lines, "```", ""]


# ---- tables


def _parameters(made: Any) -> list[str]:
    rows = [f"| `{n}` | {_shown(p.default)} | {p.unit or '1'} | {p.doc} |" for n, p in made.params().items()]
    return ["## Parameters", "", "| name | default | unit | |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def _shown(default: object) -> str:
    return "" if default is None else f"{default:g}" if isinstance(default, int | float) else f"`{default}`"


def _states(made: type[Model]) -> list[str]:
    rows = [f"| `{n}` | {_shown(s.initial)} | {s.unit or '1'} | {s.doc} |" for n, s in made.states().items()]
    return ["## States", "", "| name | at first | unit | |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def main(arguments: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    chosen = [name for name in arguments if name != "--text"]
    for name in (*library(), *functions()):
        (FOLDER / f"{name}.md").write_text(page(name))
    (FOLDER / "README.md").write_text(index())
    for name, made in drawn().items():
        if "--text" not in arguments and (not chosen or name in chosen):
            print(name, flush=True)
            draw(made, FOLDER / f"{name}.svg", mark(made))


if __name__ == "__main__":
    main(sys.argv[1:])
