"""A label read off a picture in T glimpses: DRAW's read, and no writing.

    r_t = read(x, h_{t-1})                       an N x N window; models/glimpse.py
    h_t = LSTM(h_{t-1}, r_t)
    log p(y | x) = log softmax(h_T V + b)_y                              (the objective)

h_0 is learned, the cell starts at zero.  Nothing is latent: log p(y | x) is exact, not a bound.
(Gregor, Danihelka, Graves, Rezende & Wierstra, ICML 2015, section 4.1; the data are those of Mnih,
Heess, Graves & Kavukcuoglu, 2014.)

Sizes: B data, D = C*height*width values of a picture, channel by channel, H = hidden, T = glimpses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from backhand._types import Array
from backhand.grads import NO_GRAD
from backhand.kernels import softmax_cross_entropy
from backhand.layers import Initial, Linear, LSTMCell, State
from backhand.layers.lstm_cell import with_packed_cells
from backhand.model import DEFAULT_OBJECTIVES, UNWEIGHTED, Batch, Bound, DataSpec, Weights
from backhand.models.drawing import channels_first, planes
from backhand.models.glimpse import Glimpse
from backhand.models.vectors import rows_for
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.params import Packed
from backhand.unroll import unroll


@dataclass(frozen=True)
class GlimpseClassifierConfig:
    """glimpses: T.  read: N of the N x N window.  hidden: of the LSTM.  classes: of the labels."""

    glimpses: int = 8
    read: int = 12
    hidden: int = 256
    classes: int = 10

    def __post_init__(self) -> None:
        least = {"glimpses": 1, "read": 2, "hidden": 1, "classes": 2}
        for field in fields(self):
            value = getattr(self, field.name)
            if value < least[field.name]:
                raise ValueError(f"{field.name} must be at least {least[field.name]}, got {value}")


@dataclass
class GlimpseClassifier(Packed):
    """See the module.  ``create`` builds one."""

    Config: ClassVar[type] = GlimpseClassifierConfig
    objectives: ClassVar = DEFAULT_OBJECTIVES
    recurrent: ClassVar[bool] = True

    config: GlimpseClassifierConfig
    spec: DataSpec
    start: Array  # (H,), h_0
    read: Glimpse
    lstm: LSTMCell
    output: Linear

    @classmethod
    def create(
        cls,
        config: GlimpseClassifierConfig,
        spec: DataSpec,
        x: Array | None = None,
        seed: int = 0,
        dtype: Any = "float32",
    ) -> Self:
        """A new model; nothing in it depends on the data ``x``."""
        if spec.kind not in ("unit", "binary"):
            raise ValueError(f"glimpses takes pictures in [0, 1], these data are {spec.kind}")
        shape = planes("glimpses", spec)  # (C, height, width)
        initial, H = Initial(seed, dtype), config.hidden
        read = Glimpse.create(initial, H, shape, config.read)
        lstm = LSTMCell.create(initial, read.size, H)
        output = Linear.create(initial, H, config.classes)
        return cls(config, spec, initial.zeros(H), read, lstm, output)

    def check_labels(self, labels: Array | None, part: str) -> None:
        """Raises ValueError unless ``labels`` (n,) are integers from 0 to classes - 1."""
        if labels is None:
            raise ValueError(
                f"glimpses needs labels, and {part} have none: a file needs an array y beside x; "
                "of the scenes, cluttered keeps the digit's label"
            )
        V = self.config.classes
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"glimpses: the labels of {part} must be integers, one for each picture, got "
                f"{labels.dtype} of shape {labels.shape}"
            )
        if labels.size and not (labels.min() >= 0 and labels.max() < V):
            raise ValueError(
                f"glimpses: the labels of {part} go from {labels.min()} to {labels.max()}, with "
                f"classes = {V} from 0 to {V - 1}; set classes"
            )

    # -- one glimpse ---------------------------------------------------------------

    def step(self, x: Array, before: State) -> tuple[State, Callable[[State, Any], State]]:
        """x (B, D); states (B, H)."""
        r, back_read = self.read(x, before.h)  # (B, C*N*N)
        h, c, back_lstm = self.lstm(r, before)  # (B, H) each

        def backward(d: State, g: Any) -> State:
            dr, d_before = back_lstm(d.h, d.c, g.lstm)
            dh = back_read(dr, g.read)  # (B, H)
            return State(d_before.h + dh, d_before.c)  # h is used twice

        return State(h, c), backward

    def logits(self, batch: Batch) -> tuple[Array, Callable[..., None]]:
        """log p(y | x) up to a constant, (B, classes); backward(d_logits, g, keep)."""
        rows = rows_for(self, batch.x)
        xp, x = xp_of(rows), channels_first(rows, planes("glimpses", self.spec))  # (B, D)
        h_0 = xp.broadcast_to(self.start, (len(x), len(self.start))).copy()  # (B, H)

        T = self.config.glimpses
        model, first = with_packed_cells(self, T), State(h_0, xp.zeros_like(h_0))

        def glimpse(t: int, before: State) -> tuple[State, None, Any]:
            after, back = model.step(x, before)
            return after, None, lambda d, _, g: back(d, g)

        last, _, back_steps = unroll("glimpses", glimpse, first, T)
        logits, back_output = self.output(last.h)  # (B, classes)

        def backward(d_logits: Array, g: Any, keep: bool = False) -> None:
            d_last = State(back_output(d_logits, g.output), xp.zeros_like(last.c))
            d_first = back_steps(d_last, lambda t: None, g, keep)
            g.start.add_rows(d_first.h)

        return logits, backward

    # -- objective -----------------------------------------------------------------

    def bound(self, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED) -> Bound:
        """log p(y | x), exact; term "error" is 1 where the likeliest label is another, else 0."""
        if k != 1 or weights._replace(likelihood=1.0) != UNWEIGHTED:
            raise ValueError(
                "glimpses has no latent variables: k must be 1, and kl_warmup and free_bits 0"
            )
        logits, back_logits = self.logits(batch)  # (B, classes)
        xp = xp_of(logits)
        if xp is np or batch.y is None:  # to look would stop a GPU: ``fit`` has looked before
            self.check_labels(batch.y, "the data")
        assert batch.y is not None
        y = batch.y.astype(np.int64)  # (B,)
        run = softmax_cross_entropy.OP.resolve(None, logits)
        nll, saved = softmax_cross_entropy.forward(logits, y, backend=run)  # (B,)

        def backward(
            d_objective: Array | None = None, g: Any = NO_GRAD, keep: bool = False
        ) -> None:
            d = xp.full(len(y), 1 / len(y), nll.dtype) if d_objective is None else d_objective
            d_nll = -weights.likelihood * d  # (B,)
            back_logits(softmax_cross_entropy.backward(d_nll, saved, backend=run), g, keep)

        wrong = (logits.real.argmax(axis=1) != y).astype(nll.real.dtype)  # (B,)
        return Bound(-nll, {"error": wrong}, -weights.likelihood * nll, backward)

    def predict(self, batch: Batch) -> Array:
        """p(y | x) of every label, (B, classes)."""
        logits, _ = self.logits(batch)
        p = xp_of(logits).exp(logits - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
