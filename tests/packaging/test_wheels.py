"""What is built with and without a compiler, and what the archives hold."""

import shutil
import sys
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.packaging.conftest import NO_COMPILER, ROOT, build, pip_wheel, python, run, unpack

DRAW = """
import backhand, numpy as np
from backhand.kernels import philox
print(backhand.__file__)
print(backhand.backends()["native"])
print(philox.OP.resolve(None))
print(philox.integers((0, 0), np.array([0]), 0, 4).ravel().tolist())
"""
KNOWN_ANSWER = str([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources(tree):
    """What a wheel of this tree must hold, by the path in the wheel."""
    homes = {"core": "backhand"} | {f: f"backhand/{f}" for f in ("kernels", "csrc", "bench")}
    return {
        "/".join((home, *path.relative_to(tree / folder).parts))
        for folder, home in homes.items()
        for path in (tree / folder).rglob("*")
        if path.is_file()
    }


def package_files(wheel):
    return {n for n in names(wheel) if n.startswith("backhand/")}


def test_without_a_compiler_the_wheel_is_pure_and_says_why(pure):
    assert pure.wheel.name.endswith("-py3-none-any.whl")
    assert "WARNING: installing backhand without its compiled kernels" in pure.log
    assert "no C++ compiler was found" in pure.log


def test_an_empty_path_is_a_machine_without_a_compiler(tree, tmp_path):
    built = build(tree, tmp_path, PATH="")
    assert built.wheel.name.endswith("-py3-none-any.whl")
    assert "no C++ compiler was found" in built.log


def test_a_compiler_that_fails_leaves_a_pure_wheel(tree, tmp_path):
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho broken compiler here >&2\nexit 1\n")
    broken.chmod(0o755)
    built = build(tree, tmp_path, CXX=str(broken))
    assert built.wheel.name.endswith("-py3-none-any.whl")
    assert "broken compiler here" in built.log
    assert "WARNING: installing backhand without its compiled kernels" in built.log
    assert not any(n.endswith(".so") for n in names(built.wheel))


def test_pure_on_demand_needs_no_compiler_and_warns_of_nothing(tree, tmp_path):
    built = build(tree, tmp_path, BACKHAND_NATIVE="0", **NO_COMPILER)
    assert built.wheel.name.endswith("-py3-none-any.whl")
    assert "WARNING" not in built.log


def test_forced_without_a_compiler_fails_in_one_sentence(tree, tmp_path):
    done = pip_wheel(tree, tmp_path / "wheel", BACKHAND_NATIVE="1", **NO_COMPILER)
    assert done.returncode != 0
    sentence = (
        "error: BACKHAND_NATIVE=1 was asked for, but no C++ compiler was found (looked at CXX, "
        "c++, g++, clang++): install one (Debian: apt install g++) or set BACKHAND_NATIVE=0"
    )
    assert sentence in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout
    assert not list((tmp_path / "wheel").glob("*.whl"))


@pytest.mark.parametrize("value", ["2", "yes", ""])
def test_another_value_is_refused(tree, value):
    done = run([sys.executable, "setup.py", "--version"], cwd=tree, BACKHAND_NATIVE=value)
    assert done.returncode == 1
    assert done.stdout.strip() == f"error: BACKHAND_NATIVE must be auto, 0 or 1, got {value!r}"


def test_a_wheel_holds_every_file_of_the_packages_and_nothing_else(pure, tree):
    assert package_files(pure.wheel) == sources(tree)
    tops = {name.partition("/")[0] for name in names(pure.wheel)}
    version = pure.wheel.name.split("-")[1]
    assert tops == {"backhand", f"backhand-{version}.dist-info"}
    assert not any("test" in Path(name).parts[1] for name in names(pure.wheel))


def test_a_file_deleted_since_the_last_build_is_gone(tree, tmp_path):
    copy = shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (copy / "core" / "passing.py").write_text("")
    assert "backhand/passing.py" in names(build(copy, tmp_path / "a", BACKHAND_NATIVE="0").wheel)
    (copy / "core" / "passing.py").unlink()
    again = names(build(copy, tmp_path / "b", BACKHAND_NATIVE="0").wheel)
    assert "backhand/passing.py" not in again


def test_sdist_holds_all_that_a_build_needs(sdist, tree):
    for folder in ("core", "kernels", "csrc", "bindings"):
        for path in (tree / folder).rglob("*"):
            if path.is_file():
                assert (sdist / path.relative_to(tree)).is_file(), path
    for name in ("setup.py", "pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        assert (sdist / name).is_file(), name


def test_sdist_gives_the_same_packages_and_the_compiled_modules(native, tree):
    compiled = {n for n in package_files(native.wheel) if "/_native." in n or "/_emulated." in n}
    assert len(compiled) == 2
    assert package_files(native.wheel) - compiled == sources(tree)
    assert "none-any" not in native.wheel.name


def test_the_native_wheel_runs_native(native, tmp_path):
    place = unpack(native.wheel, tmp_path / "site")
    file, status, backend, numbers = python(DRAW, tmp_path, place).strip().splitlines()
    assert file.startswith(str(place))
    assert "available=True, reason='compiled by " in status
    assert (backend, numbers) == ("native", KNOWN_ANSWER)


def test_the_pure_wheel_runs_without_the_module_and_gives_the_cure(installed, tmp_path):
    file, status, backend, numbers = python(DRAW, tmp_path, installed).strip().splitlines()
    assert file.startswith(str(installed))
    assert "available=False" in status
    assert "reinstall with BACKHAND_NATIVE=1" in status
    best = "numba" if find_spec("numba") else "numpy"
    assert (backend, numbers) == (best, KNOWN_ANSWER)


def test_metadata(installed):
    (info,) = installed.glob("*.dist-info")
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    required = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert sorted(r.partition(">")[0] for r in required) == ["numpy", "threadpoolctl"]
    for extra in metadata.get_all("Provides-Extra"):
        mark = f'extra == "{extra}"'
        assert any(r.endswith(mark) for r in metadata.get_all("Requires-Dist")), extra
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "backhand = backhand.cli:main" in (info / "entry_points.txt").read_text()
    assert list(info.rglob("LICENSE"))


def test_the_version_is_read_without_numpy():
    code = (
        "import sys, runpy; sys.modules['numpy'] = None; sys.argv = ['setup.py', '--version'];"
        "runpy.run_path('setup.py', run_name='__main__')"
    )
    done = run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert f'__version__ = "{done.stdout.strip()}"' in (ROOT / "core/_version.py").read_text()
