"""Several processes find what one finds, go on from their checkpoints, and end together."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backhand import checkpoint, processes
from backhand.runs import Run

BESIDE = Path(sys.executable).with_name("mpiexec")  # of the mpich wheel
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
# float64, as the order of sums is all that differs; every optimiser step by the clipped norm.
SMALL = {
    "vae": ["hidden=9", "latent=2", "clip=1.0", "valid_every=2"],
    "iwae": ["hidden=9,7", "latent=3,2", "k=3"],
    "draw": ["glimpses=2", "read=2", "write=2", "hidden=8", "latent=2"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """37 pictures to train with: with batches of 9 the last batch of an epoch has one."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "small.npy"
    np.save(path, (rng.random((41, 4, 5)) < rng.random((4, 5))).astype(np.float32))
    return path


def words(model, data, folder, epochs, *more):
    settings = [*SMALL[model], "dtype=float64", "valid=4"]
    return [
        sys.executable, "-m", "backhand", "train", model, "--data", str(data), "--run", str(folder),
        "--batch", "9", "--epochs", str(epochs), "--json", *more,
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip


def together(n, command):
    if MPIEXEC is None:
        pytest.skip("mpiexec is missing; pip install 'backhand[mpi]'")
    return [MPIEXEC, "-n", str(n), *command]


def run(command):
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def result(folder):
    arrays, meta = checkpoint.latest(folder)
    meta["progress"].pop("seconds")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in Run.open(folder).metrics()]
    return arrays, meta["progress"], rows


def numbers(value):
    """All numbers in a tree of dicts and lists, by their path."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {f"{k}/{name}": x for k, v in pairs for name, x in numbers(v).items()}
    return {"": value}


@pytest.mark.parametrize(("model", "n"), [("vae", 2), ("vae", 3), ("iwae", 2), ("draw", 2)])
def test_several_processes_find_what_one_finds(data, tmp_path, model, n):
    done = run(words(model, data, tmp_path / "one", 4))
    assert done.returncode == 0, done.stderr
    done = run(together(n, words(model, data, tmp_path / "several", 4)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 20, "one of them reports"
    one, several = result(tmp_path / "one"), result(tmp_path / "several")
    assert one[0].keys() == several[0].keys()
    for name in one[0]:
        np.testing.assert_allclose(several[0][name], one[0][name], rtol=1e-9, atol=1e-12)
    assert not np.array_equal(several[0]["vector"], one[0]["vector"]), "nothing was shared"
    for which in (1, 2):
        a, b = numbers(one[which]), numbers(several[which])
        assert a.keys() == b.keys()
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=1e-9), name


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run(together(2, words("vae", data, folder, 40)))
    assert done.returncode == 0, done.stderr
    return result(folder)


def same(a, b):
    assert a[0].keys() == b[0].keys()
    assert all(np.array_equal(a[0][name], b[0][name]) for name in a[0])
    assert a[1:] == b[1:]


def resumed(data, folder, uninterrupted):
    done = run(together(2, words("vae", data, folder, 40, "--resume")))
    assert done.returncode == 0, done.stderr
    same(result(folder), uninterrupted)


def ended(data, folder, rank, how):
    """What is said where one process ends like this at the close of the seventh epoch."""
    program = (
        "import os, sys; from backhand import training as t; from backhand.cli import main\n"
        "close, count = t._close_epoch, 0\n"
        "def closing(*a):\n"
        "    global count; count += 1\n"
        f"    if count == 7 and os.environ['PMI_RANK'] == '{rank}': {how}\n"
        "    return close(*a)\n"
        "t._close_epoch = closing; sys.exit(main(sys.argv[1:]))"
    )
    command = together(2, [sys.executable, "-c", program, *words("vae", data, folder, 40)[3:]])
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert checkpoint.latest(folder).meta["progress"]["step"] == 30
    return done.stdout + done.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_and_the_run_goes_on_bit_for_bit(
    data, uninterrupted, tmp_path, rank
):
    said = ended(data, tmp_path / "run", rank, "os.kill(os.getpid(), 9)")
    assert "signal 9" in said, "mpiexec says why"
    resumed(data, tmp_path / "run", uninterrupted)


def test_an_error_in_one_process_ends_all_with_its_reason(data, uninterrupted, tmp_path):
    said = ended(data, tmp_path / "run", 1, "raise OSError('no disk')")
    assert "process 1 of 2: no disk (all processes end" in said
    resumed(data, tmp_path / "run", uninterrupted)


def test_ctrl_c_stops_all_with_a_checkpoint(data, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        together(2, words("vae", data, folder, 40)), env=ENVIRONMENT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert 0 < checkpoint.latest(folder).meta["progress"]["step"] < 200
    resumed(data, folder, uninterrupted)


def test_one_process_goes_on_where_two_stopped(data, tmp_path):
    for n, epochs in ((2, 2), (1, 4)):
        done = run(together(n, words("vae", data, tmp_path / "run", epochs, "--resume")))
        assert done.returncode == 0, done.stderr
    done = run(words("vae", data, tmp_path / "one", 4))
    assert done.returncode == 0, done.stderr
    mixed, one = result(tmp_path / "run")[0], result(tmp_path / "one")[0]
    np.testing.assert_allclose(mixed["vector"], one["vector"], rtol=1e-9, atol=1e-12)


def test_free_bits_are_refused(data, tmp_path):
    command = words("vae", data, tmp_path / "run", 2, "--set", "free_bits=0.1")
    done = run(together(2, command))
    assert done.returncode != 0
    assert "free_bits looks at a whole batch" in done.stderr


def test_parts_are_all_of_it_in_order():
    for n in (0, 1, 5, 20):
        for size in (1, 2, 3):
            found = []
            for rank in range(size):
                one = processes.Processes()
                one.rank, one.size = rank, size
                found += range(n)[one.part(n)]
            assert found == list(range(n))


def test_without_mpiexec_there_is_one(monkeypatch):
    for name in processes.SIZES:
        monkeypatch.delenv(name, raising=False)
    assert type(processes.world()) is processes.Processes
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    with pytest.raises(ImportError, match=r"mpi4py is missing.*backhand\[mpi\]"):
        processes.world()


class Group:
    """What NCCL is asked."""

    def __init__(self, size, key, rank):
        self.made, self.calls = (size, key, rank), []

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        self.calls.append((sendbuf, recvbuf, count, datatype, op, stream))


def test_nccl_is_called_by_its_contract(monkeypatch):
    """With stand-ins for CuPy and MPI; the names and the order are those of CuPy's class."""
    used = []
    device = lambda number: SimpleNamespace(use=lambda: used.append(number))  # noqa: E731
    cuda = SimpleNamespace(
        Device=device, runtime=SimpleNamespace(getDeviceCount=lambda: 2),
        get_current_stream=lambda: SimpleNamespace(ptr=77),
    )  # fmt: skip
    nccl = SimpleNamespace(
        get_unique_id=lambda: ("key",), NcclCommunicator=Group,
        NCCL_FLOAT32=7, NCCL_FLOAT64=8, NCCL_SUM=0,
    )  # fmt: skip
    comm = SimpleNamespace(
        rank=3, size=4, bcast=lambda value: ("key",) if value is None else value,
        Split_type=lambda kind: SimpleNamespace(rank=3),
    )  # fmt: skip
    mpi = SimpleNamespace(COMM_WORLD=comm, COMM_TYPE_SHARED=1)
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", mpi)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
    monkeypatch.setenv("PMI_SIZE", "4")
    group = processes.world("cuda")
    assert used == [1], "the fourth process of a machine with two GPUs has the second"
    assert group._group.made == (4, ("key",), 3)
    x = SimpleNamespace(data=SimpleNamespace(ptr=5), size=10, dtype=np.dtype("float64"))
    group.sum(x)
    assert group._group.calls == [(5, 5, 10, 8, 0, 77)]
