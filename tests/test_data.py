"""The user's own data: every kind is read rightly, or refused in one line that names the fault."""

import gzip
import io
import re

import keras
import numpy as np
import pytest
from PIL import Image

import deep_learning_model as dlm
from conftest import draw_bar, idx, refusal, run, run_here


def load(*source):
    return dlm.load_data([str(word) for word in source])


# --- .npz. ---


def arrays(**changes):
    good = {
        "x_train": np.zeros((6, 28, 28), "uint8"),
        "y_train": np.arange(6),
        "x_test": np.full((4, 28, 28), 255.0),
        "y_test": np.arange(4, dtype="uint8"),
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def save(folder, **changes):
    np.savez(folder / "data.npz", **arrays(**changes))
    return folder / "data.npz"


def one_bright(value):
    images = np.zeros((6, 28, 28), np.array(value).dtype)
    images[2, 3, 4] = value
    return images


BAD_ARRAYS = [
    ("y_test", None),
    ("x_train", np.zeros((6, 9, 9))),
    ("x_test", np.zeros((4, 27, 28))),
    ("x_train", np.zeros((6, 28, 28, 2))),
    ("x_train", np.zeros((6, 784))),
    ("x_train", np.zeros(())),
    ("x_test", np.zeros((0, 28, 28))),
    ("y_train", np.arange(5)),
    ("y_train", np.zeros((6, 10), int)),
    ("y_train", np.arange(6.0)),
    ("y_train", np.array(list("012345"))),
    ("y_train", np.array([0, 1, 2, 3, 4, 1000])),
    ("y_test", np.array([0, 1, 2, 10])),
    ("y_test", np.array([0, 1, 2, -1])),
    ("x_train", one_bright(np.nan)),
    ("x_train", one_bright(np.inf)),
    ("x_train", one_bright(256)),
    ("x_test", np.full((4, 28, 28), -1)),
    ("x_test", np.zeros((4, 28, 28), complex)),
]


@pytest.mark.parametrize("name, array", BAD_ARRAYS)
def test_bad_arrays_are_refused_by_name(name, array, tmp_path):
    message = refusal(load, save(tmp_path, **{name: array}))
    assert name in message and "data.npz" in message


@pytest.mark.parametrize("brightest", [1.001, 16.0, 127.9, 2, 16, 127])
def test_images_that_reach_neither_1_nor_255_are_refused_with_their_value(brightest, tmp_path):
    message = refusal(load, save(tmp_path, x_train=one_bright(brightest)))
    assert f"from 0 to {brightest}" in message.replace("0.0", "0") and "x_train" in message


def test_data_of_one_class_are_refused_with_a_hint(tmp_path):
    message = refusal(load, save(tmp_path, y_train=np.zeros(6, int), y_test=np.zeros(4, int)))
    assert "one class" in message and "labels?" in message and "data.npz" in message


def test_the_command_refuses_damaged_data_in_one_line_and_writes_nothing(tmp_path):
    path = save(tmp_path)
    content = bytearray(path.read_bytes())
    content[26:28] = b"\xff\xff"  # the length of the first member's name
    path.write_bytes(content)
    result = run("--data", path, cwd=tmp_path)
    assert result.returncode == 2 and "\n" not in result.stderr
    assert result.stderr.startswith("deep_learning_model.py: error: ")
    assert "data.npz" in result.stderr and "Traceback" not in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (32, 32, 3), (10, 17)])
def test_images_of_any_shape_that_fits_the_network_are_accepted(shape, tmp_path):
    path = save(tmp_path, x_train=np.ones((6, *shape)), x_test=np.ones((4, *shape)))
    (x_train, _), _, names = load(path)
    assert x_train.shape == (6, *shape) and names == list("012345")
    channels = shape[2] if len(shape) == 3 else 1
    assert dlm.normalize(x_train).shape == (6, *shape[:2], channels)


@pytest.mark.parametrize(
    "dtype, largest", [("uint8", 255), ("int8", 127), (">i4", 300), (">u2", 9)]
)
def test_labels_of_every_type_are_counted_rightly_in_a_row_or_a_column(dtype, largest, tmp_path):
    """keras.datasets.cifar10 has them in a column, of shape (n, 1)."""
    y_train = np.array([0, 1, 2, 3, 4, largest]).astype(dtype)
    for labels in y_train, y_train[:, None]:
        path = save(tmp_path, y_train=labels, y_test=labels[:4])
        (_, read), (_, y_test), names = load(path)
        assert read.tolist() == [0, 1, 2, 3, 4, largest] and y_test.tolist() == [0, 1, 2, 3]
        assert len(names) == largest + 1 and names[-1] == str(largest)


@pytest.mark.parametrize("dtype", [">i4", ">f4", ">f8", "longdouble", "float16", "int64"])
def test_images_of_every_type_are_normalized_like_bytes(dtype, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12)).astype("uint8")
    images[0, 0, 0] = 255
    x_test = np.full((4, 12, 12), 0.5)  # which have a scale of their own
    (x_train, _), (x_test, _), _ = load(save(tmp_path, x_train=images.astype(dtype), x_test=x_test))
    np.testing.assert_array_equal(dlm.normalize(x_train), dlm.normalize(images))
    assert dlm.normalize(x_test).numpy().max() == 0.5


# --- CSV. ---


PIXELS = np.arange(3 * 784).reshape(3, 784) % 256
HEADER = "label," + ",".join(f"{i // 28 + 1}x{i % 28 + 1}" for i in range(784))


def csv_lines(labels=(7, 0, 2), pixels=PIXELS):
    return [",".join(map(str, [label, *row])) for label, row in zip(labels, pixels)]


QUOTED = ['"' + line.replace(",", '","') + '"' for line in [HEADER, *csv_lines()]]
PANDAS = ",".join(map(str, range(785)))  # how pandas heads columns without names


def write(path, lines, end="\n", encoding="utf-8"):
    content = end.join(lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    "name, lines, end, encoding",
    [
        ("train.csv", csv_lines(), "\n", "utf-8"),
        ("train.csv", [HEADER, *csv_lines(), ""], "\r\n", "utf-8"),
        ("train.csv", [HEADER, *csv_lines()], "\n", "utf-8-sig"),
        ("train.csv", [*csv_lines(), "", ""], "\n", "utf-8-sig"),
        ("train.csv", QUOTED, "\n", "utf-8"),
        ("train.csv", [PANDAS, *csv_lines()], "\n", "utf-8"),
        ("train.csv", [line.replace(",", ", ") for line in csv_lines()], "\n", "utf-8"),
        ("träin set.csv.gz", [HEADER, *csv_lines()], "\n", "utf-8"),
    ],
)
def test_csv_is_read_in_all_its_forms(name, lines, end, encoding, tmp_path):
    train = write(tmp_path / name, lines, end, encoding)
    test = write(tmp_path / "test.csv", csv_lines((1, 1), PIXELS[:2]))
    (x_train, y_train), (x_test, y_test), names = load(train, test)
    np.testing.assert_array_equal(x_train, PIXELS.reshape(3, 28, 28))
    assert y_train.tolist() == [7, 0, 2] and y_test.tolist() == [1, 1]
    assert x_test.shape == (2, 28, 28) and names == list("01234567")


def test_a_numbered_header_is_no_image_where_its_numbers_could_be_pixels(tmp_path):
    header = ",".join(map(str, range(145)))  # of 12 x 12 pixels, all below 256
    train = write(tmp_path / "train.csv", [header, *csv_lines((1, 0, 2), PIXELS[:, 112:256])])
    (x_train, y_train), _, _ = load(train, train)
    np.testing.assert_array_equal(x_train, PIXELS[:, 112:256].reshape(3, 12, 12))
    assert y_train.tolist() == [1, 0, 2]


BAD_ROWS = [
    "7,0,0",
    csv_lines()[1] + ",5",
    csv_lines()[2] + "7",
    "1" + ",300" * 784,
    "-1" + ",0" * 784,
    "3" + ",x" * 784,
    "1" + ",0" * 783 + ",",
    "1;" * 784,
    "\0" * 20,
    "9" * 2_000_000,
    "1" + ",\u0663" * 784,  # NumPy 2.4 can crash at such characters
    "1" + ",\U0010ffff" * 784,
]


@pytest.mark.parametrize("line", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_row_is_refused_with_its_file(line, tmp_path):
    good = write(tmp_path / "good.csv", csv_lines())
    bad = write(tmp_path / "bad.csv", [*csv_lines()[:2], line])
    assert "bad.csv must hold rows" in refusal(load, good, bad)


def floats(line):
    return line.replace(",", ".0,") + ".0"


@pytest.mark.parametrize(
    "lines",
    [
        ["," + HEADER, *(f"{i},{line}" for i, line in enumerate(csv_lines()))],  # pandas' index
        [HEADER, *map(floats, csv_lines())],
        [line.partition(",")[2] for line in csv_lines()],  # Kaggle's test.csv
    ],
    ids=["index column", "floats", "no labels"],
)
def test_another_kind_of_table_is_told_what_the_file_should_hold(lines, tmp_path):
    train = write(tmp_path / "train.csv", lines)
    message = refusal(load, train, train)
    assert re.search(r"train.csv must hold rows of a label and a square .*0 to 255", message)


def test_a_wrong_number_of_sources_is_told_what_is_needed(tmp_path, capsys):
    good = write(tmp_path / "train.csv.gz", csv_lines())
    assert "CSV files come in pairs" in refusal(load, good)
    for words in [good, good, good], ["mnist", "mnist", "mnist"]:
        with pytest.raises((dlm.InputError, SystemExit)) as error:
            run_here("--output-dir", tmp_path, "--data", *words)
        assert "--data" in str(error.value) + capsys.readouterr().err


# --- IDX. ---


IDX = {
    "train-images-idx3-ubyte": PIXELS.reshape(3, 28, 28).astype("uint8"),
    "train-labels-idx1-ubyte": np.uint8([7, 0, 2]),
    "t10k-images-idx3-ubyte": PIXELS[:2].reshape(2, 28, 28).astype("uint8"),
    "t10k-labels-idx1-ubyte": np.uint8([2, 7]),
}


def idx_folder(folder, packed=False, **changes):
    folder.mkdir()
    for name, array in IDX.items():
        content = changes.get(name.split("-ubyte")[0].replace("-", "_"), idx(array))
        if content is not None:
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_idx_folders_are_read_plain_and_packed(packed, tmp_path):
    (x_train, y_train), (x_test, y_test), names = load(idx_folder(tmp_path / "some data", packed))
    np.testing.assert_array_equal(x_train, PIXELS.reshape(3, 28, 28))
    np.testing.assert_array_equal(x_test, x_train[:2])
    assert y_train.tolist() == [7, 0, 2] and y_test.tolist() == [2, 7] and names == list("01234567")


WHOLE = idx(IDX["train-images-idx3-ubyte"])
DAMAGED = [None, b"", WHOLE[:-1], WHOLE[:10], WHOLE + b"\0", b"\0\0\x0d" + WHOLE[3:]]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_idx_file_is_refused_by_name(content, packed, tmp_path):
    folder = idx_folder(tmp_path / "data", packed, train_images_idx3=content)
    assert "train-images-idx3-ubyte" in refusal(load, folder)


# --- Folders of pictures. ---


def pictures(folder, names=("lying", "ständing"), suffix=".png", **options):
    """Write bars, lying for the first class alone, 3 of each class to train/ and 2 to test/."""
    for split, n in ("train", 3), ("test", 2):
        for number, name in enumerate(names):
            for i in range(n):
                draw_bar(folder / split / name / f"{i}{suffix}", number == 0, **options)
    return folder


@pytest.mark.parametrize(
    "mode, suffix", [("L", ".png"), ("RGB", ".JPG"), ("P", ".gif"), ("1", ".bmp")]
)
def test_pictures_are_prepared_like_those_of_predict_and_their_folders_are_the_classes(
    mode, suffix, tmp_path, capsys
):
    folder = pictures(tmp_path / "my pictures", mode=mode, suffix=suffix)
    for junk in "train/.DS_Store", "train/lying/Thumbs.db", "test/ständing/desktop.ini":
        (folder / junk).write_bytes(b"no picture")
    for junk in "train/.ipynb_checkpoints", "test/__MACOSX", "train/lying/.ipynb_checkpoints":
        (folder / junk).mkdir()
    (x_train, y_train), (x_test, y_test), names = load(folder)
    assert names == ["lying", "ständing"]
    assert y_train.tolist() == [0, 0, 0, 1, 1, 1] and y_test.tolist() == [0, 0, 1, 1]
    for image, name in (x_train[0], "lying"), (x_test[-1], "ständing"):
        expected = dlm.prepare_picture(folder / "train" / name / f"0{suffix}")
        np.testing.assert_array_equal(image, expected)
    assert capsys.readouterr().out.count("Read 3 pictures") == 2


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


BAD_PICTURES = {
    "text": b"no picture",
    "blank": png(Image.new("L", (28, 28), 200)),
    "cut": png(Image.effect_noise((99, 99), 99))[:5000],
    "bomb": png(Image.new("1", (14_000, 14_000))),
    "folder": None,
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_is_refused_by_name(kind, tmp_path):
    path = pictures(tmp_path / "pictures") / "test" / "lying" / "bad.png"
    path.mkdir() if kind == "folder" else path.write_bytes(BAD_PICTURES[kind])
    assert "bad.png" in refusal(load, tmp_path / "pictures")


def test_missing_classes_and_pictures_are_named(tmp_path):
    folder = pictures(tmp_path / "pictures")
    (folder / "test" / "lying").rename(folder / "test" / "leaning")
    message = refusal(load, folder)
    assert str(folder / "test") in message and "leaning" in message and "lying" in message
    (folder / "train" / "lying").rename(folder / "train" / "leaning")
    for path in (folder / "train" / "leaning").iterdir():
        path.unlink()
    assert str(folder / "train" / "leaning") in refusal(load, folder)


@pytest.mark.parametrize("name, first", [("cifar10", "airplane"), ("fashion_mnist", "top")])
def test_keras_own_data_sets_are_recognised_by_name_and_not_distorted(
    name, first, tmp_path, monkeypatch
):
    shape = (32, 32, 3) if name == "cifar10" else (28, 28)
    x, y = np.full((4, *shape), 255, "uint8"), np.uint8([[9], [0], [1], [2]])
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: ((x, y), (x, y)))
    (_, labels), (x_test, _), names = load(name)
    assert labels.tolist() == [9, 0, 1, 2] and x_test.shape == x.shape
    assert len(names) == 10 and names[0] == first

    monkeypatch.setattr(dlm, "augment", None)
    run_here("--data", name, "--epochs", 1, "--output-dir", tmp_path)
    assert (tmp_path / f"{name}_cnn_model.h5").exists()
