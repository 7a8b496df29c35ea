"""Gaussian filters over an image, placed by five numbers (DRAW).

    g_X  = (W + 1)/2 (gx~ + 1) - 1            g_Y with H and gy~
    mu_i = g_X + (i - (N - 1)/2) delta        delta = (max(H, W) - 1)/(N - 1) d~
    F_ia = exp(l_ia) / (sum_a exp(l_ia) + eps),   l_ia = -(a - mu_i)^2 / (2 s2)

    E = F (dF - rowsum(dF F)),  dmu_i = sum_a E_ia (a - mu_i) / s2,
    dlog s2 = sum_ia E_ia (a - mu_i)^2 / (2 s2),  dlog d~ = delta sum_i dmu_i (i - (N - 1)/2)

head (..., 5): gx~, gy~, log s2, log d~, log gamma; F_Y (..., N, height); F_X (..., N, width);
gamma (...).  Pixels count from 0; ``gx~ = 0`` is the centre; N >= 2.  With eps > 0 a filter
outside the image sees nothing, with eps = 0 the nearest pixel.
(Gregor, Danihelka, Graves, Rezende & Wierstra 2015, section 3.2.)
Saved: head, F_Y, F_X.  Derivation: DERIVATION.md.
"""

from __future__ import annotations

import math

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.kernels.filterbank.reference import Saved
from backhand.outputs import kept

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def forward(
    head: Array, N: int, height: int, width: int, eps: float = 1e-8, *, backend: str | None = None
) -> tuple[Array, Array, Array, Saved]:
    """F_Y (..., N, height), F_X (..., N, width), gamma (...), and what the backward needs."""
    check_grid("filterbank", eps, N=(N, 2), height=(height, 1), width=(width, 1))
    check("filterbank", head=(head, "... 5"))
    F_Y, F_X, gamma, saved = OP.pick(backend, head).forward(head, N, height, width, eps)
    return kept(F_Y), kept(F_X), gamma, saved


def backward(
    dF_Y: Array, dF_X: Array, dgamma: Array, saved: Saved, *, backend: str | None = None
) -> Array:
    """d_head (..., 5)."""
    check(
        "filterbank", F_Y=(saved.F_Y, "... N H"), F_X=(saved.F_X, "... N W"),
        dF_Y=(dF_Y, "... N H"), dF_X=(dF_X, "... N W"), dgamma=(dgamma, "..."),
    )  # fmt: skip
    return OP.pick(backend, dF_Y, dF_X, dgamma, *saved).backward(dF_Y, dF_X, dgamma, saved)  # type: ignore[no-any-return]


def check_grid(op: str, eps: float, **sizes: tuple[int, int]) -> None:
    """Sizes are ints with a least value; 0 <= eps < infinity."""
    for name, (size, least) in sizes.items():
        if not isinstance(size, int) or size < least:
            raise ValueError(f"{op}: {name} must be an int of at least {least}, got {size!r}")
    if not 0 <= eps < math.inf:
        raise ValueError(f"{op}: eps must be a finite number >= 0, got {eps!r}")
