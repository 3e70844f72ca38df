"""Errors on their way to the user: out of a worker as plain data, and out of many parts as one."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from eventsnn.scheduler.errors import LinkLost, NotJoined, PartFailed, PlanError, RecordsLost, WorkerLost, WorkersLeft

FOLLOWS = (LinkLost, NotJoined, RecordsLost)
"""What a part raises when another one has failed: seldom the cause."""
SPEAKS = (*FOLLOWS, PlanError, WorkerLost, WorkersLeft)
"""Errors whose text already says which part it was."""


@dataclass(frozen=True)
class Failure:
    """An exception as plain data: what an actor returns instead of raising, because not every exception can travel."""

    text: str
    trace: str
    pickled: bytes | None

    @staticmethod
    def of(error: BaseException) -> Failure:
        trace = "".join(traceback.format_exception(error))
        text = f"{type(error).__name__}: {error}"
        try:
            pickled = pickle.dumps(error)
            pickle.loads(pickled)
        except Exception:
            return Failure(text, trace, None)
        return Failure(text, trace, pickled)

    def error(self) -> BaseException:
        """The exception, with where it was raised as a note."""
        error: BaseException
        try:
            error = pickle.loads(self.pickled) if self.pickled is not None else PartFailed(self.text)
        except Exception:  # its class exists on the worker only
            error = PartFailed(self.text)
        error.add_note(f"raised on the worker:\n{self.trace}")
        return error


def cause(errors: Mapping[int, BaseException]) -> int:
    """Of the parts that failed together, the one that failed first: not one that only lost its links."""
    return min(errors, key=lambda rank: (isinstance(errors[rank], FOLLOWS), rank))


def named(error: BaseException, who: str) -> BaseException:
    """An exception of the same type whose text begins with `who`, caused by the original."""
    if isinstance(error, SPEAKS):
        return error
    text = f"{who}: {error}"
    try:
        made = type(error)(text)
    except Exception:
        made = None
    if made is None or text not in str(made):
        made = PartFailed(f"{who}: {type(error).__name__}: {error}")
    made.__cause__ = error
    return made
