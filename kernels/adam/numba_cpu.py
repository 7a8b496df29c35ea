"""Adam in Numba: one pass."""

from __future__ import annotations

from math import sqrt
from typing import Any

from backhand._types import Array
from backhand.kernels.numba_tools import jit, over_rows

SECONDS = 0.4e-9  # for one parameter


def update(
    theta: Array, grad: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float,
    eps: float, step: int, weight_decay: float, scale: float,
) -> None:  # fmt: skip
    rate = lr / (1 - beta1**step)  # [adam.4]
    root = 1 / sqrt(1 - beta2**step)  # [adam.5]
    real = theta.dtype.type
    settings = map(real, (scale, beta1, 1 - beta1, beta2, 1 - beta2, rate, root, eps))
    decay = real(lr * weight_decay)
    over_rows(_update, len(theta), SECONDS, theta, grad, m, v, *settings, decay)


@jit
def _update(
    begin: int, end: int, theta: Any, grad: Any, m: Any, v: Any, scale: Any, beta1: Any,
    rest1: Any, beta2: Any, rest2: Any, rate: Any, root: Any, eps: Any, decay: Any,
) -> None:  # fmt: skip
    theta, grad, m, v = theta[begin:end], grad[begin:end], m[begin:end], v[begin:end]
    for i in range(len(theta)):
        g = scale * grad[i]  # [adam.1]
        m_i = beta1 * m[i] + rest1 * g  # [adam.2]
        v_i = beta2 * v[i] + rest2 * (g * g)  # [adam.3]
        step = m_i / (sqrt(v_i) * root + eps) * rate  # [adam.6]
        theta[i] = theta[i] - (step + decay * theta[i])  # [adam.7]
        m[i] = m_i
        v[i] = v_i
