"""Labels by glimpses: the gradient, the equations written again, the interface, training."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

import backhand as bh
from backhand.cli import main
from backhand.data import batches, load
from backhand.model import UNWEIGHTED, Batch, DataSpec, Weights
from backhand.models.glimpses import GlimpseClassifier, GlimpseClassifierConfig
from backhand.noise import Noise
from tests.kernels.harness import needs
from tests.models.drawn import complex_step, filters, lstm

B = 5
SMALL = GlimpseClassifierConfig(glimpses=3, read=3, hidden=4, classes=3)
CONFIGS = {  # options, shape of a picture
    "grey": (SMALL, (5, 4)),
    "one glimpse": (replace(SMALL, glimpses=1), (4, 5)),
    "colour": (replace(SMALL, read=2, classes=4), (4, 3, 3)),
}


def make(config=SMALL, shape=(7, 5), dtype="float64", spread=0.3):
    """A model away from its initial values, and a batch with labels."""
    rng = np.random.default_rng(0)
    model = GlimpseClassifier.create(config, DataSpec(shape, "unit"), seed=1, dtype=dtype)
    vector = model.params.vector
    vector += (spread * rng.standard_normal(vector.size)).astype(dtype)
    x, y = rng.random((B, *shape)), rng.integers(0, config.classes, B)
    return model, Batch(x.astype(dtype), np.arange(B), y)


def gradient(model, batch, cotangent=None, weights=UNWEIGHTED, defer=False):
    g = bh.grads_like(model, defer=defer)
    model.bound(batch, Noise(0), 1, weights).backward(cotangent, g)
    g.flush()
    return g.vector.copy()


# -- the gradient --------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [UNWEIGHTED, Weights(likelihood=1.3)])
@pytest.mark.parametrize("name", CONFIGS)
def test_gradient_of_every_parameter_by_complex_step(name, weights):
    model, batch = make(*CONFIGS[name])
    cotangent = np.random.default_rng(3).standard_normal(B)
    numeric = complex_step(
        lambda moved: cotangent @ moved.bound(batch, Noise(0), 1, weights).objective, model
    )
    found = gradient(model, batch, cotangent, weights)
    for entry in model.params.table:
        at = slice(entry.offset, entry.offset + entry.size)
        scale = np.abs(numeric[at]).max()
        assert scale > 1e-6, entry.name
        assert np.abs(found[at] - numeric[at]).max() <= 1e-11 * scale, entry.name


def test_the_start_and_every_number_of_the_window_has_a_gradient():
    model, batch = make()
    g = bh.grads_like(model)
    model.bound(batch, Noise(0)).backward(None, g)
    g.flush()
    assert g.params["read.window.linear.b"].shape == (5,)
    for name in ("start", "read.window.linear.b", "read.window.linear.W"):
        assert (np.abs(g.params[name]) > 1e-7).all(), name


def test_deferred_products_give_the_same_gradient():
    model, batch = make()
    now, later = gradient(model, batch), gradient(model, batch, defer=True)
    np.testing.assert_allclose(later, now, rtol=0, atol=1e-14 * np.abs(now).max())


def test_a_second_backward_needs_keep():
    model, batch = make()
    bound, found = model.bound(batch, Noise(0)), []
    for keep in (True, False):
        g = bh.grads_like(model)
        bound.backward(None, g, keep=keep)
        g.flush()
        found.append(g.vector.tobytes())
    assert found[0] == found[1]
    with pytest.raises(RuntimeError, match="glimpses: backward was called before"):
        bound.backward(None)


@pytest.mark.parametrize("backend", ["numpy", "numba", "native", "emulated"])
@pytest.mark.parametrize("name", CONFIGS)
def test_backends_agree_on_bound_and_gradient(name, backend):
    needs(backend)
    model, batch = make(*CONFIGS[name])
    with bh.use_backend("numpy"):
        value, expected = model.bound(batch, Noise(0)).value, gradient(model, batch)
    with bh.use_backend(backend):
        got, found = model.bound(batch, Noise(0)).value, gradient(model, batch)
    np.testing.assert_allclose(got, value, rtol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# -- the equations, written again ----------------------------------------------------------


def one_datum(model, x):
    """p(y | x) of one picture (B, A) or (B, A, C), the paper's formulas counted from 1."""
    planes = np.moveaxis(x[..., None] if x.ndim == 2 else x, -1, 0)
    h, c, N = model.start, np.zeros_like(model.start), model.config.read
    for _ in range(model.config.glimpses):
        window = model.read.window.linear
        F_X, F_Y, gamma = filters(h @ window.W + window.b, N, *x.shape[1::-1])
        r = np.concatenate([gamma * (F_Y @ plane @ F_X.T).ravel() for plane in planes])
        h, c = lstm(model.lstm, r, h, c)
    e = np.exp(h @ model.output.W + model.output.b)
    return e / e.sum()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_label_is_as_likely_as_the_paper_has_it(name):
    model, batch = make(*CONFIGS[name])
    bound, p = model.bound(batch, Noise(0)), model.predict(batch)
    for n in range(B):
        expected = one_datum(model, batch.x[n])
        np.testing.assert_allclose(p[n], expected, rtol=1e-12)
        assert bound.value[n] == pytest.approx(np.log(expected[batch.y[n]]), rel=1e-11)
        assert bound.terms["error"][n] == (expected.argmax() != batch.y[n])
    assert {0.0, 1.0} >= set(bound.terms["error"])


def test_every_option_changes_the_outcome():
    for field, value in {"glimpses": 4, "read": 2, "hidden": 5, "classes": 4}.items():
        outcomes = [
            make(config)[0].bound(make()[1], Noise(0)).value
            for config in (SMALL, replace(SMALL, **{field: value}))
        ]
        assert not np.allclose(*outcomes, rtol=1e-6), field
    assert {field.name for field in fields(SMALL)} == {"glimpses", "read", "hidden", "classes"}


# -- wrong use -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"glimpses": 0}, "glimpses must be at least 1, got 0"),
        ({"read": 1}, "read must be at least 2, got 1"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"classes": 1}, "classes must be at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        GlimpseClassifierConfig(**options)


def test_what_has_no_effect_is_refused():
    model, batch = make()
    for options in ({"k": 2}, {"weights": Weights(kl=0.5)}, {"weights": Weights(free_bits=1.0)}):
        with pytest.raises(ValueError, match="no latent variables: k must be 1"):
            model.bound(batch, Noise(0), **options)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, "needs labels, and the data have none: a file needs an array y"),
        (np.zeros(B), "must be integers, one for each picture, got float64"),
        (np.zeros((B, 3), int), r"one for each picture, got int64 of shape \(5, 3\)"),
        (np.array([0, 3, 1, 2, 0]), "go from 0 to 3, with classes = 3 from 0 to 2; set classes"),
        (np.array([0, -1, 1, 2, 0]), "go from -1 to 2"),
    ],
)
def test_wrong_labels_say_so(y, words):
    model, batch = make()
    with pytest.raises(ValueError, match=words):
        model.bound(batch._replace(y=y), Noise(0))


def test_other_data_are_refused():
    with pytest.raises(ValueError, match=r"glimpses takes pictures, \(height, width\)"):
        GlimpseClassifier.create(SMALL, DataSpec((12,), "unit"))
    with pytest.raises(ValueError, match=r"pictures in \[0, 1\], these data are real"):
        GlimpseClassifier.create(SMALL, DataSpec((4, 4), "real"))
    model, batch = make()
    with pytest.raises(ValueError, match=r"GlimpseClassifier: data must have shape \(B, 7, 5\)"):
        model.bound(batch._replace(x=batch.x[:, :, :4]), Noise(0))


# -- training ------------------------------------------------------------------------------


def corners(n=60, seed=0):
    """Pictures with a bright spot in one of three corners, which is the label."""
    rng = np.random.default_rng(seed)
    x, y = 0.2 * rng.random((n, 8, 8)).astype(np.float32), np.arange(n) % 3
    for picture, label in zip(x, y, strict=True):
        picture[[slice(0, 3), slice(5, 8), slice(0, 3)][label], 5 if label == 2 else 0] += 0.8
    return {"train_x": x, "train_y": y, "test_x": x[::-1], "test_y": y[::-1]}


TRAIN = bh.TrainConfig(epochs=4, batch=10, lr=0.02, clip=5.0)


def test_it_learns_where_to_look(tmp_path):
    data = load(corners(), valid=12)
    model = GlimpseClassifier.create(replace(SMALL, hidden=12), data.spec)
    before = bh.evaluate(model, data)
    bh.fit(model, data, replace(TRAIN, epochs=30))
    after = bh.evaluate(model, data)
    assert before.error > 30
    assert after.error < 5
    assert after.nats < 0.5 * before.nats


def test_a_run_is_resumed_bit_for_bit(tmp_path):
    data = load(corners(), valid=12)
    whole = GlimpseClassifier.create(SMALL, data.spec)
    bh.fit(whole, data, TRAIN, run=tmp_path / "whole")
    first = GlimpseClassifier.create(SMALL, data.spec)
    bh.fit(first, data, replace(TRAIN, epochs=2), run=tmp_path / "parts")
    assert first.params.vector.tobytes() != whole.params.vector.tobytes()
    again = GlimpseClassifier.create(SMALL, data.spec, seed=5)
    bh.fit(again, data, TRAIN, run=bh.Run.open(tmp_path / "parts"))
    assert again.params.vector.tobytes() == whole.params.vector.tobytes()
    rows = [bh.Run.open(tmp_path / name).metrics() for name in ("whole", "parts")]
    assert [row["valid"] for row in rows[0]] == [row["valid"] for row in rows[1]]
    assert rows[0][-1]["valid"].keys() == {"nats", "error"}
    assert bh.load(tmp_path / "parts").config == SMALL


@pytest.mark.parametrize("backend", ["numba", "native", "emulated"])
def test_a_float32_training_trace_is_that_of_the_reference(backend):
    needs(backend)
    data, trained = load(corners(), valid=12), []
    for name in ("numpy", backend):
        model = GlimpseClassifier.create(SMALL, data.spec)
        start = model.params.vector.copy()
        bh.fit(model, data, replace(TRAIN, epochs=1, steps=10, backend=name))
        trained.append(model.params.vector)
    assert np.abs(trained[0] - start).max() > 0.05
    assert np.abs(trained[1] - trained[0]).max() < 2e-5


def test_evaluation_is_the_error_in_percent_and_the_cross_entropy():
    data = load(corners(40), valid=0)
    model, _ = make(shape=(8, 8), dtype="float32")
    found = bh.evaluate(model, data, batch=7)
    (batch,) = batches(data.converted("float32").test, 40)
    p = model.predict(batch).astype(float)
    wrong = p.argmax(axis=1) != batch.y
    nll = -np.log(p[np.arange(40), batch.y])
    assert (found.bound, found.k, found.n, found.ess, found.units) == (
        "cross-entropy", 1, 40, None, 0,
    )  # fmt: skip
    assert found.error == pytest.approx(100 * wrong.mean())
    assert found.error_stderr == pytest.approx(100 * wrong.std(ddof=1) / np.sqrt(40))
    assert found.nats == pytest.approx(nll.mean(), rel=1e-5)
    assert found.stderr == pytest.approx(nll.std(ddof=1) / np.sqrt(40), rel=1e-5)
    assert 0 < found.error < 100
    assert f"{found.error:.2f} +- {found.error_stderr:.2f} % wrong" in str(found)
    for options in ({"bound": "iwae"}, {"k": 5}):
        with pytest.raises(ValueError, match="is exact: leave out bound and k"):
            bh.evaluate(model, data, **options)


# -- the command line ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "glimpses"
    words = ["--data", "mnist-mini", "--set", "scene=cluttered", "--set", "binarisation=none"]
    small = ["--set", "hidden=8", "--set", "glimpses=2", "--limit", "60", "--epochs", "1"]
    assert main(["train", "glimpses", *words, *small, "--run", str(folder)]) == 0
    return str(folder)


def test_train_and_evaluate_on_cluttered_digits(run, capsys):
    assert main(["evaluate", run, "--limit", "50", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["bound"], row["n"]) == ("cross-entropy", 50)
    assert 0 < row["error"] <= 100
    assert row["error_stderr"] > 0
    assert row["error"] == pytest.approx(100 * row["terms"]["error"])
    assert bh.load(run).spec.shape == (100, 100)
    assert main(["evaluate", run, "--limit", "50"]) == 0
    assert f"test: {row['error']:.2f} +- " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample", "-o", "a.png"], "the model GlimpseClassifier has no sample"),
        (["reconstruct", "-o", "a.png"], "the model GlimpseClassifier has no reconstruct"),
        (["interpolate", "-o", "a.png"], "the model GlimpseClassifier has no interpolate"),
        (["sample", "-o", "a.gif"], "GlimpseClassifier does not draw step by step"),
        (["encode", "-o", "a.npz"], "the model GlimpseClassifier has no encode"),
        (["bounds"], "GlimpseClassifier lacks log_likelihood"),
        (["evaluate", "--bound", "ais"], "log p(y | x) is exact: leave out bound and k"),
    ],
)
def test_verbs_that_need_latent_variables_say_so(run, words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([words[0], run, *words[1:]]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "scene=two-digits"], "needs labels, and the train data have none"),
        (["--set", "classes=9"], "labels of the train data go from 0 to 9, with classes = 9"),
        (["--set", "k=3"], "no latent variables: k must be 1"),
        (["--set", "kl_warmup=2"], "kl_warmup and free_bits 0"),
        (["--set", "free_bits=0.1"], "kl_warmup and free_bits 0"),
    ],
)
def test_data_and_settings_are_refused_before_there_is_a_run(words, said, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "glimpses", "--data", "mnist-mini", "--run", str(folder), *words]) == 2
    assert said in capsys.readouterr().err
    assert not folder.exists()


def test_labels_are_checked_without_a_run_as_well():
    arrays = corners()
    data = load({"train_x": arrays["train_x"], "test_x": arrays["test_x"]}, valid=12)
    model = GlimpseClassifier.create(SMALL, data.spec)
    with pytest.raises(ValueError, match="the train data have none"):
        bh.fit(model, data, TRAIN)
    with pytest.raises(ValueError, match="the test data have none"):
        bh.evaluate(model, data)
