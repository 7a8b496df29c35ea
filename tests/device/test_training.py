"""Models train on the device double and in the emulator as they do in the reference."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import backhand as bh
from backhand import annealing, bounds, optim, progress, training, updates
from backhand.data import load
from backhand.models import MODELS as NAMES
from backhand.models import model_class
from backhand.models.auxiliary import AuxiliaryVAE, AuxiliaryVAEConfig
from backhand.models.draw import DRAW, DRAWConfig
from backhand.models.dvae import DVAE, DVAEConfig
from backhand.models.glimpses import GlimpseClassifier, GlimpseClassifierConfig
from backhand.models.iwae import IWAE, IWAEConfig
from backhand.models.vae import VAE, VAEConfig
from backhand.optim import TrainingDiverged
from tests.device.engine import Log
from tests.kernels.harness import agree, needs
from tests.tolerances import FLOAT32

# A whole step in float64: some twenty ops, each to FLOAT64 of its own, on different exp and log.
STEP64 = 1e-13
LEARNED = {"output": "gaussian", "variance": "learned", "log_scale_bound": 3.0}
MODELS = {
    "vae": (VAE, VAEConfig(hidden=(9, 7), latent=3), 2),
    "vae, real": (VAE, VAEConfig(hidden=(9,), latent=3, kl="sampled", output="gaussian"), 2),
    "vae, learned": (VAE, VAEConfig(hidden=(9,), latent=3, **LEARNED), 2),
    "iwae": (IWAE, IWAEConfig(hidden=(9, 7), latent=(4, 3)), 3),
    "iwae, dreg": (IWAE, IWAEConfig(hidden=(9, 7), latent=(4, 3), estimator="dreg"), 3),
    "dvae": (DVAE, DVAEConfig(hidden=(9,), latent=(4,), corruption="gaussian", level=0.1), 2),
}
AUXILIARY = {"hidden": (9,), "latent": 3, "auxiliary": 4}
MODELS |= {
    "auxiliary": (AuxiliaryVAE, AuxiliaryVAEConfig(**AUXILIARY), 2),
    "semi-implicit": (
        AuxiliaryVAE, AuxiliaryVAEConfig(**AUXILIARY, criterion="semi_implicit", draws=2), 2
    ),
}  # fmt: skip
GLIMPSES = {"glimpses": 3, "hidden": 6, "latent": 2}
MODELS |= {
    "draw": (DRAW, DRAWConfig(**GLIMPSES, read=3, write=2), 2),
    "draw, no attention": (DRAW, DRAWConfig(**GLIMPSES, read=0, write=0, recompute=2), 1),
    "draw, real": (DRAW, DRAWConfig(**GLIMPSES, read=2, write=3, output="gaussian"), 2),
}
LATENT = tuple(MODELS)
CLASSIFIER = GlimpseClassifierConfig(glimpses=3, read=3, hidden=6, classes=3)
MODELS |= {"glimpses": (GlimpseClassifier, CLASSIFIER, 1)}
each_model = pytest.mark.parametrize("name", MODELS)
each_latent_model = pytest.mark.parametrize("name", LATENT)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def test_no_model_is_left_out():
    assert {kind for kind, _, _ in MODELS.values()} == {model_class(name) for name in NAMES}


def data_for(config):
    rng = np.random.default_rng(0)
    pictures = isinstance(config, DRAWConfig | GlimpseClassifierConfig)
    x = rng.random((30, 4, 3) if pictures else (30, 11))
    if config == CLASSIFIER:
        return load({"x": x, "y": np.arange(30, dtype=np.uint8) % 3}, valid=10)
    return load(x if config.output == "gaussian" else np.round(x), valid=10)


def make(name, dtype):
    kind, config, k = MODELS[name]
    data = data_for(config)
    model = kind.create(config, data.spec, data.converted(dtype).train.x, dtype=dtype)
    return model, data, bh.TrainConfig(steps=1, batch=20, k=k, lr=0.01, dtype=dtype)


def one_step(name, dtype, backend):
    """Gradient of the bound, parameters after a step of Adam, and the metrics."""
    model, data, config = make(name, dtype)
    rows = []
    bh.fit(model, data, replace(config, backend=backend), report=rows.append)
    return model.params.vector, rows[-1]


def check_step(name, dtype, backend):
    expected, row = one_step(name, "float64", "numpy")
    found, found_row = one_step(name, dtype, backend)
    assert type(found) is np.ndarray
    tolerance = STEP64 if dtype == "float64" else FLOAT32
    start = make(name, "float64")[0].params.vector
    assert np.abs(expected - start).min() > 0
    agree(found, expected, tolerance)
    for part in ("train", "valid"):
        for term, value in row[part].items():
            assert found_row[part][term] == pytest.approx(value, rel=10 * tolerance)


@each_dtype
@each_model
def test_a_training_step_on_the_device(name, dtype, device):
    check_step(name, dtype, "cuda")


@each_dtype
@each_model
def test_a_training_step_in_the_emulator(name, dtype):
    needs("emulated")
    check_step(name, dtype, "emulated")


def test_the_step_ran_in_kernels(cupy):
    """Noise, every op between two products, and the update."""
    one_step("vae", "float32", "cuda")
    assert {launch.kernel for launch in Log.launches} >= {
        "philox_draw_normals", "bias_activation_forward", "bias_activation_backward",
        "gaussian_latent_forward", "gaussian_latent_backward", "bernoulli_logits_forward",
        "bernoulli_logits_backward", "adam_update_all",
    }  # fmt: skip


@pytest.mark.parametrize("module", [progress, optim, training])
def test_a_copy_to_the_host_that_is_not_asked_for_is_noticed(module, cupy, monkeypatch):
    monkeypatch.setattr(module, "to_host", lambda x: x)
    with pytest.raises(TypeError, match="implicit conversion to the host"):
        one_step("vae", "float32", "cuda")


def test_a_batch_of_the_host_is_noticed(cupy, monkeypatch):
    batch_of = updates.batch_of
    monkeypatch.setattr(updates, "batch_of", lambda *a: batch_of(*a[:3]))
    with pytest.raises(ValueError, match="the data lie on the host, the parameters on a GPU"):
        one_step("vae", "float32", "cuda")


def on_device(name, dtype="float32"):
    """(model on the host, the same on the double, data)"""
    model, data, _ = make(name, dtype)
    return model, bh.to_device(model), data


def compare(found, expected, tolerance=FLOAT32):
    assert type(found) is not np.ndarray, "the host has computed it"
    agree(bh.to_host(found), expected, tolerance)


@each_model
def test_gradients_noise_and_the_rest_of_the_interface(name, cupy):
    """All from the same draws: what a model gives on the host, it gives on the device."""
    host, device, data = on_device(name)
    test = data.converted("float32").valid
    noise, k = bh.Noise(3, 2), MODELS[name][2]
    (here,), (there,) = (list(bh.data.batches(test, 10, xp)) for xp in (np, cupy))
    grads = []
    for model, batch in ((host, here), (device, there)):
        g = bh.grads_like(model)
        seen = {"seen": model.corrupt(batch, noise, k)} if hasattr(model, "corrupt") else {}
        bound = model.bound(batch, noise, k, **seen)
        bound.backward(None, g)
        g.flush()
        grads.append((g.vector, bound.value, *bound.terms.values()))
    for expected, found in zip(*grads, strict=True):
        compare(found, expected)
    if name not in LATENT:
        compare(device.predict(there), host.predict(here))
        return
    compare(device.log_weights(there, noise, 5), host.log_weights(here, noise, 5))
    for found, expected in zip(device.encode(there), host.encode(here), strict=True):
        compare(found, expected)
    compare(device.reconstruct(there, noise), host.reconstruct(here, noise))
    compare(device.sample(4, noise).mean, host.sample(4, noise).mean)
    compare(device.sample(4, noise).x, host.sample(4, noise).x)
    compare(device.interpolate(there, there, 3), host.interpolate(here, here, 3))


@pytest.mark.parametrize("name", ["draw", "draw, real"])
def test_films_and_completions(name, cupy):
    host, device, data = on_device(name)
    noise, made = bh.Noise(3), []
    for model, xp in ((host, np), (device, cupy)):
        (batch,) = bh.data.batches(data.converted("float32").valid, 10, xp)
        mask = xp.asarray(np.arange(batch.x.size).reshape(batch.x.shape) % 3 == 0)
        done = model.complete(batch._replace(mask=mask), noise, rounds=2)
        films = model.film(10, noise, batch), model.film(4, noise)
        made.append([done.mean, *(a for film in films for a in film if a is not None)])
    for expected, found in zip(*made, strict=True):
        compare(found, expected)


def test_evaluation_of_labels(cupy):
    host, device, data = on_device("glimpses")
    expected, found = (bh.evaluate(model, data, split="valid") for model in (host, device))
    agree(found.per_example, expected.per_example, FLOAT32)
    assert (found.error, found.n) == (expected.error, 10)
    wrong = replace(data, valid=replace(data.valid, y=data.valid.y + 1))
    with pytest.raises(ValueError, match="the valid data go from 1 to 3, with classes = 3"):
        bh.evaluate(device, wrong, split="valid")
    wrong = replace(data, train=replace(data.train, y=data.train.y + 1))
    with pytest.raises(ValueError, match="the train data go from 1 to 3, with classes = 3"):
        bh.fit(device, wrong, make("glimpses", "float32")[2])


@each_latent_model
@pytest.mark.parametrize("bound", ["elbo", "iwae", "ais"])
def test_evaluation(name, bound, cupy):
    host, device, data = on_device(name)
    options = {"bound": bound, "k": 2, "temperatures": 4, "leapfrogs": 2, "limit": 6}
    expected = bh.evaluate(host, data, split="valid", **options)
    found = bh.evaluate(device, data, split="valid", **options)
    agree(found.per_example, expected.per_example, 10 * FLOAT32)
    assert found.nats == pytest.approx(expected.nats, rel=10 * FLOAT32)
    assert found.ess == (None if bound == "elbo" else pytest.approx(expected.ess, rel=1e-4))


ESTIMATORS = {
    "elbo": {},
    "stl": {},
    "miwae": {"groups": 2},
    "piwae": {"groups": 2},
    "ciwae": {"beta": 0.3},
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator(estimator, cupy):
    settings = {"hidden": (5, 4), "latent": (3, 2), "estimator": estimator}
    data = data_for(IWAEConfig())
    host = IWAE.create(IWAEConfig(**settings, **ESTIMATORS[estimator]), data.spec)
    found = []
    for model, xp in ((host, np), (bh.to_device(host), cupy)):
        (batch,) = bh.data.batches(data.converted("float32").valid, 10, xp)
        g = bh.grads_like(model)
        model.bound(batch, bh.Noise(0), 4, bh.Weights(kl=0.5)).backward(None, g)
        g.flush()
        found.append(g.vector)
    compare(found[1], found[0])


def test_free_bits_and_warm_up(cupy):
    model, data, config = make("vae", "float64")
    config = replace(config, steps=3, free_bits=0.02, kl_warmup=2.0)
    on_host, _, _ = make("vae", "float64")
    bh.fit(model, data, replace(config, backend="cuda"))
    bh.fit(on_host, data, replace(config, backend="numpy"))
    agree(model.params.vector, on_host.params.vector, 10 * STEP64)


@pytest.mark.parametrize("name", ["vae", "iwae", "draw"])
def test_all_bounds(name, cupy, monkeypatch):
    monkeypatch.setattr(bounds, "fit_posterior", partial(bounds.fit_posterior, steps=2))
    monkeypatch.setattr(bounds, "signal_to_noise", partial(bounds.signal_to_noise, draws=3))
    host, device, data = on_device(name, "float64")
    settings = bounds.Settings((1, 2), 3, 2, 4, 2)
    expected = bounds.compare(host, data, settings, "valid")
    found = bounds.compare(device, data, settings, "valid")
    for there, here in zip(found.rows, expected.rows, strict=True):
        assert there[:3] == here[:3]
        assert there.nats == pytest.approx(here.nats, rel=1e-9)
    assert found.active_units == expected.active_units
    for there, here in zip(*(c.snr["elbo"][1].values() for c in (found, expected)), strict=True):
        assert there == pytest.approx(here, rel=1e-6)


def test_reverse_annealing(cupy):
    host, device, data = on_device("vae", "float64")
    found = []
    for model, xp in ((host, np), (device, cupy)):
        (batch,) = bh.data.batches(data.converted("float64").valid, 10, xp)
        betas, noise = annealing.temperatures(4), bh.Noise(0)
        sizes = annealing.tune(model, batch, noise, betas, 2)
        u = xp.zeros((10, 3))
        chains = annealing.reverse(model, batch, u, noise, betas, sizes, 2, 2)
        found.append((chains.upper(), chains.acceptance))
    for expected, there in zip(*found, strict=True):
        compare(there, expected, 1e-10)


def test_a_run_on_the_device_is_resumed_bit_for_bit_and_read_on_the_host(cupy, tmp_path):
    model, data, config = make("vae, real", "float32")
    config = replace(
        config, steps=0, epochs=4, batch=8, backend="cuda", clip=1.0, optimizer="adamw"
    )
    whole = bh.VAE.create(model.config, data.spec, data.converted("float32").train.x)
    bh.fit(whole, data, config, run=tmp_path / "whole")
    bh.fit(model, data, replace(config, epochs=2), run=tmp_path / "parts")
    again = bh.VAE.create(model.config, data.spec)  # not even the columns' scales are known
    bh.fit(again, data, config, run=bh.Run.open(tmp_path / "parts"))
    assert again.params.vector.tobytes() == whole.params.vector.tobytes()
    assert again.scaling.shift.tobytes() == whole.scaling.shift.tobytes()
    read = bh.Run.open(tmp_path / "parts").load("last")
    assert type(read.params.vector) is np.ndarray
    assert read.params.vector.tobytes() == whole.params.vector.tobytes()


@pytest.mark.parametrize("optimizer", optim.RULES)
def test_every_optimiser_steps_on_the_device(optimizer, cupy):
    rng = np.random.default_rng(0)
    theta, gradients = rng.standard_normal(50), rng.standard_normal((3, 50))
    moved = []
    for xp in (np, cupy):
        step = bh.make_optimizer(optimizer, 50, "float64", xp=xp)
        vector = xp.asarray(theta.copy())
        for g in gradients:
            step.step(vector, xp.asarray(g), 0.1, 0.5)
        moved.append(vector)
    compare(moved[1], moved[0], STEP64)


def test_dynamic_binarisation_is_drawn_on_the_device_as_on_the_host(cupy):
    split = load(np.random.default_rng(0).random((9, 12)), binarisation="dynamic", valid=3)
    train = split.converted("float32").train
    index, noise = np.array([4, 0, 2]), bh.Noise(5, 7)
    here = bh.data.batch_of(train, index, noise)
    there = bh.data.batch_of(train, index, noise, cupy)
    assert type(there.x) is type(there.index) is cupy.ndarray
    assert bh.to_host(there.x).tobytes() == here.x.tobytes()


def test_a_gradient_that_is_not_finite_stops_the_training(cupy):
    model, data, config = make("vae", "float32")
    model.params.vector[:] = np.nan
    with pytest.raises(TrainingDiverged, match="not finite"):
        bh.fit(model, data, replace(config, backend="cuda"))


def test_what_was_learned_reaches_the_host_also_when_training_ends_early(cupy):
    model, data, config = make("vae", "float32")
    before = model.params.vector.copy()

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bh.fit(model, data, replace(config, backend="cuda"), report=stop)
    assert not np.array_equal(before, model.params.vector)


def test_data_and_model_in_different_places(cupy):
    host, device, data = on_device("vae")
    (batch,) = bh.data.batches(data.converted("float32").valid, 10)
    words = "VAE: the data lie on the host, the parameters on a GPU; move one of them by"
    with pytest.raises(ValueError, match=words):
        device.encode(batch)
    (batch,) = bh.data.batches(data.converted("float32").valid, 10, cupy)
    with pytest.raises(ValueError, match="the data lie on a GPU, the parameters on the host"):
        host.bound(batch, bh.Noise(0))


def test_the_command_line_trains_and_evaluates_on_the_device(cupy, tmp_path, capsys):
    from backhand.cli import main

    run = str(tmp_path / "run")
    train = ["train", "vae", "--data", "mnist-mini", "--limit", "20", "--steps", "1", "--run", run]
    small = ["--set", "hidden=4", "--set", "latent=2", "--batch", "5", "--set", "valid=5"]
    assert main([*train, *small, "--backend", "cuda"]) == 0
    assert {launch.device for launch in Log.launches} == {0}
    trained = len(Log.launches)
    assert main(["evaluate", run, "--limit", "5", "--backend", "cuda"]) == 0
    assert len(Log.launches) > trained
    assert main(["evaluate", run, "--limit", "5"]) == 0
    on_the_device, on_the_host = capsys.readouterr().out.splitlines()[-2:]
    assert on_the_device.split(":")[1].split()[0] == on_the_host.split(":")[1].split()[0]
