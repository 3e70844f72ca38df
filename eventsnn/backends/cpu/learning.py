"""The loops around a rule of plasticity, as text.

Of each target the spikes are kept for as long as a synapse may ask for them: its history, a list of (step, value of each trace
just before). Nothing happens to a synapse but when a spike of its source arrives: then it makes up for the spikes of its target
since (`seen`, by source and delay), changes by the spike itself, and sends. Every synapse goes through the same events in one
order wherever it lives, so no layout can change a bit. Where histories have grown, all synapses make up for what they hold.

A segment is gone through in chunks: first, by target, what its synapses have missed; then the rule, on arrays, which LLVM makes
SIMD, once for every spike of a target that was missed; then the spike of the source, again on arrays.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from eventsnn.backends.cpu import memory
from eventsnn.backends.cpu.learning_text import (
    APPEND_EVENTS,
    APPEND_SPIKES,
    APPEND_THIRD,
    ARRIVE,
    DECAY,
    HEADER,
    KEEP_PAST,
    MAKE_UP,
    OPERATIONS,
)
from eventsnn.backends.cpu.loops import CALLEES, INLINED
from eventsnn.backends.cpu.operation import Code
from eventsnn.backends.loops import decorated, imported, portable
from eventsnn.spec import Plasticity

DIGITS = 4
"""Tables of exp(-k dt/tau) for k = j * 256**digit, j < 256: a decay is a product of one number of each."""


FIELDS = ["calendar", "mask", "n_segments", "segments", "synapses", "targets", "weights", "total", "numbers", "seen", "last"]
FIELDS += ["pre", "states", "variables", "histories", "low", "n", "flags", "tables", "counter", "scratch"]
FIELDS += ["slots", "past", "past_mask", "due", "due_mask"]
CHUNK = 512
"""Synapses of a segment that are gone through together."""
RUNS = ("firsts", "stops", "ats", "starts", "ends", "places")
"""Rows of integers in the scratch: of every run of synapses with one target; and where the synapses of an event lie."""


def scratch_rows(p: Plasticity) -> int:
    """Rows of CHUNK numbers that the operations of a rule need for themselves."""
    return len(_Words(p).rows)


class Rule:
    """The compiled operations of a rule; all but push take the same row of arguments, FIELDS."""

    def __init__(self, p: Plasticity, real: str) -> None:
        module = _module(render(p, real), p.name)
        self.deliver, self.append, self.tidy, self.push = module


@cache
def rule_of(p: Plasticity, real: str) -> Rule:
    """The compiled rule, where states of targets are `real`."""
    return Rule(p, real)


@cache
def _module(source: str, name: str) -> tuple[Code, Code, Code, Code]:
    made = imported(source, name, CALLEES + Path(str(memory.__file__)).read_bytes())
    return Code(made.deliver), Code(made.append), Code(made.tidy), Code(made.push)


def render(p: Plasticity, real: str = "float64") -> str:
    """The text of the module."""
    history = 1 + len(p.post) + p.values + p.modulated
    return (
        HEADER.format(name=p.name, words=history, chunk=CHUNK, real=real)
        + decorated(portable(p.source, "float64") + p.source, INLINED)
        + "\n"
        + DECAY
        + _make_up(p, "arrive", sends=True)
        + _make_up(p, "make_up", sends=False)
        + _operations(p)
    )


def _names(p: Plasticity) -> tuple[list[str], ...]:
    """Of variables, states, traces of the source and of the target, values and past states, in these loops."""
    return (
        [f"v{k}" for k in range(len(p.variables))],
        [f"s{k}" for k in range(len(p.states))],
        [f"x{k}" for k in range(len(p.pre))],
        [f"y{k}" for k in range(len(p.post))],
        [f"z{k}" for k in range(p.values)],
        [f"u{k}" for k in range(len(p.past))],
    )


def _arguments(p: Plasticity) -> list[str]:
    """Of all functions of the rule, as these loops call them."""
    own = [name for names in _names(p) for name in names]
    return ["w", *own, "since_pre", "since_post", "first", "dt", *(f"c{k}" for k in range(len(p.constants)))]


def _call(p: Plasticity, function: str) -> str:
    return f"{function}({', '.join(_arguments(p))})"


def _read(p: Plasticity, function: str) -> set[str]:
    """Arguments that a function of the rule reads, as these loops call them."""
    found = next(x for x in ast.parse(p.source).body if isinstance(x, ast.FunctionDef) and x.name == function)
    names = {x.id for line in found.body for x in ast.walk(line) if isinstance(x, ast.Name)}
    return {ours for theirs, ours in zip(found.args.args, _arguments(p), strict=True) if theirs.arg in names}


def _load(p: Plasticity) -> str:
    numbers = [f"c{k} = item(a[8], {k + 6}, F)" for k in range(len(p.constants))]
    names = {"low": "low_target", **{f: f"{f}_at" for f in ("seen", "last", "pre", "states", "variables", "flags", "counter")}}
    plain = [f for f in FIELDS if f not in ("synapses", "targets", "weights", "total", "numbers", "calendar", "mask")]
    lines = [f"a = words(args, {len(FIELDS)})"]
    lines += [f"{names.get(f, f)} = a[{FIELDS.index(f)}]" for f in plain]
    lines += ["targets = view(a[5], a[4], np.uint16)", "weights = view(a[6], a[4], F)"]
    lines += [f"{name} = item(a[8], {k}, F)" for k, name in enumerate(("scale", "learn", "dt", "low", "high", "most"))]
    return "\n".join(lines + numbers)


def _table(k: int) -> str:
    return f"tables + {k * DIGITS * 256 * 8}"


class _Words:
    """What the loops of one rule call its numbers, and which of them its functions read."""

    def __init__(self, p: Plasticity) -> None:
        self.p = p
        self.variables, self.states, self.pre, self.post, self.values, self.past = _names(p)
        self.decaying = [k for k, (_, tau) in enumerate(p.variables) if tau > 0.0]
        self.table = {f"x{k}": k for k in range(len(p.pre))} | {f"y{k}": len(p.pre) + k for k in range(len(p.post))}
        self.table |= {f"v{k}": len(p.pre) + len(p.post) + i for i, k in enumerate(self.decaying)}
        gaps = [f"g{k}" for k in self.decaying]
        read = _read(p, "on_post")
        read |= _read(p, "on_modulator") if p.modulated else set()
        self.event = [x for x in (*self.pre, *self.post, *self.values, "since_pre", "since_post") if x in read] + gaps
        self.event += ["third"] * p.modulated
        """Numbers of each event of a target."""
        read = _read(p, "on_pre") | _read(p, "sent")
        self.now = [x for x in (*self.post, *self.past, "since_post") if x in read] + gaps
        """Numbers of each target when a spike of the source arrives."""
        self.rows = [
            *RUNS,
            "out",
            "event_w",
            *(f"event_{x}" for x in (*self.event, *self.variables)),
            *(f"now_{x}" for x in self.now),
        ]

    def decayed(self, name: str, steps: str) -> str:
        return f"decayed({_table(self.table[name])}, {steps})"


def _make_up(p: Plasticity, name: str, sends: bool) -> str:
    words = _Words(p)
    n_pre, n_states = len(p.pre), len(p.states)
    changed = "w = kept(fma(learn, w__ - w, w) if learn != 1.0 else w__, low, high)"
    outputs = ", ".join(["w__", *words.variables])

    values = {f"x{k}": f"mul(x{k}__, {words.decayed(f'x{k}', 'arrival - spiked')})" for k in range(n_pre)}
    values |= {x: f"item(at, i + {k + 1}, F)" for k, x in enumerate((*words.post, *words.values))}
    values["since_pre"] = "mul(F(arrival - spiked), dt)"
    values["since_post"] = "mul(F(spike - item(at, i - HISTORY, np.int64) if i > 0 else arrival), dt)"
    values["third"] = f"F(1.0) if {_third('i')} else F(0.0)"
    event = [f"{name} = {value}" for name, value in values.items() if name in words.event]
    if words.decaying:
        event += ["moved = max(spiked, item(at, i - HISTORY, np.int64) + delay) if i > 0 else spiked"]
        event += [f"g{k} = {words.decayed(f'v{k}', 'arrival - moved')}" for k in words.decaying]
    held = [f"variables[{k} * a[4] + low_synapse + {{}}]" for k in range(len(words.variables))]

    def decay(k: int) -> list[str]:
        return [f"v{k} = mul(v{k}, g{k})"] if k in words.decaying else []

    post_now: list[str] = []
    load_now: list[str] = []
    release, finish, arrive, nothing_yet = ["first = F(0.0)"], [], "", []
    if sends:
        post_now = ["while end > 0 and item(at, end - HISTORY, np.int64) >= new:", "    end -= HISTORY"]
        for k, (_, nearest) in enumerate(p.post):
            grown = _grown(p, k, nearest)
            value = f"mul({grown}, {words.decayed(f'y{k}', 'new - item(at, end - HISTORY, np.int64)')})"
            values[f"y{k}"] = f"{value} if end > 0 else F(0.0)"
        for k in range(len(p.past)):
            values[f"u{k}"] = f"item(past, ((new & past_mask) * n + target - low_target) * {len(p.past)} + {k}, F)"
        values["since_post"] = "mul(F(new - item(at, end - HISTORY, np.int64) if end > 0 else until), dt)"
        post_now += [f"{name} = {value}" for name, value in values.items() if name in words.now]
        if words.decaying:
            # the last event of the synapse may be a spike of the target that arrives with this one
            post_now += ["moved = spiked", "latest = ends[runs - 1] if more else i"]
            post_now += ["if latest > 0:", "    moved = max(moved, item(at, latest - HISTORY, np.int64) + delay)"]
            post_now += [f"g{k} = {words.decayed(f'v{k}', 'until - moved')}" for k in words.decaying]
        nothing_yet = [f"{x} = F(0.0)" for x in words.now]
        load_now = [f"{x} = now_{x}[k]" for x in words.now]
        for k in range(len(words.variables)):
            load_now += [f"v{k} = {held[k].format('k')}", *decay(k)]
        load_now += [f"x{k} = x{k}__now" for k in range(n_pre)] + ["since_pre = since_pre_now"]
        load_now += [f"{x} = F(0.0)" for x in (*words.post, *words.values, *words.past, "since_post") if x not in words.now]
        release = ["first = F(1.0) if before < 0 else F(0.0)"]
        release += [f"x{k}__now = mul(x{k}__, {words.decayed(f'x{k}', 'until - spiked')})" for k in range(n_pre)]
        if n_states:
            zero = [
                f"{x} = F(0.0)"
                for x in ("w", *words.variables, *words.pre, *words.post, *words.values, *words.past, "since_post")
            ]
            release += [*zero, "since_pre = mul(F(until - spiked), dt)"]
            release += [f"{', '.join(f's{k}__new' for k in range(n_states))}, = {_call(p, 'release')}"]
            release += [f"s{k}__old = s{k}" for k in range(n_states)]
            finish += [f"kept_states = view(states_at, n_segments * {n_states}, F)"]
            finish += [f"kept_states[e * {n_states} + {k}] = s{k}__new" for k in range(n_states)]
            load_now += [f"s{k} = s{k}__new" for k in range(n_states)]
        finish += [f"kept_pre = view(pre_at, n_segments * {n_pre}, F)"] * (n_pre > 0)
        finish += [
            f"kept_pre[e * {n_pre} + {k}] = {'F(1.0)' if nearest else f'x{k}__now + F(1.0)'}"
            for k, (_, nearest) in enumerate(p.pre)
        ]
        finish.append("last[e] = until")
        stored = [f"{held[k].format('k')} = v{k}" for k in range(len(words.variables))]
        on_pre = [f"{outputs} = {_call(p, 'on_pre')}", changed, *stored]
        arrive = _filled(ARRIVE, load_now=load_now, on_pre=on_pre, sent=_call(p, "sent"))
    given = (*words.pre, *words.post, *words.values, *words.past, "since_pre", "since_post")
    unread = [x for x in given if x not in words.event]
    on_post = [f"{outputs} = {_call(p, 'on_post')}"]
    if p.modulated:
        made = ["w__", *words.variables]
        on_post.insert(0, f"{', '.join(f'{x}third' for x in made)} = {_call(p, 'on_modulator')}")
        on_post += [f"{x} = {x}third if third > 0.0 else {x}" for x in made]
    old_states = [f"s{k} = s{k}__old" for k in range(n_states)] if sends else []
    load_event = [f"{x} = event_{x}[k]" for x in words.event]
    for k in range(len(words.variables)):
        load_event += [f"v{k} = event_v{k}[k]", *decay(k)]
    arrays = [
        f"{x} = view(scratch + {8 * CHUNK * k}, CHUNK, {'np.int64' if x in RUNS else 'F'})" for k, x in enumerate(words.rows)
    ]
    views = [f"variables = view(variables_at, a[4] * {len(p.variables)}, F)"] * bool(p.variables)
    total = ["total = view(total_at, 65536, np.int64)"] * sends
    return _filled(
        MAKE_UP,
        name=name,
        also=", total_at" if sends else "",
        load=[_load(p), *total, *views, *arrays],
        pre=[f"x{k}__ = item(pre_at, e * {n_pre} + {k}, F)" for k in range(n_pre)]
        + [f"s{k} = item(states_at, e * {n_states} + {k}, F)" for k in range(n_states)],
        release=release,
        nothing_yet=nothing_yet,
        post_now=post_now,
        store_now=[f"now_{x}[k] = {x}" for x in words.now] if sends else [],
        event=event,
        store_event=[f"event_{x}[m] = {x}" for x in words.event]
        + [f"event_v{k}[m] = {held[k].format('k')}" for k in range(len(words.variables))],
        load_event=[*load_event, *old_states, *(f"{x} = F(0.0)" for x in unread)],
        on_post=[*on_post, changed],
        keep_event=[f"event_v{k}[k] = v{k}" for k in range(len(words.variables))],
        store_variables=[f"{held[k].format('places[k]')} = event_v{k}[k]" for k in range(len(words.variables))],
        arrive=[arrive],
        finish=finish,
    )


def _grown(p: Plasticity, k: int, nearest: bool) -> str:
    """A trace of the target just after the last entry of its history."""
    before = f"item(at, end - HISTORY + {k + 1}, F)"
    after = "F(1.0)" if nearest else f"{before} + F(1.0)"
    return f"({before} if {_third('end - HISTORY')} else {after})" if p.modulated else after


def _third(entry: str) -> str:
    """Whether an entry of a history is a spike of the modulator: its last word says so."""
    return f"item(at, {entry} + HISTORY - 1, np.int64) != 0"


def _operations(p: Plasticity) -> str:
    n_pre = len(p.pre)
    values = []
    for k, (_, nearest) in enumerate(p.post):
        grown = _grown(p, k, nearest)
        gap = "step - item(at, end - HISTORY, np.int64)"
        values.append(f"y{k} = mul({grown}, decayed({_table(n_pre + k)}, {gap})) if end > 0 else F(0.0)")
    kept = [*(f"bits(y{k})" for k in range(len(p.post))), *(f"bits(z{k})" for k in range(p.values))]
    added = "".join(f" and add(row, {x})" for x in (*kept, *["0"] * p.modulated))
    third = ""
    if p.modulated:
        words = [*kept[: len(p.post)], *["bits(F(0.0))"] * p.values, "1"]
        third = _filled(APPEND_THIRD, post_values=values, add_values="".join(f" and add(row, {x})" for x in words))
    reads = [f"r{k} = F(item(item(slots, {k}, np.int64), {{}}, REAL))" for k in range(len(p.reads))]
    append = ""
    if p.past:
        number = len(p.past)
        keep = [reads[which].format("place + low_target") for which in p.past]
        keep += [f"past_[((step & past_mask) * n + place) * {number} + {k}] = r{which}" for k, which in enumerate(p.past)]
        append += _filled(KEEP_PAST, number=str(number), keep=keep)
    if p.when:
        arguments = ", ".join([*(f"r{k}" for k in range(len(p.reads))), *(f"c{k}" for k in range(len(p.constants)))])
        outputs = ", ".join(["happens", *(f"z{k}" for k in range(p.values))]) + "," * (p.values == 0)
        event = [*(x.format("place") for x in reads), f"{outputs} = event({arguments})"]
        append += _filled(APPEND_EVENTS, event=event, post_values=values, add_values=added)
    else:
        append += _filled(APPEND_SPIKES, post_values=values, add_values=added)
    return _filled(OPERATIONS, load=[_load(p)], append=[append], third=[third])


def _filled(template: str, **parts: str | list[str]) -> str:
    """The template with lines put in where a brace stands alone on one, at its depth; other braces are words."""
    lines = []
    for line in template.split("\n"):
        name = line.strip().removeprefix("{").removesuffix("}")
        part = parts.get(name) if line.strip() == f"{{{name}}}" else None
        if part is None:
            lines.append(line.format(**{k: v for k, v in parts.items() if isinstance(v, str)}) if "{" in line else line)
            continue
        depth = line[: len(line) - len(line.lstrip())]
        text = part if isinstance(part, str) else "\n".join(part)
        lines += [depth + x for x in text.split("\n") if x.strip()]
    return "\n".join(lines)
