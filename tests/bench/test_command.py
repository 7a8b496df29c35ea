"""``backhand bench``: its reports, its choices, its errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile

import numpy as np
import pytest

from backhand.backend import status
from backhand.bench.harness import busy, case, markdown, report, runner
from backhand.bench.harness.case import BEST_PEER, FRAMEWORKS, Implementation
from backhand.bench.harness.process import Process
from backhand.bench.harness.runner import Block, Measured
from backhand.cli import bench, main
from tests.bench import fake_cases
from tests.bench.conftest import FOUND

SHORT = ["--rounds", "1", "--busy", "--backend", "numpy"]
REAL = case.all_cases()


@pytest.fixture
def call(capsys):
    def call(*words):
        status = main(["bench", *(str(word) for word in words)])
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


@pytest.fixture
def bare_python(tmp_path):
    """A Python that finds nothing but the standard library, and PYTHONPATH."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    path.chmod(0o755)
    return path


def test_json_has_the_documented_form(fake, call):
    status, out, err = call("agrees", *SHORT, "--json", "--peers", "torch", "--threads", "1")
    assert status == 0
    (entry,) = json.loads(out)
    assert entry["case"] == "agrees"
    assert entry["backend"] in entry["implementations"]
    assert entry["threads"] == 1
    assert entry["implementations"].keys() == {"numpy", "torch"}
    assert entry["best_peer"] == "torch"
    ours, peer = (entry["implementations"][name] for name in (entry["backend"], "torch"))
    ratio = peer["seconds_median"] / ours["seconds_median"]
    assert entry["ratio_to_best_peer"] == pytest.approx(ratio)
    fraction = entry["limit"]["seconds"] / ours["seconds_median"]
    assert entry["fraction_of_limit"] == pytest.approx(fraction)
    assert {"seconds_median", "seconds_min", "samples_per_second", "gflops"} <= ours.keys()
    assert ours["gflops"] == pytest.approx(3 * 2 * 64 * 32 * 48 / ours["seconds_median"] / 1e9)
    assert ours["samples_per_second"] == pytest.approx(6 / ours["seconds_median"])
    assert entry["conditions"]["versions"]["torch"] == "0.fake"
    assert entry["conditions"]["commit"]
    assert "agrees, 1 thread: preparing" in err


def test_markdown_goes_to_a_file_too(fake, call, tmp_path):
    file = tmp_path / "report.md"
    status, out, _ = call("one_fails", *SHORT, "--threads", "1", "-o", file)
    assert status == 0
    assert file.read_text() == out
    assert "| one_fails |" in out
    assert "one_fails: torch failed: RuntimeError: no such thing here" in out
    assert "jax 0.fake" in out.splitlines()[2]


def test_a_wrong_implementation_is_exit_status_1(fake, call):
    status, out, err = call("agrees", "wrong", *SHORT, "--threads", "1", "--json")
    assert status == 1
    right, not_right = json.loads(out)
    assert right["case"] == "agrees"
    assert "failed" not in right
    assert not_right["failed"].startswith("wrong: torch disagrees")
    assert "backhand: error: wrong: torch disagrees" in err
    _, text, _ = call("agrees", "wrong", *SHORT, "--threads", "1")
    assert "| agrees |" in text
    assert "## Not measured\n\n- wrong, 1 thread: wrong: torch disagrees" in text


def test_ctrl_c_leaves_what_was_measured(fake, call, monkeypatch, tmp_path):
    real = runner.measure

    def measure(found, *others):
        if found.case.name == "one_dies":
            raise KeyboardInterrupt
        return real(found, *others)

    monkeypatch.setattr(runner, "measure", measure)
    file = tmp_path / "report.json"
    names = ["agrees", "one_fails", "one_dies", "wrong"]
    status, out, err = call(*names, *SHORT, "--threads", "1", "--json", "-o", file)
    assert status == 130
    assert "backhand: error: interrupted" in err
    assert json.loads(out) == json.loads(file.read_text())
    failed = {entry["case"]: entry.get("failed") for entry in json.loads(out)}
    assert failed == dict(zip(names, [None, None, "interrupted", "interrupted"], strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_a_signal_to_the_whole_group_ends_the_workers_too():
    """As a terminal sends it."""
    words = ["bench", "gaussian_latent", "--rounds", "1000", "--busy", "--threads", "1", "--json"]
    run = subprocess.Popen(
        [sys.executable, "-m", "backhand", *words, "--peers", "none"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell that runs the tests in the background has SIGINT ignored, also by its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        while "rounds of" not in run.stderr.readline():
            assert run.poll() is None
        os.killpg(run.pid, signal.SIGINT)
        out, err = run.communicate(timeout=60)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130
    assert err == "backhand: error: interrupted\n"
    assert {entry["failed"] for entry in json.loads(out)} == {"interrupted"}


def test_quick_is_the_cases_with_a_floor_on_two_threads(fake, call):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    status, out, _ = call("--quick", *SHORT, "--json", "--peers", "none")
    assert status == 0
    (entry,) = json.loads(out)
    assert entry["case"] == "agrees"
    assert entry["threads"] == min(2, cores)
    assert entry["ratio_to_best_peer"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lstm"], "unknown case 'lstm'; there are agrees, one_fails,"),
        (["--peers", "theano"], "unknown peer 'theano'; there are torch, jax"),
        (["--backend", "cpp"], "unknown backend 'cpp'; there are numpy"),
        (["--threads", "two"], "--threads must be numbers such as 1,2, got 'two'"),
        (["--threads", "0"], "--threads must be from 1 to"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--peer-python", "/nowhere/python"], "--peer-python /nowhere/python: there is no"),
        (["--peer-python", tempfile.gettempdir()], "is not a Python of 3.11 or newer: name the"),
        (["--peer-python", __file__], "is not a Python of 3.11 or newer: name the program"),
        (["--peer-python", shutil.which("true")], "is not a Python of 3.11 or newer: name the"),
        (["-o", "report.txt"], "-o must end in .md or .json"),
        (["one_fails", "--backend", "emulated", "--threads", "1"], "has no emulated form"),
    ],
)
def test_wrong_use_is_one_line_and_exit_status_2(fake, call, words, message):
    status, out, err = call("--busy", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("backhand: error: ")
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_missing_peers_are_named_with_the_cure(bare_python, monkeypatch, capsys):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "executable", str(bare_python))
    assert bench._peers(None, None) == []
    missing = "not measured, as not installed: torch, jax; pip install 'backhand[bench]'"
    assert missing in capsys.readouterr().err
    with pytest.raises(ImportError, match=r"--peers: jax not installed: pip install 'backhand"):
        bench._peers("jax", None)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(
    ("has", "lacks"),
    [
        ([], "no numpy and threadpoolctl, which the peers need too"),
        (["numpy", "threadpoolctl"], "neither torch nor jax"),
        (["numpy", "threadpoolctl", "jax"], None),
    ],
)
def test_a_named_python_must_have_a_peer(bare_python, monkeypatch, tmp_path, capsys, has, lacks):
    for name in has:
        (tmp_path / f"{name}.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    python = str(bare_python)
    if lacks is None:
        assert bench._peers(None, python) == ["jax"]
        assert f"not measured, as not installed: torch; install them for {python}" in (
            capsys.readouterr().err
        )
    else:
        status = main(["bench", "gaussian_latent", "--busy", "--peer-python", python])
        error = f"backhand: error: --peer-python {python} has {lacks}\n"
        assert (status, capsys.readouterr().err) == (2, error)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_python_without_backhand_can_run_the_peers(fake, bare_python, tmp_path, monkeypatch):
    """Without the site module there is no editable install, so the folders are handed over."""
    site = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(site))
    alone = [str(bare_python), "-P", "-c", "import backhand"]
    assert subprocess.run(alone, cwd=tmp_path, capture_output=True, check=False).returncode
    found = FOUND["agrees"]
    inputs = found.case.inputs(np.random.default_rng(0))
    np.savez(tmp_path / "inputs.npz", **inputs)
    process = Process("numpy", 1, str(bare_python))
    process.call(
        "prepare", module=found.module, file=found.file, name="agrees", key="torch",
        label="torch", inputs=str(tmp_path / "inputs.npz"), results=str(tmp_path / "out.npz"),
    )  # fmt: skip
    process.close()
    with np.load(tmp_path / "out.npz") as out:
        assert np.allclose(out["0.y"], np.tanh(inputs["a"]))


# -- the numbers ---------------------------------------------------------------------------


def measured(threads, **medians):
    columns = [Implementation(n, n, n, n in ("numpy", "native")) for n in medians]
    blocks = {
        name: [Block(seconds * drift, seconds * drift, 1.0, drift) for drift in (1.0, 2.0, 0.5)]
        for name, seconds in medians.items()
    }
    limit = {"products": 0.1, "memory": 0.2, "transcendentals": 0.3}
    return Measured(FOUND["agrees"].case, threads, columns, blocks, limit, others=[0.1])


def test_drift_is_divided_out():
    entry = report.record(measured(1, numpy=3.0))["implementations"]["numpy"]
    assert entry["seconds_median"] == 3.0
    assert entry["seconds_min"] == 1.5
    assert entry["spread"] == 1.0


def test_the_best_of_each_side_counts():
    entry = report.record(measured(1, numpy=3.0, native=2.0, torch=5.0, jax=4.0))
    assert (entry["backend"], entry["best_peer"]) == ("native", "jax")
    assert entry["ratio_to_best_peer"] == pytest.approx(2.0)
    assert entry["fraction_of_limit"] == pytest.approx(0.3)


def test_floors_hold_at_two_threads():
    medians = {"native": 2.0, "torch": 4.0}
    assert report.record(measured(1, **medians))["floors"] == []
    best, jax = report.record(measured(2, **medians, jax=5.0))["floors"]
    assert best == {
        "against": "best peer", "wanted": 0.5, "ratio": 2.0, "verdict": "met", "met": True,
        "judged_against": ["torch", "jax"], "absent": [],
    }  # fmt: skip
    missed = {"against": "jax", "wanted": 1e9, "ratio": 2.5, "verdict": "MISSED", "met": False}
    assert jax == missed


def test_a_floor_is_not_met_where_a_peer_is_absent():
    one = measured(2, native=2.0, torch=4.0)
    best, jax = report.record(one)["floors"]
    assert (best["met"], best["absent"]) == (None, ["jax"])
    assert jax == {
        "against": "jax", "wanted": 1e9, "ratio": None, "verdict": "not measured", "met": None,
    }  # fmt: skip
    text = markdown.markdown([report.record(one)], one.columns, report.conditions({}))
    assert "0.5x best peer (torch): 2.00, judged against torch only; 1e+09x jax: not" in text
    slower = report.record(measured(2, native=9.0, torch=4.0))["floors"][0]
    assert slower["met"] is False, "slower than one peer is slower than the best"


def test_the_default_form_is_judged_and_others_are_told():
    one = measured(2, native=2.0, torch=4.0, jax=3.0)
    workspace = Implementation("native workspace", "backhand workspace", "native", True)
    one.columns.append(workspace)
    one.blocks["native workspace"] = [Block(1.0, 1.0, 1.0, 1.0)]
    entry = report.record(one)
    assert (entry["backend"], entry["ratio_to_best_peer"]) == ("native", 1.5)
    assert entry["floors"][0]["ratio"] == 1.5
    (form,) = entry["other_forms"].values()
    assert form["backend"] == "native workspace"
    assert form["ratio_to_best_peer"] == 3.0
    text = markdown.markdown([entry], one.columns, report.conditions({}))
    assert "| native workspace: 3.00 |" in text


def test_no_floor_is_met_or_missed_on_a_busy_machine(monkeypatch):
    monkeypatch.setattr(busy, "available", lambda: True)
    one = measured(2, native=2.0, torch=4.0)
    one.others = [0.1, 0.9]
    entry = report.record(one)
    assert entry["busy"]
    assert [floor["met"] for floor in entry["floors"]] == [None, None]
    text = markdown.markdown([entry], one.columns, report.conditions({}))
    assert "0.5x best peer (torch): 2.00, not judged, as busy; 1e+09x jax: not measured" in text
    assert "**The machine was busy**: other processes used up to 0.90 cores" in text


def test_a_peer_with_more_threads_than_it_was_given_is_named():
    one = measured(1, native=2.0, torch=4.0)
    for block in one.blocks["torch"]:
        block.cores = 1.9
    text = markdown.markdown([report.record(one)], one.columns, report.conditions({}))
    assert "agrees: torch used 1.9 cores" in text


# -- the real cases ------------------------------------------------------------------------


def test_a_real_case_runs_on_every_backend_that_has_it(call):
    words = ["--rounds", "1", "--busy", "--threads", "1", "--json", "--peers", "none"]
    exit_status, out, _ = call("gaussian_latent", *words)
    assert exit_status == 0
    names = json.loads(out)[0]["implementations"].keys()
    assert names == {n for n in ("native", "numba", "numpy") if status(n).available}


def test_quick_leaves_numpy_out_where_there_is_more():
    one = next(found.case for found in REAL if found.case.name == "bernoulli_logits")
    able = case.own_backends(one)
    labels = [i.label for i in case.implementations(one, [], quick=True)]
    assert labels == (able[:-1] or ["numpy"])


def test_the_list_names_the_real_cases(call):
    assert call("--list")[1].split() == [found.case.name for found in REAL]


def test_names_of_cases_are_unique():
    names = [found.case.name for found in REAL]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("found", REAL, ids=lambda found: found.case.name)
def test_what_a_real_case_says_makes_sense(found):
    one = found.case
    assert one.implementations.keys() >= {"backhand"}
    peers = [name for name in one.implementations if name.startswith(FRAMEWORKS)]
    assert peers, "a case without a peer compares nothing"
    assert one.floors.keys() <= {BEST_PEER, *peers}
    assert not one.quick or one.floors
    assert one.traffic > 0
    assert one.pool in ("kernels", "blas", "parts")
    assert one.samples > 0
    assert case.own_backends(one)[-1] == "numpy"


def test_a_file_names_all_its_cases():
    family = [f for f in REAL if f.module.endswith(".gaussian_latent")]
    assert case.select(REAL, ["gaussian_latent"], quick=False) == family
    assert len(family) == 2
    alone = case.select(REAL, ["gaussian_latent_k50"], quick=True)
    assert [f.case.name for f in alone] == ["gaussian_latent_k50"]
    assert len(case.cases_of(fake_cases)) == len(FOUND)
