"""The loops around a rule of plasticity, as text.

Of each target the spikes are kept for as long as a synapse may ask for them: its history, a list of (step, value of each trace
just before). Nothing happens to a synapse but when a spike of its source arrives: then it makes up for the spikes of its target
since (`seen`, by source and delay), changes by the spike itself, and sends. Every synapse goes through the same events in one
order wherever it lives, so no layout can change a bit. Where histories have grown, all synapses make up for what they hold.

A segment is gone through in chunks: first, by target, what its synapses have missed; then the rule, on arrays, which LLVM makes
SIMD, once for every spike of a target that was missed; then the spike of the source, again on arrays.
"""

from __future__ import annotations

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
from eventsnn.backends.moments import CONSTANTS, DIGITS, KEPT, NUMBERS, Reading, Words, filled
from eventsnn.spec import Plasticity

FIELDS = ["calendar", "mask", "n_segments", "segments", "synapses", "targets", "weights", "total", "numbers", "seen", "last"]
FIELDS += ["pre", "states", "variables", "histories", "low", "n", "flags", "tables", "counter", "scratch"]
FIELDS += ["slots", "past", "past_mask", "due", "due_mask"]
CHUNK = 512
"""Synapses of a segment that are gone through together."""
RUNS = ("firsts", "stops", "ats", "starts", "ends", "places")
"""Rows of integers in the scratch: of every run of synapses with one target; and where the synapses of an event lie."""


def scratch_rows(p: Plasticity) -> int:
    """Rows of CHUNK numbers that the operations of a rule need for themselves."""
    return len(_rows(Words(p)))


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
    w = Words(p)
    return (
        HEADER.format(name=p.name, words=history, chunk=CHUNK, real=real)
        + decorated(portable(p.source, "float64") + p.source, INLINED)
        + "\n"
        + DECAY
        + KEPT.format(decorator=INLINED)
        + _make_up(w, "arrive", sends=True)
        + _make_up(w, "make_up", sends=False)
        + _operations(w)
    )


def _reading(p: Plasticity) -> Reading:
    """Entries of a history are words from the address `at` on: the step, bits of numbers, and whether a modulator spiked."""

    def past(k: int) -> str:
        return f"item(past, ((new & past_mask) * n + target - low_target) * {len(p.past)} + {k}, F)"

    return Reading(
        step=lambda i: f"item(at, {i}, np.int64)",
        value=lambda i, k: f"item(at, {i} + {k + 1}, F)",
        third=lambda i: f"item(at, {i} + HISTORY - 1, np.int64) != 0",
        before=lambda i: f"{i} - HISTORY",
        decayed=lambda k, steps: f"decayed(tables + {k * DIGITS * 256 * 8}, {steps})",
        past=past,
    )


def _load(p: Plasticity) -> str:
    numbers = [f"c{k} = item(a[8], {k + CONSTANTS}, F)" for k in range(len(p.constants))]
    names = {"low": "low_target", **{f: f"{f}_at" for f in ("seen", "last", "pre", "states", "variables", "flags", "counter")}}
    plain = [f for f in FIELDS if f not in ("synapses", "targets", "weights", "total", "numbers", "calendar", "mask")]
    lines = [f"a = words(args, {len(FIELDS)})"]
    lines += [f"{names.get(f, f)} = a[{FIELDS.index(f)}]" for f in plain]
    lines += ["targets = view(a[5], a[4], np.uint16)", "weights = view(a[6], a[4], F)"]
    lines += [f"{name} = item(a[8], {k}, F)" for k, name in enumerate(NUMBERS)]
    return "\n".join(lines + numbers)


def _rows(w: Words) -> list[str]:
    """Arrays of the scratch."""
    events = [f"event_{x}" for x in (*w.event, *w.variables, *w.each_event)]
    return [*RUNS, "out", "event_w", *events, *(f"now_{x}" for x in w.now)]


def _make_up(w: Words, name: str, sends: bool) -> str:
    """What the synapses of a segment have missed; and, where it `sends`, the spike of the source that arrives."""
    n_pre, n_states = len(w.pre), len(w.states)
    arrays = [f"{x} = view(scratch + {8 * CHUNK * k}, CHUNK, {'np.int64' if x in RUNS else 'F'})" for k, x in enumerate(_rows(w))]
    views = [f"variables = view(variables_at, a[4] * {len(w.own)}, F)"] * bool(w.own)
    total = ["total = view(total_at, 65536, np.int64)"] * sends
    old_states = [f"{s} = {s}__old" for s in w.states] if sends else []
    load_event = [f"{x} = event_{x}[k]" for x in (*w.event, *w.variables, *w.each_event)] + w.decay()
    return filled(
        MAKE_UP,
        name=name,
        also=", total_at" if sends else "",
        load=[_load(w.p), *total, *views, *arrays],
        pre=[f"x{k}__ = item(pre_at, e * {n_pre} + {k}, F)" for k in range(n_pre)]
        + [f"s{k} = item(states_at, e * {n_states} + {k}, F)" for k in range(n_states)],
        release=[*w.of_source(_reading(w.p)), *(f"{s}__old = {s}" for s in w.states)] if sends else w.none("first"),
        nothing_yet=w.none(*w.now) if sends else [],
        post_now=w.of_arrival(_reading(w.p), "ends[runs - 1] if more else i") if sends else [],
        store_now=[f"now_{x}[k] = {x}" for x in w.now] if sends else [],
        event=w.of_event(_reading(w.p)),
        store_event=[f"event_{x}[m] = {x}" for x in w.event]
        + [f"event_{x}[m] = {_held(w, x, 'k')}" for x in (*w.variables, *w.each_event)],
        load_event=[*load_event, *old_states, *w.none(*w.unread)],
        on_post=w.on_event(),
        keep_event=[f"event_{x}[k] = {x}" for x in w.variables],
        store_variables=[f"{_held(w, x, 'places[k]')} = event_{x}[k]" for x in w.variables],
        arrive=[_arrive(w)] if sends else [],
        finish=_finish(w) if sends else [],
    )


def _held(w: Words, name: str, place: str) -> str:
    """A number of a synapse of the chunk."""
    return f"variables[{w.own.index(name)} * a[4] + low_synapse + {place}]"


def _arrive(w: Words) -> str:
    load = [f"{x} = now_{x}[k]" for x in w.now] + [f"{x} = {_held(w, x, 'k')}" for x in (*w.variables, *w.each_now)] + w.decay()
    load += [f"x{k} = x{k}__now" for k in range(len(w.pre))] + ["since_pre = since_pre_now"]
    load += w.none(*w.absent)
    load += [f"{s} = {s}__new" for s in w.states]
    on_pre = [*w.on_pre(), *(f"{_held(w, x, 'k')} = {x}" for x in w.variables)]
    return filled(ARRIVE, load_now=load, on_pre=on_pre, sent=w.call("sent"))


def _finish(w: Words) -> list[str]:
    """The source after its spike."""
    lines = w.after_source()
    for kind, names in (("pre", [f"{x}__" for x in w.pre]), ("states", w.states)):
        lines += [f"kept_{kind} = view({kind}_at, n_segments * {len(names)}, F)"] * bool(names)
        lines += [f"kept_{kind}[e * {len(names)} + {k}] = {x}" for k, x in enumerate(names)]
    return [*lines, "last[e] = until"]


def _operations(w: Words) -> str:
    p, reading = w.p, _reading(w.p)
    values = w.of_entry(reading)
    kept = [*(f"bits(y{k})" for k in range(len(p.post))), *(f"bits(z{k})" for k in range(p.values))]
    added = "".join(f" and add(row, {x})" for x in (*kept, *["0"] * p.modulated))
    third = ""
    if p.modulated:
        words = [*kept[: len(p.post)], *["bits(F(0.0))"] * p.values, "1"]
        third = filled(APPEND_THIRD, post_values=values, add_values="".join(f" and add(row, {x})" for x in words))
    reads = [f"r{k} = F(item(item(slots, {k}, np.int64), {{}}, REAL))" for k in range(len(p.reads))]
    append = ""
    if p.past:
        number = len(p.past)
        keep = [reads[which].format("place + low_target") for which in p.past]
        keep += [f"past_[((step & past_mask) * n + place) * {number} + {k}] = r{which}" for k, which in enumerate(p.past)]
        append += filled(KEEP_PAST, number=str(number), keep=keep)
    if p.when:
        append += filled(
            APPEND_EVENTS, event=[x.format("place") for x in reads] + w.happens(), post_values=values, add_values=added
        )
    else:
        append += filled(APPEND_SPIKES, post_values=values, add_values=added)
    return filled(OPERATIONS, load=[_load(p)], append=[append], third=[third])
