"""DRAW: a picture painted in T glimpses (Gregor, Danihelka, Graves, Rezende & Wierstra, ICML 2015).

    x^_t  = x - mean(c_{t-1})                                what the canvas lacks
    r_t   = read(x, x^_t, hd_{t-1})                          models/glimpse.py
    he_t  = LSTM_e(he_{t-1}, [r_t ; hd_{t-1}])
    z_t   = mu_t + sigma_t eps_t,   (mu_t, log sigma_t) = affine(he_t)
    hd_t  = LSTM_d(hd_{t-1}, z_t)
    c_t   = c_{t-1} + write(hd_t)

    log p(x) >= E[ log p(x | c_T) - sum_t KL( q(z_t | x, z_<t) || N(0, I) ) ]     (the bound)
    log w     = log p(x | c_T) + sum_t log p(z_t) - log q(z_t | x, z_<t)

c_0, he_0 and hd_0 are learned, the cells start at zero.  mean(c) is sigmoid(c) where pixels are
Bernoulli, c where they are Gaussian.  Without x, z_t ~ N(0, I) and the last two lines paint.

Sizes: B data, k samples of each, R = k*B rows, D = C*height*width values of a picture, channel by
channel, H = hidden, Z = latent, T = glimpses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from backhand._types import Array
from backhand.distributions import latent, log_ratio
from backhand.grads import NO_GRAD
from backhand.layers import GaussianHead, Initial, LSTMCell, State, sigmoid
from backhand.layers.lstm_cell import with_packed_cells
from backhand.model import (
    DEFAULT_OBJECTIVES,
    UNWEIGHTED,
    Batch,
    Bound,
    DataSpec,
    Gaussian,
    Weights,
)  # fmt: skip
from backhand.models.canvas import Canvas, Start, Step
from backhand.models.drawing import channels_first, planes, repeated
from backhand.models.drawing_bounds import DrawingBounds
from backhand.models.glimpse import Read, Write, create_read, create_write
from backhand.models.outputs import (
    BernoulliOutput,
    GaussianOutput,
    OutputConfig,
    logits_of,
    on_canvas,
)
from backhand.models.vectors import Scaling, output_kind, pieces, scaling_and_mean
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.unroll import unroll


@dataclass(frozen=True)
class DRAWConfig(OutputConfig):
    """glimpses: T.  read, write: N of their N x N windows; 0 is without attention.

    hidden: of both LSTMs; latent: of each z_t.  recompute: 0 keeps all that the backward needs;
    n keeps only every n-th step's initial state and computes the steps again: less memory.
    The others are those of OutputConfig.
    """

    glimpses: int = 10
    read: int = 5
    write: int = 5
    hidden: int = 256
    latent: int = 10
    recompute: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.glimpses, self.hidden, self.latent) < 1:
            raise ValueError(
                "glimpses, hidden and latent must be at least 1: "
                f"{self.glimpses=}, {self.hidden=}, {self.latent=}"
            )
        if any(N < 0 or N == 1 for N in (self.read, self.write)):
            raise ValueError(
                "read and write are the sides of windows, 2 or more, or 0 for no attention: "
                f"{self.read=}, {self.write=}"
            )
        if not 0 <= self.recompute <= self.glimpses:
            raise ValueError(f"recompute must be from 0 to glimpses: {self.recompute=}")
        if self.variance == "learned":
            raise ValueError("variance='learned' is not for draw: a canvas holds means alone")


@dataclass
class DRAW(DrawingBounds):
    """See the module.  ``create`` builds one."""

    Config: ClassVar[type] = DRAWConfig
    objectives: ClassVar = DEFAULT_OBJECTIVES
    recurrent: ClassVar[bool] = True

    config: DRAWConfig
    spec: DataSpec
    start: Start
    read: Read
    encoder: LSTMCell
    posterior: GaussianHead
    decoder: LSTMCell
    write: Write
    output: BernoulliOutput | GaussianOutput
    scaling: Scaling | None

    @classmethod
    def create(
        cls,
        config: DRAWConfig,
        spec: DataSpec,
        x: Array | None = None,
        seed: int = 0,
        dtype: Any = "float32",
    ) -> Self:
        """A new model; ``x`` (N, *spec.shape), training data, sets the first canvas and scaling."""
        kind = output_kind("draw", config, spec)
        shape = planes("draw", spec)  # (C, height, width)
        initial, H, Z = Initial(seed, dtype), config.hidden, config.latent
        scaling, mean = scaling_and_mean(kind, config, x, math.prod(shape), dtype)
        c = logits_of(mean) if kind == "bernoulli" else mean  # (D,)
        start = Start.create(initial, channels_first(c[None], shape)[0], H)
        read = create_read(initial, H, shape, config.read)
        encoder = LSTMCell.create(initial, read.size + H, H)
        posterior = GaussianHead.create(initial, H, Z, config.log_scale_bound)
        decoder = LSTMCell.create(initial, Z, H)
        write = create_write(initial, H, shape, config.write)
        output = on_canvas(kind, config, initial)
        return cls(
            config, spec, start, read, encoder, posterior, decoder, write, output, scaling
        )  # fmt: skip

    # -- one step ------------------------------------------------------------------

    def look(self, x: Array, before: Canvas) -> tuple[Gaussian, State, Callable[..., Any]]:
        """q(z_t | x, z_<t): read, encoder and its head."""
        c, encoder, decoder = before
        mean, back_mean = self._mean(c)  # (R, D)
        r, back_read = self.read(x, x - mean, decoder.h)  # (R, .)
        u = xp_of(r).concatenate([r, decoder.h], axis=1)  # (R, . + H)
        he, ce, back_encoder = self.encoder(u, encoder)  # (R, H) each
        q, back_posterior = self.posterior(he)  # (R, Z) each
        end = r.shape[1]

        def backward(
            dmean: Array, dlogvar: Array, d_encoder: State, g: Any
        ) -> tuple[Array, State, Array]:
            """(-dc, gradient of the encoder's state before, that of hd)"""
            dhe = d_encoder.h + back_posterior(dmean, dlogvar, g.posterior)  # (R, H)
            du, d_encoder = back_encoder(dhe, d_encoder.c, g.encoder)
            d_error, dhd = back_read(du[:, :end], g.read)  # (R, D), (R, H)
            return back_mean(d_error), d_encoder, du[:, end:] + dhd  # hd is used twice

        return q, State(he, ce), backward

    def paint(
        self, z: Array, c: Array, decoder: State
    ) -> tuple[Array, State, Callable[..., tuple[Array, State]]]:
        """The next canvas: decoder and write; c itself passes through."""
        hd, cd, back_decoder = self.decoder(z, decoder)  # (R, H) each
        patch, back_write = self.write(hd)  # (R, D)

        def backward(dc: Array, d_decoder: State, g: Any) -> tuple[Array, State]:
            """(dz, gradient of the decoder's state before)"""
            dhd = d_decoder.h + back_write(dc, g.write)  # (R, H)
            return back_decoder(dhd, d_decoder.c, g.decoder)  # type: ignore[no-any-return]

        return c + patch, State(hd, cd), backward

    def step(self, x: Array, before: Canvas, eps: Array, look: Any = None) -> Step:
        """One glimpse; x (R, D), eps (R, Z).  look: in the place of ``self.look``."""
        q, encoder, back_look = (look or self.look)(x, before)
        z, kl, back_latent = latent(q.mean, q.logvar, eps)  # (R, Z) each
        c, decoder, back_paint = self.paint(z, before.c, before.decoder)

        def backward(d: Canvas, dkl: Array, g: Any) -> Canvas:
            dz, d_decoder = back_paint(d.c, d.decoder, g)
            dmean, dlogvar = back_latent(dz, dkl)
            less, d_encoder, dhd = back_look(dmean, dlogvar, d.encoder, g)
            return Canvas(d.c - less, d_encoder, State(d_decoder.h + dhd, d_decoder.c))

        return Step(Canvas(c, encoder, decoder), q, z, kl, backward)

    def _mean(self, c: Array) -> tuple[Array, Callable[[Array], Array]]:
        """The picture that a canvas stands for."""
        if isinstance(self.output, BernoulliOutput):
            return sigmoid(c)
        return c, lambda d_mean: d_mean

    # -- objective -----------------------------------------------------------------

    def bound(self, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED) -> Bound:
        """The evidence lower bound, averaged over k samples; term "kl 3" is step 3's part of kl."""
        x, xp, T = self._rows(batch.x), xp_of(batch.x), self.config.glimpses  # (B, D)
        B, eps = len(x), self.noise_of(batch.index, noise, k)
        rows, model = repeated(x, k), with_packed_cells(self, T)  # (R, D)

        def glimpse(t: int, before: Canvas) -> tuple[Canvas, Array, Any]:
            step = model.step(rows, before, eps(t))
            return step.after, step.kl, step.backward

        first, back_start = self.start(len(rows))
        last, kls, back_steps = unroll("draw", glimpse, first, T, self.config.recompute)
        logp, back_output = self.output(last.c.reshape(k, B, -1), x)  # (k, B)
        likelihood = logp.mean(axis=0) - self._log_volume()  # (B,)
        kl = xp.stack(kls, axis=1).reshape(k, B, T, -1).mean(axis=0)  # (B, T, Z)
        free = weights.free_bits
        counts = kl.real.mean(axis=0) > free if free else xp.ones(kl.shape[1:], bool)  # (T, Z)
        shaped = kl if not free else xp.where(counts, kl, kl.dtype.type(free))  # (B, T, Z)
        objective = weights.likelihood * likelihood - weights.kl * shaped.sum(axis=(1, 2))  # (B,)

        def backward(
            d_objective: Array | None = None, g: Any = NO_GRAD, keep: bool = False
        ) -> None:
            d = xp.full(B, 1 / B, x.dtype) if d_objective is None else d_objective
            d_logp = xp.broadcast_to(weights.likelihood / k * d, logp.shape)
            dc = back_output(d_logp, g.output).reshape(last.c.shape)  # (R, D)
            dkl = repeated((-weights.kl / k * d)[:, None], k)  # (R, 1)
            none = State(*map(xp.zeros_like, last.decoder))  # the last states go nowhere
            d_first = back_steps(Canvas(dc, none, none), lambda t: dkl * counts[t], g, keep)
            back_start(d_first, g.start)

        steps = kl.sum(axis=2)  # (B, T)
        terms = {"likelihood": likelihood, "kl": steps.sum(axis=1)}
        terms |= {f"kl {t + 1}": steps[:, t] for t in range(T)}
        value = likelihood - terms["kl"]
        return Bound(value, terms, objective, backward, kl.reshape(B, -1))

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Array:
        """log w of k samples of z_1 .. z_T per datum, (k, B)."""
        x = self._rows(batch.x)
        out = xp_of(x).empty((k, len(x)), x.dtype)
        widest = max(x.shape[1], 4 * self.config.hidden)
        for part, noise_here in pieces(k, noise, len(x) * widest):
            n = part.stop - part.start
            ratio = xp_of(x).zeros(n * len(x), x.dtype)  # (n*B,)
            eps = self.noise_of(batch.index, noise_here, n)
            for t, step in enumerate(self.follow(x, eps, n)):
                ratio = ratio + log_ratio(step.z, step.q.logvar, eps(t))[0].sum(axis=1)  # (n*B,)
            logp, _ = self.output(step.after.c.reshape(n, len(x), -1), x)
            out[part] = logp + ratio.reshape(logp.shape) - self._log_volume()
        return out  # type: ignore[no-any-return]
