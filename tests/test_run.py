"""The run as its users start it, on a few hundred real images, and faults from outside."""

import contextlib
import errno
import functools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

import deep_learning_model as dlm
from conftest import FILES, SCRIPT, contents, refusal, run, run_here

on_posix = pytest.mark.skipif(os.name != "posix", reason="signals, limits, terminals of POSIX")


@pytest.fixture(scope="module")
def first_run(small_npz, tmp_path_factory):
    """One finished run, of a user with unusual settings of Keras, and its output folder.

    It is started as a notebook's ! command is, and Matplotlib's backend for notebooks isn't there.
    """
    home = tmp_path_factory.mktemp("home")
    settings = {"image_data_format": "channels_first", "backend": "jax"}
    settings |= {"floatx": "float64", "epsilon": 1e-7}
    (home / "keras.json").write_text(json.dumps(settings))
    folder = tmp_path_factory.mktemp("run") / "a b" / "größe"
    options = ["--data", small_npz, "--output-dir", folder, "--seed", 5]
    inline = "module://matplotlib_inline.backend_inline"
    return run(*options, env={"KERAS_HOME": str(home), "MPLBACKEND": inline}), folder


@pytest.fixture
def old_files(first_run, tmp_path):
    """A folder with a copy of the finished run's files, and their contents."""
    folder = tmp_path / "output"
    folder.mkdir()
    for name, content in contents(first_run[1]).items():
        (folder / name).write_bytes(content)
    return folder, contents(folder)


def test_a_run_says_what_it_does_and_where_its_files_are(first_run):
    result, folder = first_run
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "121,930" in result.stdout
    assert sum(line.startswith("Epoch ") for line in lines) == 5
    assert sum("19/19" in line and "val_accuracy" in line for line in lines) == 5
    assert lines[-2].startswith("After ") and "s of training: test accuracy" in lines[-2]
    assert str(folder) in lines[-1] and all(name in lines[-1] for name in FILES)
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_metrics_agree_with_the_saved_model(first_run, small_npz):
    result, folder = first_run
    metrics = json.loads((folder / "metrics.json").read_text())
    model = keras.models.load_model(folder / "mnist_cnn_model.h5")
    with np.load(small_npz) as data:
        x, y = dlm.normalize(data["x_test"]), data["y_test"]
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert metrics["test_accuracy"] == pytest.approx(accuracy)
    assert metrics["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert accuracy > 0.8 and f"test accuracy {accuracy:.2%}" in result.stdout
    assert metrics["epochs"]["val_accuracy"][-1] == pytest.approx(accuracy, abs=0.01)
    assert len(metrics["epochs"]["crossentropy"]) == 5 and "val_loss" in metrics["epochs"]
    assert metrics["options"]["seed"] == 5 and metrics["options"]["batch_size"] == 32
    assert metrics["versions"]["keras"] == keras.__version__
    assert model.layers[1].data_format == "channels_last"  # whatever the user's keras.json says


def test_the_same_seed_gives_the_same_model(first_run, small_npz, tmp_path, capsys):
    run_here("--data", small_npz, "--seed", 5, "--no-show", "--output-dir", tmp_path)
    first, second = (folder / "mnist_cnn_model.h5" for folder in (first_run[1], tmp_path))
    assert first.read_bytes() == second.read_bytes()
    # One accuracy stands everywhere.
    accuracy = json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"]
    assert f"test accuracy {accuracy:.2%}" in capsys.readouterr().out
    curves, matrix = (
        " ".join(text.get_text() for text in plt.figure(number).findobj(Text)) for number in (1, 2)
    )
    assert f"{accuracy:.2%}" in curves
    assert re.search(r"(\d+) errors in 300", matrix)[1] == str(round(300 * (1 - accuracy)))


@pytest.mark.parametrize("architecture", ["cnn-dropout", "dnn"])
def test_every_network_is_trained_and_saved(architecture, small_npz, tmp_path):
    options = ["--architecture", architecture, "--output-dir", tmp_path]
    run_here("--data", small_npz, "--epochs", 2, *options)
    model = keras.models.load_model(tmp_path / f"mnist_{architecture}_model.h5")
    assert model.count_params() == {"cnn-dropout": 225_034, "dnn": 235_146}[architecture]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    with np.load(small_npz) as data:
        _, accuracy = model.evaluate(dlm.normalize(data["x_test"]), data["y_test"], verbose=0)
    assert accuracy == pytest.approx(metrics["test_accuracy"]) and accuracy > 0.3


def test_a_validation_split_is_held_out_of_the_training(small_npz, tmp_path, capsys):
    options = ["--epochs", 1, "--validation-split", 0.5, "--output-dir", tmp_path]
    run_here("--data", small_npz, *options)
    assert "10/10" in capsys.readouterr().out  # 300 of the 600 images, 32 a step
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    validation_loss = metrics["epochs"]["val_crossentropy"][-1]
    assert validation_loss != pytest.approx(metrics["test_loss"], rel=1e-3)
    options[3] = 0.001
    assert "--validation-split" in refusal(run_here, "--data", small_npz, *options)


def test_figures_are_shown_when_all_is_saved(small_npz, tmp_path, monkeypatch):
    """Where there are windows, and --no-show isn't given."""
    shown = []

    def show():
        shown.append(sorted(path.name for path in tmp_path.iterdir()))

    monkeypatch.setattr(dlm.plt, "show", show)
    options = ["--data", small_npz, "--epochs", 2, "--batch-size", 60, "--output-dir", tmp_path]
    for backend, no_show in ("agg", []), ("qtagg", ["--no-show"]), ("qtagg", []):
        monkeypatch.setattr(dlm.plt, "get_backend", lambda backend=backend: backend)
        assert shown == []
        run_here(*options, *no_show)
    assert shown == [FILES]


@on_posix
def test_a_terminal_shows_a_progress_bar_until_ctrl_c(old_files, small_npz):
    """One call of TensorFlow does 50 of the 100 steps, since 75 would not divide them."""
    import pty

    folder, before = old_files
    command = [sys.executable, str(SCRIPT), "--data", str(small_npz), "--batch-size", "6"]
    main, side = pty.openpty()
    # A shell makes its background jobs deaf to Ctrl-C, which their children inherit.
    hear = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    terminal = {"stdin": side, "stdout": side, "stderr": side, "preexec_fn": hear}
    process = subprocess.Popen([*command, "--epochs", "1000"], cwd=folder, **terminal)
    os.close(side)
    output = b""
    # Not as an epoch begins: there, Ctrl-C sometimes crashes TensorFlow's own code.
    while b"50/100" not in output.partition(b"Epoch 3/")[2]:
        output += os.read(main, 65536) or pytest.fail(output.decode())
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # Linux's way to say that the other side is closed
        while piece := os.read(main, 65536):
            output += piece
    os.close(main)
    text = output.decode(errors="replace")
    assert process.wait() == 130, text
    progress = [tuple(map(int, pair)) for pair in re.findall(r"(\d+)/(\d+)\x1b", text)]
    assert (50, 100) in progress and (100, 100) in progress
    assert [pair for pair in progress if pair[0] > pair[1]] == []
    assert "Traceback" not in text
    assert "Interrupted" in text.splitlines()[-1]
    assert contents(folder) == before


def own_activation(x):
    return x * keras.ops.sigmoid(x)


L = keras.layers
NOT_HELD = [L.LeakyReLU, lambda: L.Conv2D(8, 3, activation=own_activation)]
NOT_HELD += [lambda: L.Conv2D(8, 3, groups=4)]


@pytest.mark.parametrize("layer", NOT_HELD)
def test_a_network_that_can_not_be_saved_is_refused_first(layer, small_npz, tmp_path, monkeypatch):
    """A student's first change, such as another layer, must not cost the trained model."""
    network = [keras.Input((28, 28, 1)), L.Conv2D(8, 3), layer(), L.Flatten(), L.Dense(10)]
    monkeypatch.setattr(dlm, "build_model", lambda *_: keras.Sequential(network))
    monkeypatch.setattr(dlm, "train", None)
    message = refusal(run_here, "--data", small_npz, "--output-dir", tmp_path)
    assert "an .h5 file for every Keras can't hold the layer" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share, rate", [(0.5, 999), (0.2, 0.3)])
def test_a_useless_model_leaves_the_old_one(share, rate, old_files, mnist, tmp_path):
    """Even if it isn't infinite, and if always the same answer is right in most cases."""
    folder, before = old_files
    (x_train, y_train), _ = mnist
    zeros, ones = (np.flatnonzero(y_train == digit) for digit in (0, 1))
    chosen = np.r_[zeros[: int(240 * share)], ones[: 240 - int(240 * share)]]
    np.savez(tmp_path / "mnist.npz", x=x_train[chosen], y=y_train[chosen])
    arguments = ["--data", tmp_path / "mnist.npz", "--learning-rate", rate]
    assert "--learning-rate" in refusal(run_here, *arguments, "--output-dir", folder)
    assert contents(folder) == before


def test_a_model_that_can_not_take_its_place_stays_and_is_named(small_npz, tmp_path, monkeypatch):
    """As on Windows, where another program has the old model open."""

    def replace(path, target):
        raise PermissionError(13, "the old file is open", str(path), None, str(target))

    monkeypatch.setattr(Path, "replace", replace)
    (tmp_path / "mnist_cnn_model.h5").write_text("old")
    message = refusal(run_here, "--data", small_npz, "--epochs", 1, "--output-dir", tmp_path)
    finished = tmp_path / ".mnist_cnn_model.h5"
    assert "the old file is open" in message and finished.name in message
    assert keras.models.load_model(finished).count_params() == 121_930
    assert (tmp_path / "mnist_cnn_model.h5").read_text() == "old"


@on_posix
@pytest.mark.parametrize("size", [4_000, 200_000, 500_000])
def test_a_disk_too_full_for_the_model_leaves_everything_old(size, old_files, small_npz):
    import resource

    folder, before = old_files
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    arguments = ["--data", small_npz, "--epochs", 1, "--output-dir", folder]
    result = run(*arguments, preexec_fn=limit)
    assert result.returncode == 2 and result.stderr.startswith("deep_learning_model.py: error: ")
    assert "mnist_cnn_model.h5" in result.stderr and "\n" not in result.stderr
    assert contents(folder) == before and sorted(path.name for path in folder.iterdir()) == FILES


DISK_FULL, KILLED = OSError(errno.ENOSPC, "No space left on device"), SystemExit("killed")
FAULTS = [(DISK_FULL, written) for written in range(len(FILES))] + [(KILLED, 0), (KILLED, 3)]


@pytest.mark.parametrize("fault, written", FAULTS)
def test_a_fault_amid_writing_leaves_whole_files(fault, written, old_files, small_npz, monkeypatch):
    """And where a killed run has left an unfinished file, the next run tidies up."""
    folder, before = old_files
    sizes, write_bytes = [], Path.write_bytes

    def write_with_fault(path, content):
        if len(sizes) == written:
            write_bytes(path, content[: len(content) // 2])
            raise fault
        sizes.append(write_bytes(path, content))

    arguments = ["--data", small_npz, "--epochs", 1, "--output-dir", folder]
    with monkeypatch.context() as patch, pytest.raises((dlm.InputError, SystemExit)) as error:
        patch.setattr(Path, "write_bytes", write_with_fault)
        run_here(*arguments)
    after = contents(folder)
    assert sum(after[name] != before[name] for name in FILES) == written
    assert keras.models.load_model(folder / "mnist_cnn_model.h5").count_params() == 121_930
    if fault is KILLED:
        run_here(*arguments)
    else:
        assert "can't be written" in str(error.value) and "No space left" in str(error.value)
    assert sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and processor affinity")
def test_a_poor_environment_is_enough(small_npz, tmp_path):
    """One core, 2 GB, no home, locale C, strict warnings, a current folder without write access."""
    import resource

    def limit():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9))

    missing = {"HOME": "/proc/none", "KERAS_HOME": "/proc/none", "XDG_CONFIG_HOME": "/proc/none"}
    strict = {"python": ["-W", "error:::__main__"], "preexec_fn": limit, "cwd": "/proc/self"}
    folder = tmp_path / "größe und so"
    arguments = ["--epochs", 2, "--data", small_npz, "--output-dir", folder]
    result = run(*arguments, env={**missing, "LC_ALL": "C"}, **strict)
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == FILES
