"""Kernels in the emulator that lack one barrier, check or bound: do numbers, orders or sanitizers
notice?  ``python -m tests.mutants.device LIBRARY WAY`` is a process that is asked about them."""

import json
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import numpy as np

from backhand.csrc import sources
from backhand.kernels import emulator
from tests.gates import build, sanitizers
from tests.gates.runs import FewBlocks, edges, in_small_blocks, runs
from tests.gates.test_orders import sizes_for
from tests.kernels.layouts import LAYOUTS
from tests.mutants.removals import HEAD, Removal, device_headers, removals, with_removals

ROOT = Path(__file__).parents[2]
# What is asked, one after the other, of those that nothing has noticed yet: examples for each
# letter that is large, seconds of computing for each mutant and op.
WAYS = {"plain": (4, 20), "address": (4, 60), "thread": (2, 120)}
FLAGS = {"plain": build.PLAIN, **sanitizers.FLAGS}
# A loop with a turn too many is not for the compiler to reason about.
AS_WRITTEN = ("-fno-aggressive-loop-optimizations", "-w")


class Job(NamedTuple):
    number: int
    ops: list[str]  # one that notices is enough
    file: str
    site: Removal


def collect(ops, folder):
    """A job for each removal in the kernels of the ops, whose mutated text goes to the folder."""
    files = {}
    for op in ops:
        for file in device_headers(op):
            files.setdefault(file, []).append(op)
    jobs = []
    for file, users in sorted(files.items()):
        text = (sources.ROOT / file).read_text()
        here = dict(enumerate(removals(text), len(jobs) + 1))
        jobs += [Job(number, users, file, site) for number, site in here.items()]
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        new = f"{HEAD}#line 1\n" if file.endswith(".cu") else ""
        target.write_text(new + with_removals(text, here))
    return jobs


def noticed(ops, folder, parallel, excused=lambda job: False):
    """(job, the way that noticed it or "") for every job, as soon as that is known.

    Of the excused, whose reasons are listed, nothing is asked: it would take as long as the rest.
    """
    jobs = collect(ops, folder / "csrc")
    left = {job.number: job for job in jobs if not excused(job)}
    for way in WAYS:
        name = f"../mutants/device/{way}"
        library = build.library(name, folder / "csrc", (*FLAGS[way], *AS_WRITTEN), only=ops)
        used = sorted({op for job in left.values() for op in job.ops})
        ask = [[0, [op]] for op in used] + [[n, job.ops] for n, job in left.items()]
        for number, seen in answers(way, library, ask, parallel):
            if not number and seen:
                raise SystemExit(f"{seen}: the checks fail without any mutant ({way})")
            if number and seen:
                yield left.pop(number), way
    for job in jobs:
        if excused(job) or job.number in left:
            yield job, ""


def answers(way, library, ask, parallel):
    """(number, the op that noticed it or "") of all that is asked; each process takes the next."""
    workers = [start(way, library) for _ in range(parallel)]

    def one(question):
        worker = free.get()
        worker.stdin.write(json.dumps(question) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        free.put(worker)
        if not answer:
            raise SystemExit(f"a process for {way} ended with {worker.wait()}")
        return question[0], json.loads(answer)

    free = Queue()
    for worker in workers:
        free.put(worker)
    with ThreadPoolExecutor(parallel) as pool:
        for done in as_completed([pool.submit(one, question) for question in ask]):
            yield done.result()
    for worker in workers:
        worker.communicate()  # closes what it reads, and waits


def start(way, library):
    more = {"TSAN_OPTIONS": "exitcode=66:halt_on_error=1:report_signal_unsafe=0"}
    plain = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    env = plain if way == "plain" else sanitizers.environment(way, library, **more)
    command = [sys.executable, "-m", "tests.mutants.device", str(library), way]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, text=True)


def work(library, way):
    in_small_blocks()
    for line in sys.stdin:
        number, ops = json.loads(line)
        seen = next((op for op in ops if in_child(library, way, number, op)), "")
        print(json.dumps(seen), flush=True)


def in_child(library, way, number, op):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] != 0
    count, seconds = WAYS[way]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not os.environ.get("BACKHAND_MUTANTS_SHOW"):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    status = 1
    try:
        os.environ["BH_MUTANT"] = str(number)
        with emulator.using(emulator.Library(library)), np.errstate(all="ignore"):
            examine(op, count)
        status = 0
    finally:
        os._exit(status)


def examine(op, count):
    """Numbers against the reference, and the same bits in four orders, in few blocks as well."""
    for run in runs(op):
        for number, sizes in enumerate([*edges(run), *drawn(run, count)]):
            rng, dtype = np.random.default_rng(number), (np.float32, np.float64)[number % 2]
            with emulator.order(number):
                run.check(rng, sizes, dtype, LAYOUTS[:1])
            results = run.results(rng, sizes, dtype)
            first = results()
            few = FewBlocks()
            for order, engine in ((1, few), (2, few.library), (3, few)):
                with emulator.using(engine), emulator.order(order):
                    for a, b in zip(first, results(), strict=True):
                        assert a.tobytes() == b.tobytes()


def drawn(run, count):
    for large in ("", *run.letters):
        for number in range(count):
            rng = np.random.default_rng(number)
            yield sizes_for(run, large, lambda options, rng=rng: rng.choice(options).item())


if __name__ == "__main__":
    work(*sys.argv[1:])
