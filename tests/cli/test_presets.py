"""The presets: read, named after a model that exists, true to their sources, and trained."""

import numpy as np
import pytest

import backhand as bh
from backhand.cli import main
from backhand.models import model_name
from backhand.presets import PRESETS, config_file
from backhand.run_settings import read_settings


def test_a_preset_is_found_by_name_and_a_file_by_its_path(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("")
    assert config_file(str(file)) == file
    assert config_file("iwae-short").name == "iwae-short.toml"
    with pytest.raises(FileNotFoundError, match=r"neither a file nor a preset; .*iwae-short"):
        config_file("iwae-shrt")
    with pytest.raises(FileNotFoundError, match="neither a file"):
        config_file(str(tmp_path))


@pytest.mark.parametrize("name", PRESETS)
def test_each_names_its_model_and_data(name):
    settings = read_settings(config_file(name))
    assert name.startswith(settings.name)
    assert settings.data.name


def test_the_published_recipes():
    iwae, two = (read_settings(config_file(f"iwae-paper{end}")) for end in ("", "-two-layers"))
    assert (iwae.model.hidden, iwae.model.latent, iwae.model.depth) == ((200,), (50,), 2)
    assert (two.model.hidden, two.model.latent, two.model.depth) == ((200, 100), (100, 50), 2)
    assert iwae.training == two.training
    assert (iwae.training.epochs, iwae.training.batch, iwae.training.lr) == (3280, 20, 1e-3)
    assert iwae.training.optimizer == "iwae_author"
    assert iwae.training.schedule == "iwae"
    dvae = read_settings(config_file("dvae-paper"))
    assert (dvae.model.activation, dvae.model.decoder_depth) == ("softplus", 1)
    assert (dvae.training.epochs, dvae.training.batch, dvae.training.optimizer) == (
        5000, 100, "adam",
    )  # fmt: skip
    assert (dvae.data.binarisation, dvae.data.valid) == ("once", 10_000)
    draw = read_settings(config_file("draw-paper"))
    m = draw.model
    assert (m.glimpses, m.read, m.write, m.hidden, m.latent) == (64, 2, 5, 256, 100)
    assert (draw.training.optimizer, draw.training.batch) == ("adam", 100)
    assert draw.data.name == "mnist-static"
    glimpses = read_settings(config_file("glimpses-short"))
    assert (glimpses.model.glimpses, glimpses.model.read, glimpses.model.hidden) == (8, 12, 256)
    assert (glimpses.data.scene, glimpses.data.binarisation) == ("cluttered", "none")


def train(*words):
    return main(["train", *map(str, words)])


@pytest.mark.parametrize("name", PRESETS)
def test_each_trains(tmp_path, name):
    model = read_settings(config_file(name)).name
    data = "mnist-mini"
    if name == "dvae-frey":
        data = tmp_path / "faces.npy"
        np.save(data, np.random.default_rng(0).random((300, 28, 20), np.float32))
    words = ("--config", name, "--data", data, "--set", "data.valid=200", "--limit", 40)
    assert train(model, *words, "--steps", 2, "--run", tmp_path / "run") == 0
    assert model_name(type(bh.load(tmp_path / "run"))) == model
    assert train("vae", *words, "--run", tmp_path / "other") == 2
    assert not (tmp_path / "other").exists()


def test_without_data_the_folder_has_the_name_of_the_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini.toml").write_text('[data]\nname = "mnist-mini"\nlimit = 40\n')
    assert train("vae", "--config", "mini.toml", "--steps", 1) == 0
    assert (tmp_path / "runs" / "mini" / "best.npz").exists()
