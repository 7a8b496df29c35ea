"""Builds of the emulator: of the kernels here or of planted ones, plain or with sanitizers."""

import os
import subprocess
from pathlib import Path

from backhand.csrc import sources

CSRC = sources.ROOT
WORK = Path(__file__).parents[2] / "build" / "gates"
PLAIN = ("-O1",)
ADDRESS = (
    "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
)  # fmt: skip
THREAD = ("-O1", "-g", "-fsanitize=thread")
COMMON = ("-std=c++17", "-fPIC", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra")
TOLD = {"-fsanitize=address": "-DBH_ASAN", "-fsanitize=thread": "-DBH_TSAN"}  # emulator/fiber.h


def compiler():
    return os.environ.get("CXX", "g++")


def library(name, root=CSRC, flags=PLAIN, only=None):
    """The emulator with every csrc/*/kernel.cu under ``root``, or the ops in ``only``.

    Headers that ``root`` does not have are those of this repository.  What is up to date is not
    compiled again.
    """
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    units = sources.write_units(folder / "units", root)
    if only is not None:
        units = [u for u in units if u.stem.rpartition("_")[0] in only]
    parts = []
    for file in [*sorted((CSRC / "emulator").glob("*.cpp")), *units]:
        own = file.parent.name == "emulator"
        parts.append(compile_one(file, folder, flags, root, own))
    target = folder / "_emulated.so"
    if newer(target, parts):
        sanitizers = [f for f in flags if f.startswith("-fsanitize")]
        run([compiler(), "-shared", "-pthread", *sanitizers, "-o", target, *parts])
    return target


def compile_one(file, folder, flags, root, own):
    """The emulator's own files are compiled without sanitizers: they tell them of each fiber."""
    if own:
        told = [word for name, word in TOLD.items() if any(name in f for f in flags)]
        flags = [*(f for f in flags if "sanitize" not in f), *told]
    target = folder / f"{file.stem}.o"
    headers = [*CSRC.glob("*/*.h"), *root.glob("*/*.h"), *root.glob("*/*.cu")]
    if newer(target, [file, *headers]):
        places = [f"-I{root}", f"-I{CSRC}", f"-fmacro-prefix-map={root}/="]  # in messages
        run([compiler(), *COMMON, *flags, *places, "-c", file, "-o", target])
    return target


def newer(target, parts):
    """Whether one of the parts is newer than what was made of them."""
    if not target.exists():
        return True
    return any(part.stat().st_mtime_ns > target.stat().st_mtime_ns for part in parts)


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
