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
from backhand.outputs import kept

Model = TypeVar("Model")
FEW_STEPS = 4  # in which packing costs more than it saves


class State(NamedTuple):
    h: Array  # (..., H)
    c: Array  # (..., H)


@dataclass
class LSTMCell:
    """h, c, backward = cell(x, State(h_prev, c_prev)); gates [i f g o] (kernels/lstm_step).

    a = [x, h_prev] W + b.   x: (..., I), W: (I + H, 4*H), b: (4*H,); h, c: (..., H).
    Rows where ``mask`` (...), integers or booleans, is 0 keep their state, whatever x holds.
    """

    W: Array
    b: Array
    _packed: ClassVar[Array | Packed | None] = None

    @classmethod
    def create(cls, initial: Initial, inputs: int, hidden: int, forget_bias: float = 1.0) -> Self:
        """Each gate has its own fan-out; ``forget_bias`` is where the forget gate's b starts."""
        Wx = [initial.glorot(inputs, hidden) for _ in range(4)]
        Wh = [initial.glorot(hidden, hidden) for _ in range(4)]
        b, xp = initial.zeros(4 * hidden), xp_of(Wx[0])
        b[hidden : 2 * hidden] = forget_bias
        return cls(xp.concatenate([xp.concatenate(part, axis=1) for part in (Wx, Wh)]), b)

    @property
    def Wx(self) -> Array:
        """The rows of W that x meets, (I, 4*H)."""
        return self.W[: len(self.W) - self.W.shape[1] // 4]

    @property
    def Wh(self) -> Array:
        """Those that h_prev meets, (H, 4*H)."""
        return self.W[len(self.W) - self.W.shape[1] // 4 :]

    def __call__(
        self, x: Array, state: State, mask: Array | None = None
    ) -> tuple[Array, Array, Callable[..., Any]]:
        h_prev, c_prev = state
        arrays = {"x": (x, "... I"), "h_prev": (h_prev, "... H"), "c_prev": (c_prev, "... H")}
        if mask is not None:
            arrays["mask"] = mask, "int ..."
        sizes = check("LSTMCell", **arrays, W=(self.W, "I+H G"), b=(self.b, "G"))
        inputs, H = sizes["I"], sizes["H"]
        if self.W.shape != (inputs + H, 4 * H):
            raise ValueError(
                f"LSTMCell: W must have shape (I+H, 4*H) with I = {inputs} (from x) and H = {H} "
                f"(from h_prev), got {self.W.shape}"
            )
        xp, W = xp_of(x), self.W if self._packed is None else self._packed
        u = xp.concatenate([x, h_prev], axis=-1)  # (..., I + H)
        run = lstm_step.OP.resolve(None, u, self.W, self.b, c_prev)
        a = times(u, W, backend=run)  # (..., 4*H)
        out = None
        if a.dtype == c_prev.dtype == self.b.dtype:
            made = xp.empty((2, *c_prev.shape), a.dtype)
            out = made[0], made[1], a  # the gates in its place: nobody else has seen it
        step = lstm_step.OP.implementation(run)  # its arguments were checked above, or made here
        carried = None if mask is None else h_prev
        h, c, saved = step.forward(a, c_prev, self.b, carried, mask, 0.0, out)
        h, c = kept(h), kept(c)

        def backward(dh: Array, dc: Array, g: Any, need_x: bool = True) -> tuple[Any, State]:
            check("LSTMCell", c=(c, "... H"), dh=(dh, "... H"), dc=(dc, "... H"))
            into: tuple[Array, ...] | None = None
            room = g.W.room(a.shape, a.dtype)
            if room is not None and dh.dtype == dc.dtype == c.dtype == a.dtype:
                into = room, xp.empty(c.shape, c.dtype)
                if mask is not None:
                    into = *into, xp.empty(c.shape, c.dtype)
            da, dc_prev, db, d_carried = step.backward(dh, dc, saved, into)
            g.b.add(db)
            g.W.add_outer(u, da)
            du = times_transposed(da, W, backend=run)
            dh_prev = du[..., inputs:]
            if d_carried is not None:
                dh_prev = dh_prev + d_carried  # h_prev is used twice
            return du[..., :inputs] if need_x else None, State(dh_prev, dc_prev)

        return h, c, backward

    def packed(self) -> Self:
        """The same cell with W as it is now, for many steps with few rows."""
        new: Any = copy.copy(self)
        new._packed = packed(self.W)
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
