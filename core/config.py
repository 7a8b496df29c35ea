"""What a run is told about training and data; models bring a ``Config`` of their own.

How these are filled from TOML and from ``--set field=value``: ``backhand.settings``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from backhand.backend import BACKENDS
from backhand.optim import RULES
from backhand.settings import (
    apply_settings,
    field_types,
    model_name,
    parse_value,
    read_toml,
    to_toml,
    typed,
    write_toml,
)

__all__ = [
    "DataConfig", "TrainConfig", "apply_settings", "model_name", "parse_value", "read_toml",
    "to_toml", "write_toml",
]  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.  Settings of an optimizer or schedule not in use are refused.

    epochs, steps: length of the run; steps counts where it is not 0.  batch: data per step.
    k: samples per datum.  lr: learning rate; schedule: constant, step (times ``decay`` at each
    of ``milestones``, fractions of the run), cosine (down to ``lr_final``) or iwae.
    beta1, beta2, eps: of adam, adamw, adamax; weight_decay: adamw; rms_decay, eps: rmsprop;
    momentum: sgd; iwae_author, Adam as in the code of Burda et al., has none of them.
    clip: largest norm of the gradient, 0: any.
    kl_warmup: epochs in which the weight of the KL rises from 0 to 1.  free_bits: nats per
    latent dimension below which its KL is not reduced.
    patience: validations without a better bound before the run stops, 0: never.
    valid_every: epochs from one validation to the next.  threads: 0: as they are.
    backend: "" takes the best.
    """

    epochs: int = 30
    steps: int = 0
    batch: int = 100
    seed: int = 0
    k: int = 1
    optimizer: Literal["adam", "adamw", "adamax", "rmsprop", "sgd", "iwae_author"] = "adam"
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01
    rms_decay: float = 0.9
    momentum: float = 0.9
    schedule: Literal["constant", "step", "cosine", "iwae"] = "constant"
    lr_final: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay: float = 0.1
    clip: float = 0.0
    kl_warmup: float = 0.0
    free_bits: float = 0.0
    patience: int = 0
    valid_every: int = 1
    checkpoint_minutes: float = 5.0
    dtype: Literal["float32", "float64"] = "float32"
    threads: int = 0
    backend: str = ""

    def __post_init__(self) -> None:
        _normalise(self, "training")
        for name in ("epochs", "batch", "k", "valid_every"):
            _require(self, "training", name, getattr(self, name) >= 1, "at least 1")
        for name in ("lr", "eps", "decay", "checkpoint_minutes"):
            _require(self, "training", name, getattr(self, name) > 0, "above 0")
        for name in ("steps", "patience", "threads", "lr_final", "clip", "kl_warmup", "free_bits"):
            _require(self, "training", name, getattr(self, name) >= 0, "0 or more")
        for name in ("beta1", "beta2", "rms_decay", "momentum"):
            _require(self, "training", name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        _require(self, "training", "weight_decay", self.weight_decay >= 0, "0 or more")
        _require(self, "training", "seed", 0 <= self.seed < 1 << 32, "in 0 .. 2**32 - 1")
        inside = all(0 < m < 1 for m in self.milestones)
        _require(self, "training", "milestones", inside, "fractions of the run, in (0, 1)")
        known = self.backend in ("", *BACKENDS)
        _require(self, "training", "backend", known, f"empty or one of {', '.join(BACKENDS)}")
        _refuse_idle(self)

    @property
    def optimizer_settings(self) -> dict[str, float]:
        """What ``make_optimizer(config.optimizer, ...)`` takes."""
        return {name: getattr(self, name) for name in RULES[self.optimizer].settings}

    @property
    def schedule_settings(self) -> dict[str, Any]:
        """What ``learning_rate(config.schedule, ...)`` takes."""
        return {"lr_final": self.lr_final, "milestones": self.milestones, "factor": self.decay}


@dataclass(frozen=True)
class DataConfig:
    """Which data.  name: of a registered set, or a file; "": none yet.

    binarisation: "" is the set's own.  valid: how many of the last training data are held out
    for validation where the set has no such part, 0: the set's own number.  limit: only the
    first so many training data, 0: all.  kind: of your own data, "" judges by the values.
    scene: "" shows the data as they are (backhand.data.scenes).
    """

    name: str = ""
    binarisation: Literal["", "none", "once", "dynamic"] = ""
    valid: int = 0
    limit: int = 0
    kind: Literal["", "binary", "unit", "real"] = ""
    scene: Literal["", "two-digits", "cluttered"] = ""

    def __post_init__(self) -> None:
        _normalise(self, "data")
        for name in ("valid", "limit"):
            _require(self, "data", name, getattr(self, name) >= 0, "0 or more")


_SCHEDULE_FIELDS = {"lr_final": "cosine", "milestones": "step", "decay": "step"}


def _refuse_idle(config: TrainConfig) -> None:
    """An option that would change nothing is an error."""
    idle: dict[str, tuple[str, tuple[str, ...]]] = {
        name: ("schedule", (user,)) for name, user in _SCHEDULE_FIELDS.items()
    }
    for name in sorted({name for rule in RULES.values() for name in rule.settings}):
        users = tuple(rule for rule in RULES if name in RULES[rule].settings)
        idle[name] = ("optimizer", users)
    defaults = {field.name: field.default for field in fields(config)}
    for name, (chooser, users) in idle.items():
        chosen, value = getattr(config, chooser), getattr(config, name)
        if chosen not in users and value != defaults[name]:
            raise ValueError(
                f"training.{name} = {value!r} has no effect with {chooser} {chosen!r}, only with "
                f"{', '.join(users)}; leave it at {defaults[name]!r}"
            )


def _require(config: Any, table: str, name: str, ok: bool, allowed: str) -> None:
    if not ok:
        raise ValueError(f"{table}.{name} must be {allowed}, got {getattr(config, name)!r}")


def _normalise(config: Any, table: str) -> None:
    for name, kind in field_types(type(config)).items():
        object.__setattr__(config, name, typed(f"{table}.{name}", kind, getattr(config, name)))
