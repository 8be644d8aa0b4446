"""Wrong input, made up by Hypothesis: each is refused in one clear line or read rightly.

``fuzz(kind, cases, folder)`` tries that many cases of one kind in this process and returns how many
were refused. The quick tests and ``tests/faults.py`` share it.
"""

import contextlib
import gzip
import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import deep_learning_model as dlm
from conftest import Trap, idx

SECONDS = 20  # within which every case must be decided
REFUSED = "refused"  # what is expected of a case that can't be read


def outcome(call):
    """Return what ``call`` returns, or None if it refuses: by an InputError that says why."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return call()
    except dlm.InputError as error:
        assert len(str(error)) > 20, error
        return None


def parse(words):
    """Return the options for ``words``, or None if a sentence refuses them with status 2."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return dlm.parse_options(words)
    except SystemExit as exit_:
        text = errors.getvalue()
        assert exit_.code == 2 and text.startswith("deep_learning_model.py: error: "), text
        assert len(text) > 40
        return None


def assert_learnable(data):
    """Assert what the script promises of data that it accepts."""
    (x_train, y_train), (x_test, y_test), names = data
    for x, y in (x_train, y_train), (x_test, y_test):
        assert len(x) == len(y) > 0 and x.ndim in (3, 4)
        assert min(x.shape[1:3]) >= 10 and x.shape[1:] == x_train.shape[1:]
        assert y.dtype.kind in "ui" and 0 <= y.min() and y.max() < len(names) <= 1000
    for x in x_train, x_test:
        images = dlm.normalize(x).numpy()
        assert images.dtype == np.float32 and images.ndim == 4
        assert 0 <= images.min() and images.max() <= 1


def assert_same(data, pairs):
    """Assert that ``data`` hold exactly the images and labels of ``pairs``."""
    for (x, y), (expected_x, expected_y) in zip(data, pairs):
        np.testing.assert_array_equal(np.squeeze(x), np.squeeze(expected_x))
        np.testing.assert_array_equal(y, expected_y)


# --- Good data, and how to spoil them. ---


def good_pairs(draw):
    side = draw(st.integers(10, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_train, n_test = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    classes = draw(st.integers(1, 10))
    y_train = rng.integers(0, classes, n_train).astype("uint8")
    y_test = rng.choice(y_train, n_test)
    images = [rng.integers(0, 256, (n, side, side)).astype("uint8") for n in (n_train, n_test)]
    return [(images[0], y_train), (images[1], y_test)]


def pairs_of_three():
    """Return good pairs of three images of 28 x 28 each, one for each of three classes."""
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28)).astype("uint8")
    labels = np.arange(3, dtype="uint8")
    return [(images[0], labels), (images[1], labels)]


def spoil(draw, content):
    """Return the bytes ``content`` cut, changed, with more or fewer, or something else instead."""
    how = draw(st.sampled_from(["cut", "change", "insert", "remove", "repeat", "other", "empty"]))
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    some = draw(st.binary(min_size=1, max_size=20))
    return {
        "cut": content[:place],
        "change": content[:place] + some + content[place + len(some) :],
        "insert": content[:place] + some + content[place:],
        "remove": content[:place] + content[place + len(some) :],
        "repeat": content + content,
        "other": some * 50,
        "empty": b"",
    }[how]


# Arrays that are put in the place of one of ``pairs_of_three``'s, with what they are good for.
IMAGES = [np.zeros((3, 28, 28), dtype) for dtype in ("longdouble", "f2", "u8", ">i2", ">f4", "i1")]
IMAGES += [np.full((3, 28, 28), 255.0), np.full((3, 28, 28), 0.5)]
LABELS = [np.array([0, 1, 2], dtype) for dtype in ("i1", "u8", ">i4", ">u2")]
WRONG = [np.zeros((3, 28, 28), dtype) for dtype in (complex, bool, "U1", "M8[s]")]
WRONG += [np.full((3, 28, 28), value) for value in (np.nan, np.inf, 256, -1, 1.001, 16.0)]
WRONG += [np.zeros(shape) for shape in [(), 0, (0, 28, 28), (3, 784), (3, 28, 28, 1, 1)]]
WRONG += [np.zeros(shape) for shape in [(3, 28, 28, 1), (3, 28, 28, 2), (3, 28, 27)]]
WRONG += [np.zeros(shape) for shape in [(3, 9, 9), (2, 28, 28)]]
WRONG += [np.zeros((3, 10**6, 1), "uint8"), np.array([0, 1, 1000]), np.array([0, 1, -1])]
WRONG += [np.array([0.0, 1.0, 2.0]), np.array([0, 1, 2**63], "u8"), np.array(["0", "1", "2"])]
WRONG += [np.zeros((3, 1), int), np.zeros((3, 10)), np.zeros(3, "i4,f8"), np.array([0, 1])]
ARRAYS = [(array, "x") for array in IMAGES] + [(array, "y") for array in LABELS]
ARRAYS += [(array, "") for array in WRONG]


def npz_case(draw, folder):
    hows = ["good", "array", "missing", "pickle", "bytes", "header", "outside"]
    how = draw(st.sampled_from(hows))
    pairs = good_pairs(draw) if how == "good" else pairs_of_three()
    (x_train, y_train), (x_test, y_test) = pairs
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    name = draw(st.sampled_from(list(arrays)))
    expected = pairs if how == "good" else REFUSED if how != "bytes" else None
    if how == "array":
        arrays[name], good_for = draw(st.sampled_from(ARRAYS))
        if good_for == name[0]:
            expected = [(arrays[f"x_{s}"], arrays[f"y_{s}"]) for s in ("train", "test")]
    elif how == "missing":
        del arrays[name]
    elif how == "pickle":
        arrays[name] = np.array([Trap()] * 3, dtype=object)
    path = folder / "data.npz"
    draw(st.sampled_from([np.savez, np.savez_compressed]))(path, **arrays)
    if how == "bytes":
        path.write_bytes(spoil(draw, path.read_bytes()))
    elif how in ("header", "outside"):
        shapes = ["(10000000000, 28, 28)", "(-3, 28, 28)", "(3, 28)", "(", "(3, 28, 28), 'x': ''"]
        shape = draw(st.sampled_from(shapes))
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
        damaged = b"\x93NUMPY\x01\x00v\x00" + header.ljust(117).encode() + b"\n" + bytes(3 * 784)
        with zipfile.ZipFile(path, "w") as archive:
            for key, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                content = damaged if how == "header" and key == name else buffer.getvalue()
                parent = "../" if how == "outside" and key == name else ""
                archive.writestr(f"{parent}{key}.npy", content)
    return [str(path)], expected


def csv_case(draw, folder):
    pairs = good_pairs(draw)
    texts = [
        [",".join(map(str, [label, *image.ravel()])) for image, label in zip(*pair)]
        for pair in pairs
    ]
    how = draw(st.sampled_from(["good", "cell", "cell", "row", "bytes"]))
    lines = draw(st.sampled_from(texts))
    row = draw(st.integers(0, len(lines) - 1))
    if how == "cell":
        cells = lines[row].split(",")
        cells[draw(st.integers(0, len(cells) - 1))] = draw(
            st.one_of(
                st.integers().filter(lambda value: not 0 <= value <= 255).map(str),
                st.floats().map(str),
                st.text(max_size=5).filter(lambda text: not text.strip().isdigit()),
            )
        )
        lines[row] = ",".join(cells)
    elif how == "row":
        one_more, one_less = lines[row] + ",0", lines[row].rpartition(",")[0]
        odd = [one_more, one_less, "0", ",", "\0", "0," * 10**6, "5" * 10**7]
        lines[row] = draw(st.sampled_from(odd))
    words = []
    packed, header = draw(st.booleans()), draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n"]))
    for name, lines_ in zip(("train", "test"), texts):
        text = end.join([*(["label,pixels"] if header else []), *lines_, ""])
        content = text.encode("utf-8", "surrogatepass")
        path = folder / (f"{name}.csv.gz" if packed else f"{name}.csv")
        path.write_bytes(gzip.compress(content) if packed else content)
        words.append(str(path))
    if how == "bytes":
        path = Path(draw(st.sampled_from(words)))
        path.write_bytes(spoil(draw, path.read_bytes()))
    return words, pairs if how == "good" else None


def idx_case(draw, folder):
    pairs = good_pairs(draw)
    packed = draw(st.booleans())
    hows = ["good", "bytes", "bytes", "packed bytes", "missing", "header", "folder"]
    how = draw(st.sampled_from(hows))
    paths = []
    for name, array in zip(dlm.MNIST_FILES, [array for pair in pairs for array in pair]):
        paths.append((folder / (f"{name}.gz" if packed else name), idx(array)))
    spoilt = draw(st.integers(0, 3))
    for i, (path, content) in enumerate(paths):
        if i == spoilt and how == "bytes":
            content = spoil(draw, content)
        if i == spoilt and how == "header":
            content = content[:3] + draw(st.binary(max_size=16)) + content[4:]
        content = gzip.compress(content, 1) if packed else content
        path.write_bytes(spoil(draw, content) if i == spoilt and how == "packed bytes" else content)
    if how in ("missing", "folder"):
        paths[spoilt][0].unlink()
    if how == "folder":
        paths[spoilt][0].mkdir()
    expected = {"good": pairs, "missing": REFUSED, "folder": REFUSED}.get(how)
    return [str(folder)], expected


def good_pictures(draw, folder):
    """Write pictures of one to three classes; return their paths, and the pairs they stand for."""
    names = st.sampled_from(["0", "1", "cat", "größe", "a b"])
    names = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    paths, pairs = [], []
    for split in "train", "test":
        images, labels = [], []
        for label, name in enumerate(sorted(names)):
            (folder / split / name).mkdir(parents=True)
            for i in range(draw(st.integers(1, 2))):
                rng = np.random.default_rng(draw(st.integers(0, 2**32)))
                images.append(rng.integers(0, 256, (28, 28)).astype("uint8"))
                labels.append(label)
                paths.append(folder / split / name / f"{i}.png")
                Image.fromarray(images[-1]).save(paths[-1])
        pairs.append((np.array(images), np.array(labels)))
    return paths, pairs


def pictures_case(draw, folder):
    paths, expected = good_pictures(draw, folder)
    how = draw(st.sampled_from(["good", "bytes", "missing", "folder", "class", "mode", "text"]))
    path = draw(st.sampled_from(paths))
    outcome_ = expected if how == "good" else REFUSED
    if how == "bytes":
        path.write_bytes(spoil(draw, path.read_bytes()))
        outcome_ = None
    elif how == "missing":
        shutil.rmtree(draw(st.sampled_from([path.parent, path.parent.parent])))
        outcome_ = None  # without a class in train, or without it in test
    elif how == "folder":
        (path.parent / "folder.png").mkdir()
    elif how == "class":
        (path.parent.parent / "empty").mkdir()
    elif how == "mode":
        good = ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA"]
        mode = draw(st.sampled_from([*good, "I;16", "I", "F"]))
        Image.new(mode, (draw(st.integers(1, 90)), 3)).save(path, "TIFF")
        outcome_ = None if mode in good else REFUSED
        if mode in good:
            assert dlm.read_picture(path).mode == "L"
    elif how == "text":
        path.write_text("no picture")
    return [str(folder)], outcome_


WORDS = """
--epochs --batch-size --learning-rate --seed --validation-split --no-augmentation --data
--architecture --format --no-show --output-dir -- - --no --epochs=3 --seed=-1
mnist cnn dnn keras 0 1 -1 0.5 1e400 nan 1_0 ٣ 0x10
""".split()
ANY_WORD = st.one_of(
    st.sampled_from(WORDS),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8).filter(lambda text: "/" not in text and "\\" not in text),
)


def command_case(draw):
    def asks_for_help(word):
        return word.startswith("-h") or word != "" and "--help".startswith(word)

    return [word for word in draw(st.lists(ANY_WORD, max_size=6)) if not asks_for_help(word)]


def assert_valid(options):
    assert 1 <= options.epochs <= 10**6 and 1 <= options.batch_size <= 10**6
    assert 0 < options.learning_rate <= 1000
    assert 0 <= options.seed < 2**32 and 0 <= options.validation_split <= 0.9
    assert options.architecture in dlm.ARCHITECTURES and options.format in ("h5", "keras")


# --- The runner. ---

KINDS = {"npz": npz_case, "csv": csv_case, "idx": idx_case, "pictures": pictures_case}


def fuzz(kind, cases, folder, command=None, samples=0):
    """Try ``cases`` cases of ``kind`` below ``folder``; return how many were tried and refused.

    ``kind`` is a key of KINDS or "command line". The first ``samples`` refused sources go through
    ``command`` too, a function that runs the script with arguments.
    """
    refused = tried = 0
    before = os.getcwd()

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(st.data())
    def case(data):
        nonlocal refused, tried
        tried += 1
        place = folder / f"case {tried}"
        (place / "input").mkdir(parents=True)
        os.chdir(place)
        started = time.monotonic()
        try:
            if kind == "command line":
                words = command_case(data.draw)
                options = parse(words)
                refused += options is None
                if options is not None:
                    assert_valid(options)
                assert os.listdir(place) == ["input"]
            else:
                words, expected = KINDS[kind](data.draw, place / "input")
                files = sorted((place / "input").rglob("*"))
                result = outcome(lambda: dlm.load_data(words))
                refused += result is None
                if result is None and refused <= samples:
                    process = command("--data", *words, "--output-dir", place)
                    said = process.stderr
                    assert process.returncode == 2 and said.count("\n") == 1, (words, said)
                if result is not None:
                    assert_learnable(result)
                if expected == REFUSED:
                    assert result is None, words
                elif expected is not None:
                    assert result is not None, words
                    assert_same(result, expected)
                assert sorted((place / "input").rglob("*")) == files
                assert os.listdir(place) == ["input"]
            assert time.monotonic() - started < SECONDS
        finally:
            os.chdir(before)
            shutil.rmtree(place, ignore_errors=True)

    case()
    return tried, refused
