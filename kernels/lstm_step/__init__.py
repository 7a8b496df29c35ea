"""LSTM step: everything between two matrix products, in one pass.

    [i f g o] = [s s tanh s](a + b),  forget_bias added to f before its s;  s the logistic function
    c = f c_prev + i g
    h = o tanh(c)

    dc' = dc + dh o (1 - tanh(c)^2),   dc_prev = dc' f,   db = sum over the leading axes of da
    da  = [dc' g i(1-i),  dc' c_prev f(1-f),  dc' i (1-g^2),  dh tanh(c) o(1-o)]

a (..., 4H), for instance [x, h_prev] W; c_prev (..., H); b (4H), or None for no bias; h, c
(..., H).  With ``mask`` (...), integers or booleans, rows where it is 0 keep c = c_prev and
h = h_prev (..., H), which is needed then and gets a gradient; what stands in a does not matter
there.  (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000.)
Saved: the gates, c_prev, c, mask; tanh(c) is recomputed.  Derivation: DERIVATION.md.

Time loops pass arrays to write into, so that nothing is allocated at each step:
``forward(..., out=(h, c, gates))``, where gates may be a itself, and
``backward(..., out=(da, dc_prev))`` or, with a mask, ``(da, dc_prev, dh_prev)``, where da may be
saved.gates (which ends its use), dc_prev may be dc and dh_prev may be dh.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.lstm_step.reference import Saved
from backhand.outputs import check_written, kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)
# What the backward may be given to write into.
_INTO = (("out[0] (da)", "... G"), ("out[1] (dc_prev)", "... H"), ("out[2] (dh_prev)", "... H"))


def forward(
    a: Array, c_prev: Array, b: Array | None = None, h_prev: Array | None = None,
    mask: Array | None = None, forget_bias: float = 0.0, *,
    out: tuple[Array, Array, Array] | None = None, backend: str | None = None,
) -> tuple[Array, Array, Saved]:  # fmt: skip
    """h (..., H), c (..., H), and what the backward needs."""
    if (mask is None) != (h_prev is None):
        raise ValueError("lstm_step: mask and h_prev go together: give both or neither")
    arrays = {"c_prev": (c_prev, "... H"), "a": (a, "... G")}
    if b is not None:
        arrays["b"] = (b, "G")
    if h_prev is not None and mask is not None:
        arrays |= {"h_prev": (h_prev, "... H"), "mask": (mask, "int ...")}
    if out is not None:
        arrays |= {"out[0] (h)": (out[0], "... H"), "out[1] (c)": (out[1], "... H")}
        arrays["out[2] (gates)"] = (out[2], "... G")
    sizes = check("lstm_step", **arrays)
    if out is not None:
        _check_written(out)
    if sizes["G"] != 4 * sizes["H"]:
        raise ValueError(
            f"lstm_step: a must have shape (..., 4*H) with H = {sizes['H']} (from c_prev), "
            f"got {a.shape}"
        )
    module = OP.pick(backend, a, c_prev, b, h_prev)
    h, c, saved = module.forward(a, c_prev, b, h_prev, mask, forget_bias, out)
    return h, c if out is not None else kept(c), saved


def backward(
    dh: Array, dc: Array, saved: Saved, *,
    out: tuple[Array, ...] | None = None, backend: str | None = None,
) -> tuple[Array, Array, Array | None, Array | None]:  # fmt: skip
    """(da, dc_prev, db, dh_prev); db is None without a bias, dh_prev without a mask."""
    arrays = {"c": (saved.c, "... H"), "dh": (dh, "... H"), "dc": (dc, "... H")}
    if out is not None:
        count = 2 if saved.mask is None else 3
        if len(out) != count:
            raise ValueError(
                f"lstm_step: out must hold {count} arrays, (da, dc_prev) and with a mask dh_prev, "
                f"got {len(out)}"
            )
        arrays["gates"] = (saved.gates, "... G")
        arrays |= {name: (x, like) for x, (name, like) in zip(out, _INTO, strict=False)}
    check("lstm_step", **arrays)
    if out is not None:
        _check_written(out)
    module = OP.pick(backend, dh, dc, saved.gates, saved.c)
    return module.backward(dh, dc, saved, out)  # type: ignore[no-any-return]


def _check_written(out: tuple[Array, ...]) -> None:
    check_written("lstm_step", **{f"out[{n}]": array for n, array in enumerate(out)})
