"""How well --predict reads pictures of digits: prints a table, a row per kind of picture.

    .venv/bin/python deep_learning_model.py
    .venv/bin/python tests/digits.py [--folder FOLDER]

It draws MNIST's test digits again in each synthetic kind, always the same, and prepares each as the
script does and, beside it, as most programs do: resized, and resized and inverted. Fails if the
script reads a kind worse than promised. With --folder there is a row for each kind of real picture
in a folder of files LABEL_KIND_NUMBER.png or .jpg, with scikit-learn one for its ``load_digits``.
With --numbers there is a row for a folder of whole numbers, and there is one for MNIST's digits
side by side.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import conftest  # noqa: F401  it finds the script
import deep_learning_model as dlm
from redraw import KINDS, PLAIN_KINDS, enlarge, numbers, redraw


def resized(path):
    """Return the picture as most programs give it to a model: float32 (28, 28, 1)."""
    picture = Image.open(path).convert("L").resize((28, 28))
    return np.float32(picture)[..., None] / 255


def inverted(path):
    return 1 - resized(path)


def accuracy(model, prepare, paths, labels):
    """Return the percentage of the pictures that get their label."""
    images = np.array([prepare(path) for path in paths])
    return 100 * np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels)


def other_writers(folder):
    """Return paths and labels of scikit-learn's digits, 8 x 8 pixels, enlarged."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return [], []
    digits = load_digits()
    images = (digits.images[..., None] * 255 / 16).astype("uint8")
    return [enlarge(image, folder / f"o{i}") for i, image in enumerate(images)], digits.target


def whole_numbers(model, pictures):
    """Return the percentage of (picture, number) in which the whole number is read."""
    right = []
    for picture, number in pictures:
        answers = model.predict(dlm.find_digits(picture), verbose=0).argmax(axis=1)
        right.append("".join(map(str, answers)) == number)
    return len(right), 100 * np.mean(right)


def number_rows(model, x_test, y_test, folder):
    """Print a row for MNIST's digits side by side and one for a folder; return what failed."""
    print("\n| whole numbers | n | read, % |\n| --- | ---: | ---: |")
    n, share = whole_numbers(model, numbers(x_test, y_test, 200, (0.15, 1)))
    print(f"| MNIST's digits side by side | {n} | {share:.1f} |")
    if folder:
        real = [(path, path.name.split("_")[0]) for path in folder.iterdir()]
        print("| real | {} | {:.1f} |".format(*whole_numbers(model, real)))
    return ["numbers"] if share < 92 else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    model = Path("mnist_cnn_model.h5")
    parser.add_argument("--model", type=Path, default=model, help=f"the model ({model})")
    parser.add_argument("--pictures", type=int, default=500, help="of each synthetic kind (500)")
    parser.add_argument("--folder", type=Path, help="a folder of real pictures")
    parser.add_argument("--numbers", type=Path, help="a folder of real pictures of numbers")
    options = parser.parse_args()
    model, _ = dlm.load_model(options.model)
    _, (x_test, y_test), _ = dlm.load_data(["mnist"])
    chosen = np.random.default_rng(0).choice(len(x_test), options.pictures, replace=False)
    answers = model.predict(x_test[chosen] / 255, verbose=0).argmax(axis=1)
    failed = []

    def row(kind, paths, labels, least):
        prepares = dlm.prepare_picture, resized, inverted
        cells = [f"{accuracy(model, prepare, paths, labels):.1f}" for prepare in prepares]
        print(f"| {kind} | {len(paths):,} | {' | '.join(cells)} |", flush=True)
        if float(cells[0]) < least:
            failed.append(kind)

    print("| picture | n | prepared, % | resized, % | resized and inverted, % |")
    print("| --- |" + " ---: |" * 4)
    real = sorted(options.folder.iterdir()) if options.folder else []
    for kind in sorted({path.name.split("_")[1] for path in real} | {""} if real else []):
        paths = [path for path in real if kind in path.name]
        row(f"real: {kind or 'all'}", paths, [int(path.name[0]) for path in paths], 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, kind in enumerate(KINDS):
            rng = np.random.default_rng(number)
            some = chosen[:60] if kind.startswith("A4") else chosen
            paths = [redraw(x_test[i], kind, rng, folder / f"{number} {i}") for i in some]
            row(kind, paths, y_test[some], 98.5 if kind in PLAIN_KINDS else 95)
        paths = [enlarge(x_test[i], folder / f"e{i}") for i in chosen]
        row("MNIST's own, enlarged: the bare image's answer", paths, answers, 99.5)
        for i in chosen:
            Image.fromarray(x_test[i, ..., 0]).save(folder / f"b{i}.png")
        paths = [folder / f"b{i}.png" for i in chosen]
        row("MNIST's own, 28 × 28: the bare image's answer", paths, answers, 99.5)
        paths, labels = other_writers(folder)
        if paths:
            row("other writers: scikit-learn's digits", paths, labels, 96.3)
    failed += number_rows(model, x_test, y_test, options.numbers)
    if failed:
        sys.exit(f"read worse than promised: {', '.join(failed)}")


if __name__ == "__main__":
    main()
