"""A module with every mutant of one op's C++ kernel; the other ops as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.mutants.cpp_mutants import Site, cpp_sites, with_mutants

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
# No optimisation: at -O1 a file with hundreds of mutants takes ten times as long to compile.
FLAGS = [
    "-std=c++17", "-O0", "-fPIC", "-fvisibility=hidden", "-DBH_NO_CLONES", "-w",
    "-fno-math-errno", "-fno-trapping-math",
]  # fmt: skip
LIST = """
extern "C" __attribute__((visibility("default"))) int bh_mutants(int* ids) {
    for (int i = 0; i < bh_count; ++i) ids[i] = bh_ids[i];
    return bh_count;
}
"""


class CppMutants(NamedTuple):
    module: Path
    sites: dict[int, tuple[str, Site]]  # by number: file, site
    unbuildable: list[tuple[str, Site]]  # left out, as g++ refuses them


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def objects(folder, flags=()):
    """The module's object files, compiled as in a release; only what changed is compiled."""
    import pybind11

    folder.mkdir(parents=True, exist_ok=True)
    cmake = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja"]
    cmake += [
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DBACKHAND_FLAGS={';'.join(flags)}",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in (cmake, ["cmake", "--build", str(folder), "--parallel", "2"]):
        done = run(command, env={**os.environ, "PATH": path})
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    return sorted(folder.glob("CMakeFiles/_native.dir/**/*.o"))


def link(module, parts, flags=()):
    compiler = os.environ.get("CXX", "g++")
    done = run([compiler, "-shared", "-pthread", *flags, "-o", str(module), *map(str, parts)])
    if done.returncode:
        raise SystemExit(done.stderr)
    return module


def sources(op):
    """cpu.cpp and the headers that it takes from csrc; formulas of other ops are theirs."""
    found, waiting = [], [f"{op}/cpu.cpp"]
    while waiting:
        file = waiting.pop()
        found.append(file)
        for name in re.findall(r'^#include "(.*?)"', (CSRC / file).read_text(), re.M):
            foreign = name.startswith("common/") or name.endswith("_math.h")
            if name not in [*found, *waiting] and (name.startswith(f"{op}/") or not foreign):
                waiting.append(name)
    return sorted(found)


def cpp_mutants(op, folder, compiled):
    """Compile the kernels of ``op`` with all of their mutants; link with the ``compiled`` rest."""
    files = sources(op)
    sites = {}
    for name in files:
        for site in cpp_sites((CSRC / name).read_text()):
            sites[len(sites) + 1] = (name, site)
    place = folder / "csrc"
    compiler = os.environ.get("CXX", "g++")
    target, unbuildable = folder / "cpu.o", []
    contract = "off" if op == "philox" else "fast"
    for _ in range(12):
        for name in files:
            here = {n: site for n, (file, site) in sites.items() if file == name}
            text = with_mutants((CSRC / name).read_text(), here)
            # Before everything else, but with the lines numbered as they are.
            text = f'#include "{Path(__file__).parent / "bh_mutant.h"}"\n#line 1\n{text}'
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text + (LIST if name.endswith("cpu.cpp") else ""))
        command = [compiler, *FLAGS, f"-ffp-contract={contract}", "-c", str(place / op / "cpu.cpp")]
        include = [f"-I{place}", f"-I{CSRC}"]
        done = run([*command, *include, "-o", str(target)])
        if done.returncode == 0:
            break
        bad = refused(done.stderr, place)
        removed = [n for n, (name, site) in sites.items() if (name, site.line) in bad]
        # Often it is only the call of a function that returns nothing.
        doubled = [n for n in removed if sites[n][1].how == "DOUBLED"]
        removed = doubled or removed
        if not removed:
            raise SystemExit(f"csrc/{op} does not compile with mutants:\n{done.stderr}")
        unbuildable += [sites.pop(n) for n in removed]
    rest = [o for o in compiled if f"csrc/{op}/" not in str(o)]
    module = link(folder / "_native.so", [target, *rest])
    return CppMutants(module, {n: sites[n] for n in listed(module)}, unbuildable)


def refused(messages, place):
    """(file in csrc, line) of every error in the mutated files."""
    found = re.findall(r"^(\S+?):(\d+):\d+: (?:fatal )?error", messages, re.M)
    found += re.findall(r"^(\S+?):(\d+):\d+:   required from", messages, re.M)
    inside = [(Path(file), int(line)) for file, line in found if place in Path(file).parents]
    return {(str(file.relative_to(place)), line) for file, line in inside}


def listed(module):
    """The mutants that change a float, in order; asked elsewhere, as it is loaded only once."""
    ask = "import ctypes, sys; ids = (ctypes.c_int * 100_000)()\n"
    ask += "print(*ids[: ctypes.CDLL(sys.argv[1]).bh_mutants(ids)])"
    done = run([sys.executable, "-c", ask, str(module)], check=True)
    return sorted(map(int, done.stdout.split()))
