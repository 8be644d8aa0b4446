"""The long tests of faults: kills at many moments of a run, and made-up input of each kind.

    .venv/bin/pip install -r requirements.txt -r tests/requirements.txt
    .venv/bin/python tests/faults.py

It stops with an error at the first case that goes wrong, and prints how many went right. Takes up
to three minutes. Writes nothing but in a temporary folder.
"""

import contextlib
import random
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import conftest  # it sets Matplotlib's backend and finds the script
import deep_learning_model as dlm
import fuzzing
import test_faults
from conftest import FILES, contents, run

CASES = 250  # made-up inputs of each kind


def kills(folder, data):
    """Kill runs while they write and at random moments; after each of them all files are whole."""
    output = folder / "output"
    good_run = ["--data", data, "--epochs", 1, "--output-dir", output, "--no-show"]
    started = time.monotonic()
    assert run(*good_run).returncode == 0
    seconds = time.monotonic() - started
    for moment in 1, 8, 9, 10, 11, 13, 15, 16:  # amid the weights, before each kind of step
        before = contents(output)
        assert test_faults.kill_at_step(moment, data, output), f"step {moment} never came"
        assert contents(output).keys() == before.keys()
        test_faults.assert_whole(output)
        print(f"killed at step {moment} of the writing: all files are whole", flush=True)
    for _ in range(4):
        moment = random.uniform(0.2, 1) * seconds
        with contextlib.suppress(subprocess.TimeoutExpired):
            run(*good_run, timeout=moment)  # which kills it then
        test_faults.assert_whole(output)
        print(f"killed after {moment:.1f} s: all files are whole", flush=True)
    assert run(*good_run).returncode == 0
    assert sorted(path.name for path in output.iterdir()) == FILES


def main():
    warnings.filterwarnings("ignore", "loadtxt")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = conftest.save_small(dlm.load_data(["mnist"])[:2], folder / "mnist.npz")
        kills(folder, data)
        for kind in [*fuzzing.KINDS, "command line"]:
            (folder / kind).mkdir()
            refused = fuzzing.fuzz(kind, CASES, folder / kind)
            print(f"{CASES} of kind {kind}: {refused} refused, the others read rightly", flush=True)


if __name__ == "__main__":
    main()
