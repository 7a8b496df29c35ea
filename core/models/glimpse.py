"""What DRAW reads from a picture and writes onto its canvas, with attention and without.

    r, backward = read(x, error, h)         d_error, dh = backward(dr, g): x is data
    patch, backward = write(h)              dh = backward(d_patch, g)
    r, backward = glimpse(x, h)                dh = backward(dr, g): without an error

Pictures are rows (R, D), channel by channel; h (R, H) is the decoder's state.
(Gregor, Danihelka, Graves, Rezende & Wierstra 2015, section 3.2 and 3.3.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.kernels import attention_read, attention_write
from backhand.layers import Initial, Linear
from backhand.numerics import xp_of

LIMIT = 10.0  # of |log s2|, |log d~| and |log gamma|: what their exp is taken of


@dataclass
class Window:
    """Where the attention looks: gx~, gy~, log s2, log d~, log gamma of ``filterbank``.

    head = h W + b, its last three numbers clipped to +-10, where their gradient ends.
    h: (R, H), head: (R, 5).  It starts as a grid over the whole picture whose filters are half a
    stride wide, so that nothing lies unseen between them.
    """

    linear: Linear

    @classmethod
    def create(cls, initial: Initial, hidden: int, shape: tuple[int, int, int], N: int) -> Self:
        linear = Linear.create(initial, hidden, 5)
        stride = (max(shape[1:]) - 1) / (N - 1)  # in pixels
        linear.b[2] = 2 * math.log(max(stride, 1) / 2)  # log s2
        return cls(linear)

    def __call__(self, h: Array) -> tuple[Array, Callable[..., Array]]:
        head, back_linear = self.linear(h)  # (R, 5)
        xp, clipped = xp_of(h), head.copy()
        scales = clipped[:, 2:]  # the centre may be anywhere
        xp.maximum(scales, -LIMIT, out=scales)
        xp.minimum(scales, LIMIT, out=scales)

        def backward(d_head: Array, g: Any) -> Array:
            inside = d_head * (clipped == head)  # (R, 5)
            return back_linear(inside, g.linear)  # type: ignore[no-any-return]

        return clipped, backward


@dataclass
class AttentiveRead:
    """r = gamma [ F_Y x F_X^T ; F_Y error F_X^T ], (R, 2*C*N*N), through the same window."""

    window: Window
    shape: tuple[int, int, int]  # C, height, width of a picture
    N: int

    @classmethod
    def create(cls, initial: Initial, hidden: int, shape: tuple[int, int, int], N: int) -> Self:
        return cls(Window.create(initial, hidden, shape, N), shape, N)

    @property
    def size(self) -> int:
        return 2 * self.shape[0] * self.N * self.N

    def __call__(self, x: Array, error: Array, h: Array) -> tuple[Array, Callable[..., Any]]:
        head, back_window = self.window(h)  # (R, 5)
        pictures = (
            x.reshape(-1, *self.shape),
            error.reshape(-1, *self.shape),
        )  # (R, C, height, width)
        run = attention_read.OP.resolve(None, head, *pictures)
        r, saved = attention_read.forward(head, *pictures, self.N, backend=run)  # (R, 2*C, N, N)

        def backward(dr: Array, g: Any) -> tuple[Array, Array]:
            dr = dr.reshape(len(dr), *r.shape[1:])  # (R, 2*C, N, N)
            d_head, _, d_error = attention_read.backward(dr, saved, need_x=False, backend=run)
            assert d_error is not None
            return d_error.reshape(len(dr), -1), back_window(d_head, g.window)

        return r.reshape(len(r), self.size), backward


@dataclass
class Glimpse:
    """r = gamma F_Y x F_X^T, (R, C*N*N): ``AttentiveRead`` of a picture alone."""

    window: Window
    shape: tuple[int, int, int]
    N: int

    @classmethod
    def create(cls, initial: Initial, hidden: int, shape: tuple[int, int, int], N: int) -> Self:
        return cls(Window.create(initial, hidden, shape, N), shape, N)

    @property
    def size(self) -> int:
        return self.shape[0] * self.N * self.N

    def __call__(self, x: Array, h: Array) -> tuple[Array, Callable[..., Array]]:
        head, back_window = self.window(h)  # (R, 5)
        pictures = x.reshape(-1, *self.shape)  # (R, C, height, width)
        run = attention_read.OP.resolve(None, head, pictures)
        r, saved = attention_read.forward(head, pictures, None, self.N, backend=run)

        def backward(dr: Array, g: Any) -> Array:
            dr = dr.reshape(r.shape)  # (R, C, N, N)
            d_head, *_ = attention_read.backward(dr, saved, need_x=False, backend=run)
            return back_window(d_head, g.window)

        return r.reshape(len(r), self.size), backward


@dataclass
class FullRead:
    """r = [ x ; error ], (R, 2*D): everything, wherever the decoder is."""

    shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        return 2 * math.prod(self.shape)

    def __call__(self, x: Array, error: Array, h: Array) -> tuple[Array, Callable[..., Any]]:
        def backward(dr: Array, g: Any) -> tuple[Array, Array]:
            return dr[:, x.shape[1] :], xp_of(h).zeros_like(h)

        return xp_of(h).concatenate([x, error], axis=1), backward


@dataclass
class AttentiveWrite:
    """patch = F_Y^T w F_X / gamma, (R, D): w = affine(h), in a window of its own."""

    window: Window
    stroke: Linear  # w, (R, C*N*N)
    shape: tuple[int, int, int]
    N: int

    @classmethod
    def create(cls, initial: Initial, hidden: int, shape: tuple[int, int, int], N: int) -> Self:
        stroke = Linear.create(initial, hidden, shape[0] * N * N)
        return cls(Window.create(initial, hidden, shape, N), stroke, shape, N)

    def __call__(self, h: Array) -> tuple[Array, Callable[..., Array]]:
        C, height, width = self.shape
        head, back_window = self.window(h)  # (R, 5)
        w, back_stroke = self.stroke(h)  # (R, C*N*N)
        w = w.reshape(len(w), C, self.N, self.N)  # (R, C, N, N)
        run = attention_write.OP.resolve(None, head, w)
        patch, saved = attention_write.forward(
            head, w, height, width, backend=run
        )  # (R, C, height, width)
        shape = patch.shape

        def backward(d_patch: Array, g: Any) -> Array:
            d_head, dw = attention_write.backward(d_patch.reshape(shape), saved, backend=run)
            dh = back_stroke(dw.reshape(len(dw), -1), g.stroke)  # (R, H)
            return dh + back_window(d_head, g.window)  # type: ignore[no-any-return]

        return patch.reshape(len(patch), -1), backward


@dataclass
class FullWrite:
    """patch = affine(h), (R, D)."""

    linear: Linear

    def __call__(self, h: Array) -> tuple[Array, Callable[..., Array]]:
        patch, back_linear = self.linear(h)  # (R, D)
        return patch, lambda d_patch, g: back_linear(d_patch, g.linear)


Read = AttentiveRead | FullRead
Write = AttentiveWrite | FullWrite


def create_read(initial: Initial, hidden: int, shape: tuple[int, int, int], N: int) -> Read:
    """With an N x N window; N = 0: without attention."""
    return AttentiveRead.create(initial, hidden, shape, N) if N else FullRead(shape)


def create_write(initial: Initial, hidden: int, shape: tuple[int, int, int], N: int) -> Write:
    """With an N x N window; N = 0: without attention."""
    if N:
        return AttentiveWrite.create(initial, hidden, shape, N)
    return FullWrite(Linear.create(initial, hidden, math.prod(shape)))
