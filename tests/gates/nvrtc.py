"""NVRTC by the calls that CuPy makes: machine code, PTX, and what a kernel takes."""

import json
import math
import os
import re
from functools import cache
from pathlib import Path

import pytest

from backhand.csrc import sources
from backhand.kernels.cuda_device import OPTIONS

RECORD = Path(__file__).with_name("resources.json")
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
# Kernels that compute in double for float results too, each with the reason.
DOUBLES = {
    "philox_draw_normals": "normals are equal on all backends to 2 units in the last place, near "
    "the zeros of sine and cosine as well",
}
# Bytes of stack that a kernel may have, each with the reason.
STACK = {
    "philox_draw_normals double": (
        40, "the library's sine and cosine keep it for angles beyond 105615, which do not occur"
    ),
}  # fmt: skip
# KiB of shared memory, warps and blocks of a multiprocessor: CUDA C++ programming guide, technical
# specifications per compute capability.  Each has 65536 registers.
MULTIPROCESSOR = {
    75: (64, 32, 16), 80: (164, 64, 32), 86: (100, 48, 16), 89: (100, 48, 24), 90: (228, 64, 32),
    100: (228, 64, 32), 120: (100, 48, 24),
}  # fmt: skip


def needs():
    """Skip where NVRTC is missing; fail where BACKHAND_REQUIRE names it."""
    try:
        version()
    except (ImportError, OSError, RuntimeError) as error:
        required = os.environ.get("BACKHAND_REQUIRE", "").split(",")
        end = pytest.fail if "nvrtc" in required else pytest.skip
        end(f"NVRTC is missing ({error}); pip install 'backhand[gates]'")


@cache
def version():
    from cupy.cuda import nvrtc

    return ".".join(map(str, nvrtc.getVersion()))


@cache
def _build(source, real, arch, machine_code):
    """(code, what the compiler said); headers are looked for nowhere."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    options = [
        f"-arch={'sm' if machine_code else 'compute'}_{arch}", *OPTIONS, f"-DBH_REAL={real}",
        "--device-as-default-execution-space",  # as CuPy has it
        "--ptxas-options=-v",
    ]  # fmt: skip
    try:
        nvrtc.compileProgram(program, tuple(options))
        log = nvrtc.getProgramLog(program)
        return (nvrtc.getCUBIN if machine_code else nvrtc.getPTX)(program), log
    except nvrtc.NVRTCError as error:
        raise RuntimeError(nvrtc.getProgramLog(program)) from error
    finally:
        nvrtc.destroyProgram(program)


def ptx(source, real, arch=80):
    return _build(source, real, arch, False)[0].decode()


def resources(source, real, arch):
    """{kernel: registers, spills, stack, shared, threads, occupancy}"""
    log = _build(source, real, arch, True)[1]
    bounds = {
        name: int(bound or 256)
        for bound, name in re.findall(
            r"__global__ void\s+(?:__launch_bounds__\((\d+)(?:, \w+)?\)\s+)?(\w+)", source
        )
    }
    found = {}
    for text in log.split("Compiling entry function '")[1:]:
        name = text.partition("'")[0]
        stack, stores, loads = map(
            int,
            re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", text).groups(),
        )
        shared = re.search(r"(\d+) bytes smem", text)
        one = {
            "registers": int(re.search(r"Used (\d+) registers", text)[1]),
            "spills": stores + loads,
            "stack": stack,
            "shared": int(shared[1]) if shared else 0,
            "threads": bounds[name],
        }
        found[name] = one | {"occupancy": round(occupancy(one, arch), 3)}
    return found


def occupancy(one, arch):
    """The part of a multiprocessor's warps that can be there at once."""
    kib, warps, blocks = MULTIPROCESSOR[arch]
    needed = math.ceil(one["threads"] / 32)
    by_registers = 65536 // (math.ceil(one["registers"] * 32 / 256) * 256) // needed
    reserved = 1024 if arch >= 80 else 0
    shared = math.ceil(one["shared"] / 128) * 128 + reserved
    by_shared = kib * 1024 // shared if one["shared"] else blocks
    return min(by_registers, by_shared, blocks, warps // needed) * needed / warps


def faults(name, found, recorded, arch):
    """What is worse than allowed or than on record, in words."""
    words = []
    if found["spills"]:
        words.append(f"{name}: spills {found['spills']} bytes on sm_{arch}")
    if found["stack"] > STACK.get(name, (0, ""))[0]:
        words.append(f"{name}: {found['stack']} bytes of stack on sm_{arch}")
    if recorded is None:
        return [*words, f"{name} is not on record: python -m tests.gates record"]
    if found["registers"] > recorded["registers"] + 8:
        words.append(f"{name}: {found['registers']} registers, {recorded['registers']} on record")
    if found["occupancy"] < recorded["occupancy"]:
        words.append(f"{name}: occupancy {found['occupancy']}, {recorded['occupancy']} on record")
    if found["shared"] != recorded["shared"]:
        words.append(f"{name}: {found['shared']} bytes shared, {recorded['shared']} on record")
    return words


def entries(text):
    """{kernel: its PTX}"""
    parts = re.split(r"(?=^\.visible \.entry )", text, flags=re.M)[1:]
    return {re.match(r"\.visible \.entry (\w+)", part)[1]: part for part in parts}


def parameters(entry):
    """The types of an entry's parameters in PTX."""
    head = entry[: entry.index("{")]
    return re.findall(r"\.param \.(?:align \d+ )?([a-z]+\d+)", head)


def expected_parameters(kernel, real):
    names = {
        "float": "f32", "double": "f64", "int": "u32", "unsigned int": "u32", "long long": "u64",
        "unsigned long long": "u64",
    }  # fmt: skip
    return [
        "u64" if p.pointer else names[real if p.type == "REAL" else p.type]
        for p in kernel.parameters
    ]


def record():
    found = {}
    for op in sources.ops():
        for real in sources.REALS:
            text = sources.text_for_nvrtc(op)
            for arch in ARCHITECTURES:
                for kernel, one in resources(text, real, arch).items():
                    found.setdefault(f"{kernel} {real}", {})[str(arch)] = one
    lines = ",\n".join(
        f' "{name}": {{\n'
        + ",\n".join(f'  "{arch}": {json.dumps(one)}' for arch, one in archs.items())
        + "\n }"
        for name, archs in sorted(found.items())
    )
    RECORD.write_text(f'{{"nvrtc": "{version()}", "kernels": {{\n{lines}\n}}}}\n')
    return len(found)
