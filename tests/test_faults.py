"""Faults from outside, in short: kills, full disks, odd environments, wrong input.

``tests/faults.py`` is the long part.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import keras
import pytest

import deep_learning_model as dlm
from conftest import FILES, FINISHED, ROOT, SCRIPT, contents, refusal, run_here
from fuzzing import KINDS, fuzz

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


# --- A kill at any moment. ---

# Runs the script's main, and kills its own process at the given moment: the n-th time that a file
# is opened or renamed in the output folder, or in the midst of the model's weights.
SUICIDE = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import deep_learning_model as d
moment, count = int(sys.argv[2]), 0
def step(*_):
    global count
    count += 1
    if count == moment:
        os.kill(os.getpid(), signal.SIGKILL)
def hook(event, arguments):
    if event in ("open", "os.rename") and d.UNFINISHED in str(arguments[0]):
        step()
sys.addaudithook(hook)
save_h5 = d.save_h5
def slow_save(model, path):
    variable = type(model.layers[0].weights[0])
    numpy = variable.numpy
    variable.numpy = lambda self: (step(), numpy(self))[1]
    save_h5(model, path)
d.save_h5 = slow_save
d.main(sys.argv[3:])
"""


def kill_at_step(moment, data, folder):
    """Run until the ``moment``-th step of writing and die there; return whether it died."""
    command = [sys.executable, "-c", SUICIDE, str(ROOT), str(moment)]
    command += ["--data", str(data), "--output-dir", str(folder), "--epochs", "1", "--no-show"]
    return subprocess.run(command, capture_output=True, timeout=120).returncode == -signal.SIGKILL


def kill_after(seconds, data, folder):
    """Run for ``seconds``, amid the start or a training without end, and die; return whether."""
    command = [sys.executable, str(SCRIPT), "--data", str(data), "--output-dir", str(folder)]
    command += ["--epochs", "100000", "--no-show"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.kill()
    return process.wait() == -signal.SIGKILL


def assert_whole(folder):
    """Assert that every file with a final name in ``folder`` can be read to its end."""
    from PIL import Image

    for path in folder.glob(FINISHED):
        if path.suffix == ".h5":
            assert keras.models.load_model(path).count_params() == 121_930
        elif path.suffix == ".png":
            Image.open(path).load()
        else:
            assert json.loads(path.read_text())["test_accuracy"] >= 0


@pytest.fixture(scope="module")
def finished(small_npz, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    run_here("--data", small_npz, "--epochs", 1, "--output-dir", folder)
    return folder


def copy(finished, folder):
    folder.mkdir(exist_ok=True)
    for name, content in contents(finished).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("moment", [3, 12])
def test_a_kill_while_writing_leaves_only_whole_files(moment, finished, small_npz, tmp_path):
    folder = copy(finished, tmp_path / "output")
    old_model = (folder / "mnist_cnn_model.h5").read_bytes()
    assert kill_at_step(moment, small_npz, folder)
    assert_whole(folder)
    if moment == 3:  # amid the weights
        assert (folder / "mnist_cnn_model.h5").read_bytes() == old_model
        (leftover,) = folder.glob(f"{dlm.UNFINISHED}*")
        os.utime(leftover, (1000, 1000))
        run_here("--data", small_npz, "--epochs", 1, "--output-dir", folder)
        assert sorted(path.name for path in folder.iterdir()) == FILES


# --- Disks and folders. ---


def test_a_full_disk_is_reported_in_one_line_and_leaves_everything_old(
    finished, small_npz, tmp_path, run_script
):
    folder = copy(finished, tmp_path)
    before = contents(folder)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    arguments = ["--data", small_npz, "--epochs", 1, "--output-dir", folder]
    result = run_script(*arguments, preexec_fn=limit)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "mnist_cnn_model.h5" in result.stderr
    assert contents(folder) == before


def test_an_output_folder_that_vanishes_is_reported_in_one_line(small_npz, tmp_path):
    folder, elsewhere = tmp_path / "output", tmp_path / "elsewhere"
    process = subprocess.Popen(
        [sys.executable, "-u", str(SCRIPT), "--data", str(small_npz), "--output-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("Epoch 1/"):
            break
    folder.rename(elsewhere)
    folder.write_text("a file")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2 and errors.count("\n") == 1 and "mnist_cnn_model.h5" in errors
    assert folder.read_text() == "a file" and list(elsewhere.iterdir()) == []


# --- Environments. ---


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and processor affinity")
def test_one_core_2_gb_no_home_locale_c_strict_warnings_and_a_current_folder_that_nobody_can_write(
    small_npz, tmp_path
):
    def limit():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9))

    env = {**os.environ, "HOME": "/proc/none", "LC_ALL": "C"}
    env |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name in "KERAS_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME":
        env.pop(name, None)
    folder = tmp_path / "größe und so"
    command = [sys.executable, "-W", "error:::__main__", str(SCRIPT), "--epochs", "2"]
    command += ["--data", str(small_npz), "--output-dir", str(folder)]
    result = subprocess.run(
        command, cwd="/proc/self", env=env, capture_output=True, timeout=150, preexec_fn=limit
    )
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_reader_that_goes_away_ends_the_run_without_a_word(finished, small_npz, tmp_path):
    folder = copy(finished, tmp_path)
    before = contents(folder)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--data", str(small_npz), "--output-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not process.stdout.readline().startswith(b"Epoch 1/"):
        pass
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(100) == 141
    assert contents(folder) == before


def test_two_runs_at_once_in_one_folder_both_succeed(small_npz, tmp_path):
    command = [sys.executable, str(SCRIPT), "--data", str(small_npz), "--output-dir", str(tmp_path)]
    command += ["--epochs", "1"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    runs = [subprocess.Popen(command, **pipes) for _ in range(2)]
    assert [(run.communicate(timeout=150)[1], run.returncode) for run in runs] == [(b"", 0)] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert_whole(tmp_path)


def test_a_diverging_training_leaves_the_old_model(finished, small_npz, tmp_path):
    folder = copy(finished, tmp_path)
    before = contents(folder)
    arguments = ["--data", small_npz, "--learning-rate", 100, "--output-dir", folder]
    assert "--learning-rate" in refusal(run_here, *arguments)
    assert contents(folder) == before


# --- Wrong input. ---


@pytest.mark.parametrize("kind", [*KINDS, "command line"])
def test_made_up_input_is_refused_clearly_or_read_rightly(kind, tmp_path):
    tried, refused = fuzz(kind, 40, tmp_path)
    assert tried >= 40 and 0 < refused
