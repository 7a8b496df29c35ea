"""A long short-term memory over a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from backhand._types import Array
from backhand.checks import check
from backhand.kernels import lstm_step
from backhand.layers.initial import Initial
from backhand.layers.lstm_cell import LSTMCell, State
from backhand.numerics import xp_of
from backhand.outputs import kept


@dataclass
class LSTM:
    """y, c, backward = lstm(x): ``cell`` at every step, time in front.

    x: (T, ..., I), y: (T, ..., H) all h, c: (..., H) the last cell state (the last h is y[-1]).
    Both are read-only: the backward needs them.
    ``state``: the initial one, of zeros if left out.  Where ``mask`` (T, ...) is 0, a row keeps its
    state, so that a padded sequence ends as the shorter one; x must be finite there, no more.

    The products x Wx of all steps are one, and so are those of each weight's gradient: never
    slower than one at each step, for one row a hundred times as fast (bench/lstm.py).
    """

    cell: LSTMCell

    @classmethod
    def create(cls, initial: Initial, inputs: int, hidden: int, forget_bias: float = 1.0) -> Self:
        return cls(LSTMCell.create(initial, inputs, hidden, forget_bias))

    def __call__(
        self, x: Array, state: State | None = None, mask: Array | None = None
    ) -> tuple[Array, Array, Callable[..., Any]]:
        Wx, Wh, b = self.cell.Wx, self.cell.Wh, self.cell.b
        if x.ndim < 2 or not len(x):
            raise ValueError(f"LSTM: x must have shape (T, ..., I) with T > 0, got {x.shape}")
        xp, T, lead, H = xp_of(x), len(x), x.shape[1:-1], len(Wh)
        B = math.prod(lead)  # rows at each step
        first = state or State(*xp.zeros((2, *lead, H), x.dtype))
        now = {"x[0]": (x[0], "... I"), "h": (first.h, "... H"), "c": (first.c, "... H")}
        sizes = check("LSTM", **now, Wx=(Wx, "I G"), Wh=(Wh, "H G"), b=(b, "G"))
        if sizes["G"] != 4 * H:
            raise ValueError(f"LSTM: Wh must have shape (H, 4*H), got {Wh.shape}")
        if mask is not None:
            check("LSTM", x=(x, "... I"), mask=(mask, "int ..."))
        masks = None if mask is None else mask.reshape(T, B) != 0
        dtype = xp.result_type(x, Wx, Wh, b, *first)
        h, c = xp.empty((2, T + 1, B, H), dtype)  # of the steps before, then after
        h[0], c[0] = first.h.reshape(B, H), first.c.reshape(B, H)
        rows = x.reshape(T * B, x.shape[-1])
        gates = (rows @ Wx).astype(dtype, copy=False).reshape(T, B, 4 * H)  # so far x Wx
        a = xp.empty((B, 4 * H), dtype)
        run = lstm_step.OP.resolve(None, a)
        steps = []
        for t in range(T):
            xp.matmul(h[t], Wh, out=a)
            a += gates[t]
            m = (None, None) if masks is None else (h[t], masks[t])
            out = (h[t + 1], c[t + 1], gates[t])
            steps.append(lstm_step.forward(a, c[t], b, *m, out=out, backend=run)[-1])

        y, c_last = kept(h[1:].reshape(T, *lead, H)), kept(c[-1].reshape(*lead, H))

        def backward(
            dy: Array, dc: Array | None, g: Any, need_x: bool = True, keep: bool = False
        ) -> tuple[Array | None, State | None]:
            """(dx, gradient of ``state``); ``keep=True`` leaves what a second call needs."""
            if not steps:
                raise RuntimeError("LSTM: backward was called before; the first needs keep=True")
            check("LSTM", y=(y, "... H"), dy=(dy, "... H"))
            if dc is not None:
                check("LSTM", c=(c_last, "... H"), dc=(dc, "... H"))
            da = xp.empty_like(gates) if keep else gates
            db = xp.empty((T, 4 * H), dtype)
            dc = xp.zeros((B, H), dtype) if dc is None else dc.reshape(B, H).copy()
            dh, dh_next = xp.zeros((2, B, H), dtype)
            for t in reversed(range(T)):
                dh += dy[t].reshape(B, H)
                out = (da[t], dc) if masks is None else (da[t], dc, dh)
                saved = steps[t] if keep else steps.pop()
                back = lstm_step.backward(dh, dc, saved, out=out, backend=run)
                db[t] = back[2]
                xp.matmul(da[t], Wh.T, out=dh_next)
                if masks is not None:
                    dh_next += dh  # what was carried over
                dh, dh_next = dh_next, dh
            g.cell.b.add_rows(db)
            u = xp.concatenate([rows.reshape(T, B, x.shape[-1]), h[:-1]], axis=-1)
            g.cell.W.add_outer(u, da)
            dx = (da.reshape(T * B, 4 * H) @ Wx.T).reshape(x.shape) if need_x else None
            return dx, State(dh.reshape(*lead, H), dc.reshape(*lead, H)) if state else None

        return y, c_last, backward
