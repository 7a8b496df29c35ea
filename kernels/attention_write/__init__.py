"""A patch painted onto a canvas through Gaussian filters (DRAW's write).

    c = F_Y^T w F_X / gamma      F_Y, F_X, gamma: ``filterbank`` of the head

    with dQ = dc / gamma:  dw = F_Y dQ F_X^T,  dF_Y = w F_X dQ^T,  dF_X = w^T F_Y dQ,
    dgamma = -<dF_Y, F_Y> / gamma;  the bank is shared: its gradients add over channels

head (..., 5), not the one of the read; w (..., C, N, N); c (..., C, height, width).
(Gregor, Danihelka, Graves, Rezende & Wierstra 2015, section 3.2.)
Saved: head, w; the bank is built again.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.attention_write.reference import Saved
from backhand.kernels.filterbank import check_grid

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    head: Array,
    w: Array,
    height: int,
    width: int,
    eps: float = 1e-8,
    *,
    backend: str | None = None,
) -> tuple[Array, Saved]:
    """c (..., C, height, width) and what the backward needs."""
    sizes = check("attention_write", head=(head, "... 5"), w=(w, "... C N N"))
    check_grid(
        "attention_write", eps, N=(sizes["N"], 2), height=(height, 1), width=(width, 1)
    )  # fmt: skip
    return OP.pick(backend, head, w).forward(head, w, height, width, eps)  # type: ignore[no-any-return]


def backward(dc: Array, saved: Saved, *, backend: str | None = None) -> tuple[Array, Array]:
    """(d_head, dw)."""
    head, w, height, width, _ = saved
    check(
        "attention_write",
        head=(head, "... 5"), w=(w, "... C N N"), dc=(dc, f"... C {height} {width}"),
    )  # fmt: skip
    return OP.pick(backend, dc, head, w).backward(dc, saved)  # type: ignore[no-any-return]
