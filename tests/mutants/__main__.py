"""python -m tests.mutants [OP ...] [--only reference|native|device] [--jobs N]"""

import argparse
import os
import resource
import sys
import time
import tomllib
from collections import Counter
from importlib import import_module
from importlib.util import spec_from_loader
from pathlib import Path
from typing import NamedTuple

from hypothesis import Phase, settings
from threadpoolctl import threadpool_limits

from tests.mutants import build, checks
from tests.mutants.python_mutants import python_mutants

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "mutants"
REQUIRED = 0.95  # of all, and of the kernels for a device by themselves
REMOVED = ("kernel.cu", "device")
SECONDS = 60  # of computing; a mutant that does not end is noticed
PATIENCE = 900  # seconds on the clock, for one that waits for ever


class Job(NamedTuple):
    op: str
    kind: str  # "reference", "native" or "device"
    file: str
    line: int
    code: str
    change: str
    start: object  # puts the mutant in place, in the child


def must_be_new(name):
    """A module that is imported already stays as it is in the children too: nobody notices."""
    if name in sys.modules:
        raise SystemExit(f"{name} is imported before its mutants can take its place")


def reference_jobs(op):
    file = ROOT / "kernels" / op / "reference.py"
    name = f"backhand.kernels.{op}.reference"
    must_be_new(name)
    for mutant in python_mutants(file, file.read_text()):

        def start(source=mutant.source):
            class Loader:
                def create_module(self, spec):
                    return None

                def exec_module(self, module):
                    exec(compile(source, str(file), "exec"), module.__dict__)

            checks.exchange(name, lambda n, path: spec_from_loader(n, Loader(), origin=str(file)))

        shown = str(file.relative_to(ROOT))
        yield Job(op, "reference", shown, mutant.line, mutant.code, mutant.change, start)


def native_jobs(op, compiled):
    must_be_new("backhand._native")
    found = build.cpp_mutants(op, WORK / op, compiled)
    for (name, line), count in Counter((f, site.line) for f, site in found.unbuildable).items():
        print(f"  {count} left out, as they do not compile: csrc/{name}:{line}")

    def start(number):
        os.environ["BH_MUTANT"] = str(number)
        checks.exchange_native(found.module)

    yield Job(op, "native", f"csrc/{op}", 0, "", "none", lambda: start(0))
    for number, (name, site) in found.sites.items():
        place = f"csrc/{name}"
        begin = lambda number=number: start(number)  # noqa: E731
        yield Job(op, "native", place, site.line, site.code, site.change, begin)


def child(job):
    """1 where the checks notice, 0 where the mutant survives."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    null = os.open(os.devnull, os.O_WRONLY)
    if not os.environ.get("BACKHAND_MUTANTS_SHOW"):
        os.dup2(null, 1)
        os.dup2(null, 2)
    # No shrinking, and nothing is remembered for the tests of the right code.
    quick = {"database": None, "derandomize": True, "phases": list(Phase)[:3]}
    settings.register_profile("mutants", **quick)
    settings.load_profile("mutants")
    status = 1
    try:
        job.start()
        backend = "numpy" if job.kind == "reference" else "native"
        status = int(checks.notices(backend, job.op))
    finally:
        os._exit(status)


def run(jobs, parallel):
    """(job, whether it was noticed), each in a forked child."""
    running, waiting = {}, list(jobs)[::-1]
    while running or waiting:
        while waiting and len(running) < parallel:
            job = waiting.pop()
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                child(job)
            running[pid] = job, time.monotonic()
        for pid, (job, started) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and time.monotonic() - started > PATIENCE:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                done, status = pid, 1
            if done:
                del running[pid]
                yield job, status != 0
        time.sleep(0.01)


def seconds():
    """Of computing, by all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def equivalents():
    """{(op, file, line of code, change): reason}; the op is "" where it does not matter."""
    text = (Path(__file__).parent / "equivalent.toml").read_text()
    return {
        (entry.get("op", ""), entry["file"], entry["code"], change): entry["reason"]
        for entry in tomllib.loads(text).get("equivalent", [])
        for change in entry["changes"]
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("ops", metavar="OP", nargs="*")
    parser.add_argument("--only", choices=["reference", "native", "device"])
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args(arguments)
    for name in ("numba", "numpy", "pytest", "scipy.stats"):
        import_module(name)  # once, for all children
    threadpool_limits(limits=1)  # the jobs share the cores
    began = time.monotonic()
    ops = args.ops or sorted(path.parent.name for path in ROOT.glob("kernels/*/reference.py"))
    native = [op for op in ops if (ROOT / "csrc" / op / "cpu.cpp").exists()]
    compiled = build.objects(WORK / "objects") if native and args.only in (None, "native") else []
    reasons, excused = equivalents(), []
    total, noticed = Counter(), Counter()

    def judge(job, seen, group):
        what = job.file, job.code, job.change
        reason = reasons.get((job.op, *what)) or reasons.get(("", *what))
        if not seen and reason:
            excused.append((job, reason))
            return
        total[group] += 1
        noticed[group] += seen
        if not seen:
            print(f"SURVIVED: {job.file}:{job.line}: {job.change}:  {job.code}", flush=True)

    for op in ops:
        jobs = []
        if args.only in (None, "reference"):
            nothing = Job(op, "reference", f"kernels/{op}", 0, "", "none", lambda: None)
            jobs += [nothing, *reference_jobs(op)]
        if op in native and args.only in (None, "native"):
            jobs += native_jobs(op, compiled)
        start = seconds()
        for job, seen in run(jobs, args.jobs):
            if job.change == "none":
                if seen:
                    raise SystemExit(f"{op}: the checks fail without any mutant ({job.kind})")
                continue
            judge(job, seen, (job.op, job.kind))
        for kind in ("reference", "native"):
            if total[op, kind]:
                print(f"{op:24} {kind:10} {noticed[op, kind]:4} of {total[op, kind]:4}", flush=True)
        if jobs:
            print(f"{op:24} {seconds() - start:.0f} s of computing", flush=True)
    if args.only in (None, "device"):
        device = import_module("tests.mutants.device")  # imports all references
        start = seconds()
        kernels = [op for op in ops if (ROOT / "csrc" / op / "kernel.cu").exists()]
        for job, way in device.noticed(kernels, WORK / "device", args.jobs):
            site = job.site
            shown = Job("", "device", f"csrc/{job.file}", site.line, site.code, site.change, None)
            judge(shown, bool(way), REMOVED)
        print(f"{'kernel.cu':24} device     {noticed[REMOVED]:4} of {total[REMOVED]:4}")
        print(f"{'kernel.cu':24} {seconds() - start:.0f} s of computing", flush=True)
    for job, reason in excused:
        print(f"equivalent: {job.file}:{job.line}: {job.change}: {reason}")
    minutes = (time.monotonic() - began) / 60
    computed = f"{minutes:.1f} min, {seconds() / 60:.1f} min of computing"
    score = noticed.total() / max(1, total.total())
    print(f"{noticed.total()} of {total.total()} mutants noticed: {score:.1%}, {computed}")
    return int(score < REQUIRED or noticed[REMOVED] < REQUIRED * total[REMOVED])


if __name__ == "__main__":
    sys.exit(main())
