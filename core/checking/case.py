"""One thing that ``backhand check`` proves."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from backhand.checking.draws import Draws
from backhand.checking.subject import Subject


class Case(NamedTuple):
    """name: of the op, layer or model; variant: "" or what is special; make: what to check."""

    name: str
    variant: str
    kind: str
    make: Callable[[Draws], Subject]

    @property
    def label(self) -> str:
        return f"{self.name}[{self.variant}]" if self.variant else self.name
