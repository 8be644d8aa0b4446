"""What the tests share: the script as a module and as a command, real MNIST and small data sets."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "deep_learning_model.py"
FILES = ["confusion_matrix.png", "metrics.json", "mnist_cnn_model.h5", "sample_predictions.png"]
FILES += ["training_curves.png"]
DIGITS = list("0123456789")
os.environ |= {"MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
# As a run sets them, so that runs in the tests' own process compute alike.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, os.cpu_count() // 2)))
sys.path.insert(0, str(ROOT))
sys.argv[0] = str(SCRIPT)  # whose name argparse puts before its errors

import deep_learning_model as dlm  # noqa: E402


def pytest_sessionstart(session):
    """Fill the cache before pytest-xdist's processes would all download MNIST at once."""
    if not hasattr(session.config, "workerinput"):
        dlm.load_data(["mnist"])


@pytest.fixture(scope="session")
def mnist():
    """Real MNIST as the script loads it, from the user's own cache if it is there."""
    return dlm.load_data(["mnist"])[:2]


@pytest.fixture(scope="session")
def small_npz(mnist, tmp_path_factory):
    """An .npz file of the first 600 training and 300 test images of MNIST."""
    (x_train, y_train), (x_test, y_test) = mnist
    path = tmp_path_factory.mktemp("small data") / "mnist.npz"
    training = {"x_train": x_train[:600], "y_train": y_train[:600]}
    np.savez(path, x_test=x_test[:300], y_test=y_test[:300], **training)
    return path


@pytest.fixture(scope="session")
def model_file(mnist, tmp_path_factory):
    """A model after 300 steps: good enough to tell digits from each other."""
    dlm.keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = mnist
    training_data = dlm.normalize(x_train[:20_000]), y_train[:20_000]
    validation_data = dlm.normalize(x_test[:100]), y_test[:100]
    model = dlm.build_model()
    args = dlm.parse_args("--epochs 1 --batch-size 64".split())
    dlm.train(model, training_data, validation_data, args)
    path = tmp_path_factory.mktemp("model") / "mnist_cnn_model.h5"
    dlm.save_h5(model, path, DIGITS)
    return path


@pytest.fixture(autouse=True)
def tidy():
    yield
    dlm.plt.close("all")
    dlm.socket.setdefaulttimeout(None)


def own_words(errors):
    """Return what the script wrote to standard error, without TensorFlow's start-up notes."""
    notes = ("WARNING: All log", "I0000", "W0000", "E0000")
    lines = [line for line in errors.splitlines() if not line.startswith(notes)]
    lines = [line for line in lines if "onednn" not in line.lower() and "cuda" not in line.lower()]
    return "\n".join(lines)


def run(*arguments, env=None, python=(), **kwargs):
    """Run the script as a user does; return the finished process with its output as text."""
    usual = {"capture_output": True, "text": True, "timeout": 300}
    kwargs = {"stdin": subprocess.DEVNULL, **usual, **kwargs}
    command = [sys.executable, *python, str(SCRIPT), *map(str, arguments)]
    result = subprocess.run(command, env={**os.environ, **(env or {})}, **kwargs)
    result.stderr = own_words(result.stderr)
    return result


def run_here(*arguments):
    """Run the script's main in this process, which spares a second import of TensorFlow."""
    dlm.main([str(argument) for argument in arguments])


def refusal(call, *arguments):
    """Call ``call`` with ``arguments``, assert that it refuses them, and return what it says."""
    with pytest.raises((dlm.InputError, OSError)) as error:
        call(*arguments)
    return str(error.value)


def contents(folder):
    """Return the contents of the files in ``folder`` by name, but for hidden, unfinished ones."""
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*") if path.is_file()}


def idx(array):
    """Return the bytes of an IDX file of the uint8 ``array``."""
    shape = np.array(array.shape, ">i4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def draw_bar(path, lying=False, mode="L"):
    """Write a picture of a black bar on white paper, upright or lying; return ``path``."""
    picture = Image.new("L", (60, 60), "white")
    picture.paste(0, (15, 27, 45, 33) if lying else (27, 15, 33, 45))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").convert(mode).save(path)
    return path
