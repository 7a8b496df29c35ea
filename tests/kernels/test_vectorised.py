"""Hot loops of the C++ kernels, marked ``// SIMD`` at their ``for``, run on whole vectors.

g++ says so: in the clone for x86-64-v3 every copy of a marked loop on floats takes 32 bytes at a
time.  Loops on doubles may call the library for exp, log and tanh, and are then scalar.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
FAMILIES = sorted(path.parent.name for path in CSRC.glob("*/cpu.cpp"))
NO_LOOP = {"attention_read", "attention_write", "dense", "matrix_product"}  # explicit vectors
COMPILER = os.environ.get("CXX", "g++")
FUNCTION = re.compile(r"^;; Function .*? \((\S+),", re.M)


def flags():
    """As CMakeLists.txt has them for g++."""
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"^ +(-O3 .*) -Wall", text, re.M)[1].split()


def loops(folder, source, file=None):
    """{line: [what g++ says of each loop that begins there, in clones for floats]}

    file: a header of the source, in place of the source itself.
    """
    report = folder / "report.txt"
    command = [COMPILER, "-std=c++17", "-fPIC", *flags(), f"-I{CSRC}", "-S", "-o", os.devnull]
    command += [f"-fdump-tree-vect-optimized-missed={report}", str(source)]
    subprocess.run(command, check=True)
    found = {}
    parts = FUNCTION.split(report.read_text())
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if "arch_x86_64_v3" in name and re.search(r"PK?f", name):
            here = re.escape(str(file or source))
            said = rf"^{here}:(\d+):\d+: \w+: (loop vectorized .*|couldn't .*loop)"
            for line, what in re.findall(said, text, re.M):
                found.setdefault(int(line), []).append(what)
    return found


def marked(text):
    lines = enumerate(text.splitlines(), 1)
    return [n for n, line in lines if re.search(r"// SIMD\b", line)]


def not_vectorised(found, lines):
    """{line: why} of the marked lines."""
    wrong = {}
    for line in lines:
        said = found.get(line, [])
        if not any("32 byte" in what for what in said):
            wrong[line] = f"no copy of this loop takes 32 bytes at a time: {sorted(set(said))}"
        elif any("couldn't" in what for what in said):
            count = sum("couldn't" in what for what in said)
            wrong[line] = f"{count} copies of this loop are scalar"
    return wrong


@pytest.fixture(scope="module", autouse=True)
def gpp():
    """Reports are read as g++ writes them, for machines that have such clones."""
    version = shutil.which(COMPILER) and subprocess.run(
        [COMPILER, "-v"], capture_output=True, text=True, check=True
    )
    if not version or "gcc version" not in version.stderr:
        pytest.skip(f"{COMPILER} is not g++: its report of vectorised loops reads otherwise")
    if "x86_64" not in version.stderr or "linux" not in version.stderr:
        pytest.skip("kernels have clones on x86-64 Linux alone")


@pytest.mark.parametrize("family", FAMILIES)
def test_marked_loops_are_vectorised(family, tmp_path):
    source = CSRC / family / "cpu.cpp"
    lines = {file: marked(file.read_text()) for file in [source, *source.parent.glob("*.h")]}
    assert any(lines.values()) == (family not in NO_LOOP), f"{family} has no marked loop"
    for file, numbers in lines.items():
        if numbers:
            assert not_vectorised(loops(tmp_path, source, file), numbers) == {}


SCALAR = """
#include <cmath>
#include "common/vec_math.h"
BH_CLONES void f(float* BH_RESTRICT y, const float* BH_RESTRICT x, long n) {
    for (long i = 0; i < n; ++i) y[i] = std::exp(x[i]);  // SIMD
    for (long i = 0; i < n; ++i) y[i] = bh_exp(x[i]);  // SIMD
}
void g(float* BH_RESTRICT y, const float* BH_RESTRICT x, long n) {
    for (long i = 0; i < n; ++i) y[i] = bh_exp(x[i]);  // SIMD
}
"""


def test_a_scalar_loop_and_one_without_clones_are_noticed(tmp_path):
    source = tmp_path / "cpu.cpp"
    source.write_text(SCALAR)
    lines = marked(SCALAR)
    assert set(not_vectorised(loops(tmp_path, source), lines)) == {lines[0], lines[2]}
