"""The double's ``cupy.cuda`` and ``RawModule``: kernels run in the emulator.

A kernel on a device takes bytes as they are.  Here each argument is held to the parameter list
that the emulator's compiler made of the kernel, whatever the launcher has checked before.
"""

import re
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from backhand.kernels import emulator
from tests.device.array import Current, bound, ndarray

DEVICES = 2
TYPES = {
    "float": np.float32, "double": np.float64, "int": np.int32, "unsigned int": np.uint32,
    "long long": np.int64, "unsigned long long": np.uint64,
}  # fmt: skip


class Launch(NamedTuple):
    kernel: str
    real: str
    device: int
    stream: object


class Log:
    """What was compiled, (kernels, real, device) each, and launched."""

    compiled: list = []
    launches: list = []

    @classmethod
    def clear(cls):
        cls.compiled, cls.launches = [], []


class Device:
    def __init__(self, *args):
        bound("cuda.Device", args, {})
        self.id = args[0] if args else Current.device
        if not 0 <= self.id < DEVICES:
            raise RuntimeError(f"cudaErrorInvalidDevice: {self.id}")

    def __enter__(self):
        self._before, Current.device = Current.device, self.id
        return self

    def __exit__(self, *_):
        Current.device = self._before


class Stream:
    """The current one of each device; the last of a stack."""

    _stacks = {device: [] for device in range(DEVICES)}
    null = None

    def __init__(self, **kwargs):
        bound("cuda.Stream", (), kwargs)

    def __enter__(self):
        self._stack = self._stacks[Current.device]
        self._stack.append(self)
        return self

    def __exit__(self, *_):
        assert self._stack.pop() is self


Stream.null = object.__new__(Stream)


def get_current_stream(*args):
    bound("cuda.get_current_stream", args, {})
    stack = Stream._stacks[Current.device]
    return stack[-1] if stack else Stream.null


cuda = SimpleNamespace(
    Device=Device,
    Stream=Stream,
    get_current_stream=get_current_stream,
    runtime=SimpleNamespace(
        getDeviceCount=lambda: DEVICES,
        getDevice=lambda: Current.device,
    ),
)


class RawModule:
    def __init__(self, code=None, **kwargs):
        bound("RawModule", (code,), kwargs)
        self.code, self.options = code, kwargs["options"]
        options = self.options
        if type(options) is not tuple or not all(type(o) is str for o in options):
            raise TypeError(f"Expected tuple, got {type(options).__name__}")
        if kwargs["backend"] not in ("nvrtc", "nvcc"):
            raise ValueError(f"backend {kwargs['backend']!r}")
        if re.search(r'^\s*#\s*include\s*"', code, re.MULTILINE):
            raise RuntimeError("catastrophic error: cannot open source file")
        found = [re.fullmatch("-DBH_REAL=(float|double)", option) for option in options]
        (self.real,) = (match[1] for match in found if match)
        pattern = r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\('
        self.kernels = tuple(re.findall(pattern, code))
        self._built = set()

    def compile(self):
        """At first use, for each device: its architecture is its own."""
        if Current.device not in self._built:
            self._built.add(Current.device)
            Log.compiled.append((self.kernels, self.real, Current.device))

    def get_function(self, name):
        self.compile()
        if name not in self.kernels:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        return RawKernel(name, self.real)


class RawKernel:
    def __init__(self, name, real):
        self.name, self.real = name, real

    def __call__(self, grid, block, args, **kwargs):
        bound("RawKernel.__call__", (grid, block, args), kwargs, 1)
        shared = kwargs.pop("shared_mem", 0)
        stream = kwargs.pop("stream", None) or get_current_stream()
        if kwargs:
            raise TypeError(f"RawKernel takes shared_mem and stream, got {', '.join(kwargs)}")
        for sizes in (grid, block):
            if type(sizes) is not tuple or not all(type(n) is int and n > 0 for n in sizes):
                raise ValueError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}")
        if type(args) is not tuple:
            raise TypeError(f"args must be a tuple, got {type(args).__name__}")
        library = emulator.library()
        types = library.signatures[self.name, self.real].split(", ")
        if len(types) != len(args):
            raise TypeError(f"{self.name}: {len(args)} arguments for {len(types)} parameters")
        values = [self._argument(*pair) for pair in zip(types, args, strict=True)]
        Log.launches.append(Launch(self.name, self.real, Current.device, stream))
        library.launch(self.name, self.real, grid, block, shared, values)

    def _argument(self, type_, a):
        words = f"{self.name}: {type_} is given"
        if not type_.endswith("*"):
            if type(a) is not TYPES[type_]:
                raise TypeError(f"{words} {type(a).__name__}")
            return a
        if type(a) is np.uintp and a == 0:
            return None
        if not isinstance(a, ndarray):
            raise TypeError(f"{words} {type(a).__name__}")
        wanted = TYPES[type_.removeprefix("const ").removesuffix("*")]
        if a.dtype != wanted:
            raise TypeError(f"{words} an array of {a.dtype}")
        if a._device != Current.device:
            raise ValueError(f"{words} an array of device {a._device} on {Current.device}")
        if not a._host.flags.c_contiguous:
            raise ValueError(f"{words} an array with strides {a.strides}")
        return a._host
