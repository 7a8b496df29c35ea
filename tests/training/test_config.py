import os
import tomllib
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backhand.config import (
    DataConfig,
    TrainConfig,
    apply_settings,
    model_name,
    parse_value,
    read_toml,
    to_toml,
    write_toml,
)
from backhand.optim import RULES, make_optimizer
from backhand.schedules import SCHEDULES, learning_rate
from backhand.settings import field_types


@dataclass(frozen=True)
class ModelConfig:
    hidden: tuple[int, ...] = (200, 200)
    latent: int = 50
    std: float = 1.0
    standardise: bool = True
    title: str = ""
    activation: Literal["tanh", "relu"] = "tanh"
    level: Literal[1, 2] = 1
    weights: "tuple[float, ...]" = ()
    limit: int = 3  # also a field of DataConfig


CONFIGS = {"model": ModelConfig(), "training": TrainConfig(), "data": DataConfig()}


# -- the dataclasses -----------------------------------------------------------------------


def test_choices_are_those_that_exist():
    kinds = field_types(TrainConfig)
    assert get_args(kinds["optimizer"]) == tuple(RULES)
    assert get_args(kinds["schedule"]) == SCHEDULES


@pytest.mark.parametrize("name", RULES)
def test_optimizer_settings_are_what_the_optimizer_takes(name):
    config = TrainConfig(optimizer=name)
    assert config.optimizer_settings == dict(RULES[name].settings)  # the defaults agree
    assert make_optimizer(name, 3, config.dtype, **config.optimizer_settings).name == name


def test_schedule_settings_are_what_the_schedule_takes():
    config = TrainConfig(schedule="step", milestones=(0.5,), decay=0.25)
    got = learning_rate(config.schedule, 4, 4, config.lr, **config.schedule_settings)
    assert got == config.lr / 4
    config = TrainConfig(schedule="cosine", lr_final=0.5e-3)
    assert learning_rate("cosine", 9, 9, config.lr, **config.schedule_settings) == 0.5e-3


def test_values_from_python_get_their_fields_types():
    config = TrainConfig(
        lr=1,
        epochs=np.int64(3),
        clip=np.float32(0.5),
        schedule="step",
        milestones=[np.float64(0.5)],
    )
    assert [type(config.lr), type(config.epochs), type(config.clip)] == [float, int, float]
    assert config.milestones == (0.5,)
    assert type(config.milestones[0]) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, r"training\.epochs must be at least 1, got 0"),
        ({"epochs": "3"}, r"training\.epochs must be an integer, got '3'"),
        ({"epochs": 3.0}, r"training\.epochs must be an integer, got 3\.0"),
        ({"epochs": True}, r"training\.epochs must be an integer, got True"),
        ({"steps": -1}, r"training\.steps must be 0 or more, got -1"),
        ({"batch": 0}, r"training\.batch must be at least 1"),
        ({"k": 0}, r"training\.k must be at least 1"),
        ({"lr": 0.0}, r"training\.lr must be above 0, got 0\.0"),
        ({"lr": float("nan")}, r"training\.lr must be a finite number, got nan"),
        ({"lr": 10**400}, r"training\.lr must be a finite number"),
        ({"seed": 2**32}, r"training\.seed must be in 0 \.\. 2\*\*32 - 1"),
        ({"seed": -1}, r"training\.seed must be in"),
        ({"optimizer": "adagrad"}, r"training\.optimizer must be one of 'adam', .*got 'adagrad'"),
        ({"schedule": "linear"}, r"training\.schedule must be one of 'constant'"),
        ({"milestones": (0.5, 1.0)}, r"training\.milestones must be fractions of the run"),
        ({"milestones": 0.5}, r"training\.milestones must be numbers, as in 0\.5,0\.75, got 0\.5"),
        ({"decay": 0.0}, r"training\.decay must be above 0"),
        ({"lr_final": -1e-5}, r"training\.lr_final must be 0 or more"),
        ({"beta1": 1.0}, r"training\.beta1 must be in \[0, 1\)"),
        ({"beta2": -0.1}, r"training\.beta2 must be in"),
        ({"momentum": 1.0}, r"training\.momentum must be in"),
        ({"rms_decay": 2.0}, r"training\.rms_decay must be in"),
        ({"eps": 0.0}, r"training\.eps must be above 0"),
        ({"weight_decay": -0.1}, r"training\.weight_decay must be 0 or more"),
        ({"clip": -1.0}, r"training\.clip must be 0 or more"),
        ({"kl_warmup": -1.0}, r"training\.kl_warmup must be 0 or more"),
        ({"free_bits": -1.0}, r"training\.free_bits must be 0 or more"),
        ({"patience": -1}, r"training\.patience must be 0 or more"),
        ({"valid_every": 0}, r"training\.valid_every must be at least 1"),
        ({"checkpoint_minutes": 0.0}, r"training\.checkpoint_minutes must be above 0"),
        (
            {"dtype": "float16"},
            r"training\.dtype must be one of 'float32', 'float64', got",
        ),
        ({"threads": -1}, r"training\.threads must be 0 or more"),
        ({"backend": "torch"}, r"training\.backend must be empty or one of numpy, .*got 'torch'"),
    ],
)
def test_training_refuses_what_is_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"binarisation": "always"}, r"data\.binarisation must be one of '', 'none', 'once'"),
        ({"valid": -1}, r"data\.valid must be 0 or more, got -1"),
        ({"limit": -5}, r"data\.limit must be 0 or more"),
        ({"kind": "image"}, r"data\.kind must be one of"),
        ({"name": None}, r"data\.name must be text, got None"),
    ],
)
def test_data_refuses_what_is_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"momentum": 0.5}, r"training\.momentum = 0\.5 has no effect with optimizer 'adam', only"),
        ({"weight_decay": 0.1}, r"only with adamw; leave it at 0\.01"),
        ({"optimizer": "sgd", "beta1": 0.5}, r"beta1 = 0\.5 .* only with adam, adamw, adamax;"),
        ({"optimizer": "rmsprop", "momentum": 0.5}, r"with optimizer 'rmsprop', only with sgd"),
        ({"lr_final": 1e-5}, r"lr_final = 1e-05 has no effect with schedule 'constant'"),
        ({"schedule": "iwae", "decay": 0.5}, r"decay = 0\.5 .* only with step"),
        ({"schedule": "cosine", "milestones": ()}, r"milestones = \(\) has no effect"),
    ],
)
def test_a_setting_that_would_change_nothing_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


# -- --set ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "12", 12),
        (int, "-3", -3),
        (float, "1e-4", 1e-4),
        (float, "2", 2.0),
        (bool, "true", True),
        (bool, "False", False),
        (str, "a=b, c", "a=b, c"),
        (str, "", ""),
        (tuple[int, ...], "200,200", (200, 200)),
        (tuple[int, ...], " 5 ", (5,)),
        (tuple[int, ...], "", ()),
        (tuple[float, ...], "0.5, 1", (0.5, 1.0)),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
    ],
)
def test_parse_value(kind, text, value):
    got = parse_value(kind, text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (int, "1.5", "model.x must be an integer, got '1.5'"),
        (int, "", "must be an integer"),
        (int, "9" * 5000, "must be an integer"),
        (float, "fast", "must be a finite number, got 'fast'"),
        (float, "nan", "must be a finite number, got nan"),
        (float, "1e999", "must be a finite number, got inf"),
        (bool, "1", "must be true or false, got '1'"),
        (tuple[int, ...], "200,", "must be integers, as in 200,200, got '200,'"),
        (tuple[int, ...], "200;200", "must be integers, as in 200,200, got '200;200'"),
        (tuple[float, ...], "0.5,inf", "must be a finite number"),
        (Literal["a", "b"], "c", "must be one of 'a', 'b', got 'c'"),
        (Literal[1, 2], "3", "must be one of 1, 2, got '3'"),
    ],
)
def test_parse_value_names_the_type_it_expected(kind, text, message):
    with pytest.raises(ValueError, match=message):
        parse_value(kind, text, "model.x")


def test_apply_settings():
    given = [
        "hidden=300,", "hidden=100", "training.lr=1e-4", "title= a=b", "model.limit=5",
        "data.limit=9", "standardise=false", "weights=0.5", "level=2", "name=mnist",
    ]  # fmt: skip
    got = apply_settings(CONFIGS, given[1:])
    assert got["model"] == ModelConfig(
        hidden=(100,), title=" a=b", limit=5, standardise=False, weights=(0.5,), level=2
    )
    assert got["training"] == TrainConfig(lr=1e-4)
    assert got["data"] == DataConfig(name="mnist", limit=9)
    assert apply_settings(CONFIGS, []) == CONFIGS
    assert apply_settings(CONFIGS, ["latent=1", "latent=2"])["model"].latent == 2
    with pytest.raises(ValueError, match="hidden must be integers"):
        apply_settings(CONFIGS, given)


def test_settings_are_checked_together():
    got = apply_settings(CONFIGS, ["momentum=0.5", "optimizer=sgd"])["training"]
    assert got == TrainConfig(optimizer="sgd", momentum=0.5)
    with pytest.raises(ValueError, match=r"momentum = .* has no effect"):
        apply_settings(CONFIGS, ["momentum=0.5"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "hiden=3",
            r"unknown field 'hiden': did you mean 'hidden'\? Known fields are model: h",
        ),
        ("training.bach=3", r"unknown field 'training\.bach': did you mean 'training\.batch'\?"),
        ("zzz=3", r"unknown field 'zzz'\. Known fields are .*data: name, binarisation"),
        ("=3", "unknown field ''"),
        ("limit=3", r"'limit' is ambiguous: write model\.limit or data\.limit"),
        ("latent", "a setting is field=value, got 'latent'"),
        ("latent=x", r"model\.latent must be an integer, got 'x'"),
        ("epochs=0", r"training\.epochs must be at least 1, got 0"),
    ],
)
def test_wrong_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        apply_settings(CONFIGS, [setting])


# -- TOML ----------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**70), 2**70)
model_configs = st.builds(
    ModelConfig,
    hidden=st.lists(whole).map(tuple),
    latent=whole,
    std=finite,
    standardise=st.booleans(),
    title=text,
    activation=st.sampled_from(["tanh", "relu"]),
    level=st.sampled_from([1, 2]),
    weights=st.lists(finite).map(tuple),
)


@settings(deadline=None)
@given(model_configs, text, text)
def test_toml_round_trip_is_exact(tmp_path_factory, model, name, data):
    configs = CONFIGS | {"model": model, "data": DataConfig(name=data)}
    path = tmp_path_factory.getbasetemp() / "round.toml"
    write_toml(path, name, configs)
    got = read_toml(path, CONFIGS)
    assert got == configs
    for field in fields(model):  # -0.0 == 0.0 and 1 == 1.0 == True
        assert repr(getattr(got["model"], field.name)) == repr(getattr(model, field.name))
    assert model_name(path) == name
    assert to_toml(name, got) == to_toml(name, configs)


def test_every_field_is_written():
    document = tomllib.loads(to_toml("vae", CONFIGS))
    assert document["format"] == 1
    assert document["model"].pop("name") == "vae"
    for table, config in CONFIGS.items():
        assert list(document[table]) == [field.name for field in fields(config)]


def test_floats_are_written_by_repr_and_ints_in_float_fields_read_as_floats(tmp_path):
    path = tmp_path / "a.toml"
    configs = CONFIGS | {"training": TrainConfig(lr=0.1 + 0.2, clip=1e22, eps=5e-324)}
    write_toml(path, "vae", configs)
    assert "lr = 0.30000000000000004\n" in path.read_text()
    assert read_toml(path, CONFIGS) == configs
    path.write_text("[training]\nclip = 5\n")
    assert repr(read_toml(path, CONFIGS)["training"].clip) == "5.0"


def test_a_file_may_hold_a_part_only(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf[model]\r\nhidden = [ 10 ] # comment\r\n")
    base = CONFIGS | {"training": TrainConfig(epochs=3)}
    assert read_toml(path, base) == base | {"model": ModelConfig(hidden=(10,))}
    path.write_text("")
    assert read_toml(path, base) == base
    with pytest.raises(ValueError, match=r"a\.toml names no model: name = \"vae\" is missing"):
        model_name(path)


def test_a_file_for_another_model_is_refused(tmp_path):
    path = tmp_path / "a.toml"
    write_toml(path, "draw", CONFIGS)
    assert read_toml(path, CONFIGS, name="draw") == CONFIGS
    with pytest.raises(ValueError, match=r"a\.toml is for the model 'draw', not for 'vae'"):
        read_toml(path, CONFIGS, name="vae")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("format = 2", "has format 2, and this version of backhand reads up to 1; install a newer"),
        ("format = 0", "format must be a whole number from 1 on, got 0"),
        ("format = true", "format must be a whole number from 1 on, got True"),
        ("epochs = 3", "epochs stands outside of a table"),
        ("[trainig]\nepochs = 3", r"unknown table \[trainig\]; there are model, training, data"),
        (
            "[training]\nepoch = 3",
            r"'training\.epoch': did you mean 'training\.epochs'",
        ),
        ("[training]\nepochs = 3.0", r"training\.epochs must be an integer, got 3\.0"),
        ("[training]\nepochs = '3'", r"training\.epochs must be an integer, got '3'"),
        ("[training]\nepochs = true", r"training\.epochs must be an integer, got True"),
        ("[training]\nlr = nan", r"training\.lr must be a finite number, got nan"),
        ("[training]\nepochs = 0", r"training\.epochs must be at least 1"),
        ("[model]\nstandardise = 1", r"model\.standardise must be true or false, got 1"),
        ("[model]\nhidden = 200", r"model\.hidden must be integers, as in 200,200, got 200"),
        ("[model]\nhidden = [200, 1.5]", r"model\.hidden must be an integer, got 1\.5"),
        ("[model]\nlevel = '1'", r"model\.level must be one of 1, 2, got '1'"),
        ("[model]\nlevel = true", r"model\.level must be one of 1, 2, got True"),
        ("[model]\ntitle = 2024-01-01", r"model\.title must be text, got datetime"),
        ("[model", "is not valid TOML"),
        ("x = '\xff'".encode("latin-1"), "is not valid TOML"),
    ],
)
def test_wrong_files_are_named_with_the_reason(tmp_path, content, message):
    path = tmp_path / "wrong.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"wrong\.toml.*{message}"):
        read_toml(path, CONFIGS)


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "none.toml", CONFIGS)


def test_what_would_not_be_read_back_is_not_written(tmp_path):
    @dataclass(frozen=True)
    class Named:
        name: str = ""

    path = tmp_path / "a.toml"
    for model, error in ((ModelConfig(std=float("nan")), ValueError), (Named(), TypeError)):
        with pytest.raises(error):
            write_toml(path, "vae", CONFIGS | {"model": model})
        assert not path.exists()


def test_write_toml_replaces_the_file_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.toml"
    write_toml(path, "vae", CONFIGS)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            write_toml(path, "vae", CONFIGS | {"data": DataConfig(name="mnist")})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_replace_checks_again():
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        replace(TrainConfig(), epochs=0)
    assert isfinite(replace(TrainConfig(), lr=1).lr)
