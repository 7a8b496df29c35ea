"""The runner's side of a worker."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from backhand.bench.harness import worker

PACKAGES = ("backhand", "backhand.kernels", "backhand.csrc", "backhand.bench")


class WorkerError(RuntimeError):
    """An implementation failed in its process; the message is its own."""


def thread_environment(threads: int) -> dict[str, str]:
    """What must be set before the libraries load, so that all have the same threads."""
    names = ("OPENBLAS", "OMP", "MKL")
    limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
    limits["NPROC"] = str(threads)  # the size of XLA's pool
    limits["JAX_PLATFORMS"] = "cpu"
    limits["CUDA_VISIBLE_DEVICES"] = ""
    return limits


class Process:
    """A worker process: ``call("block", ...)`` returns its answer."""

    def __init__(self, group: str, threads: int, python: str = sys.executable) -> None:
        self.group = group
        homes = {name: list(importlib.import_module(name).__path__) for name in PACKAGES}
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [python, "-P", worker.__file__, json.dumps([homes, group, threads])],
            env={**os.environ, **thread_environment(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,  # Ctrl-C is for the runner, which ends the workers
        )

    def call(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait; WorkerError with what the worker said, or how it died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.process.stdin.closed:
            raise WorkerError("its process ended while another form was prepared")
        try:
            self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self.process.wait()
            raise WorkerError(f"its process ended with status {status}: {self.last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().split("\n")
        return " | ".join(line.strip() for line in lines[-6:] if line.strip())[-500:]

    def close(self) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended, with a command unread
                self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Processes:
    """One process for each group of implementations, started when first asked for."""

    def __init__(self, threads: int, peer_python: Path | str) -> None:
        self.threads = threads
        self.peer_python = str(peer_python)
        self.running: dict[str, Process] = {}
        self.versions: dict[str, str] = {}

    def __getitem__(self, group: str) -> Process:
        if group in self.running and self.running[group].process.poll() is not None:
            self.running.pop(group).close()
        if group not in self.running:
            peer = group.partition(".")[0] in ("torch", "jax")
            python = self.peer_python if peer else sys.executable
            self.running[group] = Process(group, self.threads, python)
            self.versions |= self.running[group].call("hello")["versions"]
        return self.running[group]

    def drop(self) -> None:
        """The processes that still run forget the case before."""
        for process in self.running.values():
            if process.process.poll() is None:
                process.call("drop")

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: Any, trace: TracebackType | None
    ) -> None:
        for process in self.running.values():
            process.close()
