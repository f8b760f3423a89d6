"""Data from a folder, and from the public home: with a checksum, and without a network."""

import hashlib
import threading

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from models import _datasets
from models._datasets import SETS, MissingData, held_out, load, some_rows, standardised


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def nothing_here(tmp_path, monkeypatch):
    """An empty folder, an empty cache, and a network that leads nowhere."""
    pytest.importorskip("pooch")
    monkeypatch.setenv("PYMC_SGLD_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def home(nothing_here, monkeypatch):
    """A public home on this machine, with a small regression in the place of "concrete"."""
    folder = nothing_here / "home"
    folder.mkdir()
    table = np.arange(40.0).reshape(10, 4)
    np.savetxt(folder / "data.txt", table)
    for split in range(20):
        np.savetxt(folder / f"index_test_{split}.txt", [split % 10, (split + 3) % 10], fmt="%d")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    lines = [
        f"concrete/{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()} "
        f"{url}/{path.name}\n"
        for path in folder.iterdir()
    ]
    registry = nothing_here / "registry.txt"
    registry.write_text("".join(lines))
    monkeypatch.setattr(_datasets, "_PUBLIC_FILES", registry)
    yield folder, table, server.shutdown
    server.shutdown()
    server.server_close()


def test_the_folder_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PYMC_SGLD_DATA", str(tmp_path))
    np.savez(tmp_path / "a9a.npz", X_train=np.eye(3))
    np.testing.assert_array_equal(load("adult_income")["X_train"], np.eye(3))


def test_without_folder_and_network_it_says_what_to_do(nothing_here):
    for name in ("adult_income", "protein"):
        with pytest.raises(MissingData, match="could not be fetched from https") as caught:
            load(name)
        assert SETS[name].file in str(caught.value)
        assert "set PYMC_SGLD_DATA to the folder" in str(caught.value)


def test_it_is_fetched_once(home):
    _, table, stop = home
    arrays = load("concrete")
    np.testing.assert_array_equal(arrays["X"], table[:, :3])
    np.testing.assert_array_equal(arrays["y"], table[:, 3])
    assert arrays["test_idx"].shape == (20, 2) and (arrays["test_idx"][12] == [2, 5]).all()
    stop()
    np.testing.assert_array_equal(load("concrete")["X"], arrays["X"])


def test_another_file_is_refused(home):
    folder, _, _ = home
    (folder / "data.txt").write_text("1 2 3 4\n")
    with pytest.raises(MissingData, match=r"hash of downloaded file .* does not match"):
        load("concrete")


def test_every_public_file_has_a_checksum_and_a_fixed_version():
    lines = [line.split() for line in _datasets._PUBLIC_FILES.read_text().splitlines()]
    assert {name for name, _, _ in lines} == {name for one in SETS.values() for name in one.public}
    for _, checksum, url in lines:
        assert checksum.startswith("sha256:") and len(checksum) == 71
        assert len(url.split("/")[5]) == 40  # a commit


def test_adult_as_libsvm_writes_it(tmp_path):
    (tmp_path / "a9a").write_text("-1 3:1 123:1\n+1 1:1\n")
    (tmp_path / "a9a.t").write_text("+1 2:1\n")
    arrays = SETS["adult_income"].read({"a9a": tmp_path / "a9a", "a9a.t": tmp_path / "a9a.t"})
    x = np.zeros((2, 123))
    x[0, [2, 122]] = x[1, 0] = 1
    np.testing.assert_array_equal(arrays["X_train"], x)
    np.testing.assert_array_equal(arrays["y_train"], [0, 1])
    assert arrays["X_test"].shape == (1, 123) and arrays["y_test"] == 1


def test_rows():
    np.testing.assert_array_equal(some_rows(5, None), range(5))
    few = some_rows(1000, 10)
    assert len(set(few)) == 10 and few.max() < 1000 and (np.diff(few) > 0).all()
    np.testing.assert_array_equal(few, some_rows(1000, 10))
    with pytest.raises(ValueError, match="from 1 to 5, the rows that there are, got 6"):
        some_rows(5, 6)
    assert held_out(1003).sum() == 201


def test_standardised():
    x = np.random.default_rng(0).normal(3, 2, (50, 2))
    assert np.allclose(standardised(x).mean(axis=0), 0) and np.allclose(standardised(x).std(0), 1)
    np.testing.assert_allclose(standardised(x[:1], like=x), (x[:1] - x.mean(0)) / x.std(0))
