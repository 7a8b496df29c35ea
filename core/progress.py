"""Where a training run stands, and the sums that its metrics are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from backhand.device import to_host
from backhand.model import Bound
from backhand.optim import TrainingDiverged
from backhand.processes import Processes


@dataclass
class Progress:
    """With the parameters and the optimisers' vectors, all that a resume needs."""

    step: int = 0
    best: float = math.inf  # the smallest validation nats so far
    waited: int = 0  # validations since then
    sums: dict[str, float] = field(default_factory=dict)  # of each term, over this epoch
    seen: dict[str, int] = field(default_factory=dict)  # data in each sum
    train: float | None = None
    valid: float | None = None
    seconds: float = 0.0

    def add(self, bound: Bound, objective: str = "bound") -> None:
        """Count a batch; what is not the bound itself goes under its objective's name."""
        prefix = "" if objective == "bound" else f"{objective}."
        for name, value in {"nats": -bound.value, **bound.terms}.items():
            name = prefix + name
            self.sums[name] = self.sums.get(name, 0.0) + float(to_host(value).sum(dtype=np.float64))
            self.seen[name] = self.seen.get(name, 0) + len(value)
        if not math.isfinite(self.sums[prefix + "nats"]):
            what = "bound" if objective == "bound" else f"objective {objective!r}"
            raise self.diverged(f"the {what} is not finite")

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: value / self.seen[name] for name, value in self.sums.items()}
        self.forget()
        return means

    def forget(self) -> None:
        """Leave the sums to others."""
        self.seen, self.sums = {}, {}

    def join(self, processes: Processes) -> None:
        """Rank 0 gets the sums of all."""
        if processes.size == 1:
            return
        parts = processes.gather((self.sums, self.seen))
        self.forget()
        if processes.rank == 0:
            for sums, seen in parts:
                for name in sums:
                    self.sums[name] = self.sums.get(name, 0.0) + sums[name]
                    self.seen[name] = self.seen.get(name, 0) + seen[name]

    def judge(self, valid: float) -> bool:
        """Note a validation; whether it is the best so far."""
        better = valid < self.best
        self.valid = valid
        self.waited = 0 if better else self.waited + 1
        self.best = min(self.best, valid)
        return better

    def diverged(self, what: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"step {self.step}: {what}; the last checkpoint is intact. Lower the learning rate, "
            "set training.clip, or bound the log-scales (log_scale_bound)"
        )
