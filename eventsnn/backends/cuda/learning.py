"""The kernels around a rule of plasticity, as text: a thread per synapse goes through the events it has missed, in order.

`arrive` takes the spikes of sources that reach their synapses in this step, before the neurons are updated; `keep`, afterwards,
what sources remember of them, the spikes of targets into their histories, and those of sources that are on their way; `tidy` and
`cut` bring all synapses up to date where histories have grown. As on the CPU, and with the same numbers in the same order.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from eventsnn.backends import moments
from eventsnn.backends.cuda import fired
from eventsnn.backends.cuda.kernels import CALLEES
from eventsnn.backends.cuda.learning_text import ARRIVE, DECAY, ENTRY, HEADER, KEEP, MISSED, TIDY
from eventsnn.backends.loops import decorated, imported, portable
from eventsnn.backends.moments import CONSTANTS, DIGITS, KEPT, NUMBERS, Reading, Words, filled
from eventsnn.spec import Plasticity

TABLE = ["row_start", "segment_delay", "starts", "delays", "targets", "weights", "variables"]
SOURCES = ["seen", "last", "pre", "states"]
HISTORY = ["low_target", "n", "room", "count", "at", "values"]
SPIKES = ["first_source", "mask", "rows", "fired", "times", "number"]
THIRD = ["third_source", "third_mask", "third_rows", "third_fired", "third_times", "third_number"]
HEAD = ["control", "need", "numbers", "tables"]
ALL = [*HEAD, *TABLE, *SOURCES, *HISTORY, *SPIKES]
INPUT = ["past", "past_mask", "lanes", "slots_mask", "receptors", "receptor", "size", "wide", "ring32", "ring64"]
FLAGS = ["projection", "log", "late", "flags", "past", "past_mask"]
CUT = ["control", "need", "forced", "segment_delay", "seen", *HISTORY, "mask", "number", "third_mask", "third_number", "horizon"]
"""Names of arguments of kernels."""


def arguments(p: Plasticity) -> dict[str, list[str]]:
    """Names of the arguments of each kernel, in order."""
    reads = [f"read{k}" for k in range(len(p.reads))]
    return {
        "arrive": [*ALL, *INPUT],
        "keep": [*ALL, *THIRD, *FLAGS, *reads],
        "tidy": [*ALL, "forced", "lanes"],
        "cut": [*CUT, "numbers_kept"],
    }


@cache
def kernels_of(p: Plasticity) -> ModuleType:
    """The module that holds the kernels of a rule."""
    texts = b"".join(Path(str(m.__file__)).read_bytes() for m in (fired, moments))
    return imported(render(p), f"{p.name}_cuda", CALLEES + texts)


def render(p: Plasticity) -> str:
    """The text of that module."""
    w, reading = Words(p), _reading(p)
    names = {name: ", ".join(given) for name, given in arguments(p).items()}
    synapse = [f"{x} = variables[{k} * weights.size + j]" for k, x in enumerate(w.own)]
    synapse += _source(w)
    event = [*w.of_event(reading), *w.decay(), *w.none(*(x for x in w.unread if x not in w.each), "first"), *w.on_event()]
    missed = filled(MISSED, load=synapse, event=event)
    store = ["weights[j] = w"] + [f"variables[{k} * weights.size + j] = v{k}" for k in range(len(w.variables))]
    now = [*w.of_arrival(reading, "reached"), *w.of_source(reading), *w.decay(), "since_pre = since_pre_now"]
    now += [f"{x} = {x}__now" for x in w.pre] + [f"{s} = {s}__new" for s in w.states]
    now += w.none(*(x for x in w.absent if x not in w.each)) + w.on_pre()
    numbers = [f"{name} = numbers[{k}]" for k, name in enumerate((*NUMBERS, *(f"c{k}" for k in range(len(p.constants)))))]
    assert len(NUMBERS) == CONSTANTS
    arrive = filled(
        ARRIVE,
        arguments=names["arrive"],
        numbers=numbers,
        missed=[missed],
        arrival=now,
        sent=w.call("sent"),
        after=w.after_source(),
        store=store,
    )
    kept = [f"pre[e * {len(w.pre)} + {k}] = {x}__" for k, x in enumerate(w.pre)]
    kept += [f"states[e * {len(w.states)} + {k}] = {s}" for k, s in enumerate(w.states)]
    keep = filled(
        KEEP,
        arguments=names["keep"],
        numbers=numbers,
        load=_source(w),
        source=[*w.of_source(reading), *w.after_source()],
        store=kept,
        entries=_entries(w),
    )
    tidy = filled(TIDY, arguments=names["tidy"], cut_arguments=names["cut"], numbers=numbers, missed=[missed], store=store)
    functions = decorated(portable(p.source, "float64") + p.source, "@device")
    return HEADER.format(name=p.name) + functions + "\n" + DECAY + KEPT.format(decorator="@device") + arrive + keep + tidy


def _reading(p: Plasticity) -> Reading:
    """Entry i of a history: at[base + i] is its step, times two, and one more where it is the modulator's."""
    kept = len(p.post) + p.values
    return Reading(
        step=lambda i: f"(at[base + {i}] >> 1)",
        value=lambda i, k: f"values[(base + {i}) * {kept} + {k}]",
        third=lambda i: f"at[base + {i}] & 1 != 0",
        before=lambda i: f"{i} - 1",
        decayed=lambda k, steps: f"decayed(tables, {k * DIGITS * 256}, {steps})",
        past=lambda k: f"past[((new & past_mask) * n + target - low_target) * {len(p.past)} + {k}]",
    )


def _source(w: Words) -> list[str]:
    """Traces and states of a source as its segment e holds them."""
    lines = [f"{x}__ = pre[e * {len(w.pre)} + {k}]" for k, x in enumerate(w.pre)]
    return lines + [f"{s} = states[e * {len(w.states)} + {k}]" for k, s in enumerate(w.states)]


def _entries(w: Words) -> list[str]:
    """What a step leaves in the history of a target."""
    p, lines = w.p, []
    lines += [f"r{k} = F(read{k}[place + low_target])" for k in range(len(p.reads))]
    lines += [f"past[((step & past_mask) * n + place) * {len(p.past)} + {k}] = r{which}" for k, which in enumerate(p.past)]
    entry, stored = w.of_entry(_reading(p)), (*w.post, *w.values)
    keep = [f"values[(base + end) * {len(stored)} + {k}] = {x}" for k, x in enumerate(stored)]
    lines += w.happens() if p.when else []
    many = "1 if happens else 0" if p.when else "flags[low_target + place]"
    lines.append(filled(ENTRY, many=many, third="", post_values=entry, keep_values=keep))
    if p.modulated:
        none = [f"values[(base + end) * {len(stored)} + {k}] = F(0.0)" for k in range(len(w.post), len(stored))]
        many = "spikes_of((step - late) & third_mask, third_rows, third_fired, third_times, third_number)"
        lines.append(filled(ENTRY, many=many, third=" | 1", post_values=entry, keep_values=[*keep[: len(w.post)], *none]))
    return lines
