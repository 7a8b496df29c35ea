"""Reading images through Gaussian filters: NumPy."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.kernels.filterbank import reference as filterbank
from backhand.numerics import xp_of


class Saved(NamedTuple):
    head: Array  # (..., 5)
    x: Array  # (..., C, H, W)
    x_hat: Array | None  # (..., D, H, W)
    N: int
    eps: float


def forward(
    head: Array, x: Array, x_hat: Array | None, N: int, eps: float = 1e-8
) -> tuple[Array, Saved]:
    xp = xp_of(head)
    height, width = x.shape[-2:]
    F_Y, F_X, gamma, _ = filterbank.forward(head, N, height, width, eps)
    F_Y, F_X = F_Y[..., None, :, :], F_X[..., None, :, :]  # one bank for all channels
    images = [x] if x_hat is None else [x, x_hat]
    P = xp.concatenate(
        [F_Y @ image @ F_X.swapaxes(-1, -2) for image in images], axis=-3
    )  # (..., C + D, N, N) [attention_read.1]
    return gamma[..., None, None, None] * P, Saved(head, x, x_hat, N, eps)  # [attention_read.2]


def backward(
    dr: Array, saved: Saved, need_x: bool = True, need_x_hat: bool = True
) -> tuple[Array, Array | None, Array | None]:
    head, x, x_hat, N, eps = saved
    C, height, width = x.shape[-3:]
    F_Y, F_X, gamma, bank = filterbank.forward(head, N, height, width, eps)
    dP = gamma[..., None, None, None] * dr  # (..., C + D, N, N) [attention_read.3]
    dF_Y, dF_X, dgamma, dx = _backward(dr[..., :C, :, :], dP[..., :C, :, :], x, F_Y, F_X, need_x)
    dx_hat = None
    if x_hat is not None:
        *more, dx_hat = _backward(
            dr[..., C:, :, :], dP[..., C:, :, :], x_hat, F_Y, F_X, need_x_hat
        )  # both images share the bank: their gradients add
        dF_Y, dF_X, dgamma = dF_Y + more[0], dF_X + more[1], dgamma + more[2]
    return filterbank.backward(dF_Y, dF_X, dgamma, bank), dx, dx_hat


def _backward(
    dr: Array, dP: Array, x: Array, F_Y: Array, F_X: Array, need_x: bool
) -> tuple[Array, Array, Array, Array | None]:
    """(dF_Y (..., N, H), dF_X (..., N, W), dgamma (...), dx) of one image."""
    F_Y, F_X = F_Y[..., None, :, :], F_X[..., None, :, :]
    T, dT = F_Y @ x, dP @ F_X  # (..., C, N, W) both
    dF_Y = (dT @ x.swapaxes(-1, -2)).sum(axis=-3)  # [attention_read.4]
    dF_X = (dP.swapaxes(-1, -2) @ T).sum(axis=-3)  # [attention_read.5]
    dx = F_Y.swapaxes(-1, -2) @ dT if need_x else None  # [attention_read.6]
    dgamma = (dr * (T @ F_X.swapaxes(-1, -2))).sum(axis=(-3, -2, -1))  # [attention_read.7]
    return dF_Y, dF_X, dgamma, dx
