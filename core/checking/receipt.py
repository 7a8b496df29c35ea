"""What a check hands out, and what it raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

COMPLEX_STEP = "complex step"
CENTRAL = "central differences"
CONTRACT = "contract"
FORWARD = "reference"

# (kind, method) -> the largest relative error that passes.  Float64 arithmetic leaves about
# 1e-15 per operation; central differences cannot show more than these.
TOLERANCES = {
    ("op", COMPLEX_STEP): 1e-12,
    ("op", CENTRAL): 1e-9,
    ("layer", COMPLEX_STEP): 1e-12,
    ("layer", CENTRAL): 1e-9,
    ("model", COMPLEX_STEP): 1e-9,
    ("model", CENTRAL): 1e-7,
    ("estimator", COMPLEX_STEP): 1e-9,
    ("estimator", CENTRAL): 1e-7,
}


class Receipt(NamedTuple):
    """One derivative, compared.

    kind: "op", "layer", "model" or "estimator".  wrt: the input or parameter.
    method: "complex step", "central differences", "reference" for outputs compared with those of
    the reference, "contract" for a rule that was broken, "crashed" where nothing could be run.
    max_rel_error: NaN where nothing could be compared.  reason: why it failed, or why central
    differences had to do; else empty.
    """

    name: str
    kind: str
    wrt: str
    method: str
    max_rel_error: float
    tolerance: float
    ok: bool
    reason: str = ""


class GradientError(AssertionError):
    """A hand-written gradient is wrong, or nothing about it could be certified."""

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self.receipts = list(receipts)
        failed = [r for r in self.receipts if not r.ok]
        lines = [f"{r.name}: {r.wrt}: {r.reason}" for r in failed]
        passed = [f"{r.wrt} {r.max_rel_error:.1e}" for r in self.receipts if r.ok]
        if passed:
            lines.append(f"right: {', '.join(passed)}")
        super().__init__("\n".join(lines))
