"""How the CUDA kernels are launched: on a GPU, or on the CPU by the emulator.

    launch("op", "op_forward", blocks(n, 256), 256, (y, x, n))

The parameter list in csrc/<op>/kernel.cu says what each argument must be.  The type of the arrays
says which engine runs: CuPy's go to the device, NumPy's to the emulator.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from backhand._types import Array, DType
from backhand.backend import is_device_array
from backhand.csrc import sources
from backhand.kernels import cuda_device, emulator
from backhand.numerics import xp_of

TILE_COLS, TILE_ROWS = 32, 256  # of csrc/common/column_sums.h
GRID = (2**31 - 1, 65535, 65535)  # the most blocks along each axis
SHARED = 48 * 1024  # bytes that every device gives to a block

_DTYPES: dict[str, DType] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "int": np.dtype(np.int32),
    "unsigned int": np.dtype(np.uint32),
    "long long": np.dtype(np.int64),
    "unsigned long long": np.dtype(np.uint64),
}
Size = int | tuple[int, ...]


@cache
def _kernels(op: str) -> dict[str, sources.Kernel]:
    return sources.kernels(op)


def launch(
    op: str, kernel: str, grid: Size, block: Size, arguments: tuple[Any, ...], shared: int = 0
) -> None:
    """Run a kernel; nothing is done for a grid without blocks.

    Arrays are contiguous and of the parameter's type, None is a null pointer; numbers are Python
    or NumPy integers and floats, never one for the other.  REAL is the type of the arrays that
    are REAL*.  shared: bytes of dynamic shared memory.
    """
    described = _kernels(op)[kernel]
    if len(arguments) != len(described.parameters):
        raise TypeError(
            f"{kernel}: takes {len(described.parameters)} arguments "
            f"({', '.join(p.name for p in described.parameters)}), got {len(arguments)}"
        )
    pairs = list(zip(described.parameters, arguments, strict=True))
    real = _real(kernel, pairs)
    device = _device(kernel, pairs)
    values = [_checked(kernel, p, a, real) for p, a in pairs]
    blocks_, threads = _three(kernel, "grid", grid), _three(kernel, "block", block)
    for size, most in zip(blocks_, GRID, strict=True):
        if size > most:
            raise ValueError(f"{kernel}: a grid has at most {GRID} blocks, got {blocks_}")
    if not 0 < math.prod(threads) <= described.threads or threads[2] > 64:
        raise ValueError(f"{kernel}: a block has 1 to {described.threads} threads, got {threads}")
    if not 0 <= shared <= SHARED:
        raise ValueError(f"{kernel}: shared must lie in 0 .. {SHARED} bytes, got {shared}")
    if 0 in blocks_:
        return
    if device is None:
        emulator.library().launch(kernel, real, blocks_, threads, shared, values)
    else:
        cuda_device.launch(op, kernel, real, blocks_, threads, shared, values, device)


def blocks(n: int, threads: int, most: int = 65535) -> int:
    """How many blocks of ``threads`` take n elements, one for each thread while they suffice."""
    return min(-(-n // threads), most)


def as_rows(x: Array) -> Array:
    """(..., O) as contiguous rows (R, O), on the device where x is."""
    rows: Array = xp_of(x).ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return rows


def shared_rows(rows: int, cols: int) -> tuple[int, tuple[int, int]]:
    """Grid and block for a kernel whose threads share rows: a warp for each, or for long ones a
    block (csrc/common/sums.h)."""
    return (blocks(rows, 4), (32, 4)) if cols <= 1024 else (blocks(rows, 1), (256, 1))


def shared_samples(n: int, samples: int) -> tuple[int, tuple[int, int]]:
    """Grid and block for a kernel with a sum over samples for each of n elements."""
    block = (32, 8) if samples >= 8 else (128, 1)
    return blocks(n, block[0]), block


def tiles(rows: int, cols: int) -> tuple[int, int]:
    """The grid of (TILE_COLS, 8) threads for a kernel that makes column sums."""
    return blocks(cols, TILE_COLS), blocks(rows, TILE_ROWS)


def partial_sums(x: Array) -> Array:
    """Where a kernel with column sums over the rows x (R, O) puts them: one row for each tile."""
    return xp_of(x).empty((-(-len(x) // TILE_ROWS), x.shape[1]), x.dtype)  # type: ignore[no-any-return]


def finish_sums(op: str, kernel: str, sums: Array) -> Array:
    """The sum (O,) of the rows; ``kernel(sums, x, rows, cols)`` of the op adds tile by tile."""
    if len(sums) == 0:
        return xp_of(sums).zeros(sums.shape[1], sums.dtype)  # type: ignore[no-any-return]
    while len(sums) > 1:
        x, sums = sums, partial_sums(sums)
        launch(op, kernel, tiles(*x.shape), (TILE_COLS, 8), (sums, x, *x.shape))
    total: Array = sums[0]
    return total


# -- what an argument must be --------------------------------------------------------------------


def _real(kernel: str, pairs: list[tuple[sources.Parameter, Any]]) -> str:
    """float or double, by the arrays that are REAL*; float where there are none."""
    found, origin = "float", ""
    for p, a in pairs:
        if p.type != "REAL" or not p.pointer or not hasattr(a, "dtype"):
            continue
        names = [name for name in sources.REALS if a.dtype == _DTYPES[name]]
        if not names:
            raise TypeError(f"{kernel}: {p.name} must be float32 or float64, got {a.dtype}")
        if origin and names[0] != found:
            raise TypeError(
                f"{kernel}: {p.name} is {a.dtype} but {origin} is {_DTYPES[found]}; "
                "a kernel has one type"
            )
        found, origin = names[0], p.name
    return found


def _device(kernel: str, pairs: list[tuple[sources.Parameter, Any]]) -> int | None:
    """The number of the device that has the arrays, None for NumPy's."""
    places = {}
    for p, a in pairs:
        if not p.pointer or a is None:
            continue
        if is_device_array(a):
            places[p.name] = int(a.device.id)
        elif isinstance(a, np.ndarray):
            places[p.name] = -1
        else:
            raise TypeError(f"{kernel}: {p.name} must be an array, got {type(a).__name__}")
    if len(set(places.values())) > 1:
        words = (f"{n} {'on the host' if d < 0 else f'on device {d}'}" for n, d in places.items())
        raise ValueError(f"{kernel}: arrays in different places: {', '.join(words)}")
    place = next(iter(places.values()), -1)
    return None if place < 0 else place


def _checked(kernel: str, p: sources.Parameter, a: Any, real: str) -> Any:
    dtype = _DTYPES[real if p.type == "REAL" else p.type]
    if not p.pointer:
        return _number(kernel, p, a, dtype)
    if a is None:
        return None
    if a.dtype != dtype:
        raise TypeError(f"{kernel}: {p.name} must be {dtype}, got {a.dtype}")
    if not a.flags.c_contiguous:
        raise ValueError(f"{kernel}: {p.name} must be contiguous, got strides {a.strides}")
    return a


def _number(kernel: str, p: sources.Parameter, a: Any, dtype: DType) -> Any:
    """As the very type of the parameter: a kernel takes the bytes as they are."""
    kinds = (int, np.integer) if dtype.kind in "iu" else (float, np.floating)
    if not isinstance(a, kinds) or isinstance(a, bool):
        wanted = "an integer" if dtype.kind in "iu" else "a float"
        raise TypeError(f"{kernel}: {p.name} must be {wanted}, got {type(a).__name__}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= a <= limits.max:
            raise ValueError(f"{kernel}: {p.name} must fit in {dtype}, got {a}")
    elif math.isfinite(a) and abs(a) > np.finfo(dtype).max:
        raise ValueError(f"{kernel}: {p.name} must fit in {dtype}, got {a}")
    return dtype.type(a)


def _three(kernel: str, name: str, size: Size) -> tuple[int, int, int]:
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if not 1 <= len(sizes) <= 3 or any(not isinstance(n, int) or n < 0 for n in sizes):
        raise ValueError(f"{kernel}: {name} must be one to three sizes, got {size}")
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z
