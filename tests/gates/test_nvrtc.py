"""Every kernel through NVIDIA's own compiler, without a GPU: it compiles where headers can be
found nowhere, for seven architectures; what it takes of a multiprocessor is on record.

``python -m tests.gates record`` writes the record anew.
"""

import json
import re

import pytest

from backhand.csrc import sources
from tests.gates import nvrtc
from tests.gates.nvrtc import ARCHITECTURES, DOUBLES, RECORD, STACK

KERNELS = [(op, real) for op in sources.ops() for real in sources.REALS]
each_kernel = pytest.mark.parametrize(("op", "real"), KERNELS)


@pytest.fixture(autouse=True)
def _here():
    nvrtc.needs()


def test_the_compiler_is_the_one_of_the_record():
    assert json.loads(RECORD.read_text())["nvrtc"] == nvrtc.version()


@each_kernel
def test_resources_are_those_on_record(op, real):
    recorded = json.loads(RECORD.read_text())["kernels"]
    for arch in ARCHITECTURES:
        for kernel, found in nvrtc.resources(sources.text_for_nvrtc(op), real, arch).items():
            name = f"{kernel} {real}"
            assert nvrtc.faults(name, found, recorded.get(name, {}).get(str(arch)), arch) == []


@each_kernel
def test_no_double_precision_in_a_float_build(op, real):
    if real == "float":
        for kernel, text in nvrtc.entries(nvrtc.ptx(sources.text_for_nvrtc(op), real)).items():
            assert (".f64" in text) == (kernel in DOUBLES), kernel


@each_kernel
def test_parameters_are_those_that_the_launcher_gives(op, real):
    found = nvrtc.entries(nvrtc.ptx(sources.text_for_nvrtc(op), real))
    described = sources.kernels(op)
    assert set(found) == set(described)
    for name, kernel in described.items():
        assert nvrtc.parameters(found[name]) == nvrtc.expected_parameters(kernel, real)


def test_the_record_and_the_exceptions_name_kernels_that_exist():
    names = {f"{k} {real}" for op, real in KERNELS for k in sources.kernels(op)}
    assert set(json.loads(RECORD.read_text())["kernels"]) == names
    assert set(STACK) <= names
    assert {f"{name} float" for name in DOUBLES} <= names


# -- each gate finds a fault of its kind ----------------------------------------------------------

HEAD = 'using REAL = BH_REAL;\nextern "C" __global__ void __launch_bounds__(1024) k(REAL* x, int n)'
HOG = (
    HEAD + "{ REAL a[96]; for (int i = 0; i < 96; ++i) a[i] = x[i * n];"
    "for (int j = 0; j < n; ++j) for (int i = 0; i < 96; ++i) a[i] = a[i] * a[(i + 1) % 96] + x[j];"
    "for (int i = 0; i < 96; ++i) x[i * n + threadIdx.x] = a[i]; }"
)
DOUBLE = HEAD + "{ x[n] = x[n] * 0.1; }"
HEADER = "#include <cmath>\n" + HEAD + "{ x[n] = std::exp(x[n]); }"
STRAIGHT = HEAD + "{ x[n] = x[n] * REAL(0.1); }"


def test_a_spill_is_found():
    (found,) = nvrtc.resources(HOG, "float", 80).values()
    assert found["spills"] > 0
    faults = nvrtc.faults("k float", found, found, 80)
    assert any("spills" in fault for fault in faults)
    assert any("stack" in fault for fault in faults)


def test_more_registers_and_less_occupancy_are_found():
    (found,) = nvrtc.resources(STRAIGHT, "float", 80).values()
    assert nvrtc.faults("k float", found, found, 80) == []
    fewer = found | {"registers": found["registers"] - 9}
    assert nvrtc.faults("k float", found, fewer, 80)
    better = found | {"occupancy": found["occupancy"] + 0.1}
    assert nvrtc.faults("k float", found, better, 80)
    assert nvrtc.faults("k float", found | {"shared": 1}, found, 80)
    assert nvrtc.faults("k float", found, None, 80)


def test_a_double_literal_is_found():
    assert ".f64" in nvrtc.ptx(DOUBLE, "float")
    assert ".f64" not in nvrtc.ptx(STRAIGHT, "float")


def test_a_host_header_is_found():
    with pytest.raises(RuntimeError, match="cmath"):
        nvrtc.ptx(HEADER, "float")


def test_another_parameter_is_found(tmp_path):
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "kernel.cu").write_text(STRAIGHT.replace("int n", "long long n"))
    kernel = sources.kernels("k", tmp_path)["k"]
    text = nvrtc.entries(nvrtc.ptx(STRAIGHT, "float"))["k"]
    assert nvrtc.parameters(text) == ["u64", "u32"]
    assert nvrtc.expected_parameters(kernel, "float") == ["u64", "u64"]


def test_occupancy_is_that_of_the_programming_guide():
    """CUDA C++ programming guide, compute capabilities: 64 warps on sm_80 and 90, 48 on 86."""
    few = {"registers": 32, "shared": 0, "threads": 256}
    assert nvrtc.occupancy(few, 80) == nvrtc.occupancy(few, 75) == 1
    assert nvrtc.occupancy(few | {"registers": 64}, 80) == 0.5
    assert nvrtc.occupancy(few | {"registers": 64}, 86) == 32 / 48
    assert nvrtc.occupancy(few | {"shared": 32768}, 80) == 4 * 8 / 64
    assert re.fullmatch(r"\d+\.\d+", nvrtc.version())
