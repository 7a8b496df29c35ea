"""One step of a long short-term memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from backhand._types import Array
from backhand.checks import check
from backhand.kernels import lstm_step
from backhand.kernels.matrix_product import packed, times, times_transposed
from backhand.kernels.matrix_product.reference import Packed
from backhand.layers.initial import Initial
from backhand.numerics import xp_of

Model = TypeVar("Model")
FEW_STEPS = 4  # in which packing costs more than it saves


class State(NamedTuple):
    h: Array  # (..., H)
    c: Array  # (..., H)


@dataclass
class LSTMCell:
    """h, c, backward = cell(x, State(h_prev, c_prev)); gates [i f g o] (kernels/lstm_step).

    a = x Wx + h_prev Wh + b.   x: (..., I), Wx: (I, 4*H), Wh: (H, 4*H), b: (4*H,); h, c: (..., H).
    Rows where ``mask`` (...), integers or booleans, is 0 keep their state, whatever x holds.
    """

    Wx: Array
    Wh: Array
    b: Array
    _ready: ClassVar[tuple[Array | Packed, Array | Packed] | None] = None  # Wx and Wh, packed

    @classmethod
    def create(cls, initial: Initial, inputs: int, hidden: int, forget_bias: float = 1.0) -> Self:
        """Each gate has its own fan-out; ``forget_bias`` is where the forget gate's b starts."""
        Wx = [initial.glorot(inputs, hidden) for _ in range(4)]
        Wh = [initial.glorot(hidden, hidden) for _ in range(4)]
        b, xp = initial.zeros(4 * hidden), xp_of(Wx[0])
        b[hidden : 2 * hidden] = forget_bias
        return cls(xp.concatenate(Wx, axis=1), xp.concatenate(Wh, axis=1), b)

    def __call__(
        self, x: Array, state: State, mask: Array | None = None
    ) -> tuple[Array, Array, Callable[..., Any]]:
        h_prev, c_prev = state
        check(
            "LSTMCell", x=(x, "... I"), Wx=(self.Wx, "I G"), Wh=(self.Wh, "H G"),
            h_prev=(h_prev, "... H"), c_prev=(c_prev, "... H"),
        )  # fmt: skip
        Wx, Wh = self._ready or (self.Wx, self.Wh)
        a, recurrent = times(x, Wx), times(h_prev, Wh)  # (..., 4*H)
        if a.dtype == recurrent.dtype:
            a += recurrent  # nobody else has seen a: no third array
        else:
            a = a + recurrent
        run = lstm_step.OP.resolve(None, a, self.b, c_prev)
        carried = None if mask is None else h_prev
        h, c, saved = lstm_step.forward(a, c_prev, self.b, carried, mask, backend=run)

        def backward(dh: Array, dc: Array, g: Any, need_x: bool = True) -> tuple[Any, State]:
            da, dc_prev, db, d_carried = lstm_step.backward(dh, dc, saved, backend=run)
            g.b.add(db)
            g.Wh.add_outer(h_prev, da)
            g.Wx.add_outer(x, da)
            dh_prev = times_transposed(da, Wh)
            if d_carried is not None:
                dh_prev = dh_prev + d_carried  # h_prev is used twice
            return times_transposed(da, Wx) if need_x else None, State(dh_prev, dc_prev)

        return h, c, backward

    def packed(self) -> Self:
        """The same cell with its weights as they are now, for many steps with few rows."""
        new: Any = copy.copy(self)
        new._ready = packed(self.Wx), packed(self.Wh)
        return new  # type: ignore[no-any-return]


def with_packed_cells(model: Model, steps: int) -> Model:
    """The model for so many steps: the weights of its cells packed once, not at each step."""
    if steps <= FEW_STEPS:
        return model
    new = copy.copy(model)
    for name, part in vars(model).items():
        if isinstance(part, LSTMCell):
            setattr(new, name, part.packed())
    return new
