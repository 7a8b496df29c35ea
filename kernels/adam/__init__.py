"""Adam and AdamW: one update of a whole parameter vector, in place.

    g     = scale * grad                                  scale: clipping by the global norm
    m     = beta1 * m + (1 - beta1) * g
    v     = beta2 * v + (1 - beta2) * g**2
    theta = theta - lr * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + eps)
                  - lr * weight_decay * theta             decoupled decay: AdamW

Kingma & Ba, ICLR 2015; Loshchilov & Hutter, ICLR 2019.  Derivation: ``DERIVATION.md``.
"""

from __future__ import annotations

from math import inf

from backhand._types import Array
from backhand.backend import Op
from backhand.checks import check
from backhand.outputs import check_written

OP = Op(
    __name__, numpy="reference", numba="numba_cpu", native="native", cuda="cuda", emulated="cuda"
)


def update(
    theta: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float = 0.0,
    scale: float = 1.0,
    backend: str | None = None,
) -> None:
    """Overwrites theta, m and v, (n,) each; grad (n,) is only read.

    An optimiser exists to write its state: it is the one kernel that changes its inputs.
    step counts updates from 1.  m and v start at zero.
    """
    usual = step >= 1 and 0 <= beta1 < 1 and 0 <= beta2 < 1 and 0 < eps < inf
    if not (usual and 0 <= lr < inf and 0 <= weight_decay < inf and 0 <= scale < inf):
        _refuse(step, {"beta1": beta1, "beta2": beta2}, eps, lr, weight_decay, scale)
    run = OP.compiled(backend)
    settings = lr, beta1, beta2, eps, step, weight_decay, scale
    if run is not None and run.unchecked(theta, grad, m, v, *settings):
        return
    check("adam", theta=(theta, "n"), grad=(grad, "n"), m=(m, "n"), v=(v, "n"))
    check_written("adam", theta=theta, m=m, v=v)
    if theta.dtype.kind != "f":
        raise TypeError(f"adam: theta must be real, got {theta.dtype}")
    # float(): a NumPy scalar would lift float32 arithmetic to float64.
    OP.pick(backend, theta, grad, m, v).update(
        theta, grad, m, v, float(lr), float(beta1), float(beta2), float(eps), int(step),
        float(weight_decay), float(scale),
    )  # fmt: skip


def _refuse(
    step: int, betas: dict[str, float], eps: float, lr: float, weight_decay: float, scale: float
) -> None:
    """Say which of them is wrong."""
    if step < 1:
        raise ValueError(f"adam: step counts updates from 1, got {step}")
    for name, beta in betas.items():
        if not 0 <= beta < 1:
            raise ValueError(f"adam: {name} must be in [0, 1), got {beta}")
    if not 0 < eps < inf:
        raise ValueError(f"adam: eps must be positive, got {eps}")
    for name, value in (("lr", lr), ("weight_decay", weight_decay), ("scale", scale)):
        if not 0 <= value < inf:
            raise ValueError(f"adam: {name} must be finite and not negative, got {value}")
