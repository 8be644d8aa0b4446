"""Measure the script beside plain Keras, with the same network, optimizer and epochs.

    .venv/bin/python tests/benchmark.py

Each contestant runs in a process of its own, without a GPU. They take turns, so that a machine
whose speed drifts treats all alike; in a turn, all have the same seed. Each loads MNIST from the
same local file, trains with Adam, evaluates the test images after each epoch, plots the training
curves and saves its model. The table is printed and written to benchmark.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).resolve().parent.parent / "deep_learning_model.py"
NAMES = {
    "script": "this script",
    "script-distorted": "without standardized images, smoothing and temperature",
    "script-schedule": "without distortion either",
    "keras": "plain Keras",
}
COLUMNS = {
    "epoch": "seconds per epoch",
    "process": "seconds, whole process",
    "accuracy": "test accuracy, %",
}
# Text of the script and what stands in its place for a contestant.
PLAIN_LOSS = {
    "x_train.std()": "1.0",
    "LABEL_SMOOTHING = 0.05": "LABEL_SMOOTHING = 0.0",
    "TEMPERATURE = 0.5": "TEMPERATURE = 1.0",
}
CHANGES = {
    "script-distorted": PLAIN_LOSS,
    "script-schedule": PLAIN_LOSS | {"if augmentation:": "if False:"},
}


def plain_keras(data, epochs, seed):
    """Be the contestant that plain Keras is: write metrics.json as the script does."""
    import keras
    import matplotlib.pyplot as plt
    from keras import layers

    x_train, y_train, x_test, y_test = np.load(data).values()
    x_train, x_test = np.float32(x_train) / 255, np.float32(x_test) / 255
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    started = time.perf_counter()
    history = model.fit(x_train, y_train, epochs=epochs, validation_data=(x_test, y_test)).history
    seconds = time.perf_counter() - started
    plt.plot(history["accuracy"], label="training")
    plt.plot(history["val_accuracy"], label="test")
    plt.legend()
    plt.savefig("curves.png")
    model.save("model.h5")
    metrics = {"training_seconds": seconds, "test_accuracy": history["val_accuracy"][-1]}
    Path("metrics.json").write_text(json.dumps(metrics))


def changed_script(name, folder):
    """Write the script with the contestant's changes; return its path."""
    text = SCRIPT.read_text("utf-8")
    for old, new in CHANGES.get(name, {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path = Path(folder, "contestant.py")
    path.write_text(text, "utf-8")
    return path


def measure(name, data, epochs, seed):
    """Run one contestant in a new process and an empty folder; return its figures."""
    environment = {**os.environ, "MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryDirectory() as folder:
        program, option = Path(__file__).resolve(), "--plain-keras"
        if name.startswith("script"):
            program, option = changed_script(name, folder), "--no-show"
        command = [sys.executable, program, option, "--data", data]
        command += ["--epochs", epochs, "--seed", seed]
        started = time.perf_counter()
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        result = subprocess.run(list(map(str, command)), cwd=folder, env=environment, **output)
        seconds = time.perf_counter() - started
        if result.returncode:
            sys.exit(f"{NAMES[name]}: {result.stderr.decode()[-500:]}")
        metrics = json.loads(Path(folder, "metrics.json").read_text())
    epoch = metrics["training_seconds"] / epochs
    return {"epoch": epoch, "process": seconds, "accuracy": 100 * metrics["test_accuracy"]}


def table(results):
    """Return Markdown: a row per contestant, with each figure and its ratio to plain Keras.

    A figure is the median (minimum to maximum) of the turns, but for the accuracy's mean. Ratios
    are taken turn by turn and then their median, so that what slowed a whole turn cancels.
    """
    heads = [label if key == "accuracy" else f"{label} | ratio" for key, label in COLUMNS.items()]
    lines = [f"| | {' | '.join(heads)} | n |", "| --- |" + " ---: |" * (2 * len(COLUMNS))]
    for name, turns in results.items():
        cells = [NAMES[name]]
        for key in COLUMNS:
            values = [turn[key] for turn in turns]
            middle = statistics.mean if key == "accuracy" else statistics.median
            cells.append(f"{middle(values):.2f} ({min(values):.2f} to {max(values):.2f})")
            if key != "accuracy":
                ratios = [turn[key] / other[key] for turn, other in zip(turns, results["keras"])]
                cells.append(f"{statistics.median(ratios):.2f}")
        lines.append(f"| {' | '.join(cells)} | {len(turns)} |")
    return "\n".join(lines)


def machine():
    """Return a line that names the processor, with what matters for speed, and the versions."""
    from importlib.metadata import version

    name, flags = platform.processor(), []
    if os.path.exists("/proc/cpuinfo"):
        text = Path("/proc/cpuinfo").read_text()
        name = text.partition("model name")[2].partition("\n")[0].strip("\t :")
        flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if flag in text]
    versions = [f"{package} {version(package)}" for package in ("tensorflow", "keras")]
    python = f"{platform.system()}, Python {platform.python_version()}"
    return ", ".join([f"{os.cpu_count()} cores of {name} ({' '.join(flags)})", python, *versions])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--runs", type=int, default=3, help="turns, each with one run of every contestant (3)")
    add("--epochs", type=int, default=5, help="of every contestant (5)")
    add("--plain-keras", action="store_true", help=argparse.SUPPRESS)  # a contestant's options
    add("--data", help=argparse.SUPPRESS)
    add("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain_keras:
        return plain_keras(args.data, args.epochs, args.seed)

    sys.path.insert(0, str(SCRIPT.parent))
    import deep_learning_model as dlm

    (x_train, y_train), (x_test, y_test), _ = dlm.load_data(["mnist"])
    results = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "mnist.npz")
        np.savez(data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        for turn in range(args.runs):
            for name, turns in results.items():
                turns.append(measure(name, data, args.epochs, 1000 + turn))
                print(f"turn {turn + 1}/{args.runs}, {NAMES[name]}: {turns[-1]}", flush=True)
    text = f"{machine()}\n\n{table(results)}\n"
    Path("benchmark.md").write_text(text, "utf-8")
    print(f"\n{text}\nWritten to {Path.cwd()}: benchmark.md")


if __name__ == "__main__":
    main()
