"""What is measured of a training step in processes of its own, after the timed rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backhand.backend import status
from backhand.bench.harness import memory
from backhand.bench.harness.case import Case, Implementation
from backhand.bench.harness.process import Processes, WorkerError


def memories(
    columns: Sequence[Implementation], threads: int, python: Path | str, **where: str
) -> dict[str, dict[str, Any]]:
    """Peak memory by label, each in a fresh process; ``error`` where that fails."""
    if not memory.available():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for column in columns:
        with Processes(threads, python) as fresh:
            try:
                found[column.label] = fresh[column.group].call("memory", key=column.key, **where)
            except WorkerError as error:
                found[column.label] = {"error": str(error)}
    return found


def split(case: Case, **where: str) -> dict[str, Any] | None:
    """Where the time of our compiled form goes, on one thread; None where there is none."""
    if not status("native").available:
        return None
    key = next(key for key in case.implementations if key.startswith("backhand"))
    with Processes(1, "") as fresh:
        try:
            return fresh["native"].call("split", key=key, **where)
        except WorkerError as error:
            return {"error": str(error)}
