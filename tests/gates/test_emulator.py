"""The emulator: each rule of CUDA, broken by a planted kernel, becomes a sentence."""

import numpy as np
import pytest

from backhand.csrc import sources
from backhand.kernels import cuda_tools, emulator
from tests.gates import build
from tests.gates.planted import KERNELS
from tests.kernels.harness import needs

ORDERS = [0, 1, 2, 3, 4]
WAYS = {"stack switch": build.PLAIN, "ucontext": (*build.PLAIN, "-DBH_UCONTEXT")}


@pytest.fixture(scope="module", params=WAYS)
def launch(request, tmp_path_factory):
    """launch(kernel, grid, block, arguments, shared): of the planted kernels."""
    needs("emulated")
    root = tmp_path_factory.mktemp("csrc")
    (root / "planted").mkdir()
    (root / "planted" / "kernel.cu").write_text(KERNELS)
    name = f"planted {request.param}".replace(" ", "-")
    library = emulator.Library(build.library(name, root, WAYS[request.param]))
    described = sources.kernels("planted", root)
    with pytest.MonkeyPatch.context() as patch, emulator.using(library):
        patch.setattr(cuda_tools, "_kernels", lambda op: described)
        yield lambda *arguments, **more: cuda_tools.launch("planted", *arguments, **more)


def numbers(n):
    return np.arange(n, dtype=np.float32)


@pytest.mark.parametrize("order", ORDERS)
def test_right_kernels_give_the_same_in_every_order(launch, order):
    with emulator.order(order):
        x, y = numbers(96), np.zeros(3, np.float32)
        launch("planted_block_sum", 3, 32, (y, x, 32))
        assert y.tolist() == x.reshape(3, 32).sum(axis=1).tolist()
        y = np.zeros(2, np.float32)
        launch("planted_block_sum", 2, 96, (y, numbers(192), 96))
        assert y.tolist() == numbers(192).reshape(2, 96).sum(axis=1).tolist()
        y = np.zeros(64, np.float32)
        launch("planted_reverse", 1, 64, (y, numbers(64)), shared=256)
        assert y.tolist() == numbers(64)[::-1].tolist()
        count = np.zeros(1, np.int32)
        launch("planted_count", 5, 40, (count,))
        assert count[0] == 200


def test_the_grid_reaches_every_thread_of_every_block(launch):
    seen = np.zeros((2, 3, 4, 2, 3, 5), np.int32)
    launch("planted_places", (4, 3, 2), (5, 3, 2), (seen,))
    assert seen.ravel().tolist() == list(range(seen.size))


def test_shuffles_are_those_of_cuda(launch):
    out = np.zeros((6, 32), np.int32)
    launch("planted_shuffles", 1, 32, (out,))
    lane = np.arange(32)
    assert out[0].tolist() == [(3 + 8 * (i // 8)) for i in lane]  # shfl, width 8
    assert out[1].tolist() == [i if i < 2 else i - 2 for i in lane]
    assert out[2].tolist() == [i if i % 16 > 11 else i + 4 for i in lane]  # width 16
    assert out[3].tolist() == (lane ^ 5).tolist()
    assert out[4].tolist() == [0x55555555] * 32
    assert out[5].tolist() == [int(i < 16) * 16 + int(i >= 16) * 100 for i in lane]


def test_shared_memory_is_new_and_not_a_number(launch):
    y = np.zeros(4, np.float32)
    launch("planted_unset", 4, 1, (y,))
    assert np.isnan(y).all()


BROKEN = {
    "under_if": (1, 32, "stuck in block (0, 0, 0): 20 of 32 threads wait in __syncthreads "
                 "(planted/kernel.cu:{line}); 12 of 32 threads have returned"),
    "two_sites": (1, 32, "while others wait in another one, at planted/kernel.cu:"),
    "early_return": (1, 64, "stuck in block (0, 0, 0): 63 of 64 threads wait in __syncthreads "
                     "(planted/kernel.cu:{line}); 1 of 64 threads have returned"),
    "full_mask": (1, 20, "lane 20 of the mask ffffffff does not exist in this block"),
    "not_in_mask": (1, 32, "lane 16 is not in its own mask 0000ffff"),
    "stranger": (1, 32, "reads from lane 20, which is not in the mask 0000ffff"),
    "two_masks": (1, 32, "waits"),
    "two_kinds": (1, 32, "with mask ffffffff, while lane "),
    "returned_lane": (1, 32, "returned"),
    "split_warp": (1, 32, "stuck in block (0, 0, 0): 1 of 32 threads wait in __syncthreads"),
    "too_much": (1, 32, "49168 bytes of shared memory; a block has 49152"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_rule_is_a_sentence(launch, fault):
    grid, block, words = BROKEN[fault]
    lines = KERNELS.splitlines()
    line = next(i for i, text in enumerate(lines, 1) if f"the {fault} line" in text)
    for order in ORDERS:
        y = np.zeros(block, np.float32)
        with emulator.order(order), pytest.raises(emulator.EmulatorError) as caught:
            launch(f"planted_{fault}", grid, block, (y,))
        assert str(caught.value).startswith(f"planted_{fault}: ")
        assert words.format(line=line) in str(caught.value)
    # What was abandoned leaves nothing behind.
    x, y = numbers(64), np.zeros(64, np.float32)
    launch("planted_reverse", 1, 64, (y, x), shared=256)
    assert y.tolist() == x[::-1].tolist()


@pytest.mark.parametrize(("kernel", "threads"), [("missing_barrier", 64), ("missing_syncwarp", 32)])
def test_what_breaks_no_rule_of_a_call_gives_wrong_numbers(launch, kernel, threads):
    found = []
    for order in ORDERS:
        y = np.zeros(threads, np.float32)
        with emulator.order(order):
            launch(f"planted_{kernel}", 1, threads, (y, numbers(threads)))
        found.append(np.array_equal(y, numbers(threads)[::-1]))
    assert not all(found)


def test_a_missing_barrier_can_be_right_in_one_order(launch):
    """Why no single order is enough: ascending threads leave what the next ones read."""
    right = {}
    for order in ORDERS:
        y = np.zeros(64, np.float32)
        with emulator.order(order):
            launch("planted_neighbour", 1, 64, (y, numbers(64)))
        right[order] = np.array_equal(y[1:], numbers(63))
    assert right[0]
    assert not right[1]


def test_what_is_not_offered_does_not_compile(tmp_path):
    needs("emulated")
    for number, body in enumerate(
        ["__shared__ float a[4];", "__threadfence();", "float a = __activemask();",
         "float a = 0; atomicAdd(&a, 1.0f);"]
    ):  # fmt: skip
        root = tmp_path / str(number)
        (root / "bad").mkdir(parents=True)
        text = f'#include "common/device.h"\nextern "C" __global__ void bad_one(int n) {{ {body} }}'
        (root / "bad" / "kernel.cu").write_text(text)
        with pytest.raises(AssertionError, match=r"error:"):
            build.library("refused", root)
