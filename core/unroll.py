"""A recursion over T steps with its way back, and what is kept for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

# after, out, backward = step(t, before);  d_before = backward(d_after, d_out, g)
Step = Callable[[int, Any], tuple[Any, Any, Callable[[Any, Any, Any], Any]]]


def unroll(
    name: str, step: Step, first: Any, T: int, recompute: int = 0
) -> tuple[Any, list[Any], Callable[..., Any]]:
    """(state after T steps, out of each step, backward).

    backward(d_last, d_out, g, keep=False) gives the gradient of ``first``; d_out(t) is that of
    step t's out.  What a step kept is let go as soon as the way back has passed it, and a second
    call raises RuntimeError, unless ``keep=True`` was given to the first.

    recompute: 0 keeps what every step kept; n keeps the states before every n-th step alone, and
    runs its n steps again on the way back.
    """
    size = recompute or T

    def run(start: int, state: Any) -> tuple[Any, list[Any], list[Any]]:
        outs, backs = [], []
        for t in range(start, min(start + size, T)):
            state, out, back = step(t, state)
            outs.append(out)
            backs.append((t, back))
        return state, outs, backs

    state, outs, trail = first, [], []
    for start in range(0, T, size):
        before = state
        state, made, backs = run(start, before)
        outs += made
        trail.append((start, before, None if recompute else backs))
        del backs

    def backward(d: Any, d_out: Callable[[int], Any], g: Any, keep: bool = False) -> Any:
        if not trail:
            raise RuntimeError(f"{name}: backward was called before; the first needs keep=True")
        for start, before, backs in _from_the_end(trail, keep):
            for t, back in _from_the_end(backs or run(start, before)[2], keep):
                d = back(d, d_out(t), g)
        return d

    return state, outs, backward


def _from_the_end(items: list[Any], keep: bool) -> Iterator[Any]:
    """The last first; what was passed is let go, unless ``keep``."""
    if keep:
        yield from reversed(items)
    while items and not keep:
        yield items.pop()
