"""What the tests share: the script as a module and as a command, real MNIST and small data sets."""
import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "deep_learning_model.py"
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(ROOT))

import deep_learning_model as dlm  # noqa: E402


@pytest.fixture(scope="session")
def mnist():
    """Real MNIST as the script loads it, from the user's own cache if it is there."""
    return dlm.load_mnist()


@pytest.fixture(scope="session")
def small_npz(mnist, tmp_path_factory):
    """An .npz file with the first 600 training and the first 300 test images of MNIST."""
    (x_train, y_train), (x_test, y_test) = mnist
    path = tmp_path_factory.mktemp("small data") / "mnist.npz"
    np.savez(path, x_train=x_train[:600], y_train=y_train[:600], x_test=x_test[:300], y_test=y_test[:300])
    return path


@pytest.fixture(scope="session")
def run_script():
    """A function that runs the script as a user does; it returns the finished process with its output as text."""

    def run(*arguments, env=None, timeout=150, **kwargs):
        kwargs = {"capture_output": True, "text": True, "encoding": "utf-8", "stdin": subprocess.DEVNULL, **kwargs}
        env = {key: value for key, value in {**os.environ, **(env or {})}.items() if value is not None}
        return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], env=env, timeout=timeout, **kwargs)

    return run


@contextlib.contextmanager
def tcp_server(handle):
    """Serve on a free local port, each connection in a thread that calls ``handle(connection)``; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []  # a connection that nobody refers to would be closed

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection):
        with contextlib.suppress(OSError):
            handle(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for connection in held:
            connection.close()
