"""How cost grows: the fit, the points, and the page made from them."""

import json
from pathlib import Path

import numpy as np
import pytest

from backhand.bench import scale, summary
from backhand.bench.harness import memory

RESULTS = Path(__file__).parents[2] / "results" / "scale"
on_linux = pytest.mark.skipif(not memory.available(), reason="only Linux tells the peak memory")


def made_up(points, seconds, held):
    columns = {"quantity": "batch", "label": "made up", "name": "B", "points": points}
    columns |= {"seconds": list(seconds), "bytes": list(held), "others": [0.5] * len(points)}
    return columns | {"slopes": scale.slopes(columns)}


def saved():
    return json.loads((RESULTS / "scale.json").read_text("utf-8"))


def curve(label):
    (found,) = [c for c in saved()["curves"] if c["label"] == label]
    return found


def test_the_slope_is_that_of_the_upper_half():
    n = np.array([1, 2, 4, 8, 16, 32])
    lower = n < 8  # which goes another way
    c = made_up(n.tolist(), np.where(lower, 1.0, 3e-3 * n**1.5), np.where(lower, 9e9, 7e6 / n))
    assert c["slopes"]["over"] == [8, 32]
    assert c["slopes"]["seconds"] == pytest.approx({"slope": 1.5, "factor": 3e-3})
    assert c["slopes"]["bytes"] == pytest.approx({"slope": -1.0, "factor": 7e6})


def test_the_line_is_the_nearest_to_points_that_lie_on_none():
    found = scale.slopes({"points": [1, 10, 100, 1000], "seconds": [1, 1, 1, 10], "bytes": [1] * 4})
    assert found["over"] == [100, 1000]
    assert found["seconds"]["slope"] == pytest.approx(1.0)
    found = scale.slopes({"points": [1, 2, 4], "seconds": [1, 1, 8], "bytes": [1] * 3})
    assert found["over"] == [2, 4]
    assert (found["seconds"]["slope"], found["bytes"]["slope"]) == pytest.approx((3.0, 0.0))


@on_linux
def test_an_array_that_is_held_for_a_moment_is_found():
    size = 64 << 20
    result, peak = scale.peak_of(lambda: np.ones(size, np.uint8).sum(dtype=np.int64))
    assert result == size
    assert 64e6 <= peak < 1.2 * size
    assert scale.peak_of(lambda: None)[1] < 1e6  # the peak before does not count


@on_linux
@pytest.mark.parametrize(
    ("work", "settings", "name"),
    [("IWAE", {"H": 8}, "B"), ("VAE", {}, "B"), ("DRAW", {"A": 8}, "T"), ("evaluate", {}, "k")],
)
def test_a_point_runs(work, settings, name):
    series = scale.Series("batch", work, work, settings, name, (2, 3))
    (found,) = scale.curves_of(series, threads=1, seconds=0.0)
    assert found["points"] == (2, 3)
    assert found["steps"] == [scale.FEWEST, scale.FEWEST]
    assert all(
        0 < low <= middle for low, middle in zip(found["fastest"], found["seconds"], strict=True)
    )
    assert all(1e4 < peak < 1e8 for peak in found["bytes"])


@on_linux
def test_an_epoch_is_counted_and_the_data_are_taken_off():
    series = scale.Series("data", "", "fit", {}, "N", (200, 2000))
    epoch, step = scale.curves_of(series, threads=1)
    for i, n in enumerate(epoch["points"]):
        steps = n // scale.BATCH
        assert epoch["seconds"][i] == pytest.approx(
            step["first"][i] + (steps - 1) * step["seconds"][i]
        )
        assert epoch["bytes"][i] - step["bytes"][i] == 4 * scale.D * n


def test_the_table_and_the_pictures_have_every_curve(tmp_path):
    pytest.importorskip("matplotlib")
    c = made_up([1, 10, 100, 1000], [1e-3, 1e-3, 1e-3, 1e-2], [1e6, 1e6, 1e6, 2.8e6])
    about = {"machine": "M", "cores": 2, "versions": {"numpy": "2"}, "commit": "abc"}
    _, _, *rows, empty, where = scale.table(
        {"curves": [c, c], "threads": 2, "conditions": about}
    ).splitlines()
    seconds, held = "B^1.00 | 10 ms | 10 µs", "B^0.45 | 2.8 MB | 2 kB"
    assert rows == [f"| batch: made up | B = 100 to 1000 | {seconds} | {held} |"] * 2
    assert not empty
    assert where.startswith("M, 2 cores, 2 threads; numpy 2; abc; other processes used 0.5 cores")
    scale.picture([c, c], tmp_path / "batch.png")
    assert (tmp_path / "batch.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_has_what_was_measured():
    page = (RESULTS / "README.md").read_text("utf-8")
    assert summary.replaced(page, scale.table(saved())) == page
    for quantity in scale.QUANTITIES:
        assert f"({quantity}.png)" in page
        assert (RESULTS / f"{quantity}.png").exists()


@pytest.mark.parametrize("label", ["evaluation of 20 data", "a step; without the data"])
def test_what_is_said_not_to_grow_does_not(label):
    held = curve(label)["bytes"][-4:]
    assert max(held) < 1.2 * min(held)


def test_what_was_measured_is_drawn_again(tmp_path, monkeypatch):
    (tmp_path / "scale.json").write_bytes((RESULTS / "scale.json").read_bytes())
    monkeypatch.setattr("sys.argv", ["scale", "--again", "-o", str(tmp_path)])
    scale.main()
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {*scale.QUANTITIES} == {path.stem for path in RESULTS.glob("*.png")}
    assert scale.table(saved()) in (tmp_path / "README.md").read_text("utf-8")
