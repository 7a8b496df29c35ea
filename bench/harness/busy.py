"""How many cores other processes use, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

ALLOWED = 0.3  # cores
PROC = Path("/proc")


def available() -> bool:
    """Only Linux tells."""
    return (PROC / "stat").exists()


class Watch:
    """``Watch().cores(seconds)``: cores that others used since it was made."""

    def __init__(self) -> None:
        self.others = _others()

    def cores(self, seconds: float) -> float:
        """Own processes (this one and all below it) are not counted."""
        ticks = _others() - self.others
        return max(0.0, ticks / os.sysconf("SC_CLK_TCK") / seconds)


def _others() -> int:
    # user, nice, system, idle, iowait, irq, softirq, steal
    fields = [int(word) for word in (PROC / "stat").read_text().split("\n")[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4] - _own()


def _own() -> int:
    """Ticks of this process and its descendants, those that ended included."""
    ticks: dict[int, int] = {}
    parents: dict[int, int] = {}
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name of the program, in brackets, may hold anything.
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(folder.name)] = int(words[1])
        ticks[int(folder.name)] = sum(int(word) for word in words[11:15])
    return sum(n for process, n in ticks.items() if _is_below(process, parents))


def _is_below(process: int, parents: dict[int, int]) -> bool:
    while process not in (0, os.getpid()):
        process = parents.get(process, 0)
    return process != 0
