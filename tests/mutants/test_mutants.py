"""The mutants are what they are said to be, and one that survives is told."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants import checks, device
from tests.mutants.cpp_mutants import cpp_sites, with_mutants
from tests.mutants.python_mutants import python_mutants
from tests.mutants.removals import removals, with_removals


def sources(text):
    found = python_mutants(Path("kernels/op/reference.py"), text)
    return {m.source.removeprefix("x = ") for m in found}


def test_python_mutants():
    assert sources("x = a + b * c") == {
        "a - b * c", "a", "b * c", "a + c", "a + b", "a + 2 * (b * c)"
    }  # fmt: skip
    assert sources("x = a - b") == {"a + b", "a", "-b"}
    assert sources("x = a @ b") == {"2 * (a @ b)"}
    assert sources("x += a") == {"x -= a", "pass"}
    assert sources("x = f(-a)") == {"f(a)"}
    assert sources("x = f(a)  # [op.1]") == {"2 * f(a)"}
    for text in ("x = y[i + 1]", "x = y.reshape(a * b)", "x = y.sum(axis=-1)", "raise E(a + b)"):
        assert not sources(text)


def changes(text):
    return {site.change for site in cpp_sites(text)}


def test_cpp_mutants():
    assert changes("{ y[i] = a[i] + b * c; }") == {
        "sign of a[i] flipped", "term from a[i] dropped",
        "sign of b flipped", "term from b dropped",
        "factor b dropped", "factor c dropped", "product from b doubled",
    }  # fmt: skip
    assert changes("{ return f<F>(-x); }") == {
        "product from f<F>(-x) doubled",
        "sign of -x dropped",
    }
    for text in (
        "void f(const REAL* BH_RESTRICT a, std::uint32_t* b) {}",
        "#define F(x) (x * 2)\n",
        "constexpr float A = 2.0f * 3.0f;",
        "{ f(x); }  // a * b",
    ):
        text = "template <typename REAL> void g();\n" + text
        assert not changes(text)


PROGRAM = """
#include <cstdio>
double f(double a, double b, long n) {
    double y = 1.0;
    y += -a * b / 4.0 + double(n * n - n);
    return y;
}
int main() { std::printf("%g", f(2.0, 6.0, 3)); }
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ to compile a mutated program with")
def test_a_mutated_program(tmp_path):
    """1 - 2 * 6 / 4 + 6 = 4, and what each change makes of it."""
    sites = dict(enumerate(cpp_sites(PROGRAM), 1))
    text = f'#include "{Path(__file__).parent / "bh_mutant.h"}"\n' + with_mutants(PROGRAM, sites)
    (tmp_path / "a.cpp").write_text(text)
    program = str(tmp_path / "a")
    subprocess.run(["g++", "-std=c++17", "-o", program, str(tmp_path / "a.cpp")], check=True)
    expected = {
        "none": 4,
        "sign of -a flipped": 10,
        "term from -a dropped": 7,
        "factor -a dropped": 8.5,
        "product from -a doubled": 1,
        "factor b dropped": 6.5,
        "factor 4.0 dropped": -5,
        "sign of double(n * n - n) flipped": -8,
        "term from double(n * n - n) dropped": -2,
        "product from 1.0 doubled": 5,
        "product from y doubled": 8,
        "sign of n flipped": 4,  # sizes pass through
    }
    found = {}
    for number, change in [(0, "none"), *((n, site.change) for n, site in sites.items())]:
        done = subprocess.run(
            [program], env={"BH_MUTANT": str(number)}, capture_output=True, text=True, check=True
        )
        found[change] = float(done.stdout)
    assert {change: found[change] for change in expected} == expected
    assert set(found) - set(expected) == {
        "term from n dropped", "factor n dropped", "product from n doubled"
    }  # fmt: skip


def test_what_a_kernel_can_lose():
    text = (
        "if (c >= cols) return;\nif (a < n && ++k < 3) y[a] = x;\n__syncthreads();\n"
        "for (int i = 0; i < n; ++i) y[i] = f<REAL>(i < 3 ? i : 0);\natomicAdd(&y[0], g(1));\n"
        "#define F(x) if (x < 3) return\n"
    )
    found = removals(text)
    assert [(s.line, s.change, s.other) for s in found] == [
        (1, "check removed: c >= cols", "false"),
        (2, "check removed: a < n", "true"),
        (3, "barrier removed", None),
        (4, "one turn more: i < n", "i <= n"),
        (4, "choice removed: i < 3", "true"),
        (5, "atomic removed", None),
    ]
    changed = with_removals(text, dict(enumerate(found, 1))).splitlines()
    assert changed[:5] == [
        "if (BH_INSTEAD(1, false, c >= cols)) return;",
        "if (BH_INSTEAD(2, true, a < n) && ++k < 3) y[a] = x;",
        "BH_UNLESS(3, __syncthreads());",
        "for (int i = 0; BH_INSTEAD(4, i <= n, i < n); ++i) "
        "y[i] = f<REAL>(BH_INSTEAD(5, true, i < 3) ? i : 0);",
        "BH_UNLESS(6, atomicAdd(&y[0], g(1)));",
    ]


@pytest.fixture
def imported(monkeypatch):
    """Here other tests have imported the references; what notices is made up."""
    monkeypatch.setattr(command, "must_be_new", lambda name: None)


def run(capsys, *arguments):
    status = command.main(arguments)
    return status, capsys.readouterr().out


def test_survivors_are_listed_and_fail(monkeypatch, capsys, imported):
    monkeypatch.setattr(checks, "notices", lambda backend, op: False)
    status, text = run(capsys, "gaussian_latent", "--only", "reference")
    assert status == 1
    assert "SURVIVED: kernels/gaussian_latent/reference.py:" in text
    assert " sign flipped:  kl = half * (mean * mean + (xp.expm1(logvar) - logvar))" in text
    assert "0 of 48 mutants noticed: 0.0%" in text


def test_survivors_of_the_kernels_fail_by_themselves(monkeypatch, capsys, tmp_path):
    def nothing_notices(ops, folder, parallel):
        return ((job, "") for job in device.collect(ops, tmp_path))

    monkeypatch.setattr(device, "noticed", nothing_notices)
    monkeypatch.setattr(command, "equivalents", dict)
    status, text = run(capsys, "adam", "--only", "device")
    assert status == 1
    assert "SURVIVED: csrc/adam/kernel.cu:11: one turn more: i < n:" in text
    assert "0 of 11 mutants noticed: 0.0%" in text  # with those of common/device.h


def test_checks_that_fail_by_themselves_prove_nothing(monkeypatch, imported):
    monkeypatch.setattr(checks, "notices", lambda backend, op: True)
    with pytest.raises(SystemExit, match="the checks fail without any mutant"):
        command.main(["gaussian_latent", "--only", "reference"])


def test_an_equivalent_mutant_is_not_counted_but_told(monkeypatch, capsys, imported):
    monkeypatch.setattr(checks, "notices", lambda backend, op: False)
    code = "kl = half * (mean * mean + (xp.expm1(logvar) - logvar))  # [gaussian_latent.2]"
    key = ("", "kernels/gaussian_latent/reference.py", code, "doubled")
    monkeypatch.setattr(command, "equivalents", lambda: {key: "a test says so"})
    _, text = run(capsys, "gaussian_latent", "--only", "reference")
    assert f"equivalent: {key[1]}:" in text
    assert "doubled: a test says so" in text
    assert "0 of 46 mutants" in text  # both products of the line


def test_every_equivalent_mutant_exists():
    root = command.ROOT
    for (_, file, code, change), reason in command.equivalents().items():
        path = root / file
        if path.suffix == ".py":
            found = {(m.code, m.change) for m in python_mutants(path, path.read_text())}
        else:
            every = [*cpp_sites(path.read_text()), *removals(path.read_text())]
            found = {(s.code, s.change) for s in every}
        assert (code, change) in found, f"{file}: {code}: {change}"
        assert reason


def test_a_reference_that_is_imported_already_is_no_place_for_mutants():
    import_module("backhand.kernels.bias_activation.reference")
    with pytest.raises(SystemExit, match="imported before its mutants"):
        next(command.reference_jobs("bias_activation"))
