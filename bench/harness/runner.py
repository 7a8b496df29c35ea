"""Cases measured in turn, A B C A B C, each implementation in a process of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.backend import use_backend
from backhand.bench.harness import alone, busy
from backhand.bench.harness.case import Case, Found, Implementation, Inputs, implementations
from backhand.bench.harness.process import Process, Processes, WorkerError
from backhand.threads import blas_threads

BLOCK = 0.25  # seconds of steps
PAUSE = 0.25  # seconds before each block, until the threads of the one before sleep
REJECTED = 3  # rejected rounds for each round that is wanted, then the run is refused
REST = 2.0  # seconds after a rejected round


class Refused(RuntimeError):
    """Nothing more can be measured: the machine is busy."""


class CaseFailed(RuntimeError):
    """One of ours fails, or somebody disagrees with the reference."""


@dataclass(frozen=True)
class Settings:
    """How a run is made."""

    peers: Sequence[str] = ()
    backend: str | None = None  # of ours; None for all
    quick: bool = False
    threads: Sequence[int] = (1, 2)
    rounds: int = 5
    accept_busy: bool = False
    peer_python: Path | str = sys.executable
    say: Callable[[str], None] = lambda text: None


@dataclass
class Block:
    """One implementation in one round."""

    median: float
    minimum: float
    cores: float  # CPU time of the process per second
    drift: float  # time of the calibration product, as a multiple of its median over the case


@dataclass
class Measured:
    """One case at one number of threads."""

    case: Case
    threads: int
    columns: list[Implementation]
    blocks: dict[str, list[Block]] = field(default_factory=dict)
    limit: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    memory: dict[str, dict[str, Any]] = field(default_factory=dict)  # of a training step
    split: dict[str, Any] | None = None  # of a training step, at the first number of threads
    others: list[float] = field(default_factory=list)  # cores of other processes, by round
    scaling: list[float] = field(default_factory=list)  # all threads' work by that of one
    rejected: int = 0
    versions: dict[str, str] = field(default_factory=dict)


@dataclass
class Failed:
    """One case at one number of threads of which nothing can be reported, and why."""

    case: Case
    threads: int
    why: str


def run(found: Sequence[Found], settings: Settings) -> Iterator[Measured | Failed]:
    """All cases at all numbers of threads, one by one."""
    for one in found:
        columns(one.case, settings)  # raises where the backend is missing
    wait_until_quiet(settings)
    with blas_threads(1), tempfile.TemporaryDirectory(prefix="backhand-bench-") as folder:
        for threads in settings.threads:
            with Processes(threads, settings.peer_python) as processes:
                for one in found:
                    try:
                        yield measure(one, threads, processes, Path(folder), settings)
                    except CaseFailed as error:
                        settings.say(str(error))
                        yield Failed(one.case, threads, str(error))


def columns(case: Case, settings: Settings) -> list[Implementation]:
    return implementations(case, settings.peers, settings.backend, settings.quick)


def measure(
    found: Found, threads: int, processes: Processes, folder: Path, settings: Settings
) -> Measured:
    """One case: prepare, compare, then rounds of blocks."""
    case = found.case
    result = Measured(case, threads, columns(case, settings))
    where = {"module": found.module, "file": found.file, "name": case.name}
    title = f"{case.name}, {threads} thread{'s' if threads > 1 else ''}"
    settings.say(f"{title}: preparing")
    inputs = case.inputs(np.random.default_rng(0))
    np.savez(folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
    wanted = reference(case, inputs)
    processes.drop()
    ready: dict[str, Process] = {}
    for column in result.columns:
        out = folder / "results.npz"
        try:
            process = processes[column.group]
            process.call(
                "prepare", **where, key=column.key, label=column.label,
                inputs=str(folder / "inputs.npz"), results=str(out),
            )  # fmt: skip
        except WorkerError as error:
            if column.ours:
                raise CaseFailed(f"{case.name}: {column.label} failed: {error}") from error
            result.errors[column.label] = str(error)
            continue
        with np.load(out) as archive:
            compare(case, column.label, dict(archive), wanted)
        out.unlink()
        ready[column.label] = process
    del wanted, inputs
    try:
        processes["limit"].call("prepare_limit", **where)
    except WorkerError as error:
        raise CaseFailed(f"{case.name}: measuring the limit failed: {error}") from error
    settings.say(f"{title}: {settings.rounds} rounds of {', '.join(ready)}")
    rounds(result, ready, processes["limit"], settings)
    if case.training:
        settings.say(f"{title}: memory, each in a process of its own")
        where["inputs"] = str(folder / "inputs.npz")
        there = [c for c in result.columns if c.label in result.blocks]
        result.memory = alone.memories(there, threads, settings.peer_python, **where)
        if threads == settings.threads[0]:
            result.split = alone.split(case, **where)
    result.versions = dict(processes.versions)
    return result


# -- results -------------------------------------------------------------------------------


def reference(case: Case, inputs: Inputs) -> dict[str, Array]:
    """What the NumPy reference gives in float64, for the first ``case.steps`` steps."""
    key = next(key for key in case.implementations if key.startswith("backhand"))
    doubles = {k: a.astype(np.float64) if a.dtype.kind == "f" else a for k, a in inputs.items()}
    with use_backend("numpy"):
        step = case.implementations[key](doubles)
        return {
            f"{i}.{name}": np.array(value)
            for i in range(case.steps)
            for name, value in step().items()
        }


def compare(case: Case, label: str, got: dict[str, Array], wanted: dict[str, Array]) -> None:
    """CaseFailed unless every result is that of the reference."""
    start = f"{case.name}: {label} disagrees with the float64 reference"
    if got.keys() != wanted.keys():
        names = [sorted({key.partition(".")[2] for key in keys}) for keys in (got, wanted)]
        raise CaseFailed(f"{start}: results {names[0]}, expected {names[1]}")
    for key, expected in wanted.items():
        step, _, name = key.partition(".")
        value = got[key]
        if value.shape != expected.shape:
            raise CaseFailed(f"{start}: {name} has shape {value.shape}, expected {expected.shape}")
        error = np.abs(value.astype(np.float64) - expected).max(initial=0.0)
        scale = np.abs(expected).max(initial=0.0)
        tolerance = case.tolerances.get(name, case.tolerance)
        if not error <= tolerance * scale:
            raise CaseFailed(
                f"{start}: {name} of step {step} is off by {error:.2e} where the largest entry "
                f"is {scale:.2e}; allowed are {tolerance:.0e} of it"
            )


# -- rounds --------------------------------------------------------------------------------


def rounds(result: Measured, ready: dict[str, Process], limit: Process, settings: Settings) -> None:
    """Fill ``result`` with rounds that no other process disturbed.

    A peer whose process ends is an error of its own, and leaves ``ready``.
    """
    ours = {c.label for c in result.columns if c.ours}
    calibrate = Calibration(result.threads)
    times: list[dict[str, dict[str, float]]] = []
    limits: list[dict[str, float]] = []
    while len(times) < settings.rounds:
        row: dict[str, dict[str, float]] = {}
        loudest = 0.0
        time.sleep(PAUSE)
        scaling = calibrate.scaling()
        for label, process in list(ready.items()):
            time.sleep(PAUSE)
            before = calibrate()
            watch, start = busy.Watch() if busy.available() else None, time.perf_counter()
            try:
                row[label] = process.call("block", label=label, seconds=BLOCK)
            except WorkerError as error:
                if label in ours:
                    raise CaseFailed(f"{result.case.name}: {label} failed: {error}") from error
                result.errors[label] = str(error)
                del ready[label]
                continue
            if watch is not None:
                loudest = max(loudest, watch.cores(time.perf_counter() - start))
            row[label]["calibration"] = min(before, calibrate())
        time.sleep(PAUSE)
        before = calibrate()
        try:
            parts = limit.call("limit")
        except WorkerError as error:
            raise CaseFailed(f"{result.case.name}: measuring the limit failed: {error}") from error
        parts["calibration"] = min(before, calibrate())
        if loudest > busy.ALLOWED and not settings.accept_busy:
            result.rejected += 1
            if result.rejected > REJECTED * settings.rounds:
                raise Refused(busy_message(loudest))
            time.sleep(REST)
            continue
        times.append(row)
        limits.append(parts)
        result.others.append(loudest)
        result.scaling.append(scaling)
    usual = statistics.median(row[label]["calibration"] for row in times for label in ready)
    for label in ready:
        result.blocks[label] = [
            Block(b["median"], b["min"], b["cores"], b["calibration"] / usual)
            for b in (row[label] for row in times)
        ]
    for part in ("products", "memory", "transcendentals"):
        result.limit[part] = statistics.median(
            parts[part] * usual / parts["calibration"] for parts in limits
        )


def wait_until_quiet(settings: Settings, patience: float = 20.0) -> None:
    """Refused where other processes still use the machine after that many seconds."""
    if settings.accept_busy or not busy.available():
        return
    end = time.monotonic() + patience
    while True:
        watch = busy.Watch()
        time.sleep(1.0)
        cores = watch.cores(1.0)
        if cores <= busy.ALLOWED:
            return
        settings.say(f"waiting: other processes use {cores:.2f} cores")
        if time.monotonic() > end:
            raise Refused(busy_message(cores))


def busy_message(cores: float) -> str:
    return (
        f"the machine is busy: other processes use {cores:.2f} cores, and above {busy.ALLOWED} "
        "times with several threads mean nothing; end them, or give --busy to measure all the same"
    )


class Calibration:
    """Seconds of a fixed product on each of some threads at once: the speed of the machine now.

    Two cores of a virtual machine are at times one of the host's; then two threads take as long
    for two products as one thread, and one thread alone would not tell.
    """

    def __init__(self, threads: int) -> None:
        rng = np.random.default_rng(0)
        self.factors = [rng.standard_normal((384, 384), dtype=np.float32) for _ in range(threads)]
        self.pool = ThreadPoolExecutor(threads)
        self()

    def __call__(self) -> float:
        return self._seconds(self.factors)

    def scaling(self) -> float:
        """How many times the work of one thread all of them do."""
        return len(self.factors) * self._seconds(self.factors[:1]) / self()

    def _seconds(self, factors: list[Array]) -> float:
        return min(self._once(factors) for _ in range(4))

    def _once(self, factors: list[Array]) -> float:
        start = time.perf_counter()
        list(self.pool.map(_multiply, factors))
        return time.perf_counter() - start


def _multiply(a: Array) -> None:
    out = np.empty_like(a)
    for _ in range(4):
        np.matmul(a, a, out=out)
