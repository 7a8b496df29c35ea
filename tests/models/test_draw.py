"""DRAW: its gradient, its options, its training."""

from dataclasses import fields, replace

import numpy as np
import pytest

import backhand as bh
from backhand import grads
from backhand.kernels import matrix_product
from backhand.model import UNWEIGHTED, DataSpec
from backhand.models.draw import DRAW, DRAWConfig
from backhand.noise import Noise
from backhand.threads import blas_threads
from tests.kernels.harness import needs
from tests.models.drawn import ATTENTIVE, CONFIGS, WEIGHTED, B, complex_step, gradient, make

# -- the gradient --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "k", "weights"),
    [("attention", 1, UNWEIGHTED), ("none", 1, UNWEIGHTED), *((n, 2, WEIGHTED) for n in CONFIGS)],
)
def test_gradient_of_every_parameter_by_complex_step(name, k, weights):
    model, batch = make(*CONFIGS[name])
    cotangent = np.random.default_rng(3).standard_normal(B)
    numeric = complex_step(
        lambda moved: cotangent @ moved.bound(batch, Noise(1, 2), k, weights).objective, model
    )
    found = gradient(model, batch, cotangent, weights, k)
    for entry in model.params.table:
        at = slice(entry.offset, entry.offset + entry.size)
        scale = np.abs(numeric[at]).max()
        assert scale > 1e-6, entry.name
        assert np.abs(found[at] - numeric[at]).max() <= 1e-11 * scale, entry.name


def test_every_start_and_every_number_of_both_windows_has_a_gradient():
    model, batch = make()
    g = bh.grads_like(model)
    model.bound(batch, Noise(0)).backward(None, g)
    g.flush()
    for start in ("c", "encoder", "decoder"):
        assert (np.abs(g.params[f"start.{start}"]) > 1e-7).all(), start
    for part in ("read", "write"):
        assert (np.abs(g.params[f"{part}.window.linear.b"]) > 1e-5).all(), part


def test_clipped_scales_have_no_gradient_and_the_centres_still_have():
    model, batch = make()
    for part in (model.read, model.write):
        part.window.linear.b[...] = [12.0, 0.1, 30.0, 0.2, -12.0]
    g = bh.grads_like(model)
    bound = model.bound(batch, Noise(0))
    bound.backward(None, g)
    g.flush()
    assert np.isfinite(bound.value).all()
    for part in ("read", "write"):
        found = g.params[f"{part}.window.linear.b"] != 0
        assert not found[[2, 4]].any()
        assert found[[0, 1, 3]].all()


def test_deferred_products_give_the_same_gradient():
    model, batch = make()
    now, later = gradient(model, batch), gradient(model, batch, defer=True)
    np.testing.assert_allclose(later, now, rtol=0, atol=1e-14 * np.abs(now).max())


@pytest.mark.parametrize("recompute", [1, 2, 3])
def test_what_is_computed_again_is_the_same_to_the_bit(recompute):
    model, batch = make()
    again = DRAW(**{f.name: getattr(model, f.name) for f in fields(DRAW)})
    again.config = replace(model.config, recompute=recompute)
    assert gradient(again, batch, k=2).tobytes() == gradient(model, batch, k=2).tobytes()


@pytest.mark.parametrize("recompute", [0, 2])
def test_a_second_backward_needs_keep(recompute):
    model, batch = make(replace(ATTENTIVE, recompute=recompute))
    bound, found = model.bound(batch, Noise(0)), []
    for keep in (True, True, False):
        g = bh.grads_like(model)
        bound.backward(None, g, keep=keep)
        g.flush()
        found.append(g.vector.tobytes())
    assert len(set(found)) == 1
    with pytest.raises(RuntimeError, match="draw: backward was called before"):
        bound.backward(None)


@pytest.mark.parametrize("backend", ["numpy", "numba", "native", "emulated"])
@pytest.mark.parametrize("name", ["attention", "none", "colour", "gaussian"])
def test_backends_agree_on_bound_and_gradient(name, backend):
    needs(backend)
    model, batch = make(*CONFIGS[name])
    with bh.use_backend("numpy"):
        value, expected = model.bound(batch, Noise(1, 2), 2).value, gradient(model, batch, k=2)
    with bh.use_backend(backend):
        got, found = model.bound(batch, Noise(1, 2), 2).value, gradient(model, batch, k=2)
    np.testing.assert_allclose(got, value, rtol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_cells_with_packed_weights_give_the_same_gradient(monkeypatch):
    needs("native")
    model, batch = make(replace(ATTENTIVE, glimpses=6))
    with blas_threads(2):
        expected = gradient(model, batch)
    native, used = matrix_product.OP.implementation("native"), []
    few = native._few
    monkeypatch.setattr(native, "_few", lambda x: used.append(1) or few(x))
    with blas_threads(1):
        found = gradient(model, batch)
    assert len(used) == 6 * 4  # at each step two cells, forward and back
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# -- options -------------------------------------------------------------------------------

CHANGES = {
    "glimpses": 4, "read": 2, "write": 3, "hidden": 7, "latent": 3, "log_scale_bound": 0.5,
    "output": "gaussian", "variance": "fixed", "std": 0.5, "standardise": False,
}  # fmt: skip


def test_every_option_changes_the_outcome():
    """recompute changes the memory alone: below."""
    for field in fields(DRAWConfig):
        if field.name == "recompute":
            continue
        real = field.name in ("variance", "std", "standardise")
        before = replace(ATTENTIVE, output="gaussian") if real else ATTENTIVE
        after = replace(before, **{field.name: CHANGES[field.name]})
        results = []
        for config in (before, after):
            model, batch = make(config)
            results.append((model.bound(batch, Noise(0)).value, gradient(model, batch).tolist()))
        assert not np.array_equal(results[0][0], results[1][0]) or results[0][1] != results[1][1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"glimpses": 0}, "at least 1"),
        ({"hidden": 0}, "at least 1"),
        ({"latent": 0}, "at least 1"),
        ({"read": 1}, "2 or more, or 0 for no attention"),
        ({"write": -1}, "2 or more, or 0 for no attention"),
        ({"recompute": 11}, "recompute must be from 0 to glimpses"),
        ({"variance": "learned", "output": "gaussian"}, "a canvas holds means alone"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DRAWConfig(**options)


def test_data_that_are_no_pictures_are_refused():
    with pytest.raises(ValueError, match=r"draw takes pictures, \(height, width\)"):
        DRAW.create(ATTENTIVE, DataSpec((12,), "binary"))
    with pytest.raises(ValueError, match="not text"):
        DRAW.create(ATTENTIVE, DataSpec((12,), "text"))
    model, batch = make()
    with pytest.raises(ValueError, match=r"DRAW: data must have shape \(B, 7, 5\)"):
        model.bound(batch._replace(x=batch.x[:, :, :4]), Noise(0))


# -- training ------------------------------------------------------------------------------


def train(backend, steps=10, config=ATTENTIVE):
    x = (np.random.default_rng(0).random((30, 7, 5)) < 0.4).astype(np.float32)
    data = bh.data.load(x, valid=10)
    model = DRAW.create(config, data.spec, data.train.x)
    trace = []
    settings = bh.TrainConfig(steps=steps, batch=20, lr=0.01, backend=backend, clip=5.0)
    with bh.use_backend(backend):
        bh.fit(model, data, settings, report=lambda row: trace.append(model.params.vector.copy()))
    return np.array(trace)


@pytest.mark.parametrize("backend", ["numba", "native", "emulated"])
def test_a_float32_training_trace_is_that_of_the_reference(backend):
    needs(backend)
    expected, found = train("numpy"), train(backend)
    assert found.dtype == np.float32
    assert np.abs(expected[-1] - expected[0]).max() > 0.01
    assert np.abs(found - expected).max() < 2e-5


def test_training_forms_one_product_for_the_steps_of_each_weight(monkeypatch):
    lengths, product = [], grads.Accumulator._product

    def noted(leaf, x, dy):
        lengths.append(len(x))
        product(leaf, x, dy)

    monkeypatch.setattr(grads.Accumulator, "_product", noted)
    train("numpy", steps=1)
    assert set(lengths) == {20 * ATTENTIVE.glimpses}


def test_a_run_is_resumed_bit_for_bit(tmp_path):
    x = (np.random.default_rng(0).random((30, 7, 5)) < 0.4).astype(np.float32)
    data = bh.data.load(x, valid=10)
    config = bh.TrainConfig(epochs=4, batch=8, lr=0.01, clip=5.0)
    whole = DRAW.create(ATTENTIVE, data.spec, data.train.x)
    bh.fit(whole, data, config, run=tmp_path / "whole")
    first = DRAW.create(ATTENTIVE, data.spec, data.train.x)
    bh.fit(first, data, replace(config, epochs=2), run=tmp_path / "parts")
    assert first.params.vector.tobytes() != whole.params.vector.tobytes()
    again = DRAW.create(ATTENTIVE, data.spec, seed=5)
    bh.fit(again, data, config, run=bh.Run.open(tmp_path / "parts"))
    assert again.params.vector.tobytes() == whole.params.vector.tobytes()
    rows = [bh.Run.open(tmp_path / name).metrics() for name in ("whole", "parts")]
    assert [row["train"] for row in rows[0]] == [row["train"] for row in rows[1]]
    assert {"kl 1", "kl 2", "kl 3"} <= rows[0][-1]["valid"].keys()
    read = bh.load(tmp_path / "parts")
    assert read.config == ATTENTIVE
