"""The user's own data: every kind is read rightly, or refused in one line that names the fault."""

import gzip
import io
import os
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import deep_learning_model as dlm
from conftest import draw_bar, idx, refusal, run, run_here


def load(*source):
    return dlm.load_data([str(word) for word in source])


# --- .npz. ---


def one_bright(value):
    images = np.zeros((6, 28, 28), np.array(value).dtype)
    images[2, 3, 4] = value
    return images


def arrays(**changes):
    good = {
        "x_train": one_bright(np.uint8(255)),
        "y_train": np.array([0, 1, 2, 3, 4, 4]),
        "x_test": one_bright(255.0)[:4],
        "y_test": np.arange(4, dtype="uint8"),
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def save(folder, **changes):
    np.savez(folder / "data.npz", **arrays(**changes))
    return folder / "data.npz"


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
    ("x_train", one_bright(0)),
    ("x_train", one_bright(np.nan)),
    ("x_train", one_bright(np.inf)),
    ("x_train", one_bright(256)),
    ("x_train", one_bright(1.001)),
    ("x_train", one_bright(127)),
    ("y_train", np.zeros(6, int)),
    ("y_train", np.arange(6)),  # an index, such as Kaggle's ImageId
    ("y_train", np.array([0, 1, 2, 3, 4, np.nan])),
    ("x_test", np.full((4, 28, 28), -1)),
    ("x_test", np.zeros((4, 28, 28), complex)),
    ("x_train", np.zeros((6, 28, 28), object)),
    ("x_train", np.zeros((6, 28, 28), "U1")),
    ("x_test", np.zeros((4, 28, 28), "i1,i1")),
]


@pytest.mark.parametrize("name, array", BAD_ARRAYS)
def test_bad_arrays_are_refused_with_what_is_wrong_and_no_unsafe_advice(name, array, tmp_path):
    message = refusal(load, save(tmp_path, **{name: array}))
    assert "data.npz" in message and "allow_pickle" not in message
    assert name in message or re.search(
        "images (are|[(])|pixels range|have the classes|these labels|are missing", message
    )


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
    images = np.linspace(0, 1, 6 * np.prod(shape)).reshape(6, *shape)
    (x_train, _), _, names = load(save(tmp_path, x_train=images, x_test=images[:4]))
    assert x_train.shape == (6, *(*shape, 1)[:3]) and names == list("01234")


LABELS = [  # as given, and as named
    ([5, 5, 3, 9, 3, 5], list("553935"), ["3", "5", "9"]),
    ([-1, 1999, 2001, -1], ["-1", "1999", "2001", "-1"], ["-1", "1999", "2001"]),
    ([2**60 + 1, 2**60, 2**60], [str(2**60 + 1), *[str(2**60)] * 2], [str(2**60), str(2**60 + 1)]),
    (list("badb"), list("badb"), list("abd")),
    (["größe", "b c", "10", "b c"], ["größe", "b c", "10", "b c"], ["10", "b c", "größe"]),
    (["10", "9", "9.0", "10"], ["10", "9", "9", "10"], ["9", "10"]),
    (["1e3", "1000", "1_0", "10", "01", "1", "1"], None, ["01", "1", "10", "1000", "1_0", "1e3"]),
    ([2.0, 1.0, 0.0, 0.0], list("2100"), ["0", "1", "2"]),
    ([True, False, True, False], None, ["False", "True"]),
    ([b"dog", b"cat ", b" dog"], ["dog", "cat", "dog"], ["cat", "dog"]),
    ([b"\xff", b"\xfe", b"\xff"], ["\\xff", "\\xfe", "\\xff"], ["\\xfe", "\\xff"]),
]


@pytest.mark.parametrize("labels, named, names", LABELS)
def test_labels_are_whole_numbers_or_words_in_their_own_order(labels, named, names, tmp_path):
    """Words that Python would take for one number stay apart. CIFAR-10's labels are a column."""
    named = named or list(map(str, labels))
    for column in np.array(labels), np.array(labels)[:, None]:
        images = np.linspace(0, 1, len(labels) * 100).reshape(-1, 10, 10)
        np.savez(
            tmp_path / "data.npz", x_train=images, y_train=column, x_test=images, y_test=column
        )
        (_, y_train), (_, y_test), found = load(tmp_path / "data.npz")
        assert found == names and [names[i] for i in y_train] == named
        assert y_test.tolist() == y_train.tolist()


def test_test_data_may_lack_classes_but_not_have_new_ones(tmp_path):
    path = save(tmp_path, y_train=np.array(list("abcabc")), y_test=np.array(list("cccc")))
    (_, _), (_, y_test), names = load(path)
    assert names == list("abc") and y_test.tolist() == [2, 2, 2, 2]
    message = refusal(load, save(tmp_path, y_test=np.array([0, 41, 42, 1])))
    assert "only the test data" in message and "41" in message and "42" in message


def test_more_than_a_thousand_labels_are_refused(tmp_path):
    images = np.full((3000, 10, 10), 255, "uint8")
    np.savez(tmp_path / "data.npz", x=images, label=np.arange(3000) // 2)
    message = refusal(load, tmp_path / "data.npz")
    assert "1,500 different" in message and "labels?" in message


def part(n, first="x", second="y", classes=2):
    """Return arrays of n images, each of its own brightness, and labels under two names."""
    images = np.linspace(0.5, 1, n).reshape(n, 1, 1) * np.ones((n, 10, 12))
    return {first: images, second: np.arange(n) % classes}


@pytest.mark.parametrize("names", [("X", "y"), ("x_train", "y_train"), ("test_x", "test_y")])
def test_of_one_part_alone_a_seventh_is_held_out_by_the_seed_and_a_line_says_so(
    names, tmp_path, capsys
):
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


@pytest.mark.parametrize(
    "training, test",
    [
        (("x_train", "y_train"), ("x_test", "y_test")),
        (("train_images", "train_labels"), ("test_images", "test_labels")),
        (("Train_X", "Train_Y"), ("X_Test", "Y_Test")),
        (("x_train", "y_train"), ("x_t10k", "y_t10k")),
        (("images", "labels"), ("test_images", "test_labels")),
    ],
)
def test_arrays_are_found_by_what_their_names_say(training, test, tmp_path):
    others = part(5, "val_images", "val_labels")  # left alone, as medmnist's
    others = others if "rain" in training[0] else {}
    np.savez(tmp_path / "both.npz", **part(6, *training), **part(4, *test), **others)
    np.savez(tmp_path / "train.npz", **part(6, *training))
    np.savez(tmp_path / "test.npz", **part(4, *test))
    in_order = [tmp_path / "train.npz", tmp_path / "test.npz"]
    for sources in [tmp_path / "both.npz"], in_order:
        (x_train, y_train), (x_test, y_test), names = load(*sources)
        assert x_train.shape == (6, 10, 12, 1) and x_test.shape == (4, 10, 12, 1)
        assert y_train.tolist() == [0, 1] * 3 and y_test.tolist() == [0, 1] * 2
    assert "of two sources" in refusal(load, tmp_path / "both.npz", tmp_path / "test.npz")
    assert "of two sources" in refusal(load, *in_order[::-1])
    for name, path in zip("ab", in_order):  # whose arrays say it, whatever the files are called
        path.rename(tmp_path / f"{name}.npz")
    assert "of two sources" in refusal(load, tmp_path / "b.npz", tmp_path / "a.npz")


def test_arrays_that_tell_nothing_are_named_with_the_way_to_write_them(tmp_path):
    np.savez(tmp_path / "data.npz", a=np.zeros((3, 28, 28)), b=np.zeros(3), c=np.zeros((3, 784)))
    message = refusal(load, tmp_path / "data.npz")
    for words in "a (3, 28, 28)", "c (3, 784)", "np.savez(", "x_train=":
        assert words in message
    np.save(tmp_path / "data.npy", np.zeros((3, 28, 28)))
    assert "np.savez(" in refusal(load, tmp_path / "data.npy")


@pytest.mark.parametrize("dtype", [">i4", ">f4", ">f8", "longdouble", "float16", "int64"])
def test_images_of_every_type_are_normalized_like_bytes(dtype, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12)).astype("uint8")
    images[0, 0, 0] = 255
    x_test = np.linspace(0, 0.5, 4 * 144).reshape(4, 12, 12)  # which have a scale of their own
    (x_train, _), (x_test, _), _ = load(save(tmp_path, x_train=images.astype(dtype), x_test=x_test))
    np.testing.assert_array_equal(dlm.normalize(x_train)[..., 0], dlm.normalize(images))
    assert dlm.normalize(x_test).max() == 0.5


# --- CSV. ---


PIXELS = np.arange(4 * 784).reshape(4, 784) % 256
HEADER = "label," + ",".join(f"{i // 28 + 1}x{i % 28 + 1}" for i in range(784))


def csv_lines(pixels=PIXELS, labels=(7, 0, 2, 2)):
    return [",".join(map(str, [label, *row])) for label, row in zip(labels, pixels.tolist())]


def floats(line):
    return line.replace(",", ".0,") + ".0"


QUOTED = ['"' + line.replace(",", '","') + '"' for line in [HEADER, *csv_lines()]]
PANDAS = ",".join(map(str, range(785)))  # how pandas heads columns without names
PANDAS_AGAIN = "7,0," + ",".join(f"0.{i}" for i in range(1, 784))  # taken for names, made unique


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
        ("train.csv", [PANDAS_AGAIN, *csv_lines()], "\n", "utf-8"),
        ("train.csv", [line.replace(",", ", ") for line in csv_lines()], "\n", "utf-8"),
        ("TRAIN.CSV", [HEADER, *map(floats, csv_lines())], "\n", "utf-8"),
        ("train.csv", csv_lines(PIXELS / 255), "\n", "utf-8"),
        ("träin set.csv.gz", [HEADER, *csv_lines()], "\n", "utf-8"),
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


BAD_ROWS = [
    "7,0,0",
    csv_lines()[1] + ",5",
    csv_lines()[2] + "7",
    "1" + ",0" * 783 + ",",
    "1,",
    "1,#",
]
BAD_ROWS += ["7" + f",{cell}" * 784 for cell in (300, -1, "x", "\u0663", "\U0010ffff")]
BAD_ROWS += ["1;" * 784, "\0" * 20, "9" * 2_000_000]


@pytest.mark.parametrize("line", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_row_is_refused_with_its_file(line, tmp_path):
    good = write(tmp_path / "good.csv", csv_lines())
    bad = write(tmp_path / "bad.csv", [*csv_lines()[:2], line])
    message = refusal(load, good, bad)
    assert "bad.csv" in message and re.search("each row must hold|pixels range from", message)


HEADER_LAST = HEADER.partition(",")[2] + ",Class"
NO_LABELS = [
    [",".join(f"pixel{i}" for i in range(784)), *(line.partition(",")[2] for line in csv_lines())],
    ["ImageId," + HEADER.partition(",")[2], *csv_lines(labels=(1, 2, 3, 4))],
    ["," + HEADER, *(f"{i},{line}" for i, line in enumerate(csv_lines()))],  # pandas' index
    [HEADER_LAST, *(line[2:] + ",7" for line in csv_lines())],
    [HEADER],
    [""],
    ["", HEADER, *csv_lines()],
    ["<!DOCTYPE html>"],
    [line.replace(",", ";") for line in csv_lines()],
    [line.replace(",", "\t") for line in csv_lines()],
]
NAMES = ["Kaggle's test.csv", "id", "index", "label last", "header", "empty", "blank line"]
NAMES += ["no data", "semicolons", "tabs"]


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize("lines", NO_LABELS, ids=NAMES)
def test_a_file_without_labels_or_images_is_told_so_and_what_to_do(lines, tmp_path):
    message = refusal(load, write(tmp_path / "test.csv", lines))
    assert "test.csv" in message and "allow_pickle" not in message
    wanted = "row must hold a label.* leave a file without labels out|0 different|are these labels"
    assert re.search(wanted, message)
    if lines[0][:1] in "<7":
        assert repr(lines[0][:15])[1:-1] in message  # how it begins


def test_words_that_are_no_source_and_more_than_two_sources_are_refused(tmp_path):
    good = write(tmp_path / "train.csv.gz", csv_lines())
    copy = write(tmp_path / "test.csv", csv_lines())
    same = [good, tmp_path / "." / ".." / tmp_path.name / "train.csv.gz"]
    third = write(tmp_path / "x.csv", csv_lines())
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


IDX_NAMES = [
    "{}-{}-{}-ubyte",
    "{}-{}-{}-ubyte.gz",
    "{}-{}.{}-ubyte",
    "MNIST/raw/{}-{}-{}-ubyte",
    "{0}-{1}-{2}-ubyte/{0}-{1}.{2}-ubyte",
    "gzip/emnist-letters-{}-{}-{}-ubyte.gz",
    "{}_{}_{}.UBYTE",
]


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


def test_a_file_that_is_there_twice_is_one_but_two_data_sets_are_named(tmp_path):
    folder = idx_folder(tmp_path / "data")
    for path in list(folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.with_name(path.name.replace("-idx", ".idx")).write_bytes(path.read_bytes())
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "t10k-labels-idx1-ubyte").write_bytes(idx(np.uint8([7, 2])))
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "link").symlink_to(folder)
    assert load(folder)[2] == load(tmp_path / "place")[2] == list("027")
    (folder / "other").mkdir()  # as torchvision's data/ has MNIST and Fashion-MNIST
    (folder / "other" / "train-labels-idx1-ubyte").write_bytes(idx(np.uint8([7, 0, 7, 2])))
    assert "5 different IDX files" in refusal(load, folder)


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
@pytest.mark.parametrize("names", [("0", "1"), ("lying", "ständing")])
def test_digits_are_prepared_as_such_and_other_pictures_are_resized(names, mode, suffix, tmp_path):
    folder = pictures(tmp_path / "my pictures", names, mode=mode, suffix=suffix)
    (folder / "train" / "note.txt").write_bytes(b"no picture")
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / ".ipynb_checkpoints" / "0.png").write_bytes(b"hidden")
    (folder / "train" / "__MACOSX" / names[0]).mkdir(parents=True)
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
def test_parts_have_one_of_two_names_or_none(train, test, tmp_path, capsys):
    folder = pictures(tmp_path / "pictures")
    (folder / "train").rename(folder / train)
    (folder / "test").rename(folder / test)
    (folder / "sheets").mkdir()
    draw_bar(folder / "valid" / "lying" / "0.png")
    for sources in [folder], [folder / train, folder / test]:
        (x_train, _), (x_test, _), names = load(*sources)
        assert len(x_train) == 6 and len(x_test) == 4 and names == ["lying", "ständing"]
    for i in range(4):
        draw_bar(folder / train / "lying" / f"more{i}.png")
    capsys.readouterr()
    assert "of two sources" in refusal(load, folder / test, folder / train)
    shutil.rmtree(folder / test)
    (x_train, _), (x_test, _), names = load(folder)
    assert len(x_train) == 9 and names == ["lying", "ständing"]
    capsys.readouterr()
    (x_train, _), (x_test, _), _ = load(folder / train)
    assert len(x_train) == 9 and len(x_test) == 1 and "1 images" in capsys.readouterr().out


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


BAD_PICTURES = {
    "text": b"no picture",
    "cut": png(Image.effect_noise((99, 99), 99))[:5000],
    "bomb": png(Image.new("1", (14_000, 14_000))),
    "folder": None,
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_is_named_and_left_out_and_a_class_of_such_is_refused(kind, tmp_path, capsys):
    folder = pictures(tmp_path / "pictures")
    path = folder / "train" / "lying" / "bad.png"
    path.mkdir() if kind == "folder" else path.write_bytes(BAD_PICTURES[kind])
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
        except OSError:
            pytest.skip("this system knows no such names")
        for i in range(4):
            draw_bar(Path(os.fsdecode(folder), f"{i}.png"), number % 2 == 0)
    (x_train, _), _, found = load(tmp_path)
    assert x_train.shape[1:] == (32, 32, 3)
    assert found == [str(name)[2:-1] if isinstance(name, bytes) else name for name in sorted(names)]


@pytest.mark.parametrize("other", ["test1", "val"])
def test_pictures_without_folders_of_classes_are_refused(other, tmp_path):
    """Else the model would learn to tell one folder from the other."""
    for folder in "train", other:
        for i in range(3):
            draw_bar(tmp_path / folder / f"{i}.png", i == 0)
    message = refusal(load, tmp_path)
    assert f"{tmp_path / 'train'} holds no folders of pictures" in message


def test_test_data_beside_classes_are_not_taken_for_the_training_data(tmp_path):
    folder = pictures(tmp_path / "pictures")
    for path in (folder / "train").iterdir():
        path.rename(folder / path.name)
    (folder / "train").rmdir()
    assert "has no train/" in refusal(load, folder)


def test_an_output_folder_within_the_data_is_refused(tmp_path):
    """Else the next run would take its figures for a class."""
    folder = pictures(tmp_path / "pictures")
    for output in folder / "results", folder / "train" / "a" / "b":
        message = refusal(run_here, "--data", folder, "--output-dir", output)
        assert f"{output}" in message and not output.exists()


def damaged(content, way, rng):
    """Return bytes with something cut off, cut out, inserted, replaced or repeated."""
    start, end = sorted(rng.integers(0, len(content), 2))
    noise = rng.bytes(int(rng.integers(1, 20)))
    ways = [content[:start], content[:start] + content[end:], content + content]
    ways.append(content[:start] + noise + content[start:])
    ways.append(content[:start] + noise + content[start + len(noise) :])
    return ways[way % len(ways)]


WRITERS = {
    "npz": save,
    "csv": lambda folder: write(folder / "train.csv", csv_lines(labels=(7, 0, 7, 0))),
    "idx": lambda folder: idx_folder(folder / "idx"),
    "pictures": lambda folder: pictures(folder / "pictures"),
}


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_files_are_refused_in_a_sentence_or_what_is_read_is_sound(kind, tmp_path):
    rng, refused = np.random.default_rng(0), 0
    for way in range(60):
        folder = tmp_path / str(way)
        folder.mkdir()
        source = WRITERS[kind](folder)
        path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        path.write_bytes(damaged(path.read_bytes(), way, rng))
        try:
            *parts, names = load(source)
        except (dlm.InputError, OSError) as error:
            assert len(str(error)) > 20
            refused += 1
            continue
        for x, y in parts:
            images = dlm.normalize(x)
            assert images.ndim == 4 and len(images) == len(y) > 0 and max(y) < len(names)
            assert 0 <= images.min() and images.max() <= 1
    assert refused or kind == "pictures"  # which are left out


def test_sources_of_different_kinds_agree_on_their_labels(tmp_path):
    folder = pictures(tmp_path / "pictures", ("0", "1")) / "train"
    test = write(tmp_path / "test.csv", csv_lines(PIXELS[:2], (1, 0)))
    _, (_, y_test), names = load(folder, test)
    assert names == ["0", "1"] and y_test.tolist() == [1, 0]


def test_labels_in_a_csv_file_may_be_words_but_not_missing(tmp_path):
    train = write(tmp_path / "train.csv", csv_lines(labels=("größe", "a b", "größe")))
    (_, y_train), _, names = load(train, write(tmp_path / "test.csv", csv_lines(labels=["a b"])))
    assert names == ["a b", "größe"] and y_train.tolist() == [1, 0, 1]
    lines = csv_lines(labels=("7", "", "7", "0"))
    assert "some labels are missing" in refusal(load, write(tmp_path / "train.csv", lines))


@pytest.mark.parametrize("name, first", [("cifar10", "airplane"), ("fashion_mnist", "top")])
def test_keras_own_data_sets_are_recognised_by_name_and_not_distorted(
    name, first, tmp_path, monkeypatch
):
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
