"""What the CUDA kernels and whole training steps should take on a GPU, on paper.

    python -m backhand.bench.gpu_model docs/gpu-model.md    from the root of the repository

replaces the tables of the page; without a page it says what the launcher's own checks take on this
CPU.  Nothing runs on a GPU.

Launches: gpu_launches.py counts them.  Bytes and operations: gpu_work.py, of a matrix product
2 M K N.  Seconds of a launch: the larger of bytes / bandwidth and operations / rate, by the
datasheet of the card.  Occupancy: registers and shared memory as NVRTC reported them
(tests/gates/resources.json), with the threads and the shared memory of the launch.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backhand.bench.gpu_launches import STEPS, Event, ops, training_steps
from backhand.kernels import emulator
from backhand.kernels.cuda_tools import launch

LAUNCH = 10e-6  # assumed: the host's seconds for one launch or call of the array module in CuPy
NODE = 1.5e-6  # assumed: the device's seconds from the end of one kernel to the next, in a graph


class Card(NamedTuple):
    """Bytes, float and double operations a second, from NVIDIA's datasheets."""

    name: str
    arch: int
    bandwidth: float
    floats: float
    doubles: float
    multiprocessors: int


CARDS = (
    Card("A100 40 GB", 80, 1555e9, 19.5e12, 9.7e12, 108),
    Card("H100 SXM", 90, 3350e9, 67e12, 34e12, 132),
    Card("RTX 4090", 89, 1008e9, 82.6e12, 1.29e12, 128),
)


def seconds(e: Event, card: Card) -> float:
    """Of a launch, were the card as fast as its datasheet says."""
    return max(e.bytes / card.bandwidth, e.floats / card.floats + e.doubles / card.doubles)


def host_and_graph(events: Sequence[Event], card: Card) -> tuple[float, float, float]:
    """Seconds of a step: the device's work alone, launched one by one, replayed as a graph."""
    work = sum(seconds(e, card) for e in events)
    graph = work + NODE * len(events)
    return work, max(LAUNCH * len(events), graph), graph


def steps_table(steps: dict[str, tuple[list[Event], list[Event]]]) -> str:
    lines = [
        "| step | launches | kernels | products | array module | copies in, out | MB "
        "| work, ms | one by one, ms | as a graph, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    changing = set()
    for name, (events, following) in steps.items():
        n = Counter(e.kind for e in events)
        times = [[1e3 * s for s in host_and_graph(events, card)] for card in CARDS]
        work, alone, graph = (_each(f"{t[i]:.2f}" for t in times) for i in range(3))
        lines.append(
            f"| {name} | {len(events)} | {n['kernel']} | {n['product']} | {n['array']} "
            f"| {n['in']}, {n['out']} | {sum(e.bytes for e in events) / 1e6:.0f} "
            f"| {work} | {alone} | {graph} |"
        )
        for e, then in zip(events, following, strict=True):
            pairs = zip(e.numbers, then.numbers, strict=True)
            changing |= {f"`{e.name}` {a}" for (a, v), (_, w) in pairs if v != w}
    few, many = (Counter(e.kind for e in steps[f"DRAW, T = {T}"][0]) for T in (8, 64))
    more = {kind: (many[kind] - few[kind]) / 56 for kind in many}
    words = f"{more['kernel']:.0f} kernels, {more['product']:.0f} products, {more['array']:.0f} "
    words += f"calls of the array module and {more['out']:.0f} copy to the host"
    return "\n".join(
        [
            *lines,
            "",
            f"Times, where they differ: {_each(card.name for card in CARDS)}.",
            f"Each glimpse of DRAW adds {words}.",
            f"Arguments that differ from one step to the next: {', '.join(sorted(changing))}.",
        ]
    )


def kernels_table(groups: dict[str, list[Event]]) -> str:
    """Of each kernel the launch that moves most."""
    gates = Path("tests/gates/resources.json")
    record = json.loads(gates.read_text(encoding="utf-8"))["kernels"]
    lines = [
        "| kernel | in | blocks x threads | kB | kop | occupancy | fills | µs | limit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    largest: dict[str, tuple[str, Event]] = {}
    for where, events in groups.items():
        for e in events:
            if e.kind == "kernel" and e.bytes >= largest.get(e.name, ("", Event("", "")))[1].bytes:
                largest[e.name] = where, e
    for name, (where, e) in sorted(largest.items()):
        resources = record[f"{name} float"]
        parts = [occupancy(resources[str(card.arch)], e, card) for card in CARDS]
        fills = filled(e, CARDS[0], parts[0])
        limits = [e.bytes / card.bandwidth < seconds(e, card) for card in CARDS]
        words = "operations" if all(limits) else "either" if any(limits) else "bytes"
        lines.append(
            f"| {name} | {where} | {e.blocks} x {e.threads} | {_short(e.bytes / 1e3)} "
            f"| {_short((e.floats + e.doubles) / 1e3)} | {_each(f'{p:.2f}' for p in parts)} "
            f"| {100 * fills:.0f} % | {_each(_short(1e6 * seconds(e, c)) for c in CARDS)} "
            f"| {words} |"
        )
    cards = _each(card.name for card in CARDS)
    about = f"kop: 1000 operations. Fills: {CARDS[0].name}. Three numbers: {cards}."
    return "\n".join([*lines, "", about])


def occupancy(resources: dict[str, Any], e: Event, card: Card) -> float:
    """Of a multiprocessor's warps, with this launch's threads and dynamic shared memory."""
    one = resources | {"threads": e.threads, "shared": resources["shared"] + e.shared}
    return float(import_module("tests.gates.nvrtc").occupancy(one, card.arch))


def filled(e: Event, card: Card, part: float) -> float:
    """Of the warps that the card can have at once for this kernel, those that the launch has."""
    warps = import_module("tests.gates.nvrtc").MULTIPROCESSOR[card.arch][1]
    room = part * warps * card.multiprocessors
    return float(min(1.0, e.blocks * math.ceil(e.threads / 32) / room))


def _each(words: Iterable[str]) -> str:
    """One for each card, or one where all are the same."""
    every = list(words)
    return every[0] if len(set(every)) == 1 else " / ".join(every)


def _short(x: float) -> str:
    return f"{x:,.0f}" if x >= 10 else f"{x:.1f}" if x >= 1 else f"{x:.2f}"


def tables() -> dict[str, str]:
    steps = {name: training_steps(*step) for name, step in STEPS.items()}
    groups = {name: events for name, (events, _) in steps.items()} | ops()
    return {"steps": steps_table(steps), "kernels": kernels_table(groups)}


def replaced(page: str, name: str, table: str) -> str:
    """The page with the table between its marks; ValueError where it has none."""
    start, end = f"<!-- {name}: made by bench/gpu_model.py -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {start} ... {end}")
    return f"{before}{start}\n{table}\n{end}{after}"


def launcher_seconds(launches: int = 300, rounds: int = 20) -> float:
    """What the launcher takes on this CPU for a kernel with six arguments, in the best round."""
    y, bias = np.zeros((100, 200), np.float32), np.zeros(200, np.float32)
    best = math.inf
    with emulator.using(_Nothing()):
        for _ in range(rounds):
            start = time.perf_counter()
            for _ in range(launches):
                launch(
                    "bias_activation", "bias_activation_forward", 1, 128, (y, y, bias, 100, 200, 1)
                )
            best = min(best, (time.perf_counter() - start) / launches)
    return best


class _Nothing(emulator.Library):
    """An engine that takes launches and does nothing."""

    def __init__(self) -> None:
        pass

    def launch(self, *_: Any) -> None:
        pass


def main(page: str = "") -> None:
    if not page:
        print(f"the launcher's checks: {1e6 * launcher_seconds():.0f} µs a launch on this CPU")
        return
    path = Path(page)
    text = path.read_text(encoding="utf-8")
    for name, table in tables().items():
        text = replaced(text, name, table)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
