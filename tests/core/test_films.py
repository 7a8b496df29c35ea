"""Films: windows where the filters are, a frame for each glimpse, bars of the right height."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from backhand import films
from backhand.animations import save_animation
from backhand.kernels import filterbank
from backhand.models.drawing import Film

SCALE = 4
BLACK = np.zeros((28 * SCALE, 20 * SCALE, 3), np.uint8)


def marked(head, picture=BLACK):
    """Rows and columns of the screen that are wholly or partly coloured."""
    drawn = films.outline(picture, np.asarray(head, float), films.WRITE, SCALE)
    assert set(map(tuple, drawn.reshape(-1, 3))) <= {(0, 0, 0), films.WRITE}
    on = (drawn != 0).any(axis=2)
    return on.any(axis=1).nonzero()[0], on.any(axis=0).nonzero()[0], on


@pytest.mark.parametrize("head", [(0.1, -0.2, -9, -0.9, 0), (-0.3, 0.25, -9, -1.3, 2)])
def test_a_window_runs_through_the_centres_of_the_outermost_filters(head):
    """As the filters themselves say: where a narrow one has its mean."""
    F_Y, F_X, *_ = filterbank.forward(np.array([*head[:2], 0, *head[3:]]), 5, 28, 20)
    rows, columns, on = marked(head)
    for F, lines in ((F_Y, rows), (F_X, columns)):
        middle = F @ (np.arange(F.shape[1]) + 0.5) * SCALE
        np.testing.assert_allclose(lines[[0, -1]] + 0.5, middle[[0, -1]], atol=0.6)
    assert on[rows[0], columns[0] : columns[-1]].all()
    assert on[rows[0] : rows[-1], columns[-1]].all()
    assert not on[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]].any()


def test_a_window_of_zeros_goes_from_the_first_pixel_to_the_last():
    square = np.zeros((28 * SCALE, 28 * SCALE, 3), np.uint8)
    rows, columns, _ = marked([0, 0, -9, 0, 0], square)
    assert rows[0] == columns[0] == SCALE // 2  # half a pixel: its centre
    assert rows[-1] == columns[-1] == 28 * SCALE - SCALE // 2


def test_wide_filters_have_thick_lines_and_windows_outside_leave_no_mark():
    thin, thick = (marked([0, 0, log_s2, -1, 0])[2].sum() for log_s2 in (-4, 1))
    assert thick > 1.5 * thin > 0
    assert not marked([9, 0, 0, -2, 0])[2].any()
    for far in ([1e6, -1e6, 10, 10, 0], [-30, 30, -10, -10, 0]):
        assert not marked(far)[2].any()
    assert not BLACK.any()  # the picture given is left alone


def film(T=3, n=2, kl=True, windows=True, same=False):
    rng = np.random.default_rng(0)
    canvas = np.full((T + 1, n, 7, 5), 0.5) if same else rng.random((T + 1, n, 7, 5))
    heads = 0.2 * rng.standard_normal((2, T, n, 5)) if windows else (None, None)
    return Film(canvas, *heads, rng.random((T, n)) if kl else None)


@pytest.mark.parametrize(("suffix", "error"), [(".gif", 4), (".apng", 0)])  # gif: 256 colours
def test_an_animation_has_a_frame_for_each_glimpse_also_where_two_are_equal(
    tmp_path, suffix, error
):
    file = tmp_path / f"a{suffix}"
    for made in (film(), film(kl=False, windows=False, same=True), film(T=1)):
        frames = films.animation(made)
        T = len(made.canvas) - 1
        assert len(frames) == T
        save_animation(file, frames)
        with Image.open(file) as image:
            assert image.n_frames == T
            assert image.size == frames.shape[2:0:-1]
            assert T == 1 or image.info["loop"] == 0
            for t, frame in enumerate(frames):
                image.seek(t)
                assert image.info["duration"] == (2000 if t == T - 1 else 200)
                shown = np.asarray(image.convert("RGB"), int)
                assert np.abs(shown - frame).max() <= error
    same = films.animation(film(kl=False, windows=False, same=True))
    assert np.array_equal(same[0], same[1])


def test_an_apng_is_a_png_to_who_knows_no_better(tmp_path):
    """The chunks outside of acTL, fcTL and fdAT are those of the first frame."""
    frames = films.animation(film())
    save_animation(tmp_path / "a.apng", frames)
    content, at, plain = (tmp_path / "a.apng").read_bytes(), 8, b""
    plain, names = content[:8], []
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        names.append(content[at + 4 : at + 8].decode())
        plain += b"" if names[-1] in ("acTL", "fcTL", "fdAT") else content[at:end]
        at = end
    assert names == ["IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"]
    with Image.open(BytesIO(plain)) as image:
        assert getattr(image, "n_frames", 1) == 1
        assert np.array_equal(np.asarray(image), frames[0])


def test_frames_show_canvas_window_and_the_step():
    made = film(n=1)
    frames = films.animation(made, scale=SCALE)
    picture = films.enlarged(made.canvas[2, 0], SCALE)  # after step 2
    expected = films.outline(picture, made.write[1, 0], films.WRITE, SCALE)
    inside = slice(films.GAP, films.GAP + 7 * SCALE), slice(films.GAP, films.GAP + 5 * SCALE)
    assert np.array_equal(frames[1][inside], expected)
    for t, frame in enumerate(frames):
        below = frame[films.GAP + 7 * SCALE : -films.GAP, films.GAP : -films.GAP]
        assert np.array_equal(below, films.bars(made.kl[:, 0], made.kl.max(), 5 * SCALE, t))
    x = np.random.default_rng(1).random((1, 7, 5))
    beside = films.animation(made, x, SCALE)[1][inside]
    assert np.array_equal(
        beside, films.outline(films.enlarged(x[0], SCALE), made.read[1, 0], films.READ, SCALE)
    )


def test_bars_are_as_high_as_the_kl():
    drawn = films.bars(np.array([3.0, 1.5, 0.0]), 3.0, 30, now=1)
    heights = (drawn != 255).any(axis=2).sum(axis=0)
    assert heights[0] == films.BARS
    assert heights[10] == films.BARS // 2
    assert heights[20] == 1  # a step without information is still a step
    assert (drawn[-1, 10] == films.NOW).all()
    assert (drawn[-1, 0] == films.BAR).all()
    assert films.bars(np.zeros(64), 0.0, 28).shape == (films.BARS, 28, 3)


def test_a_contact_sheet_has_all_steps_in_a_line():
    made, gap = film(), films.GAP
    sheet = films.contact_sheet(made, scale=2)
    width, height = 3 * 5 * 2 + 4 * gap, 2 * (7 * 2 + films.BARS) + 5 * gap
    assert sheet.shape == (height, width, 3)
    last = sheet[gap : gap + 14, -gap - 10 : -gap]
    expected = films.outline(films.enlarged(made.canvas[3, 0], 2), made.write[2, 0], films.WRITE, 2)
    assert np.array_equal(last, expected)
    both = films.contact_sheet(made, np.zeros((2, 7, 5)), scale=2)
    assert both.shape == (height + 2 * (14 + gap), width, 3)


def test_colour_and_grey():
    red = np.zeros((2, 3, 3))
    red[..., 0] = 2.0  # clipped
    assert (films.enlarged(red, 2) == [255, 0, 0]).all()
    assert films.enlarged(np.ones((2, 3, 1)), 2).shape == (4, 6, 3)


def test_wrong_arguments_say_so(tmp_path):
    with pytest.raises(ValueError, match="one or three channels"):
        films.enlarged(np.zeros((2, 3, 2)), 1)
    with pytest.raises(ValueError, match="not finite"):
        films.enlarged(np.full((2, 3), np.nan), 1)
    with pytest.raises(ValueError, match="must end in"):
        save_animation(tmp_path / "a.png", np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"frames must be \(T, H, W, 3\) uint8"):
        save_animation(tmp_path / "a.apng", np.zeros((1, 2, 2, 3)))
    assert not list(tmp_path.iterdir())
