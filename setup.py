"""Build backhand: the packages, their data, and the optional compiled modules.

BACKHAND_NATIVE=auto (default)  compile backhand._native where that works, else warn and go on
BACKHAND_NATIVE=1               compile it or fail
BACKHAND_NATIVE=0               leave it out: a pure wheel for every platform

backhand._emulated, which runs the CUDA kernels on the CPU, is compiled beside it where that works.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import ExecError

ROOT = Path(__file__).resolve().parent
PACKAGE_DIR = {
    "backhand": "core",
    "backhand.kernels": "kernels",
    "backhand.csrc": "csrc",
    "backhand.bench": "bench",
}
DATA = ["*.cu", "*.h", "*.cpp", "*.md", "*.npz", "*.typed", "*.json", "*.toml"]


def version() -> str:
    """``__version__`` of core/_version.py, without importing anything that needs NumPy."""
    names: dict[str, str] = {}
    exec((ROOT / "core" / "_version.py").read_text(encoding="utf-8"), names)
    return names["__version__"]


def packages() -> list[str]:
    """Every folder under these four that holds something."""
    found = []
    for package, folder in PACKAGE_DIR.items():
        for path, folders, files in os.walk(ROOT / folder):
            folders[:] = sorted(f for f in folders if f.isidentifier() and f != "__pycache__")
            if files:
                found.append(".".join((package, *Path(path).relative_to(ROOT / folder).parts)))
    return found


def native_mode() -> str:
    mode = os.environ.get("BACKHAND_NATIVE", "auto")
    if mode not in ("auto", "0", "1"):
        raise SystemExit(f"error: BACKHAND_NATIVE must be auto, 0 or 1, got {mode!r}")
    return mode


def find_compiler() -> str | None:
    """The C++ compiler that CMake will use; on Windows CMake finds it by itself."""
    if "CXX" in os.environ:
        words = shlex.split(os.environ["CXX"])
        return shutil.which(words[0]) if words else None
    if sys.platform == "win32":
        return "the default compiler"
    names = [*shlex.split(sysconfig.get_config_var("CXX") or "")[:1], "c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, names)), None)


def find_tool(name: str) -> str | None:
    """A build tool from its Python package, from beside this Python, or from PATH."""
    try:
        package = __import__(name)
        folder = getattr(package, "CMAKE_BIN_DIR", None) or package.BIN_DIR
    except (ImportError, AttributeError):
        folder = ""
    beside = os.path.dirname(sys.executable)
    path = os.pathsep.join(filter(None, [folder, beside, os.environ.get("PATH", "")]))
    return shutil.which(name, path=path)


MISSING = {
    "backhand._native": "WARNING: installing backhand without its compiled kernels; NumPy runs "
    "instead.",
    "backhand._emulated": "WARNING: installing backhand without the emulator of CUDA kernels.",
}


class BuildNative(build_ext):
    """Compile backhand._native and backhand._emulated through CMakeLists.txt."""

    configured = False

    def build_extension(self, ext: Extension) -> None:
        try:
            self.cmake(ext, Path(self.get_ext_fullpath(ext.name)).resolve())
        except ExecError as error:
            if not ext.optional:
                raise
            line = "=" * 78
            print(f"\n{line}\n{MISSING[ext.name]}\n{error}\n{line}\n", file=sys.stderr)

    def cmake(self, ext: Extension, target: Path) -> None:
        asked = "" if ext.optional else "BACKHAND_NATIVE=1 was asked for, but "
        if find_compiler() is None:
            raise ExecError(
                f"{asked}no C++ compiler was found (looked at CXX, c++, g++, clang++): install "
                "one (Debian: apt install g++) or set BACKHAND_NATIVE=0"
            )
        cmake, ninja = find_tool("cmake"), find_tool("ninja")
        if cmake is None:
            raise ExecError(
                f"{asked}cmake was not found: pip install cmake ninja, or set BACKHAND_NATIVE=0"
            )
        try:
            import pybind11
        except ImportError:
            raise ExecError(
                f"{asked}pybind11 was not found: pip install pybind11, or set BACKHAND_NATIVE=0"
            ) from None
        build = Path(self.build_temp).resolve()
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            cmake, "-S", str(ROOT), "-B", str(build),
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DBACKHAND_OUTPUT={target.parent.as_posix()}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        ]  # fmt: skip
        if ninja and sys.platform != "win32":
            configure += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        make = [cmake, "--build", str(build), "--config", "Release", "--target"]
        try:
            if not self.configured:
                # The cache names tools of a build environment that may be gone by now.
                (build / "CMakeCache.txt").unlink(missing_ok=True)
                subprocess.run(configure, check=True)
                self.configured = True
            subprocess.run([*make, ext.name.rpartition(".")[2]], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ExecError(
                f"{asked}compiling {ext.name} failed ({error}); the messages above say why"
            ) from error
        if not target.exists():
            raise ExecError(f"{asked}the build made no {target.name}")


class Wheel(bdist_wheel):
    """A pure wheel where the compiled modules were left out."""

    def run(self) -> None:
        # Files deleted since an earlier build must not come back from its folder.
        shutil.rmtree(self.get_finalized_command("build").build_lib, ignore_errors=True)
        self.run_command("build")
        outputs = self.get_finalized_command("build_ext").get_outputs()
        if not any(map(os.path.exists, outputs)):
            self.distribution.ext_modules = []
            self.root_is_pure = True
        super().run()


def extensions(mode: str) -> list[Extension]:
    if mode == "0":
        return []
    found = [Extension("backhand._native", sources=[], optional=mode == "auto")]
    if sys.platform != "win32":
        found.append(Extension("backhand._emulated", sources=[], optional=True))
    return found


setup(
    version=version(),
    package_dir=PACKAGE_DIR,
    packages=packages(),
    package_data={"": DATA},
    include_package_data=False,
    zip_safe=False,
    ext_modules=extensions(native_mode()),
    cmdclass={"build_ext": BuildNative, "bdist_wheel": Wheel},
)
