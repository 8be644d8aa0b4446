"""Faults from outside: kills, full disks, odd environments, wrong input."""

import json
import os
import resource
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from conftest import FILES, SCRIPT, contents, own_words, refusal, run, run_here

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

# Runs the script and kills its own process at the given moment: the n-th time that an unfinished
# file, whose name begins with a dot, is opened or renamed.
SUICIDE = """
import os, runpy, signal, sys
script, moment, _, folder = sys.argv[1:5]
steps = 0
def hook(event, arguments):
    global steps
    if event in ("open", "os.rename") and str(arguments[0]).startswith(os.path.join(folder, ".")):
        steps += 1
        if steps == int(moment):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv[1:] = sys.argv[3:]
runpy.run_path(script, run_name="__main__")
"""


def kill_at_step(moment, data, folder):
    """Run until the ``moment``-th step of writing and die there; return whether it died."""
    command = [sys.executable, "-c", SUICIDE, SCRIPT, moment, "--output-dir", folder]
    command = [*map(str, command), "--data", str(data), "--epochs", "1", "--no-show"]
    return subprocess.run(command, capture_output=True, timeout=300).returncode == -signal.SIGKILL


def assert_whole(folder):
    """Assert that every file with a final name in ``folder`` can be read to its end."""
    for path in folder.glob("[!.]*"):
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


@pytest.mark.parametrize("moment", [2, 3, 6, 10])  # each of five files is opened and renamed
def test_a_kill_while_writing_leaves_whole_files_and_the_next_run_tidies_up(
    moment, finished, small_npz, tmp_path
):
    folder = copy(finished, tmp_path / "output")
    before = contents(folder)
    assert kill_at_step(moment, small_npz, folder)
    assert_whole(folder)
    assert contents(folder).keys() == before.keys()
    if moment == 2:  # the new model is whole, but not in its place
        assert contents(folder) == before
        assert sorted(path.name for path in folder.iterdir()) != FILES
        run_here("--data", small_npz, "--epochs", 1, "--output-dir", folder)
        assert sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.parametrize("size", [4_000, 200_000])
def test_a_full_disk_is_reported_in_one_line_and_leaves_everything_old(
    size, finished, small_npz, tmp_path
):
    folder = copy(finished, tmp_path)
    before = contents(folder)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    arguments = ["--data", small_npz, "--epochs", 1, "--output-dir", folder]
    result = run(*arguments, preexec_fn=limit)
    assert result.returncode == 2 and result.stderr.startswith("deep_learning_model.py: error: ")
    assert "mnist_cnn_model.h5" in result.stderr
    assert contents(folder) == before and sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and processor affinity")
def test_one_core_2_gb_no_home_locale_c_strict_warnings_and_a_current_folder_that_nobody_can_write(
    small_npz, tmp_path
):
    def limit():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9))

    env = {**os.environ, "HOME": "/proc/none", "LC_ALL": "C"}
    for name in "KERAS_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME":
        env.pop(name, None)
    folder = tmp_path / "größe und so"
    command = [sys.executable, "-W", "error:::__main__", str(SCRIPT), "--epochs", "2"]
    command += ["--data", str(small_npz), "--output-dir", str(folder)]
    result = subprocess.run(
        command, cwd="/proc/self", env=env, capture_output=True, timeout=300, preexec_fn=limit
    )
    errors = own_words(result.stderr.decode())
    assert result.returncode == 0 and "Traceback" not in errors, errors
    assert sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.parametrize("balance", ["even", "five to one"])
def test_a_training_that_has_learned_nothing_leaves_the_old_model(
    balance, finished, mnist, tmp_path
):
    """Even if it isn't infinite, and if always the same answer is right in most cases."""
    folder = copy(finished, tmp_path)
    before = contents(folder)
    (x_train, y_train), _ = mnist
    chosen = np.flatnonzero(y_train < 2)
    if balance != "even":
        chosen = np.r_[chosen[y_train[chosen] == 1][:200], chosen[y_train[chosen] == 0][:40]]
    data = {"x": x_train[chosen[:240]], "y": y_train[chosen[:240]]}
    np.savez(tmp_path.parent / "mnist.npz", **data)
    rate = 999 if balance == "even" else 0.3
    arguments = ["--data", tmp_path.parent / "mnist.npz", "--learning-rate", rate]
    assert "--learning-rate" in refusal(run_here, *arguments, "--output-dir", folder)
    assert contents(folder) == before
