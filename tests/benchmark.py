"""Measure the script beside what a user would pick instead, with the same network and epochs.

    .venv/bin/pip install -r tests/requirements-benchmark.txt
    .venv/bin/python tests/benchmark.py

All use Adam and the same batch size. They take turns, each in its own process, so that a machine
whose speed drifts treats all alike. Each loads MNIST from the same local file, trains, evaluates
the test images after each epoch, plots the training curves and saves its model. Seconds per epoch
are those of the whole training divided by the epochs. The table is printed and written to
benchmark.md. It needs Linux or macOS. EPOCHS=2 in the environment makes the runs shorter.

The rows "limited to AVX2" imitate a processor without AVX-512: oneDNN is limited to AVX2, and plain
Keras gets TensorFlow's own kernels, as TensorFlow chooses there, though they use what the processor
has, which flatters it. Where there is a GPU, all compute on it, and only ON_A_GPU take part.
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
EPOCHS = int(os.environ.get("EPOCHS", 5))  # of every contestant
BATCH_SIZE = 32
NAMES = {
    "script": "this script",
    "script-distorted": "this script without smoothing and temperature",
    "script-schedule": "this script without distortion, smoothing and temperature",
    "keras": "plain Keras",
    "torch": "PyTorch, eager",
    "torch-tuned": "PyTorch, channels_last, fused Adam, bfloat16",
    "script-avx2": "this script, oneDNN limited to AVX2",
    "keras-avx2": "plain Keras, as on AVX2",
}
ON_A_GPU = ["script", "keras", "torch"]  # the other rows are about processors
COLUMNS = {
    "epoch": "seconds per epoch",
    "process": "seconds, whole process",
    "memory": "peak memory, GB",
    "accuracy": "test accuracy, %",
}


# --- The contestants but for the script: each, in its own process, returns its figures. ---


def keras(data):
    import keras
    import matplotlib.pyplot as plt

    x_train, y_train, x_test, y_test = np.load(data).values()
    x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    started = time.perf_counter()
    history = model.fit(
        x_train, y_train, epochs=EPOCHS, batch_size=BATCH_SIZE, validation_data=(x_test, y_test)
    ).history
    seconds = time.perf_counter() - started
    _, accuracy = model.evaluate(x_test, y_test)
    plot_curves(plt, history)
    model.save("model.h5")
    return {"epoch": seconds / EPOCHS, "accuracy": 100 * accuracy}


def torch(data, tuned=False):
    import matplotlib.pyplot as plt
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    arrays = [torch.tensor(array).to(device) for array in np.load(data).values()]
    x_train, y_train, x_test, y_test = arrays
    x_train = x_train.reshape(-1, 1, 28, 28).float() / 255
    x_test = x_test.reshape(-1, 1, 28, 28).float() / 255
    y_train, y_test = y_train.long(), y_test.long()
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1600, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ).to(device)
    if tuned:  # torch.compile was slower here
        model = model.to(memory_format=torch.channels_last)
        x_train = x_train.to(memory_format=torch.channels_last)
    cross_entropy = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), fused=tuned)
    history = {"accuracy": [], "val_accuracy": []}
    started = time.perf_counter()
    for _ in range(EPOCHS):
        model.train()
        right = 0
        order = torch.randperm(len(x_train), device=device)
        for indices in order.split(BATCH_SIZE):  # faster than a DataLoader here
            with torch.autocast(device, torch.bfloat16, enabled=tuned):
                logits = model(x_train[indices])
                loss = cross_entropy(logits, y_train[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (logits.argmax(1) == y_train[indices]).sum()
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(images) for images in x_test.split(500)])
        history["accuracy"].append(float(right) / len(x_train))
        history["val_accuracy"].append(float((logits.argmax(1) == y_test).float().mean()))
    seconds = time.perf_counter() - started
    plot_curves(plt, history)
    torch.save(model.state_dict(), "model.pt")
    return {"epoch": seconds / EPOCHS, "accuracy": 100 * history["val_accuracy"][-1]}


def torch_tuned(data):
    return torch(data, tuned=True)


def plot_curves(plt, history):
    plt.plot(history["accuracy"], label="training")
    plt.plot(history["val_accuracy"], label="test")
    plt.legend()
    plt.savefig("curves.png")


# Text of the script and what stands in its place for a contestant.
PLAIN_LOSS = {
    "LABEL_SMOOTHING = 0.05": "LABEL_SMOOTHING = 0.0",
    "TEMPERATURE = 0.5": "TEMPERATURE = 1",
}
CHANGES = {
    "script-avx2": {'"mixed_bfloat16" if': '"float32" if'},  # limited to AVX2, 16 bits fail
    "script-distorted": PLAIN_LOSS,
    "script-schedule": PLAIN_LOSS | {"if augmentation:": "if False:"},
}
# TensorFlow chooses its own kernels on a processor with AVX2 alone, the script oneDNN's.
SETTINGS = {
    "script-avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "keras-avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "TF_ENABLE_ONEDNN_OPTS": "0"},
}


# Writes MNIST to a file and prints the GPUs' names; in a process of its own, since TensorFlow
# keeps the memory that it takes.
PREPARE = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from deep_learning_model import load_data, tf
(x_train, y_train), (x_test, y_test), _ = load_data(["mnist"])
np.savez(sys.argv[2], x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
details = tf.config.experimental.get_device_details
print(json.dumps([details(gpu)["device_name"] for gpu in tf.config.list_physical_devices("GPU")]))
"""


def changed_script(name):
    """Return the script's text, with the contestant's changes."""
    text = SCRIPT.read_text("utf-8")
    for old, new in CHANGES.get(name, {}).items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def baseline(name):
    """Return the contestant whose figures those of ``name`` are divided by."""
    return "keras-avx2" if name.endswith("-avx2") else "keras"


def measure(name, data, seed):
    """Run one contestant in a new process and an empty folder; return its figures.

    Return None if it fails, and print why.
    """
    environment = {**os.environ, "MPLBACKEND": "agg", **SETTINGS.get(name, {})}
    if name.startswith("script"):
        script = os.path.join(os.path.dirname(data), f"{name}.py")
        Path(script).write_text(changed_script(name))
        command = [sys.executable, script, "--data", data, "--no-show"]
        command += f"--seed {seed} --epochs {EPOCHS} --batch-size {BATCH_SIZE}".split()
    else:
        command = [sys.executable, str(Path(__file__).resolve())]
        command += ["--contestant", name.removesuffix("-avx2"), "--data", data]
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if process.returncode:
            log.seek(0)
            reason = (log.read().strip().splitlines() or ["no output"])[-1]
            print(f"{NAMES[name]} is left out: {reason}", flush=True)
            return None
        if name.startswith("script"):
            metrics = json.loads(Path(folder, "metrics.json").read_text())
            figures = {"epoch": metrics["training_seconds"] / EPOCHS}
            figures["accuracy"] = 100 * metrics["test_accuracy"]
        else:
            figures = json.loads(Path(folder, "figures.json").read_text())
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return figures | {"process": seconds, "memory": usage.ru_maxrss * unit / 1e9}


def spread(values):
    """Return the median (minimum to maximum) of ``values``."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(results):
    """Return Markdown: a row per contestant, with each figure and its ratio to plain Keras.

    A figure is the median (minimum to maximum) of the turns. Ratios are taken turn by turn and then
    their median, so that what slowed a whole turn cancels.
    """
    heads = [label if key == "accuracy" else f"{label} | ratio" for key, label in COLUMNS.items()]
    lines = [f"| | {' | '.join(heads)} | n |", "| --- |" + " ---: |" * (2 * len(COLUMNS))]
    for name, turns in results.items():
        cells, plain = [NAMES[name]], results.get(baseline(name), [])
        for key in COLUMNS:
            cells.append(spread([turn[key] for turn in turns]))
            if key != "accuracy":
                ratios = [turn[key] / other[key] for turn, other in zip(turns, plain)]
                cells.append(f"{statistics.median(ratios):.2f}" if ratios else "")
        lines.append(f"| {' | '.join(cells)} | {len(turns)} |")
    return "\n".join(lines)


def machine(gpus):
    """Return a line that names the processor, with what matters for speed, and the versions."""
    from importlib.metadata import version

    name, flags = platform.processor(), []
    if os.path.exists("/proc/cpuinfo"):
        text = Path("/proc/cpuinfo").read_text()
        name = text.partition("model name")[2].partition("\n")[0].strip("\t :")
        flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if flag in text]
    versions = [f"{package} {version(package)}" for package in ("tensorflow", "keras", "torch")]
    python = f"{platform.system()}, Python {platform.python_version()}"
    processor = f"{os.cpu_count()} cores of {name} ({' '.join(flags)})"
    return ", ".join([*gpus, processor, python, *versions])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--runs", type=int, default=3, help="turns, each with one run of every contestant (3)")
    add("--contestants", nargs="+", choices=NAMES, help="who takes part (all that can)")
    add("--output-dir", type=Path, default=Path(), help="where to write benchmark.md (.)")
    add("--contestant", choices=NAMES, help=argparse.SUPPRESS)
    add("--data", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        figures = globals()[options.contestant.replace("-", "_")](options.data)
        Path("figures.json").write_text(json.dumps(figures))
        return

    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "mnist.npz")
        prepared = subprocess.run(
            [sys.executable, "-c", PREPARE, str(SCRIPT.parent), data],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        gpus = json.loads(prepared.stdout.splitlines()[-1])
        contestants = options.contestants or (ON_A_GPU if gpus else list(NAMES))
        results = {name: [] for name in contestants}
        for turn in range(options.runs):
            for name in list(results):
                figures = measure(name, data, 1000 + turn)
                if figures is None:  # it failed, so it would fail again
                    del results[name]
                    continue
                results[name].append(figures)
                print(f"turn {turn + 1}/{options.runs}, {NAMES[name]}: {figures}", flush=True)
    text = f"{machine(gpus)}\n\n{table(results)}\n"
    print(f"\n{text}")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    (options.output_dir / "benchmark.md").write_text(text)
    print(f"Written to {options.output_dir.resolve()}: benchmark.md")


if __name__ == "__main__":
    main()
