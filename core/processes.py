"""Several processes that train one model: each takes its part of every batch.

    mpiexec -n 2 backhand train vae --data mnist-mini

Noise belongs to the data (backhand.noise), so N processes draw what one draws; their gradients are
added in one all-reduce, and every process makes the same step.  What N find is what one finds, but
for the order of sums.  The engine is mpi4py; between GPUs NCCL adds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from backhand._types import Array

# What mpiexec says to those that it starts: MPICH and those after it, Open MPI.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


class Processes:
    """One by itself.  ``rank`` 0 writes and reports."""

    rank = 0
    size = 1

    def sum(self, x: Array) -> None:
        """x becomes the sum of every process's x."""

    def share(self, value: Any) -> Any:
        """What rank 0 has."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """What every process has, by rank."""
        return [value]

    def part(self, n: int) -> slice:
        """Which of n are this process's."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """An error in the block ends all processes: nobody waits for one that is gone."""
        yield


class MPIProcesses(Processes):
    """Those that mpiexec has started."""

    def __init__(self) -> None:
        try:
            self._mpi: Any = import_module("mpi4py.MPI")
        except ImportError as error:
            raise ImportError(
                f"started by mpiexec, but mpi4py is missing ({error}); pip install 'backhand[mpi]'"
            ) from None
        self._comm = self._mpi.COMM_WORLD
        self.rank, self.size = self._comm.rank, self._comm.size

    def sum(self, x: Array) -> None:
        self._comm.Allreduce(self._mpi.IN_PLACE, x, self._mpi.SUM)

    def share(self, value: Any) -> Any:
        return self._comm.bcast(value)

    def gather(self, value: Any) -> list[Any]:
        return self._comm.allgather(value)  # type: ignore[no-any-return]

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            print(
                f"backhand: error: process {self.rank} of {self.size}: {reason} "
                "(all processes end; checkpoints stay as they are)",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            self._comm.Abort(2)
            raise


class NCCLProcesses(MPIProcesses):
    """The same with a GPU each: NCCL adds what lies there."""

    def __init__(self) -> None:
        super().__init__()
        self._cupy: Any = import_module("cupy")
        self._nccl: Any = import_module("cupy.cuda.nccl")
        cuda = self._cupy.cuda
        here = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED).rank  # on this machine
        cuda.Device(here % cuda.runtime.getDeviceCount()).use()
        key = self.share(self._nccl.get_unique_id() if self.rank == 0 else None)
        self._group = self._nccl.NcclCommunicator(self.size, key, self.rank)

    def sum(self, x: Array) -> None:
        kinds = {"float32": self._nccl.NCCL_FLOAT32, "float64": self._nccl.NCCL_FLOAT64}
        pointer, stream = x.data.ptr, self._cupy.cuda.get_current_stream().ptr  # type: ignore[attr-defined]
        self._group.allReduce(
            pointer, pointer, x.size, kinds[x.dtype.name], self._nccl.NCCL_SUM, stream
        )


def world(backend: str = "") -> Processes:
    """All that mpiexec has started, or this one by itself."""
    if all(int(os.environ.get(name, 1)) == 1 for name in SIZES):
        return Processes()
    return NCCLProcesses() if backend == "cuda" else MPIProcesses()
