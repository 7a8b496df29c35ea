"""Writing a patch through Gaussian filters: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.kernels.filterbank import reference as filterbank


class Saved(NamedTuple):
    head: Array  # (..., 5)
    w: Array  # (..., C, N, N)
    height: int
    width: int
    eps: float


def forward(
    head: Array, w: Array, height: int, width: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    F_Y, F_X, gamma, _ = filterbank.forward(head, w.shape[-1], height, width, eps)
    F_Y, F_X = F_Y[..., None, :, :], F_X[..., None, :, :]  # one bank for all channels
    Q = F_Y.swapaxes(-1, -2) @ (w @ F_X)  # (..., C, H, W) [attention_write.1]
    c = Q / gamma[..., None, None, None]  # [attention_write.2]
    return c, Saved(head, w, height, width, eps)


def backward(dc: Array, saved: Saved) -> tuple[Array, Array]:
    head, w, height, width, eps = saved
    F_Y, F_X, gamma, bank = filterbank.forward(head, w.shape[-1], height, width, eps)
    G_Y, G_X = F_Y[..., None, :, :], F_X[..., None, :, :]
    dQ = dc / gamma[..., None, None, None]  # (..., C, H, W) [attention_write.3]
    dU = G_Y @ dQ  # (..., C, N, W)
    dw = dU @ G_X.swapaxes(-1, -2)  # (..., C, N, N) [attention_write.4]
    dF_Y = ((w @ G_X) @ dQ.swapaxes(-1, -2)).sum(axis=-3)  # (..., N, H) [attention_write.5]
    dF_X = (w.swapaxes(-1, -2) @ dU).sum(axis=-3)  # (..., N, W) [attention_write.6]
    dgamma = -(dF_Y * F_Y).sum(axis=(-2, -1)) / gamma  # (...) [attention_write.7]
    return filterbank.backward(dF_Y, dF_X, dgamma, bank), dw
