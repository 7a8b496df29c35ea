"""Patches of one or two images, seen through one bank of Gaussian filters (DRAW's read).

    r = gamma F_Y x F_X^T        F_Y, F_X, gamma: ``filterbank`` of the head

    with dP = gamma dr:  dx = F_Y^T dP F_X,  dF_Y = dP F_X x^T,  dF_X = dP^T F_Y x,
    dgamma = <dr, P>;  the bank is shared: its gradients add over channels and images

head (..., 5); x (..., C, H, W); x_hat (..., D, H, W) or None; r (..., C + D, N, N), x's channels
first, so that ``r.reshape(B, -1)`` is the glimpse [x ; x_hat].  More images are more channels.
Usually x is data (``need_x=False``) and x_hat what the canvas lacks of it.
(Gregor, Danihelka, Graves, Rezende & Wierstra 2015, section 3.2.)
Saved: head, x, x_hat; the bank is built again.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.attention_read.reference import Saved
from backhand.kernels.filterbank import check_grid

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    head: Array,
    x: Array,
    x_hat: Array | None,
    N: int,
    eps: float = 1e-8,
    *,
    backend: str | None = None,
) -> tuple[Array, Saved]:
    """r (..., C + D, N, N) and what the backward needs."""
    if x_hat is None:
        sizes = check("attention_read", head=(head, "... 5"), x=(x, "... C H W"))
    else:
        sizes = check(
            "attention_read",
            head=(head, "... 5"), x=(x, "... C H W"), x_hat=(x_hat, "... D H W"),
        )  # fmt: skip
    check_grid("attention_read", eps, N=(N, 2), H=(sizes["H"], 1), W=(sizes["W"], 1))
    return OP.pick(backend, head, x, x_hat).forward(head, x, x_hat, N, eps)  # type: ignore[no-any-return]


def backward(
    dr: Array,
    saved: Saved,
    need_x: bool = True,
    need_x_hat: bool = True,
    *,
    backend: str | None = None,
) -> tuple[Array, Array | None, Array | None]:
    """(d_head, dx, dx_hat); None for what is not needed, and for an x_hat that is None."""
    head, x, x_hat, N, _ = saved
    channels = x.shape[-3] + (0 if x_hat is None else x_hat.shape[-3])
    check("attention_read", head=(head, "... 5"), dr=(dr, f"... {channels} {N} {N}"))
    return OP.pick(backend, dr, head, x, x_hat).backward(dr, saved, need_x, need_x_hat)  # type: ignore[no-any-return]
