"""What ``import backhand`` costs and loads, and the names it may be imported by."""

import json
import statistics
import sys

import pytest

import backhand
from tests.packaging.conftest import ROOT, python, run

# Names of distributions' modules that the standard library and the interpreter do not hold.
FOREIGN = """
import json, sys
known = sys.stdlib_module_names | {"backhand", "numpy", "threadpoolctl"}
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(roots - known)))
"""


@pytest.mark.parametrize(
    "name", ["core", "kernels", "csrc", "bench", "core.params", "kernels.philox", "bench.harness"]
)
def test_a_second_copy_is_refused(name):
    done = run([sys.executable, "-c", f"import {name}"], cwd=ROOT)
    folder = name.partition(".")[0]
    package = "backhand" if folder == "core" else f"backhand.{folder}"
    assert done.returncode == 1
    assert f"ImportError: import this package as '{package}', not as '{folder}'" in done.stdout


def test_import_costs_at_most_50_ms_over_numpy(installed, tmp_path):
    code = (
        "import time, numpy; start = time.perf_counter(); import backhand;"
        "print(time.perf_counter() - start)"
    )
    python(code, tmp_path, installed)  # writes the byte code, as installing does
    seconds = [float(python(code, tmp_path, installed)) for _ in range(7)]
    assert statistics.median(seconds) < 0.050, seconds


def test_import_loads_nothing_optional(installed, tmp_path):
    code = f"import sys; before = set(sys.modules); import backhand{FOREIGN}"
    assert json.loads(python(code, tmp_path, installed)) == []


def test_every_public_name_resolves_and_loads_nothing_optional(installed, tmp_path):
    code = (
        "import sys; before = set(sys.modules); import backhand\n"
        f"for name in backhand.__all__: getattr(backhand, name){FOREIGN}"
    )
    assert json.loads(python(code, tmp_path, installed)) == []


def test_every_module_imports_without_the_optional_packages(installed, tmp_path):
    code = """
import pkgutil, sys
for name in ("tqdm", "pooch", "PIL", "matplotlib", "safetensors", "numba", "cupy", "scipy",
             "sympy", "hypothesis", "pytest", "torch", "jax", "setuptools"):
    sys.modules[name] = None
import backhand
for module in pkgutil.walk_packages(backhand.__path__, "backhand."):
    if not module.name.rpartition(".")[2].startswith(("__main__", "native", "numba_")):
        __import__(module.name)
        print(module.name)
"""
    modules = python(code, tmp_path, installed).split()
    wanted = {"backhand.params", "backhand.kernels.philox.reference", "backhand.bench.vae_step"}
    assert wanted <= set(modules)


def test_public_names_are_listed_and_others_refused():
    assert set(dir(backhand)) == set(backhand.__all__)
    assert len(set(backhand.__all__)) == len(backhand.__all__)
    with pytest.raises(AttributeError, match="module 'backhand' has no attribute 'nothing'"):
        _ = backhand.nothing
