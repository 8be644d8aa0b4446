"""How well --predict reads digits of one's own: prints a table, a row for each kind of picture.

    .venv/bin/python deep_learning_model.py
    .venv/bin/python tests/digits.py

It draws 500 of MNIST's test digits again for each kind, always the same, and prepares each as the
script does and, beside it, by only making it smaller, as most programs do. Fails if a kind of the
script's is read worse than it promises. Writes nothing but in a temporary folder. With scikit-learn
installed there is a row of digits by other writers, the 1,797 of its ``load_digits``.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import conftest  # noqa: F401  it finds the script
import deep_learning_model as dlm
from redraw import KINDS, enlarge, redraw

LEAST = 97.5  # % of each kind, in the default model
LEAST_ENLARGED = 99.0  # % of MNIST's own images, enlarged, are read like the images themselves


def only_smaller(path):
    """Return the picture as most programs give it to a model: float32 (28, 28, 1)."""
    picture = Image.open(path).convert("L").resize((28, 28))
    return np.asarray(picture, "float32")[..., None] / 255


def share(model, prepare, paths, labels):
    """Return which % of the pictures get their label."""
    images = np.array([prepare(path) for path in paths])
    return 100 * np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels)


def other_writers(folder):
    """Return paths and labels of scikit-learn's digits, 8 x 8 pixels, enlarged; none without it."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return [], []
    digits = load_digits()
    images = (digits.images * 255 / 16).astype("uint8")
    paths = [enlarge(image, folder / f"other {i}") for i, image in enumerate(images)]
    return paths, digits.target


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", type=Path, default="mnist_cnn_model.h5", help="the model")
    parser.add_argument("--pictures", type=int, default=500, help="pictures of each kind")
    options = parser.parse_args()
    model = dlm.load_model(options.model)
    _, (x_test, y_test) = dlm.load_keras_data_set("mnist")
    chosen = np.random.default_rng(0).choice(len(x_test), options.pictures, replace=False)
    labels = y_test[chosen]
    answers = model.predict(x_test[chosen, ..., None] / 255, verbose=0).argmax(axis=1)
    failed = []
    print("| picture | n | prepared, % | only made smaller, % |\n| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def row(kind, paths, labels, least):
            right = share(model, dlm.prepare_picture, paths, labels)
            smaller = share(model, only_smaller, paths, labels)
            print(f"| {kind} | {len(paths):,} | {right:.1f} | {smaller:.1f} |", flush=True)
            if right < least:
                failed.append(kind)

        for number, kind in enumerate(KINDS):
            rng = np.random.default_rng(number)
            paths = [redraw(x_test[i], kind, rng, folder / f"{number} {i}") for i in chosen]
            row(kind, paths, labels, LEAST)
        paths = [enlarge(x_test[i], folder / f"large {i}") for i in chosen]
        row("MNIST's own, enlarged: the bare image's answer", paths, answers, LEAST_ENLARGED)
        paths, labels = other_writers(folder)
        if paths:
            row("other writers: scikit-learn's digits", paths, labels, 0)
    if failed:
        sys.exit(f"read worse than promised: {', '.join(failed)}")


if __name__ == "__main__":
    main()
