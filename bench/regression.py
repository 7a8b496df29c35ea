"""Is a step much slower than it was?  ``make bench-check``.

    python -m backhand.bench.regression results/bench/training.json

measures the report's training steps again, those with the most threads, ours alone, and compares
how many times faster than our NumPy form the fastest is: the machine's own speed drops out.  Exit
status 1 where a case has lost more than MARGIN, or cannot be measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backhand.bench.summary import shown, step_name

MARGIN = 1.5  # medians of two runs on a shared machine differ by up to 1.2
Record = dict[str, Any]


def gains(records: Sequence[Record]) -> dict[tuple[str, int], float]:
    """(case, threads) -> NumPy's time over that of the fastest, where both are known."""
    found = {}
    for r in records:
        rows = r.get("implementations", {})
        if "numpy" in rows:
            fastest = rows[r["backend"]]["seconds_median"]
            found[r["case"], r["threads"]] = rows["numpy"]["seconds_median"] / fastest
    return found


def lost(then: Sequence[Record], now: Sequence[Record]) -> list[str]:
    """What got slower, in words."""
    before, after = gains(then), gains(now)
    if not before:
        raise ValueError("the report has no times of our NumPy form: leave out --quick to make it")
    words = []
    for key, gain in before.items():
        name = step_name(*key)
        if key not in after:
            words.append(f"{name}: not measured")
        elif after[key] < gain / MARGIN:
            words.append(f"{name}: {after[key]:.2f} times NumPy's speed, it was {gain:.2f}")
    return words


def main(report: str) -> int:
    then = shown(json.loads(Path(report).read_text(encoding="utf-8")))
    threads = sorted({key[1] for key in gains(then)})
    cases = list(dict.fromkeys(key[0] for key in gains(then)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "now.json"
        command = [sys.executable, "-m", "backhand", "bench", *cases, "--peers", "none"]
        command += ["--rounds", "2", "--threads", ",".join(map(str, threads)), "-o", str(out)]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            return 1  # it has said why: the machine is busy, or a case failed
        words = lost(then, json.loads(out.read_text(encoding="utf-8")))
    print("\n".join(words) or f"none of {len(cases)} cases lost more than {MARGIN} times")
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
