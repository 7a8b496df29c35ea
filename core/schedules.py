"""Learning rates and KL weights as pure functions of the step, which counts from 1."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

SCHEDULES = ("constant", "step", "cosine", "iwae")

# Burda et al. 2016: stage i = 0..7 lasts 3**i epochs, 3280 in all; these are its ends.
_IWAE_ENDS = tuple((3 ** (i + 1) - 1) // 2 for i in range(8))


def learning_rate(
    schedule: str,
    step: int,
    total_steps: int,
    lr: float,
    *,
    lr_final: float = 0.0,
    milestones: Sequence[float] = (0.5, 0.75),
    factor: float = 0.1,
) -> float:
    """The learning rate of ``step`` in 1 .. total_steps.

    constant: lr.
    step:     lr times ``factor`` for each milestone passed; milestones are fractions of the run.
    cosine:   half a cosine from lr at the first step to ``lr_final`` at the last.
    iwae:     lr * 10**(-i/7) in stage i = 0..7, each three times as long as the one before.
    """
    if not 1 <= step <= total_steps:
        raise ValueError(f"step must be in 1 .. total_steps = {total_steps}, got {step}")
    if schedule == "constant":
        return lr
    if schedule == "step":
        return float(lr * factor ** sum(step > round(m * total_steps) for m in milestones))
    if schedule == "cosine":
        done = (step - 1) / max(total_steps - 1, 1)
        return lr_final + (lr - lr_final) * (1 + cos(pi * done)) / 2
    if schedule == "iwae":
        # Integers: position (step - 1) / total_steps * 3280 against the stage's end.
        stage = sum((step - 1) * _IWAE_ENDS[-1] >= end * total_steps for end in _IWAE_ENDS)
        return float(lr * 10 ** (-stage / 7))
    raise ValueError(f"unknown schedule {schedule!r}; there are {', '.join(SCHEDULES)}")


def kl_weight(step: int, warmup_steps: int, start: float = 0.0) -> float:
    """The weight of the KL term: ``start`` at step 1, rising linearly, 1 after warmup_steps."""
    if step < 1 or warmup_steps < 0 or not 0 <= start <= 1:
        raise ValueError(
            "step must be at least 1, warmup_steps at least 0 and start in [0, 1]; "
            f"got {step}, {warmup_steps}, {start}"
        )
    if step > warmup_steps:
        return 1.0
    return start + (1 - start) * (step - 1) / warmup_steps
