"""What can go wrong on a command line, said before the work rather than after it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import backhand as bh
from backhand import cli, evaluation
from backhand.cli import main, output_file
from backhand.models import model_class

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["--set", "hidden=8", "--set", "latent=2", "--epochs", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table without a test part, and a run on it."""
    folder = tmp_path_factory.mktemp("table")
    np.save(folder / "table.npy", np.random.default_rng(0).normal(size=(60, 4)))
    data = str(folder / "table.npy")
    assert main(["train", "vae", "--data", data, "--run", str(folder / "run"), *SMALL]) == 0
    return folder


@pytest.fixture
def call(capsys, place, monkeypatch):
    monkeypatch.chdir(place)

    def call(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def refused(result, *messages):
    status, out, err = result
    assert status == 2
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("backhand: error: ")
    for message in messages:
        assert message in line


# -- outputs -----------------------------------------------------------------------------------

OUTPUTS = [
    ("evaluate", "--per-example", "x.npz"),
    ("encode", "-o", "x.npz"),
    ("sample", "-o", "x.png"),
    ("reconstruct", "-o", "x.npz"),
    ("interpolate", "-o", "x.npz"),
]


@pytest.mark.parametrize(("verb", "option", "file"), OUTPUTS)
def test_a_missing_folder_is_told_before_the_run_is_opened(call, verb, option, file):
    refused(call(verb, "no-run", option, f"nodir/{file}"), option, "there is no folder nodir")


@pytest.mark.parametrize(("verb", "option", "file"), OUTPUTS)
def test_the_suffix_is_told_first(call, verb, option, file):
    refused(call(verb, "no-run", option, "s.jpg"), option, "must end in", "got s.jpg")


def test_a_folder_in_the_place_of_a_file(call, tmp_path):
    (tmp_path / "z.npz").mkdir()
    refused(call("encode", "no-run", "-o", tmp_path / "z.npz"), "is a folder")


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="may not be written"):
        output_file("-o", str(tmp_path / "z.npz"), [".npz"])


def full(monkeypatch):
    def fail(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)


def test_a_bound_is_printed_even_if_it_cannot_be_written(call, monkeypatch, tmp_path):
    full(monkeypatch)
    status, out, err = call("evaluate", "run", "--per-example", tmp_path / "x.npz", "--json")
    assert status == 2
    assert json.loads(out)["n"] == 6
    assert "No space left" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["encode", "sample", "reconstruct", "interpolate"])
def test_an_older_file_outlives_a_failed_write(call, monkeypatch, tmp_path, verb):
    file = tmp_path / "x.npz"
    assert call(verb, "run", "-o", file)[0] == 0
    before = file.read_bytes()
    full(monkeypatch)
    status, _, err = call(verb, "run", "-o", file)
    assert status == 2
    assert "No space left" in err
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


# -- memory ------------------------------------------------------------------------------------


def test_too_many_samples_are_one_line(call):
    refused(
        call("sample", "run", "-n", 99999999999, "-o", "s.npz"), "out of memory", "ask for less"
    )


def test_traceback_shows_where_memory_ended(call):
    with pytest.raises(MemoryError):
        call("--traceback", "sample", "run", "-n", 99999999999, "-o", "s.npz")


# -- parts -------------------------------------------------------------------------------------


def test_without_a_test_part_evaluate_takes_validation_and_says_so(call):
    status, out, err = call("evaluate", "run")
    assert status == 0
    assert out.startswith("valid: ")
    assert "has no test part; this is on the validation part" in err
    named = call("evaluate", "run", "--split", "valid")
    assert named[:2] == (status, out)
    assert "no test part" not in named[2]
    refused(call("evaluate", "run", "--split", "test"), "has no test part; it has train, valid")


@pytest.mark.parametrize(("verb", "name"), [("reconstruct", "x"), ("interpolate", "start")])
def test_pictures_without_a_test_part(call, tmp_path, verb, name):
    status, _, err = call(verb, "run", "-n", 3, "-o", tmp_path / "x.npz")
    assert status == 0
    assert "no test part" in err
    valid = bh.data.load("table.npy").converted("float32").valid
    assert np.array_equal(np.load(tmp_path / "x.npz")[name], valid.x[:3])
    refused(call(verb, "run", "--split", "test", "-o", "x.npz"), "has no test part")


def test_a_test_part_is_taken_where_there_is_one(capsys):
    data = bh.data.load("mnist-mini")
    assert cli.part_of(data, None) == "test"
    assert cli.part_of(data, "train") == "train"
    assert capsys.readouterr().err == ""


# -- models of the user's own ------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path):
    """The console command, which does not put the current folder on Python's path."""
    (tmp_path / "mymodel.py").write_bytes((EXAMPLES / "poisson_vae.py").read_bytes())
    np.save(tmp_path / "counts.npy", np.random.default_rng(0).poisson(4.0, (60, 4)) * 1.0)
    code = "import sys; from backhand.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    paths = [str(Path(bh.__file__).parents[1])] if "PYTHONPATH" in os.environ else []
    environment |= {"PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}

    def call(*words, cwd=tmp_path):
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], env=environment,
            capture_output=True, text=True, check=False, cwd=cwd,
        )  # fmt: skip

    return call


def test_a_model_beside_its_data(outside, tmp_path):
    words = ("--data", tmp_path / "counts.npy", "--run", "run", "--epochs", 1, "--set", "hidden=8")
    trained = outside("train", "mymodel:PoissonVAE", *words)
    assert trained.returncode == 0, trained.stderr
    assert outside("evaluate", "run").stdout.startswith("valid: ")
    lines = outside("interpolate", "run", "-o", "i.npz")
    assert lines.returncode == 2
    assert "PoissonVAE has no interpolate" in lines.stderr
    assert "Traceback" not in lines.stderr
    (tmp_path / "elsewhere").mkdir()
    lost = outside("evaluate", tmp_path / "run", cwd=tmp_path / "elsewhere")
    assert lost.returncode == 2
    assert f"no module mymodel in the current folder, {tmp_path / 'elsewhere'}" in lost.stderr
    assert "PYTHONPATH" in lost.stderr


def test_the_current_folder_hides_no_module_and_stays_on_the_path_for_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wave.py").write_text("raise RuntimeError('the wrong one')\n")
    before = list(sys.path)
    with pytest.raises(ValueError, match="lacks Config"):
        model_class("wave:Wave_read")
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken_one:X", "x = (", "SyntaxError"),
        ("broken_two:X", "import no_such_thing", "No module named 'no_such_thing'"),
        ("broken_three:X", "1 / 0", "ZeroDivisionError"),
        ("broken_four:X", "", "has no attribute 'X'"),
        ("broken_five.inner:X", None, "no module broken_five in the current folder"),
        ("__main__:NoSuchModel", None, "into a module of its own"),
    ],
)
def test_what_is_wrong_with_a_module_is_said(tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(text)
    before = list(sys.path)
    with pytest.raises(ValueError, match="cannot be imported") as error:
        model_class(name)
    assert message in str(error.value)
    assert sys.path == before


def test_objectives_belong_to_the_interface(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = "Config create over bound log_weights encode sample reconstruct"
    lines = "".join(f"    {name} = None\n" for name in names.split())
    (tmp_path / "without_objectives.py").write_text(f"class X:\n{lines}")
    with pytest.raises(ValueError, match="lacks objectives of"):
        model_class("without_objectives:X")


def test_a_class_inside_a_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "import backhand as bh\n\nclass Outer:\n    class Inner(bh.VAE):\n        pass\n"
    (tmp_path / "nested_model.py").write_text(text)
    found = model_class("nested_model:Outer.Inner")
    assert bh.models.model_name(found) == "nested_model:Outer.Inner"


def test_evaluation_is_not_begun_for_a_file_that_cannot_be(call, monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: pytest.fail("was begun"))
    refused(call("evaluate", "run", "--per-example", "nodir/x.npz"), "there is no folder")


def test_settings_of_ais_need_ais(call):
    words = ("evaluate", "no-run", "--temperatures", 5)
    refused(call(*words), "only --bound ais takes --temperatures")
    assert call("evaluate", "run", "--bound", "ais", "--split", "valid", "--limit", 2,
                "-k", 2, "--temperatures", 5, "--leapfrogs", 2)[0] == 0  # fmt: skip
