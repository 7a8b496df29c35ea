"""One sdist and three wheels, each built once, from a copy of the sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["core", "kernels", "csrc", "bench", "bindings"]
FILES = ["setup.py", "pyproject.toml", "CMakeLists.txt", "MANIFEST.in", "README.md", "LICENSE"]
NO_COMPILER = {"CXX": "/nowhere/c++"}


class Built(NamedTuple):
    wheel: Path
    log: str


def run(command, cwd, **environment):
    """The finished process; output and errors together, variables of the caller left out."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("BACKHAND") and k not in ("CC", "CXX")
    }
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def pip_wheel(tree, out, **environment):
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-build-isolation", "--no-deps"]
    return run([*command, "--no-index", "--wheel-dir", out, tree], cwd=out.parent, **environment)


def python(code, cwd, place):
    """Output of ``code`` where ``backhand`` is the one in ``place``.

    Without the site module the editable install of this environment, which would lend its
    own modules to an incomplete package, is out of the way.
    """
    path = os.pathsep.join(
        [str(place), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    )
    done = run([sys.executable, "-S", "-c", code], cwd=cwd, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(tree, folder, **environment):
    done = pip_wheel(tree, folder / "wheel", **environment)
    assert done.returncode == 0, done.stdout
    (wheel,) = (folder / "wheel").glob("*.whl")
    return Built(wheel, done.stdout)


def copy_tree(target):
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    for name in FILES:
        shutil.copy(ROOT / name, target / name)
    return target


def unpack(wheel, folder):
    """The wheel installed where only a PYTHONPATH finds it."""
    shutil.unpack_archive(wheel, folder, "zip")
    return folder


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def pure(tree, tmp_path_factory):
    """What an install gives on a machine without a compiler."""
    return build(tree, tmp_path_factory.mktemp("pure"), **NO_COMPILER)


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    source = copy_tree(folder / "source")
    done = run([sys.executable, "setup.py", "--quiet", "sdist", "-d", folder / "dist"], cwd=source)
    assert done.returncode == 0, done.stdout
    (archive,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def native(sdist, tmp_path_factory):
    """The wheel with the compiled module, built from the sdist."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler on this machine")
    return build(sdist, tmp_path_factory.mktemp("native"), BACKHAND_NATIVE="1")


@pytest.fixture(scope="session")
def installed(pure, tmp_path_factory):
    return unpack(pure.wheel, tmp_path_factory.mktemp("installed"))
