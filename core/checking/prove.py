"""Running the catalogue: the receipts of ``backhand check``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from backhand.backend import BackendUnavailable, use_backend
from backhand.checking.case import Case
from backhand.checking.compare import compare
from backhand.checking.draws import Draws
from backhand.checking.receipt import FORWARD, Receipt
from backhand.checking.subject import Subject

SEED = 7
FORWARD_TOLERANCE = 1e-12


class Proof(NamedTuple):
    """skipped: (case, why) of what the backend has no form of."""

    receipts: list[Receipt]
    skipped: list[tuple[str, str]]


def prove(cases: Iterable[Case], backend: str = "numpy") -> Proof:
    """Check each case on ``backend``; what crashes is a receipt that is not ok.

    The derivatives are those of the NumPy reference, whatever the backend.
    """
    proof = Proof([], [])
    for case in cases:
        try:
            with use_backend("numpy"):
                subject = case.make(Draws(SEED + 1))
            subject.name = case.label
            with use_backend(backend):
                if backend != "numpy":
                    proof.receipts.append(_forward(subject))
                proof.receipts.extend(compare(subject, SEED, None))
        except BackendUnavailable as reason:
            proof.skipped.append((case.label, str(reason)))
        except Exception as error:  # a check that cannot run has proven nothing
            text = f"{type(error).__name__}: {error}"
            proof.receipts.append(
                Receipt(case.label, case.kind, "", "crashed", np.nan, 0.0, False, text)
            )
    return proof


def _forward(subject: Subject) -> Receipt:
    """The backend's float64 outputs against the reference's, by the largest of each output."""
    outputs = subject.run(subject.values).outputs
    with use_backend("numpy"):
        right = subject.run(subject.values).outputs
    errors = [
        float(np.abs(y - r).max() / (np.abs(r).max() or 1))
        for y, r in zip(outputs, right, strict=True)
    ]
    error = max(errors)
    ok = error <= FORWARD_TOLERANCE
    reason = "" if ok else f"output {int(np.argmax(errors))} differs from the reference"
    return Receipt(
        subject.name, subject.kind, "outputs", FORWARD, error, FORWARD_TOLERANCE, ok, reason
    )
