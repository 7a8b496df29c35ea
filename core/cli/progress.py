"""Progress on standard error: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Reporter:
    """Called with each row of ``fit``; prints the epochs, and a bar where there is a terminal.

    While it is open, Ctrl-C and SIGTERM end the training after the step at hand, with a
    checkpoint; a second one interrupts at once.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.stop = False
        self._bar: Any = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.stop = True
        signal.signal(number, self._before[number])

    def __call__(self, row: dict[str, Any]) -> bool:
        if self._bar is None and not self.steps:
            self._bar = _bar(row)
        self.steps = row["step"]
        if self._bar is not None:
            self._bar.update(row["step"] - self._bar.n)
        if "epoch" in row:
            nats = {name: row[name]["nats"] for name in ("train", "valid") if name in row}
            told = "".join(f"  {name} {value:9.3f}" for name, value in nats.items())
            if "error" in row.get("valid", {}):
                told += f"  wrong {100 * row['valid']['error']:.2f} %"
            best = " *" if row.get("best") else ""
            where = f"epoch {row['epoch']:4d}  step {row['step']:7d}"
            self.line(f"{where}{told}  {row['seconds']:8.1f} s{best}")
        return self.stop

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
