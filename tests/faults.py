"""The long tests of faults: prints how many faults of each kind the script survived.

    .venv/bin/pip install -r requirements.txt -r tests/requirements.txt
    .venv/bin/python tests/faults.py

It stops with an error at the first case that goes wrong. Takes some minutes. Writes nothing but in
a temporary folder.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import conftest  # it sets Matplotlib's backend and finds the script
import deep_learning_model as dlm
import fuzzing
import test_faults
from conftest import FILES, FINISHED, contents, run


def kills(folder, data):
    """Kill runs at 23 moments, after each of which the files are whole; return how many.

    The old model is as it was or the new one is complete, and the next good run tidies up.
    """
    finished = folder / "finished"
    started = time.monotonic()
    assert run("--data", data, "--epochs", 30, "--output-dir", finished).returncode == 0
    seconds = time.monotonic() - started
    output = test_faults.copy(finished, folder / "output")
    survived = 0
    for moment in range(1, 13):  # the model's attributes and weights, each file opened and renamed
        before = contents(output, FINISHED)
        assert test_faults.kill_at_step(moment, data, output), f"moment {moment} never came"
        after = contents(output, FINISHED)
        assert after.keys() == before.keys()
        test_faults.assert_whole(output)
        survived += 1
    for moment in range(11):  # from the start on
        before = contents(output, FINISHED)
        assert test_faults.kill_after(seconds * (moment + 0.5) / 12, data, output)
        assert contents(output, FINISHED) == before
        test_faults.assert_whole(output)
        survived += 1
    leftovers = list(output.glob(f"{dlm.UNFINISHED}*"))
    assert leftovers
    for leftover in leftovers:
        os.utime(leftover, (1000, 1000))
    assert run("--data", data, "--epochs", 1, "--output-dir", output).returncode == 0
    assert sorted(path.name for path in output.iterdir()) == FILES
    return survived


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="made-up inputs of each kind")
    options = parser.parse_args()
    rows = []

    def report(what, tried, outcome):
        rows.append(f"| {what} | {tried:,} | {outcome} |")
        print(f"{what}: {tried:,} tried; {outcome}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = conftest.save_small(dlm.load_keras_data_set("mnist"), folder / "mnist.npz")
        survival = "older files intact, none half-written, what they left goes after a day"
        report("killed at a moment of its run", kills(folder, data), survival)
        for kind in [*fuzzing.KINDS, "command line"]:
            (folder / kind).mkdir()
            tried, refused = fuzzing.fuzz(kind, options.cases, folder / kind, run, 5)
            result = f"{refused:,} refused in one line, the others read rightly"
            report(f"made-up input: {kind}", tried, result)
        units = 1e9 if sys.platform == "darwin" else 1e6  # of ru_maxrss, in a gigabyte
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units
        assert peak < 4, f"{peak:.1f} GB"
        print(f"All of the made-up input took at most {peak:.1f} GB of memory.")
    print("\n| fault | tried | outcome |\n| --- | ---: | --- |\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
