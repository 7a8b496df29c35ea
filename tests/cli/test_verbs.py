"""The command line from end to end: each verb, its JSON, and its errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backhand as bh
from backhand.cli import main

SMALL = ["--set", "hidden=16", "--set", "latent=4", "--limit", "300", "--epochs", "2"]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "vae", "--data", "mnist-mini", "--run", str(folder), *SMALL]) == 0
    return str(folder)


@pytest.fixture
def call(capsys):
    def call(*words):
        status = main([str(word) for word in words])
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def as_json(call, *words):
    status, out, _ = call(*words, "--json")
    assert status == 0
    return json.loads(out.splitlines()[-1])


def test_train_says_where_and_how_far(call, tmp_path):
    folder = tmp_path / "run"
    row = as_json(call, "train", "vae", "--data", "mnist-mini", "--run", folder, *SMALL)
    assert row.keys() == {"run", "steps", "seconds", "train", "valid"}
    assert row["steps"] == 6
    assert row["run"] == str(folder)
    assert row["valid"] < 400
    names = {path.name for path in folder.iterdir()}
    assert {"config.toml", "metrics.jsonl", "best.npz", "step-00000006.npz", "curve.png"} <= names


def test_evaluate(call, run, tmp_path):
    elbo = as_json(call, "evaluate", run, "--limit", 50)
    assert elbo["bound"] == "elbo"
    assert elbo["k"] == 1
    assert elbo["n"] == 50
    assert elbo["ess"] is None
    assert np.isclose(elbo["nats"], elbo["terms"]["kl"] - elbo["terms"]["likelihood"])
    file = tmp_path / "per-example.npz"
    iwae = as_json(
        call, "evaluate", run, "--bound", "iwae", "-k", 20, "--limit", 50, "--per-example", file
    )
    assert iwae["nats"] < elbo["nats"]
    assert 1 <= iwae["ess"] <= 20
    assert np.isclose(-np.load(file)["bound"].mean(), iwae["nats"])
    again = as_json(call, "evaluate", run, "--bound", "iwae", "-k", 20, "--limit", 50)
    assert again == iwae
    other = as_json(call, "evaluate", run, "--bound", "iwae", "-k", 20, "--limit", 50, "--seed", 1)
    assert other["nats"] != iwae["nats"]
    valid = as_json(call, "evaluate", run, "--limit", 50, "--split", "valid")
    assert valid["nats"] != elbo["nats"]


@pytest.mark.parametrize(
    ("verb", "rows", "columns"), [("sample", 3, 3), ("reconstruct", 4, 8), ("interpolate", 9, 12)]
)
def test_pictures(call, run, tmp_path, verb, rows, columns):
    file = tmp_path / "picture.png"
    assert call(verb, run, "-n", 9, "-o", file)[0] == 0
    width, height = Image.open(file).size
    assert abs(width / height - columns / rows) < 0.05
    pixels = np.asarray(Image.open(file))
    assert pixels.std() > 20  # not a blank sheet
    arrays = tmp_path / "arrays.npz"
    assert call(verb, run, "-n", 9, "-o", arrays)[0] == 0
    with np.load(arrays) as found:
        assert all(np.isfinite(found[name]).all() for name in found.files)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """A run of a model that draws step by step."""
    folder = tmp_path_factory.mktemp("runs") / "drawing"
    small = [word for field in ("glimpses=4", "hidden=8") for word in ("--set", field)]
    words = ["train", "draw", "--data", "mnist-mini", "--limit", "100", "--steps", "1", *small]
    assert main([*words, "--run", str(folder)]) == 0
    return str(folder)


@pytest.mark.parametrize("verb", ["sample", "reconstruct"])
def test_every_step_as_animation_contact_sheet_and_arrays(call, drawing, tmp_path, verb):
    for name in ("draw.gif", "draw.apng", "sheet.png", "steps.npz"):
        steps = [] if name.startswith("draw") else ["--steps"]
        status, out, _ = call(verb, drawing, "-n", 3, *steps, "-o", tmp_path / name)
        assert status == 0
        assert ("the highest bar is" in out) == (verb == "reconstruct")
    looked = verb == "reconstruct"
    for name in ("draw.gif", "draw.apng"):
        with Image.open(tmp_path / name) as image:
            assert image.n_frames == 4
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size[0] == 4 * 58 + 2
        assert image.size[1] == 2 + 3 * (58 + looked * (58 + 26))
    with np.load(tmp_path / "steps.npz") as arrays:
        assert arrays["canvas"].shape == (5, 3, 28, 28)
        assert set(arrays) == (
            {"x", "canvas", "read", "write", "kl"} if looked else {"canvas", "write"}
        )
    call(verb, drawing, "-n", 3, "-o", tmp_path / "last.npz")
    with np.load(tmp_path / "steps.npz") as steps, np.load(tmp_path / "last.npz") as last:
        name = "reconstruction" if looked else "mean"
        assert np.array_equal(steps["canvas"][-1], last[name])


def test_models_that_do_not_draw_step_by_step_say_so(call, run, drawing, tmp_path):
    gif = tmp_path / "x.gif"
    for words, said in (
        (("sample", run, "-o", gif), "VAE does not draw step by step"),
        (("reconstruct", run, "--steps", "-o", tmp_path / "x.png"), "does not draw step by step"),
        (
            ("reconstruct", run, "--given", "left", "-o", tmp_path / "x.png"),
            "VAE does not complete pictures",
        ),
        (("reconstruct", drawing, "--given", "left", "-o", gif), "not with every step"),
        (("interpolate", drawing, "-o", gif), "must end in .png or .npz"),
    ):
        status, _, err = call(*words)
        assert status == 2
        assert said in err
    assert not gif.exists()


def test_samples_follow_the_seed(call, run, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        call("sample", run, "-n", 4, "--seed", seed, "-o", tmp_path / f"{name}.npz")
    a, b, c = (np.load(tmp_path / f"{name}.npz")["x"] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_encode_keeps_the_order_of_a_file(call, run, tmp_path):
    x = bh.data.load("mnist-mini").test.x[:30]
    np.save(tmp_path / "mine.npy", x)
    status, _, _ = call("encode", run, "--data", tmp_path / "mine.npy", "-o", tmp_path / "z.npz")
    assert status == 0
    z = np.load(tmp_path / "z.npz")
    assert z["mean"].shape == z["logvar"].shape == (30, 4)
    model = bh.load(run)
    assert call("encode", run, "--split", "test", "-o", tmp_path / "t.npz")[0] == 0
    assert np.load(tmp_path / "t.npz")["mean"].shape == (1000, 4)
    # Grey values are binarised for a model of binary data, row i under datum number i.
    data = bh.data.load(x, valid=0, binarisation="dynamic").converted("float32")
    q = model.encode(next(bh.data.batches(data.train, 30)))
    assert np.allclose(q.mean, z["mean"], atol=1e-5)
    np.save(tmp_path / "real.npy", np.random.default_rng(0).standard_normal((5, 28, 28)))
    status, _, err = call("encode", run, "--data", tmp_path / "real.npy", "-o", tmp_path / "q.npz")
    assert status == 2
    assert "holds real data" in err


def test_info(call):
    found = as_json(call, "info")
    assert found["backends"]["numpy"]["available"] is True
    assert found["backends"]["cuda"]["available"] is False
    assert found["backends"]["cuda"]["reason"]
    assert found["versions"]["backhand"] == bh.__version__
    assert found["threads"]["cores"] >= 1
    assert found["data"]["mnist-mini"]


def test_config_file_and_flags(call, tmp_path):
    (tmp_path / "c.toml").write_text(
        '[model]\nname = "vae"\nhidden = [8]\nlatent = 3\n[training]\nbatch = 50\nlr = 0.01\n'
    )
    call("train", "vae", "--data", "mnist-mini", "--run", tmp_path / "r", "--limit", 100,
         "--config", tmp_path / "c.toml", "--epochs", 1, "--lr", 0.02)  # fmt: skip
    model, settings = bh.load(tmp_path / "r"), bh.Run.open(tmp_path / "r").settings
    assert model.config.hidden == (8,)
    assert settings.training.batch == 50
    assert settings.training.lr == 0.02


def test_a_users_table_of_real_numbers(call, tmp_path):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((200, 2)) @ rng.standard_normal((2, 6)) * 50 + 1000
    np.savetxt(tmp_path / "table.csv", table, delimiter=",")
    folder = tmp_path / "run"
    words = ("--set", "hidden=8", "--set", "latent=2", "--epochs", 40, "--lr", 0.01)
    call("train", "vae", "--data", tmp_path / "table.csv", "--run", folder, *words)
    result = as_json(call, "evaluate", folder, "--split", "valid", "--bound", "iwae", "-k", 100)
    # Better than one Gaussian per column, in the data's own units.
    valid = bh.data.load(table).valid.x
    alone = 0.5 * np.log(2 * np.pi * np.e * table.var(axis=0)).sum()
    assert len(valid) == result["n"]
    assert result["nats"] < alone - 1
    status, _, err = call("sample", folder, "-o", tmp_path / "s.png")
    assert status == 2
    assert "npz" in err
    assert call("sample", folder, "-n", 500, "-o", tmp_path / "s.npz")[0] == 0
    drawn = np.load(tmp_path / "s.npz")["x"]
    assert np.abs(drawn.mean(axis=0) - table.mean(axis=0)).max() < 0.5 * table.std(axis=0).max()


def test_a_model_from_outside(tmp_path):
    """Counts with a Poisson likelihood, in a module that the package has never heard of."""
    rng = np.random.default_rng(0)
    rates = np.exp(rng.standard_normal((300, 2)) @ rng.standard_normal((2, 8)))
    np.save(tmp_path / "counts.npy", rng.poisson(rates).astype(np.float32))
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES), "OPENBLAS_NUM_THREADS": "1"}

    def call(*words):
        done = subprocess.run(
            [sys.executable, "-m", "backhand", *map(str, words), "--json"], env=environment,
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    name, folder = "poisson_vae:PoissonVAE", tmp_path / "run"
    words = ("train", name, "--data", "counts.npy", "--run", folder, "--lr", 0.01)
    short = call(*words, "--epochs", 2)
    trained = call(*words, "--epochs", 40, "--resume", "--set", "training.patience=9")
    assert trained["valid"] < short["valid"] - 1
    elbo = call("evaluate", folder, "--split", "valid")
    iwae = call("evaluate", folder, "--split", "valid", "--bound", "iwae", "-k", 200)
    assert iwae["nats"] < elbo["nats"]
    call("sample", folder, "-o", "samples.npz")
    call("encode", folder, "-o", "z.npz")
    assert np.load(tmp_path / "z.npz")["mean"].shape == (300, 2)


WRONG = {
    "no data": (("train", "vae"), "needs --data"),
    "no such model": (("train", "vea", "--data", "mnist-mini"), "unknown model 'vea'"),
    "no such module": (("train", "no.such:Model", "--data", "mnist-mini"), "cannot be imported"),
    "not a model": (("train", "json:JSONDecoder", "--data", "mnist-mini"), "lacks Config"),
    "no such data": (("train", "vae", "--data", "mnits", "--run", "q"), "unknown data set 'mnits'"),
    "no such field": (("train", "vae", "--data", "mnist-mini", "--set", "latnt=3"), "did you mean"),
    "wrong value": (("train", "vae", "--data", "mnist-mini", "--epochs", "many"), "an integer"),
    "zero epochs": (("train", "vae", "--data", "mnist-mini", "--epochs", "0"), "epochs must be"),
    "zero steps": (("train", "vae", "--data", "mnist-mini", "--batch", "0"), "batch must be"),
    "no config": (("train", "vae", "--config", "no.toml"), "no.toml"),
    "no run": (("evaluate", "nowhere"), "holds no run"),
    "no backend": (("train", "vae", "--data", "mnist-mini", "--backend", "cuda"), "not available"),
    "no such check": (("check", "nothing"), "nothing"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_one_line_and_status_2(call, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(*words)
    assert status == 2
    assert out == ""
    assert err.startswith("backhand: error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "-k", "0"), "k=0"),
        (("evaluate", "--per-example", "x.txt"), "must end in .npz"),
        (("evaluate", "--backend", "cuda"), "not available"),
        (("sample", "-o", "x.bmp"), "must end in"),
        (("sample", "-n", "0", "-o", "x.png"), "at least 1"),
        (("interpolate", "-n", "0", "-o", "x.png"), "at least 1"),
        (("encode", "-o", "x.png"), "must end in .npz"),
    ],
)
def test_wrong_use_of_a_run(call, run, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(words[0], run, *words[1:])
    assert status == 2
    assert message in err


def test_unknown_verbs_and_flags_exit_with_2():
    for words in (["dance"], ["train", "vae", "--no-such-flag"], []):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2


def test_help_of_every_verb(capsys):
    verbs = (
        "info",
        "data",
        "train",
        "evaluate",
        "sample",
        "reconstruct",
        "interpolate",
        "encode",
        "check",
    )
    for verb in verbs:
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
        assert verb in capsys.readouterr().out


def test_what_the_model_refuses_leaves_no_run_behind(call, tmp_path):
    folder = tmp_path / "run"
    words = ["train", "vae", "--data", "mnist-mini", "--run", folder]
    status, _, said = call(*words, "--set", "variance=fixed")
    assert status == 2
    assert "variance has an effect only" in said
    assert not folder.exists()


def test_a_run_on_an_array_says_that_it_names_no_data(call, tmp_path):
    data = bh.data.load(np.random.default_rng(0).normal(size=(30, 3)))
    model = bh.VAE.create(bh.VAEConfig(), data.spec, data.train.x)
    bh.fit(model, data, bh.TrainConfig(epochs=1), run=tmp_path / "run")
    again = bh.load(tmp_path / "run", which="last")
    assert np.array_equal(again.params.vector, model.params.vector)
    with pytest.raises(FileExistsError, match="is not empty"):
        bh.fit(model, data, bh.TrainConfig(epochs=1), run=tmp_path / "run")
    status, _, said = call("evaluate", tmp_path / "run")
    assert status == 2
    assert "trained on an array" in said


def test_encode_puts_the_parts_in_order(call, run, tmp_path):
    call("encode", run, "-o", tmp_path / "all.npz")
    for split in ("train", "valid", "test"):
        call("encode", run, "--split", split, "-o", tmp_path / f"{split}.npz")
    parts = [np.load(tmp_path / f"{split}.npz")["mean"] for split in ("train", "valid", "test")]
    assert len({len(part) for part in parts}) == 3
    assert np.array_equal(np.load(tmp_path / "all.npz")["mean"], np.concatenate(parts))
