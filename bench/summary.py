"""The README's table of times, made from a report of ``backhand bench -o FILE.json``.

    python -m backhand.bench.summary results/bench/training.json README.md

replaces what stands between START and END in the page; every row of the report is in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START, END = "<!-- times: made by bench/summary.py -->", "<!-- end of times -->"


def summary(records: Sequence[dict[str, Any]]) -> str:
    """A table of the report's rows, and a line of where they were had."""
    lines = ["| step | ours | best peer | peer / ours | limit / ours |", "|---|---|---|---|---|"]
    for r in records:
        name = step_name(r["case"], r["threads"])
        if "failed" in r:
            lines.append(f"| {name} | not measured: {r['failed']} | | | |")
            continue
        times = {label: found["seconds_median"] for label, found in r["implementations"].items()}
        peer = f"{_ms(times[r['best_peer']])} ({r['best_peer']})" if r["best_peer"] else ""
        ratio = f"{r['ratio_to_best_peer']:.2f}" if r["best_peer"] else ""
        ours = f"{_ms(times[r['backend']])} ({r['backend']})"
        lines.append(f"| {name} | {ours} | {peer} | {ratio} | {r['fraction_of_limit']:.2f} |")
    about = records[-1]["conditions"]
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    return "\n".join(
        [*lines, "", f"{about['machine']}, {about['cores']} cores; {versions}; {about['commit']}."]
    )


def step_name(case: str, threads: int) -> str:
    return f"{case}, {threads} thread{'s' if threads > 1 else ''}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def replaced(page: str, table: str) -> str:
    """The page with ``table`` between its marks; ValueError where it has none."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the page has no {START} ... {END}")
    return f"{before}{start}\n{table}\n{end}{after}"


def main(report: str, page: str) -> None:
    path = Path(page)
    table = summary(json.loads(Path(report).read_text(encoding="utf-8")))
    path.write_text(replaced(path.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
