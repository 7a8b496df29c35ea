"""What the kernel.cu files hold: their kernels, one text for NVRTC, and units for the emulator.

``python csrc/sources.py FOLDER`` writes the units, one for each file and type, for CMake.
Nothing but the standard library is imported: the build runs this before anything is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
REALS = ("float", "double")
TYPES = ("REAL", "float", "double", "int", "unsigned int", "long long", "unsigned long long")

_KERNEL = re.compile(
    r'extern "C" __global__ void\s+(?:__launch_bounds__\((\d+)(?:, \w+)?\)\s+)?(\w+)\s*\(([^)]*)\)'
)
_PARAMETER = re.compile(r"(const )?(.*?) ?(\*)? ?(?:__restrict__ )?(\w+)")
_INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


class Parameter(NamedTuple):
    name: str
    type: str  # one of TYPES
    pointer: bool
    constant: bool  # of a pointer: what it points at is only read


class Kernel(NamedTuple):
    name: str
    parameters: tuple[Parameter, ...]
    threads: int  # the most that a block may have

    def signature(self, real: str) -> str:
        """As the emulator's library has it: ``float*, const float*, int``."""
        words = (
            f"{'const ' * p.constant}{real if p.type == 'REAL' else p.type}{'*' * p.pointer}"
            for p in self.parameters
        )
        return ", ".join(words)


def ops(root: Path = ROOT) -> list[str]:
    """The op families with a kernel.cu."""
    return sorted(path.parent.name for path in root.glob("*/kernel.cu"))


def kernels(op: str, root: Path = ROOT) -> dict[str, Kernel]:
    """The kernels of csrc/<op>/kernel.cu by name, in the order of the text."""
    place = f"{op}/kernel.cu"
    text = re.sub(r"//.*", "", (root / place).read_text(encoding="utf-8"))
    found: dict[str, Kernel] = {}
    for bound, name, parameters in _KERNEL.findall(text):
        if name in found or not name.startswith(op):
            raise ValueError(f"{place}: {name} must be there once, and begin with {op}")
        described = tuple(_parameter(place, name, p) for p in parameters.split(","))
        found[name] = Kernel(name, described, int(bound or 1024))
    if len(found) != text.count("__global__") or not found:
        raise ValueError(
            f'{place}: write each kernel as extern "C" __global__ void NAME(PARAMETERS), with '
            "__launch_bounds__(NUMBER) or (NUMBER, BLOCKS) in front of the name or without"
        )
    return found


def _parameter(place: str, kernel: str, text: str) -> Parameter:
    words = " ".join(text.replace("*", " * ").split()).replace("* __restrict__", "*__restrict__")
    match = _PARAMETER.fullmatch(words.replace("*__restrict__", "* __restrict__"))
    if match is None or match[2] not in TYPES or (match[1] and not match[3]):
        raise ValueError(
            f"{place}: {kernel}: cannot read the parameter {text.strip()!r}: write "
            f"[const] TYPE [* [__restrict__]] NAME with a type of {', '.join(TYPES)}"
        )
    return Parameter(match[4], match[2], bool(match[3]), bool(match[1]))


def text_for_nvrtc(op: str, root: Path = ROOT) -> str:
    """kernel.cu with its headers pasted in: NVRTC looks for files nowhere."""
    return "\n".join(_pasted(f"{op}/kernel.cu", root, set())) + "\n"


def _pasted(place: str, root: Path, seen: set[str]) -> list[str]:
    seen.add(place)
    out, depth = [f'#line 1 "{place}"'], 0
    lines = (root / place).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        included = _INCLUDE.match(line)
        if re.match(r"\s*#\s*pragma once", line):
            out.append("")
        elif included is None:
            depth += bool(re.match(r"\s*#\s*if", line)) - bool(re.match(r"\s*#\s*endif", line))
            out.append(line)
        elif depth:
            raise ValueError(f"{place}:{number}: an include under a condition cannot be pasted")
        elif included[1] in seen:
            out.append("")
        else:
            out += [*_pasted(included[1], root, seen), f'#line {number + 1} "{place}"']
    return out


def unit(op: str, real: str, root: Path = ROOT) -> str:
    """C++ that includes the unchanged kernel.cu for one type and registers its kernels."""
    # The same C names for float and for double would be one function.
    names = list(kernels(op, root))
    lines = [f"#define BH_REAL {real}", '#include "emulator/cuda.h"']
    lines += [f"#define {name} {name}_{real}" for name in names]
    lines += [f'#include "{op}/kernel.cu"']
    lines += [f"#undef {name}" for name in names]
    lines += [f'BH_KERNEL("{name}", "{real}", {name}_{real})' for name in names]
    return "\n".join(lines) + "\n"


def write_units(folder: Path, root: Path = ROOT) -> list[Path]:
    """The units of every op; a file that would not change is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for op in ops(root):
        for real in REALS:
            path, text = folder / f"{op}_{real}.cpp", unit(op, real, root)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    print(";".join(path.as_posix() for path in write_units(Path(sys.argv[1]))), end="")
