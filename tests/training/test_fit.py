"""The training loop: what it does with each option, and what it leaves behind."""

import math
from dataclasses import replace

import numpy as np
import pytest

from backhand import checkpoint
from backhand.backend import BackendUnavailable
from backhand.config import DataConfig, TrainConfig
from backhand.data import batch_at, batch_of, batches, load
from backhand.grads import grads_like
from backhand.model import Objective
from backhand.models.vae import VAE, VAEConfig
from backhand.noise import Noise
from backhand.optim import TrainingDiverged
from backhand.runs import Run, Settings, data_of
from backhand.threads import thread_counts
from backhand.training import fit

CONFIG = VAEConfig(hidden=(12,), latent=3)
SHORT = TrainConfig(epochs=3, batch=16, lr=0.01)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    pattern = rng.random((4, 20))
    x = (rng.random((90, 20)) < pattern[rng.integers(0, 4, 90)]).astype(np.float32)
    return load(x, valid=20)


def train(data, config=SHORT, model=None, **kwargs):
    model = model or VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    rows = []
    result = fit(model, data, config, report=rows.append, **kwargs)
    return model, result, rows


def test_training_raises_the_bound_and_reports_each_step(data):
    _, result, rows = train(data, replace(SHORT, epochs=30))
    epochs = [row for row in rows if "epoch" in row]
    assert [row["step"] for row in rows] == list(range(1, 30 * 5 + 1))
    assert [row["epoch"] for row in epochs] == list(range(1, 31))
    assert epochs[-1]["train"]["nats"] < epochs[0]["train"]["nats"] - 0.5
    assert epochs[-1]["valid"]["nats"] < epochs[0]["valid"]["nats"]
    assert result.steps == 150
    assert result.train == epochs[-1]["train"]["nats"]
    assert result.valid == epochs[-1]["valid"]["nats"]


def test_one_step_is_the_gradient_step_written_by_hand(data):
    """The visible version of the loop: SGD without momentum on the mean bound."""
    config = TrainConfig(steps=1, batch=70, optimizer="sgd", momentum=0.0, lr=0.1)
    trained, _, _ = train(data, config)
    model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    _, index = batch_at(len(data.train), 70, config.seed, 1)
    batch = batch_of(data.converted("float32").train, index, Noise(0, 1))
    g = grads_like(model)
    model.bound(batch, Noise(0, 1)).backward(None, g)
    g.flush()
    assert np.allclose(trained.params.vector, model.params.vector + 0.1 * g.vector, atol=1e-7)


def test_the_same_seed_gives_the_same_numbers(data):
    a, _, rows_a = train(data)
    b, _, rows_b = train(data)
    c, _, _ = train(data, replace(SHORT, seed=1))
    assert np.array_equal(a.params.vector, b.params.vector)
    assert not np.array_equal(a.params.vector, c.params.vector)
    for x, y in zip(rows_a, rows_b, strict=True):
        assert x.get("train") == y.get("train")


# What each option is changed to; it must change the trained parameters.
CHANGES = {
    "epochs": 4, "steps": 7, "batch": 20, "seed": 5, "k": 2, "optimizer": "sgd", "lr": 0.02,
    "beta1": 0.8, "beta2": 0.9, "eps": 1e-3, "clip": 0.1, "kl_warmup": 2.0, "free_bits": 0.5,
    "dtype": "float64",
}  # fmt: skip
OTHERS = [
    (TrainConfig(epochs=3, batch=16, optimizer="adamw"), {"weight_decay": 0.5}),
    (TrainConfig(epochs=3, batch=16, optimizer="rmsprop"), {"rms_decay": 0.5}),
    (TrainConfig(epochs=3, batch=16, optimizer="sgd"), {"momentum": 0.5}),
    (TrainConfig(epochs=3, batch=16), {"schedule": "iwae"}),
    (TrainConfig(epochs=3, batch=16, schedule="cosine"), {"lr_final": 5e-4}),
    (TrainConfig(epochs=3, batch=16, schedule="step"), {"decay": 0.5}),
    (TrainConfig(epochs=3, batch=16, schedule="step"), {"milestones": (0.2,)}),
]


@pytest.mark.parametrize(
    ("start", "change"), [*((SHORT, {k: v}) for k, v in CHANGES.items()), *OTHERS], ids=str
)
def test_every_option_changes_the_outcome(data, start, change):
    vectors = []
    for config in (start, replace(start, **change)):
        model = VAE.create(
            CONFIG, data.spec, data.converted(config.dtype).train.x, dtype=config.dtype
        )
        vectors.append(train(data, config, model)[0].params.vector)
    assert vectors[0].dtype != vectors[1].dtype or not np.array_equal(*vectors)


def test_threads_and_backend_hold_inside_fit_only(data):
    seen = []
    outside = thread_counts()
    for config in (SHORT, replace(SHORT, threads=1)):
        model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
        fit(model, data, replace(config, steps=1), report=lambda _: seen.append(thread_counts()))
    assert set(seen[1].values()) == {1}
    assert thread_counts() == outside
    auto, _, _ = train(data)
    plain, _, _ = train(data, replace(SHORT, backend="numpy"))
    assert np.allclose(auto.params.vector, plain.params.vector, rtol=1e-5)
    with pytest.raises(BackendUnavailable, match="cuda"):
        train(data, replace(SHORT, backend="cuda"))


def test_checkpoint_minutes_adds_checkpoints_within_an_epoch(data, tmp_path):
    steps = {}
    for minutes in (60.0, 1e-9):
        config = replace(SHORT, epochs=1, checkpoint_minutes=minutes)
        run = Run.create(tmp_path / str(minutes), Settings("vae", CONFIG, config, DataConfig()))
        steps[minutes] = []
        model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)

        def note(_, at=minutes, folder=run.path):
            steps[at].append(checkpoint.steps(folder))

        fit(model, data, config, run=run, report=note)
    assert steps[60.0] == [[], [], [], [], [5]]
    assert steps[1e-9] == [[1], [1, 2], [2, 3], [3, 4], [4, 5]]


def test_patience_stops_and_valid_every_skips(data):
    config = replace(SHORT, epochs=400, lr=0.05, patience=3)
    _, result, rows = train(data, config)
    epochs = [row for row in rows if "epoch" in row]
    assert len(epochs) < 400
    assert "no better validation bound" in result.finished
    best = [i for i, row in enumerate(epochs) if row["best"]][-1]
    assert len(epochs) - 1 - best == 3
    _, _, rows = train(data, replace(SHORT, epochs=5, valid_every=2))
    assert [("valid" in row) for row in rows if "epoch" in row] == [False, True, False, True, True]


def test_terms_are_logged_unweighted(data):
    _, _, rows = train(data, replace(SHORT, kl_warmup=100.0, epochs=1))
    row = rows[-1]
    assert 0 < row["kl_weight"] < 0.02
    terms = row["train"]
    assert math.isclose(terms["nats"], terms["kl"] - terms["likelihood"], rel_tol=1e-6)


def test_divergence_is_an_error_with_advice(data):
    model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    model.encoder.head.linear.b[...] = 200.0  # exp of it overflows
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingDiverged, match=r"step 1: .*Lower the learn"),
    ):
        fit(model, data, SHORT)


def test_objectives_with_parts_of_their_own(data):
    """Two objectives, each with a part and an optimiser: as one that trains both, for SGD."""

    class Split(VAE):
        objectives = (Objective("bound", ("encoder",)), Objective("other", ("decoder",)))

        def bounds(self, *args):
            return self.bound(*args), self.bound(*args)

    config = replace(SHORT, optimizer="sgd", lr=0.01)
    x = data.converted("float32").train.x
    one, _, _ = train(data, config, VAE.create(CONFIG, data.spec, x))
    two, _, rows = train(data, config, Split.create(CONFIG, data.spec, x))
    assert np.array_equal(one.params.vector, two.params.vector)
    assert rows[-1]["train"]["nats"] == rows[-1]["train"]["other.nats"]
    assert {"likelihood", "kl", "other.likelihood", "other.kl"} < rows[-1]["train"].keys()
    Split.bounds = lambda self, *args: (self.bound(*args),)
    with pytest.raises(ValueError, match="1 bounds for 2 objectives"):
        train(data, config, Split.create(CONFIG, data.spec, x))

    del Split.bounds
    with pytest.raises(ValueError, match="needs a method bounds"):
        train(data, config, Split.create(CONFIG, data.spec, x))

    class Half(VAE):
        objectives = (Objective("bound", ("decoder",)),)

    start = Half.create(CONFIG, data.spec, x)
    before = start.params.part("encoder").copy()
    half, _, _ = train(data, config, start)
    assert np.array_equal(half.params.part("encoder"), before)
    assert not np.array_equal(half.params.part("decoder"), one.params.part("decoder"))


def test_a_bound_that_is_not_finite_is_an_error(data):
    model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    model.decoder.output.linear.b[...] = np.nan
    with pytest.raises(TrainingDiverged, match="the bound is not finite"):
        fit(model, data, SHORT)


DATA_CHANGES = {"name": "other", "binarisation": "once", "valid": 30, "limit": 40, "kind": "real"}


@pytest.mark.parametrize("field", DATA_CHANGES)
def test_every_data_option_changes_the_outcome(tmp_path, field):
    rng = np.random.default_rng(0)
    for name in ("grey", "other"):
        np.save(tmp_path / f"{name}.npy", rng.random((80, 6)))
    change = DATA_CHANGES[field]
    if field == "name":
        change = str(tmp_path / f"{change}.npy")
    start = DataConfig(name=str(tmp_path / "grey.npy"))
    bounds = []
    for config in (start, replace(start, **{field: change})):
        data = data_of(config)
        model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
        bounds.append(fit(model, data, SHORT).train)
    if field == "kind":  # the same numbers under a Gaussian, but another kind of data
        assert data.spec.kind == "real"
    else:
        assert bounds[0] != bounds[1]


def test_a_run_from_python(data, tmp_path):
    model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    fit(model, data, SHORT, run=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.settings.training == SHORT
    with pytest.raises(ValueError, match=r"training\.lr = 0\.01"):
        fit(model, data, replace(SHORT, lr=0.5), run=run)
    longer = fit(model, data, replace(SHORT, epochs=4), run=Run.open(tmp_path / "run"))
    assert longer.steps == 20
    assert Run.open(tmp_path / "run").settings.training.epochs == 4
    assert fit(model, data, run=Run.open(tmp_path / "run")).finished == "20 steps done"
    other = load(data.train.x[::-1].copy(), valid=20)
    with pytest.raises(ValueError, match="does not hold the data"):
        fit(model, other, replace(SHORT, epochs=5), run=Run.open(tmp_path / "run"))


def test_what_could_not_be_loaded_again_is_refused(data, tmp_path):
    model = VAE.create(CONFIG, data.spec, dtype="float64")
    with pytest.raises(ValueError, match=r"the model is float64, training\.dtype float32"):
        fit(model, data, SHORT)

    class Local(VAE):
        pass

    model = Local.create(CONFIG, data.spec)
    with pytest.raises(ValueError, match="cannot be imported"):
        fit(model, data, SHORT, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="needs validation data"):
        train(load(data.train.x, valid=0), replace(SHORT, patience=2))


def test_report_may_stop_it_and_nothing_is_lost(data, tmp_path):
    model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    whole, _, rows = train(data)
    result = fit(model, data, SHORT, run=tmp_path / "run", report=lambda row: row["step"] == 7)
    assert result.steps == 7
    assert result.finished == ""
    again = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    assert fit(again, data, run=Run.open(tmp_path / "run")).steps == 15
    assert np.array_equal(again.params.vector, whole.params.vector)
    expected = [row for row in rows if "epoch" in row]
    for found, row in zip(Run.open(tmp_path / "run").metrics(), expected, strict=True):
        assert found["train"] == row["train"]
        assert found["valid"] == row["valid"]


def test_validation_is_the_bound_on_the_validation_data(data):
    model, result, _ = train(data)
    total = [
        model.bound(batch, Noise(0)).value for batch in batches(data.converted("float32").valid, 20)
    ]
    assert np.isclose(result.valid, -np.concatenate(total).mean(), rtol=1e-6)


def test_an_infinite_gradient_of_a_finite_bound_is_caught(data):
    class Infinite(VAE):
        def bound(self, *args, **kwargs):
            found = super().bound(*args, **kwargs)

            def backward(d_objective=None, g=None, keep=False):
                found.backward(d_objective, g)
                g.decoder.output.linear.b.add(np.full(20, np.inf, np.float32))

            return found._replace(backward=backward)

    model = Infinite.create(CONFIG, data.spec, data.converted("float32").train.x)
    before = model.params.vector.copy()
    with pytest.raises(TrainingDiverged, match="step 1"):
        fit(model, data, SHORT)
    assert np.array_equal(model.params.vector, before)


def test_each_objective_is_clipped_by_its_own_norm(data):
    class Split(VAE):
        objectives = (Objective("bound", ("encoder",)), Objective("other", ("decoder",)))

        def bounds(self, *args):
            return self.bound(*args), self.bound(*args)

    config = TrainConfig(steps=1, batch=70, optimizer="sgd", momentum=0.0, lr=1.0, clip=0.01)
    x = data.converted("float32").train.x
    model, start = Split.create(CONFIG, data.spec, x), Split.create(CONFIG, data.spec, x)
    fit(model, data, config)
    for part in ("encoder", "decoder"):
        moved = model.params.part(part) - start.params.part(part)
        assert np.isclose(np.linalg.norm(moved), 0.01, rtol=1e-3)


def test_the_authors_adam_takes_the_sum_over_the_batch(data):
    config = TrainConfig(steps=1, batch=70, optimizer="iwae_author", lr=0.1)
    trained, _, _ = train(data, config)
    model = VAE.create(CONFIG, data.spec, data.converted("float32").train.x)
    _, index = batch_at(len(data.train), 70, config.seed, 1)
    batch = batch_of(data.converted("float32").train, index, Noise(0, 1))
    g = grads_like(model)
    model.bound(batch, Noise(0, 1)).backward(np.ones(70, np.float32), g)
    g.flush()
    gradient = g.vector.astype(np.float64)
    root = np.sqrt(0.999 + 0.001 * gradient**2)
    step = 0.1 * np.sqrt(1 - 0.999) / (1 - 0.99) * 0.01 * gradient / (root + 1e-4)
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(trained.params.vector - model.params.vector, step, atol=2e-6)
