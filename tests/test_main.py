"""The whole program, run as its users run it, on a few hundred real images."""

import contextlib
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


def test_a_run_succeeds_quietly_and_says_what_it_does_and_where_its_files_are(first_run):
    result, folder = first_run
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "121,930" in result.stdout
    assert sum(line.startswith("Epoch ") for line in lines) == 5
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
    assert metrics["training_seconds"] > 0
    assert model.layers[1].data_format == "channels_last"  # whatever the user's keras.json says
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}


def test_the_same_seed_gives_the_same_file_and_one_accuracy_stands_everywhere(
    first_run, small_npz, tmp_path, capsys
):
    run_here("--data", small_npz, "--seed", 5, "--no-show", "--output-dir", tmp_path)
    first, second = (folder / "mnist_cnn_model.h5" for folder in (first_run[1], tmp_path))
    assert first.read_bytes() == second.read_bytes()

    accuracy = json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"]
    assert f"test accuracy {accuracy:.2%}" in capsys.readouterr().out
    curves, matrix = (
        " ".join(text.get_text() for text in plt.figure(number).findobj(Text)) for number in (1, 2)
    )
    assert f"{accuracy:.2%}" in curves
    assert re.search(r"(\d+) errors in 300", matrix)[1] == str(round(300 * (1 - accuracy)))


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
def test_a_terminal_gets_a_progress_bar_that_never_passes_its_end_and_ctrl_c_ends_the_run(
    first_run, small_npz, tmp_path
):
    """One call of TensorFlow does 50 of the 100 steps, since 75 would not divide them."""
    import pty

    for name, content in contents(first_run[1]).items():
        (tmp_path / name).write_bytes(content)
    before = contents(tmp_path)
    command = [sys.executable, str(SCRIPT), "--data", str(small_npz), "--batch-size", "6"]
    main, side = pty.openpty()
    # A shell makes its background jobs deaf to Ctrl-C, which their children inherit.
    hear = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    terminal = {"stdin": side, "stdout": side, "stderr": side, "preexec_fn": hear}
    process = subprocess.Popen([*command, "--epochs", "1000"], cwd=tmp_path, **terminal)
    os.close(side)
    output = b""
    # Not as an epoch begins: there, Ctrl-C sometimes crashes TensorFlow's own code.
    while b"50/100" not in output.partition(b"Epoch 3/")[2]:
        output += os.read(main, 65536)
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
    assert contents(tmp_path) == before


def test_figures_are_shown_once_after_everything_is_saved_where_there_are_windows(
    small_npz, tmp_path, monkeypatch
):
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


def own_activation(x):
    return x * keras.ops.sigmoid(x)


L = keras.layers
HELD = [L.BatchNormalization, lambda: L.Conv2D(8, 3, activation="gelu")]
NOT_HELD = [L.LeakyReLU, lambda: L.Conv2D(8, 3, activation=own_activation)]
NOT_HELD += [lambda: L.Conv2D(8, 3, groups=4)]


@pytest.mark.parametrize("layer", HELD + NOT_HELD)
def test_a_network_that_the_file_can_not_hold_is_refused_before_the_training(
    layer, small_npz, tmp_path, monkeypatch
):
    """A student's first change, such as another layer, must not cost the trained model."""

    def build_model(*_):
        network = [keras.Input((28, 28, 1)), L.Conv2D(8, 3), layer(), L.Flatten()]
        return keras.Sequential([*network, L.Dense(10, activation="softmax")])

    monkeypatch.setattr(dlm, "build_model", build_model)
    usual = ["--data", small_npz, "--epochs", 3, "--output-dir", tmp_path]
    if layer in NOT_HELD:
        monkeypatch.setattr(dlm, "train", None)
        assert "an .h5 file for every Keras can't hold the layer" in refusal(run_here, *usual)
        assert list(tmp_path.iterdir()) == []
    else:
        run_here(*usual)
        model = keras.models.load_model(tmp_path / "mnist_cnn_model.h5")
        assert len(model.layers) == 5


def test_a_model_that_can_not_take_its_place_stays_and_is_named(small_npz, tmp_path, monkeypatch):
    """As on Windows, where another program has the old model open."""

    def replace(path, target):
        raise PermissionError(13, "the old file is open", str(path), None, str(target))

    monkeypatch.setattr(Path, "replace", replace)
    (tmp_path / "mnist_cnn_model.h5").write_text("old")
    message = refusal(run_here, "--data", small_npz, "--epochs", 1, "--output-dir", tmp_path)
    finished = re.search(rf"{re.escape(str(tmp_path))}\S+\.h5", message)[0]
    assert "the old file is open" in message
    assert keras.models.load_model(finished).count_params() == 121_930
    assert (tmp_path / "mnist_cnn_model.h5").read_text() == "old"


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
