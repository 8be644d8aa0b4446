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
# What a Python of its own begins with to have the script as the module ``d``.
IMPORT = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import deep_learning_model as d\n"
FILES = [
    "confusion_matrix.png",
    "metrics.json",
    "mnist_cnn_model.h5",
    "sample_predictions.png",
    "training_curves.png",
]
FINISHED = "[!.]*"  # the names of unfinished files begin with a dot
os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(ROOT))

import deep_learning_model as dlm  # noqa: E402


@pytest.fixture(scope="session")
def mnist():
    """Real MNIST as the script loads it, from the user's own cache if it is there."""
    return dlm.load_keras_data_set("mnist")


def save_small(mnist, path):
    """Write the first 600 training and 300 test images of MNIST to the .npz file ``path``."""
    (x_train, y_train), (x_test, y_test) = mnist
    np.savez(
        path, x_train=x_train[:600], y_train=y_train[:600], x_test=x_test[:300], y_test=y_test[:300]
    )
    return path


@pytest.fixture(scope="session")
def small_npz(mnist, tmp_path_factory):
    """An .npz file of 600 training and 300 test images."""
    return save_small(mnist, tmp_path_factory.mktemp("small data") / "mnist.npz")


def run(*arguments, env=None, timeout=150, **kwargs):
    """Run the script as a user does; return the finished process with its output as text."""
    usual = {"capture_output": True, "text": True, "encoding": "utf-8"}
    kwargs = {"stdin": subprocess.DEVNULL, **usual, **kwargs}
    env = {**os.environ, **(env or {})}
    env = {key: value for key, value in env.items() if value is not None}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=env, timeout=timeout, **kwargs)


@pytest.fixture(scope="session")
def run_script():
    return run


def run_here(*arguments):
    """Run the script's main in this process, which spares a second import of TensorFlow."""
    dlm.main([str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def figures_closed():
    """A run leaves its figures to the process, which here lives on."""
    yield
    dlm.plt.close("all")


def start(*arguments, **kwargs):
    """Start the script and return the running process, with its output to be read as text."""
    command = [sys.executable, "-u", str(SCRIPT), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes, **kwargs)


def refusal(call, *arguments):
    """Call ``call`` with ``arguments``, see it refuse them, and return what it says."""
    with pytest.raises((dlm.InputError, OSError)) as error:
        call(*arguments)
    return str(error.value)


def contents(folder, pattern="*"):
    """Return the contents of the files in ``folder`` by name; FINISHED leaves unfinished out."""
    return {path.name: path.read_bytes() for path in folder.glob(pattern) if path.is_file()}


def idx(array):
    """Return the bytes of an IDX file of the uint8 ``array``."""
    shape = np.array(array.shape, ">i4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


class Trap:
    """An object whose unpickling leaves a file behind."""

    def __reduce__(self):
        return (open, ("sprung", "w"))


@contextlib.contextmanager
def tcp_server(handle):
    """Serve on a free local port, each connection in a thread that calls ``handle(connection)``."""
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
