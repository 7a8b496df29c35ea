"""Hand-written gradients against independent derivatives.

``gradcheck`` takes a layer or a function, ``gradcheck_model`` a model; both raise
``GradientError`` with a message that names the array, the worst entry, both values and a
guess.  ``receipts`` and ``model_receipts`` return the same findings without raising.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backhand.checking.compare import compare
from backhand.checking.receipt import GradientError, Receipt
from backhand.checking.subject import CallSubject, ModelSubject, kernel
from backhand.model import UNWEIGHTED, Batch, Weights
from backhand.noise import Noise

__all__ = [
    "GradientError",
    "Receipt",
    "gradcheck",
    "gradcheck_model",
    "kernel",
    "model_receipts",
    "receipts",
]


def gradcheck(
    f: Any, *inputs: Any, seed: int = 0, tolerance: float | None = None,
    wrt: Sequence[str] | None = None,
) -> list[Receipt]:  # fmt: skip
    """Check the backward of ``f`` at these inputs; raises GradientError where it is wrong.

    f: a layer (dataclass of float arrays), a method of one, or a function, with
    ``y, ..., backward = f(*inputs)`` and ``backward(dy, ..., g)``, or ``backward(dy, ...)``
    where there are no parameters.  Inputs that are no float arrays are passed on.  float32 is
    lifted to float64.  wrt: names of inputs and parameters (or of what holds them) to check;
    all of them by default.  seed: of the random cotangents and directions.  tolerance: of the
    relative error; 1e-12 by complex step and 1e-9 by central differences by default.
    """
    return _raise_if_wrong(receipts(f, *inputs, seed=seed, tolerance=tolerance, wrt=wrt))


def receipts(
    f: Any, *inputs: Any, seed: int = 0, tolerance: float | None = None,
    wrt: Sequence[str] | None = None, name: str | None = None, kind: str = "",
) -> list[Receipt]:  # fmt: skip
    """As ``gradcheck``, but hands out wrong findings too."""
    return compare(CallSubject(f, inputs, wrt, name, kind), seed, tolerance)


def gradcheck_model(
    model: Any, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED, *,
    seed: int = 0, tolerance: float | None = None, wrt: Sequence[str] | None = None,
    method: str = "bound",
) -> list[Receipt]:  # fmt: skip
    """Check sum(d * objective), d random, (B,), against every parameter of a model.

    The default tolerance is 1e-9 by complex step and 1e-7 by central differences.
    method: the name of what returns the Bound, called as ``bound`` is; wrt= names the
    parameters that another objective depends on, as one without a gradient is refused.
    """
    found = model_receipts(
        model, batch, noise, k, weights, seed=seed, tolerance=tolerance, wrt=wrt, method=method
    )
    return _raise_if_wrong(found)


def model_receipts(
    model: Any, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED, *,
    seed: int = 0, tolerance: float | None = None, wrt: Sequence[str] | None = None,
    name: str | None = None, kind: str = "model", method: str = "bound",
) -> list[Receipt]:  # fmt: skip
    """As ``gradcheck_model``, but hands out wrong findings too."""
    subject = ModelSubject(model, batch, noise, k, weights, wrt, name, kind, method)
    return compare(subject, seed, tolerance)


def _raise_if_wrong(found: list[Receipt]) -> list[Receipt]:
    if not all(receipt.ok for receipt in found):
        raise GradientError(found)
    return found
