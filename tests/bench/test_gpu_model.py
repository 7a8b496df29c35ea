"""The model of GPU times on paper: what it counts is what runs, and its formulas are held to it."""

import functools
import importlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import backhand as bh
from backhand.bench import attention, gpu_launches, gpu_model, gpu_work
from backhand.bench.gpu_launches import Event, recorded, training_steps
from backhand.bench.gpu_model import CARDS
from backhand.csrc import sources
from backhand.kernels import (
    attention_read,
    attention_write,
    causal_conv,
    cuda_device,
    embedding,
    gaussian_density,
    linear_cross_entropy,
    softmax_cross_entropy,
)
from tests.device.engine import Log
from tests.kernels.harness import needs

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gpu-model.md"
EVERY_KERNEL = {name: op for op in sources.ops() for name in sources.kernels(op)}
SMALL = {
    "vae": ("vae", "", {"hidden": (9, 7), "latent": 3}),
    "dvae": ("dvae", "dvae-paper", {"hidden": (9,), "latent": (4,)}),
    "faces": ("dvae", "dvae-frey", {"hidden": (9,), "latent": (4,)}),
    "iwae": ("iwae", "iwae-paper-two-layers", {"hidden": (9, 7), "latent": (4, 3)}),
    "draw": ("draw", "draw-paper", {"glimpses": 2, "hidden": 6, "latent": 2}),
    "glimpses": ("glimpses", "glimpses-short", {"glimpses": 2, "hidden": 6, "read": 3}),
}


@pytest.fixture(scope="module", autouse=True)
def _from_the_root():
    """``python -m backhand.bench.gpu_model`` runs there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield


# -- the page --------------------------------------------------------------------------------------


def test_the_page_has_what_the_script_makes(tmp_path):
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text("utf-8"), "utf-8")
    gpu_model.main(str(copy))
    assert copy.read_text("utf-8") == PAGE.read_text("utf-8")
    rows = [line.split("|")[1].strip() for line in copy.read_text("utf-8").splitlines()
            if line.startswith("| ")]  # fmt: skip
    assert set(EVERY_KERNEL) <= set(rows), "a kernel is missing"


def test_the_page_says_first_that_nothing_was_run_on_a_gpu():
    text = PAGE.read_text("utf-8")
    first = " ".join(text.partition("\n\n")[2].split()).partition(".")[0]
    assert "Nothing on this page was run or timed on a GPU" in first
    assert "on paper" in first


def test_the_words_have_the_numbers_of_the_table():
    text = " ".join(PAGE.read_text("utf-8").split())
    rows = [line.split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
    table = {row[0].strip("| "): row[1:] for row in rows if len(row) == 10}
    saved = []
    for name in ("VAE", "IWAE, k = 50", "DRAW, T = 64"):
        alone, graph = (float(cell.split(" / ")[0].strip(" |")) for cell in table[name][-2:])
        places = 2 if alone < 10 else 0
        saved.append(f"{alone - graph:.{places}f} of {alone:.{places}f} ms")
    assert (
        f"save {saved[0]} of the VAE's step, {saved[1]} of IWAE's, and {saved[2]} of DRAW's" in text
    )
    assert f"{table['DRAW, T = 64'][4].split(', ')[1]} in all" in text


def test_the_rest_of_the_page_stays():
    page = "a\n<!-- x: made by bench/gpu_model.py -->\nold\n<!-- end of x -->\nb\n"
    assert gpu_model.replaced(page, "x", "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="the page has no <!-- y: made by"):
        gpu_model.replaced(page, "y", "new")


# -- launches ----------------------------------------------------------------------------------


def kinds(events):
    return [(e.kind, e.name) for e in events]


@functools.cache
def dry(name):
    return training_steps(*SMALL[name], batch=3, k=2 if name == "iwae" else 1)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_is_launched_whether_kernels_run_or_not(name):
    needs("emulated")
    ran = training_steps(*SMALL[name], run=True, batch=3, k=2 if name == "iwae" else 1)
    for expected, found in zip(ran, dry(name), strict=True):
        assert [e[:7] for e in found] == [e[:7] for e in expected]
        assert len(found) > 50


@pytest.mark.parametrize("name", ["vae", "iwae", "draw"])
def test_a_step_launches_the_kernels_that_the_device_sees(name):
    """The stand-in's own log, without this model's: one step more, so many launches more."""
    needs("emulated")
    double = importlib.import_module("tests.device.double")
    seen = []
    for steps in (2, 3):
        with double.installed():
            model, data, config = gpu_launches.prepared(*SMALL[name], batch=3)
            bh.fit(model, data, bh.TrainConfig(**vars(config) | {"steps": steps}))
            seen.append(Counter(launch.kernel for launch in Log.launches))
    expected = seen[1] - seen[0]
    events, _ = training_steps(*SMALL[name], batch=3)
    assert Counter(e.name for e in events if e.kind == "kernel") == expected


def test_what_is_launched_depends_on_no_width():
    wide, _ = training_steps("vae", "", {}, batch=3)
    assert kinds(wide) == kinds(dry("vae")[0])


def test_each_glimpse_adds_the_same_launches():
    counts = []
    for glimpses in (2, 3, 4):
        step = "draw", "draw-paper", {"glimpses": glimpses, "hidden": 6, "latent": 2}
        counts.append(Counter(kinds(training_steps(*step, batch=3)[0])))
    assert counts[2] - counts[1] == counts[1] - counts[0]
    assert (counts[1] - counts[0])["kernel", "attention_read_forward"] == 1


def test_what_a_graph_would_have_to_be_told_anew():
    first, second = dry("vae")
    changed = {
        (e.name, name)
        for e, then in zip(first, second, strict=True)
        for (name, a), (_, b) in zip(e.numbers, then.numbers, strict=True)
        if a != b
    }
    assert changed == {
        ("adam_update_all", "rate"), ("adam_update_all", "root"),
        ("philox_draw_bernoullis", "step"), ("philox_draw_normals", "step"),
    }  # fmt: skip


def test_calls_of_the_array_module():
    """Views are nothing, copies from and to the host have names, the rest is one each."""
    with recorded() as (cupy, events):

        def made(call):
            del events[:]
            call()
            return [(e.kind, e.name, e.bytes, e.floats) for e in events]

        x, y = cupy.ones((4, 3), np.float32), cupy.asarray(np.ones((4, 3), np.float32))
        for view in (lambda: x.reshape(12), lambda: x.T, lambda: x[1:], lambda: x[0], x.ravel,
                     lambda: cupy.broadcast_to(x, (2, 4, 3)), lambda: cupy.split(x, 2),
                     lambda: cupy.ascontiguousarray(x), lambda: cupy.empty(3),
                     lambda: cupy.asarray(x)):  # fmt: skip
            assert made(view) == []

        def add_to_a_row():
            x[0] += y[0]

        def add():
            nonlocal x
            x += y

        assert made(lambda: x + y) == [("array", "__add__", 144, 0)]
        assert made(add) == [("array", "__iadd__", 144, 0)]
        assert made(add_to_a_row) == [("array", "__iadd__", 36, 0)]
        assert made(lambda: x.__setitem__(0, y[1])) == [("array", "__setitem__", 24, 0)]
        assert made(lambda: x.__setitem__(..., 0)) == [("array", "__setitem__", 48, 0)]
        assert made(lambda: x.fill(1)) == [("array", "fill", 48, 0)]
        assert made(lambda: cupy.ascontiguousarray(x.T)) == [("array", "ascontiguousarray", 96, 0)]
        assert made(lambda: cupy.maximum(x, y, out=x)) == [("array", "maximum", 144, 0)]
        assert made(lambda: x.T @ y) == [("product", "__matmul__", 96 + 36, 2 * 3 * 4 * 3)]
        assert made(lambda: x.sum(0)) == [("array", "sum", 60, 0)]
        assert made(x.get) == [("out", "get", 48, 0)]
        assert made(lambda: cupy.asarray(np.ones(5))) == [("in", "asarray", 40, 0)]


# -- bytes and operations --------------------------------------------------------------------------


def test_every_kernel_has_its_formula():
    attention = {name for name, op in EVERY_KERNEL.items() if op in gpu_work.ATTENTION}
    assert {*gpu_work.WORK, *attention} == set(EVERY_KERNEL)
    assert {*gpu_work.UPDATED, *gpu_work.ROWS, *gpu_work.DOUBLES} <= set(EVERY_KERNEL)


def test_bytes_are_those_of_the_arrays():
    """Written out by hand for IWAE, k = 50: B 20, 784 pixels, 200 units, 50 latent ones."""
    events, _ = training_steps(*gpu_model.STEPS["IWAE, k = 50"])
    moved = {e.name: e.bytes for e in events if e.kind == "kernel"}
    most = {name: max(e.bytes for e in events if e.name == name) for name in moved}
    R, D, H, Z, B = 50 * 20, 784, 200, 50, 20
    tiles, parameters = -(-R // 256), 2 * 784 * 200 + 2 * 200 * 200 + 3 * 50 * 200 + 4 * 200 + 884
    expected = {
        "bernoulli_logits_forward": R + B * D + R * D,
        "bernoulli_logits_backward": R * D + R + B * D + R * D,
        "bias_activation_forward": 2 * R * H + H,
        "bias_activation_backward": 3 * R * H + tiles * H,
        "gaussian_sample_forward": 2 * R * Z + 2 * R + 2 * B * Z,
        "gaussian_sample_backward": 3 * R * Z + 2 * R + 4 * B * Z,
        "importance_weights_backward": 2 * R + 3 * B,
        "adam_update_all": 7 * parameters,
        "philox_draw_normals": R * Z + B,
    }
    assert {name: most[name] for name in expected} == {n: 4 * v for n, v in expected.items()}


def test_arrays_that_are_updated_are_read_and_the_others_are_not(monkeypatch):
    """Each launch twice, on outputs that held 0.25 and 0.75 before."""
    needs("emulated")
    launch, seen = cuda_device.launch, Counter()

    def twice(op, kernel, real, grid, block, shared, values, device):
        pairs = list(zip(sources.kernels(op)[kernel].parameters, values, strict=True))
        arrays = {p.name: v._host for p, v in pairs if p.pointer and v is not None}
        arrays = {name: x for name, x in arrays.items() if x.flags.writeable}
        before = {name: x.copy() for name, x in arrays.items()}
        inputs = [arrays[p.name] for p, _ in pairs if p.constant and p.name in arrays]
        updated = gpu_work.UPDATED.get(kernel, "").split()

        def outcome(name=None, fill=0):
            for other, x in arrays.items():
                x[...] = 0.5 if name and other in updated else before[other]
            if name:
                arrays[name][...] = fill
            launch(op, kernel, real, grid, block, shared, values, device)
            return {other: x.copy() for other, x in arrays.items()}

        for name, x in arrays.items():
            if any(np.may_share_memory(x, y) for y in inputs):  # an input, or it lies on one
                continue
            low, high = (outcome(name, x.dtype.type(fill)) for fill in (0.25, 0.75))
            written = (low[name] != 0.25) | (high[name] != 0.75)
            low[name][~written] = high[name][~written] = 0
            same = all(np.array_equal(low[n], high[n], equal_nan=True) for n in arrays)
            assert same == (name not in updated), (kernel, name)
            seen[kernel] += 1
        outcome()

    monkeypatch.setattr(cuda_device, "launch", twice)
    for name in ("vae", "iwae", "draw"):
        training_steps(*SMALL[name], run=True, batch=3)
    few_calls(run=True)
    assert set(gpu_work.UPDATED) <= set(seen)
    assert len(seen) > 25


def few_calls(run):
    """Ops that no small step has; the events."""
    rng = np.random.default_rng(0)
    with recorded(run) as (cupy, events):

        def normal(*shape):
            return cupy.asarray(rng.standard_normal(shape).astype(np.float32))

        ids = cupy.asarray(np.repeat(np.arange(3), 30))
        _, saved = embedding.forward(normal(5, 4), ids)
        embedding.backward(normal(90, 4), saved)
        _, saved = causal_conv.forward(normal(2, 7, 3), normal(2, 3, 4), normal(4), 2)
        causal_conv.backward(normal(2, 7, 4), saved)
        targets = cupy.asarray(np.array([1, 0, 4]))
        _, saved = linear_cross_entropy.forward(normal(3, 2), normal(2, 5), normal(5), targets)
        linear_cross_entropy.backward(normal(3), saved)
        _, saved = softmax_cross_entropy.forward(normal(3, 5), targets)
        softmax_cross_entropy.backward(normal(3), saved)
        _, saved = gaussian_density.forward(normal(3, 4), normal(2, 3, 4), normal(4))
        gaussian_density.backward(normal(2, 3), saved)
    return list(events)


def test_of_a_table_only_the_rows_that_are_used_are_moved():
    with recorded() as (cupy, events):
        W, ids = cupy.zeros((1000, 8), np.float32), cupy.zeros(6, np.int64)
        embedding.forward(W, ids)
    (event,) = (e for e in events if e.kind == "kernel")
    assert event.bytes == 2 * 6 * 8 * 4 + 6 * 8


@pytest.mark.parametrize(("size", "N"), [(28, 5), (60, 8)])
def test_the_products_of_attention_are_those_of_the_benchmark(size, N):
    """Which counts them for itself, the least; a backward makes a product of its forward again."""
    cases = {case.name: case for case in attention.CASES}
    B, rng = attention.BATCH, np.random.default_rng(0)
    for op, name in ((attention_read, "read"), (attention_write, "write")):
        case = cases[f"attention_{name}{size}_n{N}"]
        with recorded() as (cupy, events):
            inputs = {k: cupy.asarray(v) for k, v in case.inputs(rng).items()}
            case.implementations["backhand"](inputs)()
        bank = gpu_work.operators("filter_entry") + 3
        backward = gpu_work.operators("filter_dlogit") + 9
        expected = case.flops + B * 2 * N * size * (2 * bank + backward)
        again = 2 * N * size * size if op is attention_read else N * N * size  # F_Y image, P F_X
        expected += 2 * B * again
        assert sum(e.floats for e in events if e.kind == "kernel") == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("bh_reduce", 21), ("adam_update", 16), ("adam_sqrt", 1), ("bernoulli_linear", 2),
        ("bh_log1p_unit", 17), ("filter_dlogit", 2), ("gaussian_latent_kl", 4),
        ("gaussian_term", 3), ("lstm_step_cell", 3), ("philox_uniform", 3), ("philox_words", 100),
        ("bh_sigmoid", 21 + 6), ("bernoulli_slope", 27 + 2), ("softmax_term", 30 + 1),
    ],
)  # fmt: skip
def test_operators_are_those_of_the_text(function, expected):
    """Counted by hand."""
    assert gpu_work.operators(function) == expected


def test_operations_follow_threads_that_do_the_same():
    """gaussian_latent: every block along y, every thread along y, makes the scale again."""
    z, n = 50 * 20 * 50, 20 * 50
    arrays = {"z": np.zeros(z), "dz": np.zeros(z), "mean": np.zeros(n)}
    scale = gpu_work.operators("gaussian_latent_scale")

    def floats(kernel, rows, threads):
        return gpu_work.kernel_operations("gaussian_latent", kernel, arrays, rows, threads)[0]

    assert floats("gaussian_latent_forward", 7, 1) == 2 * z + 7 * n * scale + 4 * n
    assert floats("gaussian_latent_backward", 1, 8) == 3 * z + 8 * n * scale + (2 + 4) * n


# -- times ---------------------------------------------------------------------------------------


def test_seconds_are_those_of_what_takes_longer():
    card = CARDS[0]
    assert gpu_model.seconds(Event("kernel", "", bytes=1555), card) == pytest.approx(1e-9)
    assert gpu_model.seconds(Event("kernel", "", 1, floats=19500), card) == pytest.approx(1e-9)
    both = Event("kernel", "", 1, floats=19500, doubles=9700)
    assert gpu_model.seconds(both, card) == pytest.approx(2e-9)


def test_a_graph_saves_launches_and_no_work():
    small, large = [Event("kernel", "")] * 100, [Event("kernel", "", bytes=10**9)] * 100
    work, alone, graph = gpu_model.host_and_graph(small, CARDS[0])
    assert (work, alone, graph) == (0, 100 * gpu_model.LAUNCH, 100 * gpu_model.NODE)
    work, alone, graph = gpu_model.host_and_graph(large, CARDS[0])
    assert alone == graph > work == pytest.approx(0.1 / 1.555)


def test_occupancy_counts_the_dynamic_shared_memory():
    one = {"registers": 32, "shared": 0}
    event = Event("kernel", "", blocks=54, threads=256)
    assert gpu_model.occupancy(one, event, CARDS[0]) == 1
    assert gpu_model.filled(event, CARDS[0], 1.0) == 54 * 8 / (108 * 64)
    assert gpu_model.occupancy(one, event._replace(shared=40_000), CARDS[0]) == 0.5


def test_the_launcher_is_timed_on_the_cpu(capsys, monkeypatch):
    monkeypatch.setattr(gpu_model, "launcher_seconds", lambda: 17e-6)
    gpu_model.main()
    assert capsys.readouterr().out == "the launcher's checks: 17 µs a launch on this CPU\n"
    monkeypatch.undo()
    assert 0 < gpu_model.launcher_seconds(2, 2) < 1
