"""The whole program, run as its users run it, on a few hundred real images."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import FILES, SCRIPT, contents, run_here, start


@pytest.fixture(scope="module")
def run(run_script, small_npz, tmp_path_factory):
    """One finished run, of a user with unusual settings of Keras, and its output folder."""
    home = tmp_path_factory.mktemp("home")
    settings = {"image_data_format": "channels_first", "backend": "jax"}
    settings |= {"floatx": "float64", "epsilon": 1e-7}
    (home / "keras.json").write_text(json.dumps(settings))
    folder = tmp_path_factory.mktemp("run") / "output"
    options = ["--data", small_npz, "--output-dir", folder, "--seed", 5]
    result = run_script(*options, env={"KERAS_HOME": str(home)})
    return result, folder


def test_a_run_succeeds_quietly_and_says_what_it_wrote_where(run):
    result, folder = run
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "121,930" in result.stdout
    assert sum(line.startswith("Epoch ") for line in lines) == 5
    assert lines[-2].startswith("Test accuracy ") and "training took" in lines[-2]
    assert str(folder) in lines[-1] and all(name in lines[-1] for name in FILES)
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_metrics_agree_with_the_saved_model(run, small_npz):
    result, folder = run
    metrics = json.loads((folder / "metrics.json").read_text())
    model = keras.models.load_model(folder / "mnist_cnn_model.h5")
    with np.load(small_npz) as data:
        x, y = dlm.normalize(data["x_test"]), data["y_test"]
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert metrics["test_accuracy"] == pytest.approx(accuracy)
    assert metrics["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert accuracy > 0.8 and f"Test accuracy {accuracy:.2%}" in result.stdout
    assert metrics["epochs"]["val_accuracy"][-1] == pytest.approx(accuracy)
    assert len(metrics["epochs"]["loss"]) == 5
    assert metrics["options"]["seed"] == 5 and metrics["options"]["batch_size"] == 32
    assert set(metrics["versions"]) == {"python", "tensorflow", "keras", "numpy"}
    assert metrics["versions"]["keras"] == keras.__version__
    assert 0 < metrics["training_seconds"] < 150


def test_figures_are_pictures_of_a_useful_size(run):
    for name in FILES:
        if name.endswith(".png"):
            content = (run[1] / name).read_bytes()
            width, height = struct.unpack(">II", content[16:24])
            assert content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) > 20_000
            assert width >= 1000 and height >= 600


def test_the_same_seed_gives_the_same_file_byte_for_byte(run, small_npz, tmp_path):
    run_here("--data", small_npz, "--seed", 5, "--no-show", "--output-dir", tmp_path)
    first, second = (folder / "mnist_cnn_model.h5" for folder in (run[1], tmp_path))
    assert first.read_bytes() == second.read_bytes()


def start_long(small_npz, folder, **kwargs):
    """Start a long run and return when it has trained for some epochs."""
    process = start("--data", small_npz, "--output-dir", folder, "--epochs", 1000, **kwargs)
    for line in process.stdout:
        if line.startswith("Epoch 3/"):
            return process
    raise AssertionError(process.stderr.read())


@pytest.fixture
def earlier_run(run, tmp_path):
    """A folder with the files of an earlier run, and their contents by name."""
    for name in FILES:
        (tmp_path / name).write_bytes((run[1] / name).read_bytes())
    return tmp_path, contents(tmp_path)


def test_a_killed_run_leaves_an_older_model_that_loads(earlier_run, small_npz):
    folder, before = earlier_run
    process = start_long(small_npz, folder)
    process.kill()
    process.communicate()
    assert contents(folder) == before
    keras.models.load_model(folder / "mnist_cnn_model.h5")


def test_what_killed_runs_left_goes_after_a_day_and_everything_else_stays(small_npz, tmp_path):
    mine = ["model.h5", "download.part", "notes.txt"]
    for name in mine:
        (tmp_path / name).write_text(name)
    for name in "old", "running":
        (tmp_path / f"{dlm.UNFINISHED}{name}").mkdir()
        (tmp_path / f"{dlm.UNFINISHED}{name}" / "mnist_cnn_model.h5").write_text("half")
    for name in [*mine, f"{dlm.UNFINISHED}old"]:
        os.utime(tmp_path / name, (time.time() - 25 * 3600,) * 2)
    os.utime(tmp_path / f"{dlm.UNFINISHED}running", (time.time() - 23 * 3600,) * 2)
    run_here("--data", small_npz, "--epochs", 1, "--output-dir", tmp_path)
    expected = [*mine, *FILES, f"{dlm.UNFINISHED}running"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)


def hear_ctrl_c():
    """Undo that a shell makes its background jobs deaf to Ctrl-C, which their children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_with_one_line_and_status_130(earlier_run, small_npz):
    folder, before = earlier_run
    process = start_long(small_npz, folder, preexec_fn=hear_ctrl_c)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Interrupted" in errors and "Traceback" not in errors
    assert contents(folder) == before


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_amid_the_writing_says_what_is_so(earlier_run, small_npz):
    """The model is new by then and the figures are not; each can be read, and no more is said."""
    folder, before = earlier_run
    arguments = ["--data", small_npz, "--output-dir", folder, "--epochs", 1, "--seed", 6]
    process = start(*arguments, preexec_fn=hear_ctrl_c)
    deadline = time.monotonic() + 100
    while (folder / "mnist_cnn_model.h5").read_bytes() == before["mnist_cnn_model.h5"]:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    after = contents(folder)
    assert process.returncode == 130 and "earlier" in errors and "new" in errors
    assert after["mnist_cnn_model.h5"] != before["mnist_cnn_model.h5"]
    assert after["sample_predictions.png"] == before["sample_predictions.png"]
    keras.models.load_model(folder / "mnist_cnn_model.h5")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
def test_a_terminal_gets_keras_progress_bar_and_no_chatter(small_npz, tmp_path):
    import pty

    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--data", str(small_npz), "--epochs", "2"],
        cwd=tmp_path,
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    output = b""
    while True:
        try:
            output += os.read(main, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
    assert process.wait() == 0
    text = output.decode()
    assert "Epoch 2/2" in text and "19/19" in text and "\x1b[1m" in text
    assert "oneDNN" not in text and "Warning" not in text and "absl" not in text


def test_figures_are_shown_where_they_can_be_and_only_there(small_npz, tmp_path, monkeypatch):
    shown = []
    monkeypatch.chdir(tmp_path)

    def show():
        shown.append(sorted(path.name for path in tmp_path.iterdir()))

    monkeypatch.setattr(dlm.plt, "show", show)
    for backend, arguments in ("agg", []), ("qtagg", ["--no-show"]):
        monkeypatch.setattr(dlm.plt, "get_backend", lambda backend=backend: backend)
        dlm.save_figures(
            {"training_curves.png": dlm.plt.figure()}, dlm.parse_options(arguments), []
        )
    run_here("--data", small_npz, "--epochs", 1, "--batch-size", 300)
    assert shown == [FILES]  # once, after everything was saved, with a window system alone


def test_a_network_that_no_h5_holds_is_told_before_the_training(small_npz, tmp_path, monkeypatch):
    """A student's first change, such as another layer, must not cost the trained model."""

    def network():
        return [keras.layers.Flatten(), keras.layers.BatchNormalization(name="norm")]

    monkeypatch.setitem(dlm.ARCHITECTURES, "cnn", network)
    usual = ["--data", small_npz, "--epochs", 1, "--output-dir", tmp_path]
    with monkeypatch.context() as patch, pytest.raises(ValueError) as error:
        patch.setattr(dlm, "train", None)
        run_here(*usual)
    assert "'norm'" in str(error.value) and "--format keras" in str(error.value)
    assert list(tmp_path.iterdir()) == []
    run_here(*usual, "--format", "keras")
    model = keras.models.load_model(tmp_path / "mnist_cnn_model.keras")
    assert model.get_layer("norm").count_params() == 4 * 784


def test_keras_settings_of_the_user_do_not_matter(run):
    with h5py.File(run[1] / "mnist_cnn_model.h5") as file:
        assert "channels_first" not in file.attrs["model_config"].decode()
        assert file["model_weights/conv_1/conv_1/kernel:0"].dtype == np.float32
