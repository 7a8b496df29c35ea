"""Progress on standard error: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Progress:
    """Called with each row of ``fit``; prints the epochs, and a bar where there is a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is KeyboardInterrupt:
            self.line(f"stopped after step {self.steps}; go on with --run {self.folder} --resume")

    def __call__(self, row: dict[str, Any]) -> None:
        if self._bar is None and not self.steps:
            self._bar = _bar(row)
        self.steps = row["step"]
        if self._bar is not None:
            self._bar.update(row["step"] - self._bar.n)
        if "epoch" in row:
            valid = f"  valid {row['valid']['nats']:9.3f}" if "valid" in row else ""
            best = " *" if row.get("best") else ""
            self.line(
                f"epoch {row['epoch']:4d}  step {row['step']:7d}  train {row['train']['nats']:9.3f}"
                f"{valid}  {row['seconds']:8.1f} s{best}"
            )

    def line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


def _bar(row: dict[str, Any]) -> Any:
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=row["total"], initial=row["step"] - 1, unit="step", leave=False)
