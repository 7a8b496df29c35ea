"""Finding, fetching and verifying files."""

import gzip
import os
import struct
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from backhand.data import DataError, find, found, get, load, store, verify
from backhand.data.registry import Entry, File, registry

rng = np.random.default_rng(2)


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


CONTENTS = {
    "train-images-idx3-ubyte.gz": idx_bytes(rng.integers(0, 256, (12, 3, 3), dtype=np.uint8)),
    "train-labels-idx1-ubyte.gz": idx_bytes(rng.integers(0, 10, 12, dtype=np.uint8)),
    "t10k-images-idx3-ubyte.gz": idx_bytes(rng.integers(0, 256, (5, 3, 3), dtype=np.uint8)),
    "t10k-labels-idx1-ubyte.gz": idx_bytes(rng.integers(0, 10, 5, dtype=np.uint8)),
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder of files, and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(gzip.compress(content))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tiny(monkeypatch, served, nowhere):
    """A data set called tiny in the registry, to be fetched from this machine."""
    files = tuple(File(name, store.digest(c), len(c)) for name, c in CONTENTS.items())
    urls = tuple(served[1] + name for name in CONTENTS)
    entry = Entry("tiny", "unit", "none", False, "http://home", "splits", files, valid=2, urls=urls)
    monkeypatch.setitem(registry(), "tiny", entry)
    return entry


def test_fetch(tiny, nowhere):
    pytest.importorskip("pooch")
    assert find("tiny") is None
    assert found()["tiny"] is None
    data = load("tiny")
    assert (len(data.train), len(data.valid), len(data.test)) == (10, 2, 5)
    assert find("tiny") == nowhere / "tiny" == get("tiny") == verify("tiny")
    assert found()["tiny"] == str(nowhere / "tiny")
    assert sorted(os.listdir(nowhere)) == ["tiny"]
    assert sorted(os.listdir(nowhere / "tiny")) == sorted(CONTENTS)


def test_fetching_a_damaged_file_leaves_nothing(tiny, served, nowhere):
    pytest.importorskip("pooch")
    name = "t10k-images-idx3-ubyte.gz"
    wrong = bytearray(CONTENTS[name])
    wrong[-1] ^= 1
    (served[0] / name).write_bytes(gzip.compress(bytes(wrong)))
    with pytest.raises(
        DataError, match=rf"{name}: its content has SHA-256 .* expected {tiny.files[2].sha256}"
    ):
        load("tiny")
    assert os.listdir(nowhere) == []


def test_fetching_what_is_gone(tiny, served, nowhere):
    pytest.importorskip("pooch")
    (served[0] / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"fetching http.*404.*; put train-images.* into .*tiny"
    ):
        load("tiny")
    assert os.listdir(nowhere) == []


def test_fetching_a_page_in_place_of_a_file_without_digest(monkeypatch, served, nowhere):
    pytest.importorskip("pooch")
    known = registry()["mnist-static"]
    for file in known.files:
        (served[0] / file.name).write_text("<html>moved</html>")
    urls = tuple(served[1] + file.name for file in known.files)
    monkeypatch.setitem(registry(), known.name, known._replace(urls=urls))
    with pytest.raises(DataError, match=r"binarized_mnist_train\.amat: holds b'<'"):
        load(known.name)
    assert os.listdir(nowhere) == []


def test_offline(monkeypatch, tiny, nowhere):
    pytest.importorskip("pooch")
    urls = tuple("http://127.0.0.1:9/" + name for name in CONTENTS)
    monkeypatch.setitem(registry(), "tiny", tiny._replace(urls=urls))
    with pytest.raises(
        FileNotFoundError, match=r"not found in .*fetching .* failed \(Connection"
    ) as error:
        load("tiny")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


def test_without_pooch(monkeypatch, tiny):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r"needs pooch: pip install 'backhand\[app\]'; put"):
        load("tiny")


def test_what_cannot_be_fetched(nowhere):
    with pytest.raises(FileNotFoundError, match=r"olivetti64\.npz into .*olivetti.*arrays images"):
        load("olivetti")
    with pytest.raises(FileNotFoundError, match="has not been fetched"):
        verify("olivetti")


def test_environment_comes_before_the_cache(monkeypatch, tiny, tmp_path, nowhere):
    mine = tmp_path / "mine"
    for folder in (mine / "tiny", nowhere / "tiny"):
        folder.mkdir(parents=True)
        for name, content in CONTENTS.items():
            (folder / name).write_bytes(gzip.compress(content))
    assert find("tiny") == nowhere / "tiny"
    monkeypatch.setenv("BACKHAND_DATA", str(mine))
    assert find("tiny") == mine / "tiny"
    (mine / "tiny" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find("tiny") == nowhere / "tiny"


def test_unpacked_files_will_do(tiny, nowhere):
    (nowhere / "tiny").mkdir(parents=True)
    for name, content in CONTENTS.items():
        (nowhere / "tiny" / name.removesuffix(".gz")).write_bytes(content)
    assert len(load("tiny").test) == 5


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (gzip.compress(b"short", mtime=0), "expected 61 bytes of content, got 5"),
        (gzip.compress(bytes(1000), mtime=0), "more than the 61 bytes"),
        (gzip.compress(bytes(61), mtime=0), "SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}"),
        (b"junk", "damaged gzip file"),
    ],
)
def test_wrong_file(content, match, tiny, nowhere):
    name = "t10k-images-idx3-ubyte.gz"
    (nowhere / "tiny").mkdir(parents=True)
    for other, right in CONTENTS.items():
        (nowhere / "tiny" / other).write_bytes(content if other == name else gzip.compress(right))
    for function in (load, verify):
        with pytest.raises(DataError, match=f"{name}: .*{match}"):
            function("tiny")


@pytest.mark.parametrize(
    ("platform", "variables", "wanted"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/backhand"),
        ("linux", {}, "~/.cache/backhand"),
        ("darwin", {}, "~/Library/Caches/backhand"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/backhand/Cache"),
        ("win32", {}, "~/AppData/Local/backhand/Cache"),
    ],
)
def test_cache_folder(monkeypatch, platform, variables, wanted):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert store.cache() == Path(wanted).expanduser()
