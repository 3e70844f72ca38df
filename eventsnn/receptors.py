"""Which receptor of its target a weight goes to."""

from __future__ import annotations

from eventsnn.errors import ParameterError, unknown_name
from eventsnn.model import Receptor
from eventsnn.selection import Population


def candidates(target: Population, named: str | None, who: str) -> tuple[int, int]:
    """Positions of the receptors for weights >= 0 and < 0: the named one, else the only one, else "ex" and "in"."""
    names = [r.name for r in target.model.receptors]
    model = type(target.model).__name__
    if not names:
        raise ParameterError(f"{who}: {target.name!r} is made of {model}, which has no receptors; nothing can arrive there")
    if named is not None:
        if named not in names:
            raise unknown_name(f"{who}: {model}", "receptor", str(named), names)
        return names.index(named), names.index(named)
    if len(names) == 1:
        return 0, 0
    if "ex" in names and "in" in names:
        return names.index("ex"), names.index("in")
    raise ParameterError(f"{who}: {model} has several receptors; say which with receptor=, one of {', '.join(names)}")


def entered(target: Population, pair: tuple[int, int], named: str | None, span: tuple[float, float], who: str) -> tuple[int, int]:
    """The two positions for weights in [low, high], both equal where all weights have one sign.

    A conductance receptor takes |w| of what came by its sign, and refuses a negative weight where it was named.
    """
    low, high = span
    receptor: Receptor = target.model.receptors[pair[0]]
    if named is not None and receptor.magnitude and low < 0.0:
        raise ParameterError(
            f"{who}: receptor {named!r} is a conductance and takes weights >= 0, not {low:g} {receptor.unit}; "
            "give the magnitude, or leave receptor= out so that the sign chooses"
        )
    if low >= 0.0:
        return pair[0], pair[0]
    return (pair[1], pair[1]) if high <= 0.0 else pair  # zeros do nothing on either side
