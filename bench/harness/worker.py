"""A process that runs one kind of implementation: commands in, answers out, a JSON line each.

Started by path, with ``homes`` (package -> folders) as its argument, so that a Python which has
the peers but not backhand can run it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

FREED = 16 << 20  # bytes
WARM_SECONDS = 0.05
FEWEST, MOST = 3, 5000  # steps in a block
SLOW = 1.0  # seconds, after which fewer steps will do


def main() -> None:
    homes, group, threads = json.loads(sys.argv[1])
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import_from(homes)
    worker = Worker(group, threads)
    for line in sys.stdin:
        try:
            reply = getattr(worker, (command := json.loads(line)).pop("do"))(**command)
        except Exception as error:
            import traceback

            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def import_from(homes: dict[str, list[str]]) -> None:
    """Make the packages of the runner importable, whether this Python has them or not."""
    for package, folders in homes.items():
        spec = importlib.util.spec_from_file_location(
            package,
            os.path.join(folders[0], "__init__.py"),
            submodule_search_locations=folders,
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)


class Worker:
    """The steps of one case at a time."""

    def __init__(self, group: str, threads: int) -> None:
        self.group = group
        self.threads = threads
        self.steps: dict[str, Any] = {}
        self.pool = "kernels"

    def hello(self) -> dict[str, Any]:
        """The versions of what runs here; an error where it is not installed.

        glibc keeps freed memory up to twice the largest array that it ever got back.  One is freed
        here, so that no case's time depends on which case the process ran before.
        """
        import numpy as np

        np.empty(FREED, np.uint8)
        framework = self.group.partition(".")[0]
        if framework in ("torch", "jax"):
            module = importlib.import_module(framework)
            if framework == "torch":
                module.set_num_threads(self.threads)
            return {"versions": {framework: module.__version__}}
        return {"versions": {}}

    def prepare(
        self, module: str, file: str, name: str, key: str, label: str, inputs: str, results: str
    ) -> dict[str, Any]:
        """Make the step, write what its first calls give, and run it until it is warm."""
        import numpy as np

        case = find_case(module, file, name)
        self.pool = case.pool
        with np.load(inputs) as archive:
            arrays = dict(archive)
        start = time.perf_counter()
        with self.running():
            step = case.implementations[key](arrays)
            found: dict[str, Any] = {}
            for i in range(case.steps):
                found |= {f"{i}.{k}": to_numpy(v) for k, v in step().items()}
            np.savez(results, **found)
            step()
        self.steps[label] = step
        return {"seconds": time.perf_counter() - start}

    def prepare_limit(self, module: str, file: str, name: str) -> dict[str, Any]:
        from backhand.bench.harness.limit import make_limit

        self.steps["limit"] = make_limit(find_case(module, file, name), self.threads)
        return {}

    def limit(self) -> dict[str, Any]:
        parts: dict[str, Any] = self.steps["limit"]()
        return parts

    def memory(self, module: str, file: str, name: str, key: str, inputs: str) -> dict[str, Any]:
        """Peak memory; nothing else was done by this process."""
        from backhand.bench.harness.memory import peak

        case = find_case(module, file, name)
        self.pool = case.pool
        with self.running():
            return peak(case.implementations[key], inputs)

    def split(self, module: str, file: str, name: str, key: str, inputs: str) -> dict[str, Any]:
        """Where the time goes."""
        import numpy as np

        from backhand.bench.harness.split import measure

        case = find_case(module, file, name)
        with np.load(inputs) as archive:
            arrays = dict(archive)
        with self.running():
            return measure(case.implementations[key](arrays))

    def block(self, label: str, seconds: float) -> dict[str, Any]:
        """Steps for about so many seconds, each timed."""
        step = self.steps[label]
        with self.running():
            once = clock(step)
            end = time.perf_counter() + WARM_SECONDS
            while once < SLOW / 2 and time.perf_counter() < end:
                once = clock(step)
            times: list[float] = []
            cpu, start = time.process_time(), time.perf_counter()
            wall = 0.0
            while len(times) < MOST and (
                wall < seconds or (len(times) < FEWEST and wall < max(SLOW, seconds))
            ):
                times.append(clock(step))
                wall = time.perf_counter() - start
            cpu = time.process_time() - cpu
        times.sort()
        n = len(times)
        median = (times[n // 2] + times[(n - 1) // 2]) / 2
        return {"median": median, "min": times[0], "steps": n, "cores": cpu / wall}

    def drop(self) -> dict[str, Any]:
        """Forget the case."""
        self.steps.clear()
        if self.group.startswith("torch") and "torch" in sys.modules:
            sys.modules["torch"].compiler.reset()
        elif self.group.startswith("jax") and "jax" in sys.modules:
            sys.modules["jax"].clear_caches()
        return {}

    @contextlib.contextmanager
    def running(self) -> Any:
        """Our own kernels with their backend and threads; nothing to do for the others."""
        from backhand.backend import BACKENDS, use_backend
        from backhand.threads import set_threads

        if self.group.partition(".")[0] in ("torch", "jax"):
            yield
            return
        set_threads(**thread_counts(self.group, self.pool, self.threads))
        context = use_backend(self.group) if self.group in BACKENDS else contextlib.nullcontext()
        with context:
            yield


def thread_counts(group: str, pool: str, threads: int) -> dict[str, int]:
    """Arguments of ``set_threads``: the pool that gets the threads, one for the others."""
    counts = {"blas": 1, "native": 1, "numba": 1, "parts": 1}
    kernels = {"numpy": "blas", "numba": "numba"}.get(group, "native")
    counts[kernels if pool == "kernels" else pool] = threads
    return counts


def find_case(module: str, file: str, name: str) -> Any:
    """The case of that name in a module of the package, or in a file."""
    if module.startswith("backhand."):
        cases = importlib.import_module(module).CASES
    else:
        spec = importlib.util.spec_from_file_location(module, file)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[module] = loaded
        spec.loader.exec_module(loaded)
        cases = loaded.CASES
    return next(case for case in cases if case.name == name)


def clock(step: Any) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def to_numpy(value: Any) -> Any:
    """A copy: the step may overwrite its results at the next call."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, Mapping):
        raise TypeError("a step returns a flat dictionary of arrays")
    return np.array(value)


if __name__ == "__main__":
    main()
