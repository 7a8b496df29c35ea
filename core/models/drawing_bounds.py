"""What ``evaluate --bound ais`` and ``backhand bounds`` ask of a model that paints in steps.

Sizes: B data, k samples of each, R = k*B rows, D values of a picture, Z = latent, T = glimpses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from backhand._types import Array
from backhand.grads import NO_GRAD
from backhand.layers import State
from backhand.model import Batch, Gaussian
from backhand.models.canvas import Canvas
from backhand.models.drawing import Drawing, repeated
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.unroll import unroll


class DrawingBounds(Drawing):
    """Needs look of ``models.draw`` as well."""

    look: Callable[[Array, Canvas], tuple[Gaussian, State, Callable[..., Any]]]

    @property
    def noise_size(self) -> int:
        """Of the standard normal noise that makes a datum: T*Z."""
        return int(self.config.glimpses * self.config.latent)

    def log_likelihood(self, u: Array, batch: Batch) -> tuple[Array, Callable[[Array], Array]]:
        """log p(x | u), (C, B), for noise u (C, B, T*Z); backward(d_logp) gives du."""
        x, xp = self._rows(batch.x), xp_of(u)
        lead, T = u.shape[:-1], self.config.glimpses
        z = u.reshape(math.prod(lead), T, -1).swapaxes(0, 1)  # (T, R, Z)
        painted = list(self.dream(z))
        last, state, _ = painted[-1]
        logp, back_output = self.output(last.reshape(*lead, -1), x)  # (C, B)

        def backward(d_logp: Array) -> Array:
            dc = back_output(d_logp, NO_GRAD).reshape(last.shape)  # (R, D), of every canvas
            d_state = State(*map(xp.zeros_like, state))
            dz = []
            for *_, back in reversed(painted):
                dz_t, d_state = back(dc, d_state, NO_GRAD)
                dz.append(dz_t)
            return xp.stack(dz[::-1], axis=1).reshape(u.shape)  # type: ignore[no-any-return]

        return logp - self._log_volume(), backward

    def elbo_at(
        self, q: Gaussian, batch: Batch, noise: Noise, k: int
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """The ELBO (B,) of posteriors moved from the encoder's; backward(d) gives (dmean, dlogvar).

        q (B, T, Z): what it differs by from ``encode(batch)`` is added to mean and logvar of every
        step, whatever z_<t.  So at q = encode(batch) this is ``bound``.
        """
        x, xp, T = self._rows(batch.x), xp_of(batch.x), self.config.glimpses  # (B, D)
        eps, rows, own = self.noise_of(batch.index, noise, k), repeated(x, k), self.encode(batch)
        moves = q.mean - own.mean, q.logvar - own.logvar  # (B, T, Z) each
        found: list[tuple[Array, Array]] = []  # gradients of the steps, the last first

        def glimpse(t: int, before: Canvas) -> tuple[Canvas, Array, Any]:
            def look(x: Array, before: Canvas) -> tuple[Gaussian, State, Callable[..., Any]]:
                p, encoder, back_look = self.look(x, before)  # (R, Z) each
                mean, logvar = (repeated(move[:, t], k) for move in moves)  # (R, Z) each

                def backward(dmean: Array, dlogvar: Array, d_encoder: State, g: Any) -> Any:
                    found.append((dmean, dlogvar))
                    return back_look(dmean, dlogvar, d_encoder, g)

                return Gaussian(p.mean + mean, p.logvar + logvar), encoder, backward

            step = self.step(rows, before, eps(t), look)
            return step.after, step.kl, step.backward

        first, _ = self.start(len(rows))
        last, kls, back_steps = unroll("draw", glimpse, first, T, self.config.recompute)
        logp, back_output = self.output(last.c.reshape(k, len(x), -1), x)  # (k, B)
        kl = sum(step.sum(axis=1) for step in kls).reshape(k, len(x))  # (k, B)

        def backward(d: Array) -> tuple[Array, Array]:
            dc = back_output(xp.broadcast_to(d / k, logp.shape), NO_GRAD).reshape(last.c.shape)
            dkl = xp.broadcast_to(repeated(-d[:, None] / k, k), kls[0].shape)  # (R, Z)
            none = State(*map(xp.zeros_like, last.decoder))
            back_steps(Canvas(dc, none, none), lambda t: dkl, NO_GRAD)
            steps = [xp.stack(each[::-1], axis=1) for each in zip(*found, strict=True)]  # (R, T, Z)
            dmean, dlogvar = (each.reshape(k, *moves[0].shape).sum(axis=0) for each in steps)
            return dmean, dlogvar

        return (logp - kl).mean(axis=0) - self._log_volume(), backward

    def posterior_means(self, batch: Batch, noise: Noise, k: int = 50) -> list[Array]:
        """E_q[z_t | x] of every step, (B, Z) each; behind the first by k samples of z_<t."""
        steps = self.follow(self._rows(batch.x), self.noise_of(batch.index, noise, k), k)
        return [step.q.mean.reshape(k, len(batch.x), -1).mean(axis=0) for step in steps]
