"""Data of one's own: every kind is read rightly, or refused in one line that names the fault."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

import deep_learning_model as dlm
from conftest import Trap, idx, refusal, run_here


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


def test_a_good_npz_is_accepted(tmp_path):
    np.savez(tmp_path / "good.npz", **arrays())
    (x_train, y_train), (x_test, y_test), names = dlm.load_data([str(tmp_path / "good.npz")])
    assert x_train.shape == (6, 28, 28) and x_test.shape == (4, 28, 28)
    assert y_train.tolist() == [0, 1, 2, 3, 4, 5] and y_test.tolist() == [0, 1, 2, 3]


NAN = np.zeros((6, 28, 28), "float32")
NAN[3, 5, 5] = np.nan


@pytest.mark.parametrize(
    "name, changes",
    [
        ("y_test", {"y_test": None}),
        ("x_train", {"x_train": None}),
        ("x_test", {"x_train": np.zeros((6, 27, 28))}),
        ("x_train", {"x_train": np.zeros((6, 9, 28))}),
        ("x_train", {"x_train": np.zeros((6, 28, 28, 2))}),
        ("y_train", {"y_train": np.array([0, 1, 2, 3, 4, 1000])}),
        ("x_train", {"x_train": np.zeros((6, 784))}),
        ("x_train", {"x_train": np.zeros(())}),
        ("x_train", {"x_train": np.zeros((0, 28, 28)), "y_train": np.zeros(0, int)}),
        ("x_test", {"x_test": np.zeros((4, 28, 28, 3))}),
        ("y_train", {"y_train": np.arange(5)}),
        ("y_train", {"y_train": np.zeros((6, 10), int)}),
        ("y_train", {"y_train": np.arange(6.0)}),
        ("y_train", {"y_train": np.array(list("012345"))}),
        ("y_test", {"y_test": np.array([0, 1, 2, 10])}),
        ("y_test", {"y_test": np.array([0, 1, 2, -1])}),
        ("x_train", {"x_train": NAN}),
        ("x_train", {"x_train": np.full((6, 28, 28), np.inf)}),
        ("x_train", {"x_train": np.full((6, 28, 28), 256)}),
        ("x_test", {"x_test": np.full((4, 28, 28), -1)}),
        ("x_test", {"x_test": np.zeros((4, 28, 28), complex)}),
        ("x_train", {"x_train": np.zeros((6, 28, 28), bool).astype(str)}),
    ],
)
def test_bad_arrays_are_refused_by_name(name, changes, tmp_path):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    message = refusal(dlm.load_data, [str(tmp_path / "bad.npz")])
    assert name in message and "bad.npz" in message


def test_pickled_objects_are_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "pickled.npz", **arrays(x_train=np.array([Trap()], dtype=object)))
    assert "pickled.npz" in refusal(dlm.load_data, [str(tmp_path / "pickled.npz")])
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"some text\n", b"PK\x03\x04 no zip", None])
def test_what_is_no_npz_is_refused(content, tmp_path):
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    message = refusal(dlm.load_data, [str(path)])
    # NumPy takes every unknown file for a pickle.
    assert "data.npz" in message and "pickle" not in message


def test_the_command_refuses_damaged_data_in_one_short_line_and_writes_nothing(
    run_script, tmp_path
):
    np.savez(tmp_path / "damaged.npz", **arrays())
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[26:28] = b"\xff\xff"  # the length of the first member's name
    (tmp_path / "damaged.npz").write_bytes(content)
    result = run_script("--data", tmp_path / "damaged.npz", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "damaged.npz" in result.stderr and len(result.stderr) < 700
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.npz"]


def test_a_truncated_npz_and_an_npy_are_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", **arrays())
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "one.npy", np.zeros((6, 28, 28)))
    for name in "half.npz", "one.npy":
        assert name in refusal(dlm.load_data, [str(tmp_path / name)])


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (32, 32, 3), (10, 17)])
def test_images_of_any_shape_that_fits_the_network_are_accepted(shape, tmp_path):
    ones = arrays(x_train=np.ones((6, *shape)), x_test=np.ones((4, *shape)))
    np.savez(tmp_path / "good.npz", **ones)
    (x_train, _), _, names = load(tmp_path / "good.npz")
    assert x_train.shape == (6, *shape) and names == list("012345")
    channels = shape[2] if len(shape) == 3 else 1
    assert dlm.normalize(x_train).shape == (6, *shape[:2], channels)


@pytest.mark.parametrize(
    "dtype, largest", [("uint8", 255), ("int8", 127), (">i4", 300), (">u2", 9)]
)
def test_labels_of_every_type_are_counted_rightly(dtype, largest, tmp_path):
    y_train = np.array([0, 1, 2, 3, 4, largest]).astype(dtype)
    np.savez(tmp_path / "data.npz", **arrays(y_train=y_train, y_test=y_train[:4]))
    (_, labels), _, names = load(tmp_path / "data.npz")
    assert labels.tolist() == [0, 1, 2, 3, 4, largest] and labels.dtype == np.int64
    assert len(names) == largest + 1 and names[-1] == str(largest)


@pytest.mark.parametrize("dtype", [">i4", ">f4", ">f8", "longdouble", "float16", "int64"])
def test_images_of_every_type_are_normalized_like_bytes(dtype):
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12)).astype("uint8")
    images[0, 0, 0] = 255
    expected = dlm.normalize(images).numpy()
    checked = dlm.check_images("x_train", images.astype(dtype))
    np.testing.assert_array_equal(dlm.normalize(checked).numpy(), expected)


@pytest.mark.parametrize("brightest", [1.001, 2.0, 16.0, 127.9])
def test_floats_that_suit_neither_1_nor_255_are_refused_with_their_value(brightest, tmp_path):
    x_train = np.zeros((6, 28, 28))
    x_train[2, 3, 4] = brightest
    np.savez(tmp_path / "data.npz", **arrays(x_train=x_train))
    message = refusal(load, tmp_path / "data.npz")
    assert str(brightest) in message and "x_train" in message and "data.npz" in message


def test_training_and_test_images_are_each_normalized_by_their_own_kind(tmp_path):
    changes = {"x_train": np.full((6, 28, 28), 0.5), "x_test": np.full((4, 28, 28), 51, "uint8")}
    np.savez(tmp_path / "data.npz", **arrays(**changes))
    (x_train, _), (x_test, _), _ = load(tmp_path / "data.npz")
    assert dlm.normalize(x_train).numpy().max() == 0.5
    assert dlm.normalize(x_test).numpy().max() == pytest.approx(0.2)


# --- CSV. ---


PIXELS = np.arange(3 * 784).reshape(3, 784) % 256
HEADER = "label," + ",".join(f"{i // 28 + 1}x{i % 28 + 1}" for i in range(784))


def csv_lines(labels=(7, 0, 2), pixels=PIXELS):
    return [",".join(map(str, [label, *row])) for label, row in zip(labels, pixels)]


QUOTED = ['"' + line.replace(",", '","') + '"' for line in [HEADER, *csv_lines()]]


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
    assert x_test.shape == (2, 28, 28)
    assert names == list("01234567")


@pytest.mark.parametrize(
    "number, line",
    [
        (1, "7,0,0"),
        (2, csv_lines()[1] + ",5"),
        (2, csv_lines()[1].rpartition(",")[0]),
        (3, csv_lines()[2] + "7"),
        (2, "1" + ",300" * 784),
        (2, "-1" + ",0" * 784),
        (3, "3" + ",x" * 784),
        (3, "3" + ",0.5" * 784),
        (1, "256" + ",0" * 784),
        (2, "1" + ",0" * 783 + ","),
        (2, "1;" * 784),
        (3, "\0" * 20),
        (2, "9" * 2_000_000),
    ],
)
def test_a_bad_row_is_refused_with_its_file(number, line, tmp_path):
    lines = csv_lines()
    lines[number - 1] = line
    train, test = write(tmp_path / "train.csv", lines), write(tmp_path / "test.csv", csv_lines())
    for source in [train, test], [test, train]:
        assert "train.csv" in refusal(load, *source)


@pytest.mark.parametrize("character", ["\u0663", "\u3000", "\U0001f600", "\U0010ffff"])
def test_what_is_not_ascii_is_refused_before_numpy_reads_it(character, tmp_path):
    lines = ["größe" + HEADER, csv_lines()[0], "1" + f",{character}" * 784]
    train = write(tmp_path / "train.csv", lines)
    message = refusal(dlm.load_data, [str(train), str(train)])
    assert "train.csv" in message and "numbers" in message  # NumPy 2.4 can crash at such characters


def test_a_web_address_is_not_asked(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", None)
    address = "http://localhost/train.csv"
    assert "No such file" in refusal(dlm.load_data, [address, address])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        HEADER.encode() + b"\n",
        b"\x89PNG\r\n\x1a\n\0\0",
        b"\xff\xfe1\0,\0",
        b"PK\x03\x04",
    ],
)
def test_what_is_no_csv_is_refused(content, tmp_path):
    (tmp_path / "odd.csv").write_bytes(content)
    good = write(tmp_path / "good.csv", csv_lines())
    assert "odd.csv" in refusal(dlm.load_data, [str(tmp_path / "odd.csv"), str(good)])
    assert "absent.csv" in refusal(dlm.load_data, [str(good), str(tmp_path / "absent.csv")])


def test_a_label_only_in_the_test_data_is_refused(tmp_path):
    train = write(tmp_path / "train.csv", csv_lines())
    test = write(tmp_path / "test.csv", csv_lines((7, 8, 0)))
    assert "y_test" in refusal(dlm.load_data, [str(train), str(test)])


def test_three_words_are_refused(tmp_path):
    good = str(write(tmp_path / "good.csv", csv_lines()))
    assert "--data" in refusal(dlm.load_data, [good, good, good])
    assert "--data" in refusal(dlm.load_data, ["mnist", "cifar10"])


def test_a_csv_file_without_labels_is_told_so(tmp_path):
    good = write(tmp_path / "train.csv", csv_lines())
    kaggle = write(tmp_path / "test.csv", [line.partition(",")[2] for line in csv_lines()])
    message = refusal(load, good, kaggle)
    assert "test.csv" in message and "784 columns" in message and "labels" in message


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_a_single_csv_file_is_told_that_two_are_needed(name, tmp_path):
    good = write(tmp_path / name, csv_lines())
    assert "TRAIN.csv TEST.csv" in refusal(load, good)


# --- IDX. ---


IDX = {
    "train-images-idx3-ubyte": PIXELS.reshape(3, 28, 28).astype("uint8"),
    "train-labels-idx1-ubyte": np.uint8([7, 0, 2]),
    "t10k-images-idx3-ubyte": PIXELS[:2].reshape(2, 28, 28).astype("uint8"),
    "t10k-labels-idx1-ubyte": np.uint8([2, 7]),
}


def idx_folder(folder, packed=False, **changes):
    folder.mkdir(exist_ok=True)
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


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\0\0\x08",
        WHOLE[:-1],
        WHOLE[:10],
        WHOLE + b"\0",
        b"\0\0\x0d" + WHOLE[3:],
        b"GIF89a" * 100,
        b"\0\0\x08\x03" + b"\xff" * 12 + WHOLE[16:],
        b"\0\0\x08\x00" + WHOLE[4:],
        b"\0\0\x08\xff" + WHOLE[4:],
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_idx_file_is_refused_by_name(content, packed, tmp_path):
    folder = idx_folder(tmp_path / "data", packed, train_images_idx3=content)
    assert "train-images-idx3-ubyte" in refusal(dlm.load_data, [str(folder)])


def test_a_truncated_gzip_file_is_refused_by_name(tmp_path):
    folder = idx_folder(tmp_path / "data", packed=True)
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    assert "t10k-labels-idx1-ubyte" in refusal(dlm.load_data, [str(folder)])


def test_idx_labels_and_images_must_be_equally_many(tmp_path):
    folder = idx_folder(tmp_path / "data", t10k_labels_idx1=idx(np.uint8([2, 7, 0])))
    assert "y_test" in refusal(dlm.load_data, [str(folder)])


# --- Pictures. ---


def pictures(folder, names=("cat", "dög"), size=(28, 28), mode="L", suffix=".png"):
    for split, n in ("train", 3), ("test", 2):
        for brightness, name in enumerate(names, 1):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                picture = Image.new("L", size, 50 * brightness + i).convert(mode)
                picture.save(folder / split / name / f"{i}{suffix}")
    return folder


@pytest.mark.parametrize(
    "size, mode, suffix",
    [
        ((28, 28), "L", ".png"),
        ((100, 60), "RGB", ".png"),
        ((5, 5), "P", ".gif"),
        ((32, 32), "RGB", ".bmp"),
        ((64, 64), "L", ".JPG"),
        ((28, 28), "RGBA", ".png"),
    ],
)
def test_pictures_become_small_and_grey_and_their_folders_are_the_classes(
    size, mode, suffix, tmp_path, capsys
):
    folder = pictures(tmp_path / "my pictures", size=size, mode=mode, suffix=suffix)
    (folder / "train" / "cat" / ".DS_Store").write_bytes(b"no picture")
    (x_train, y_train), (x_test, y_test), names = load(folder)
    assert names == ["cat", "dög"] and x_train.dtype == np.uint8 and x_train.shape == (6, 28, 28)
    assert y_train.tolist() == [0, 0, 0, 1, 1, 1] and y_test.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(x_train[:, 14, 14], [50, 51, 52, 100, 101, 102], atol=1)
    np.testing.assert_allclose(x_test[:, 0, 0], [50, 51, 100, 101], atol=1)
    assert capsys.readouterr().out.count("Read 3 pictures") == 2


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_is_put_on_white_as_viewers_do(mode, tmp_path):
    picture = Image.new("LA", (28, 28), (0, 0))
    picture.paste((0, 255), (10, 10, 18, 18))  # black ink on a transparent ground
    picture = picture.convert("RGBA")
    picture = picture.quantize(2) if mode == "P" else picture.convert(mode)
    path = tmp_path / "ink.png"
    picture.save(path)
    grey = np.array(dlm.read_picture(path))
    assert grey[0, 0] == 255 and grey[14, 14] == 0


@pytest.mark.parametrize(
    "mode, suffix", [("CMYK", ".jpg"), ("P", ".gif"), ("1", ".png"), ("YCbCr", ".jpg")]
)
def test_pictures_of_all_modes_become_grey(mode, suffix, tmp_path):
    picture = Image.new("L", (28, 28), 255)
    picture.paste(0, (10, 10, 18, 18))
    picture.convert("RGB").convert(mode).save(tmp_path / f"ink{suffix}")
    grey = np.array(dlm.read_picture(tmp_path / f"ink{suffix}")).astype(int)
    assert grey.shape == (28, 28) and grey[0, 0] > 250 and grey[14, 14] < 5


@pytest.mark.parametrize(
    "dtype, suffix", [("uint16", ".png"), ("int32", ".tif"), ("float32", ".tif")]
)
def test_pictures_with_more_than_8_bits_are_refused_by_name(dtype, suffix, tmp_path):
    Image.fromarray(np.full((28, 28), 200, dtype)).save(tmp_path / f"deep{suffix}")
    message = refusal(dlm.read_picture, tmp_path / f"deep{suffix}")
    assert f"deep{suffix}" in message and "8 bits" in message


def test_a_photo_is_turned_upright_by_its_exif_tag(tmp_path):
    picture = Image.new("L", (28, 20), 255)
    picture.paste(0, (0, 0, 14, 20))  # the left half is black
    exif = Image.Exif()
    exif[274] = 6  # turn clockwise by a quarter: left goes to the top
    picture.save(tmp_path / "photo.jpg", exif=exif)
    grey = np.array(dlm.read_picture(tmp_path / "photo.jpg"))
    assert grey.shape == (28, 20) and grey[:10].max() < 30 and grey[-10:].min() > 225


def break_text(folder):
    (folder / "train" / "dög" / "1.png").write_text("no picture")
    return "1.png"


def break_cut(folder):
    path = folder / "test" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:50])
    return "0.png"


def break_empty_class(folder):
    (folder / "train" / "empty").mkdir()
    (folder / "test" / "empty").mkdir()
    return "empty"


def break_names(folder):
    (folder / "test" / "cat").rename(folder / "test" / "cow")
    return "test"


def break_missing(folder):
    (folder / "test").rename(folder / "validation")
    return "test"


def break_no_class(folder):
    for name in "cat", "dög":
        for split in "train", "test":
            (folder / split / name).rename(folder / f"{split} {name}")
    return "train"


def break_folder(folder):
    (folder / "train" / "cat" / "deeper.png").mkdir()
    return "deeper.png"


def break_bomb(folder):
    Image.new("1", (14_000, 14_000)).save(folder / "test" / "dög" / "bomb.png")
    return "bomb.png"


def break_bits(folder):
    Image.fromarray(np.full((28, 28), 60_000, "uint16")).save(folder / "train" / "cat" / "deep.png")
    return "deep.png"


@pytest.mark.parametrize(
    "damage",
    [
        break_text,
        break_cut,
        break_empty_class,
        break_names,
        break_missing,
        break_no_class,
        break_folder,
        break_bomb,
        break_bits,
    ],
)
def test_bad_pictures_are_refused_by_name(damage, tmp_path):
    folder = pictures(tmp_path / "pictures")
    culprit = damage(folder)
    assert culprit in refusal(load, folder)


# --- Through the whole program. ---


@pytest.mark.parametrize(
    "architecture, parameters", [("cnn", "121,930"), ("cnn-dropout", "225,034"), ("dnn", "235,146")]
)
def test_every_network_is_trained_saved_and_named(
    architecture, parameters, small_npz, tmp_path, capsys
):
    import keras

    options = ["--epochs", 2, "--architecture", architecture, "--output-dir", tmp_path]
    run_here("--data", small_npz, *options)
    output = capsys.readouterr()
    name = f"mnist_{architecture.replace('-', '_')}_model.h5"
    assert parameters in output.out and name in output.out.splitlines()[-1] and output.err == ""
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    with np.load(small_npz) as data:
        x, y = dlm.normalize(data["x_test"]), data["y_test"]
    _, accuracy = keras.models.load_model(tmp_path / name).evaluate(x, y, verbose=0)
    assert accuracy == pytest.approx(metrics["test_accuracy"]) and accuracy > 0.3


# Keras 3.15 against NumPy 2.4:
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_keras_file_is_written_on_request_and_can_be_trained_on(small_npz, tmp_path):
    import keras

    options = ["--epochs", 1, "--format", "keras", "--output-dir", tmp_path]
    run_here("--data", small_npz, *options)
    model = keras.models.load_model(tmp_path / "mnist_cnn_model.keras")
    with np.load(small_npz) as data:
        x, y = dlm.normalize(data["x_test"]), data["y_test"]
    _, accuracy = model.evaluate(x, y, verbose=0)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert accuracy == pytest.approx(metrics["test_accuracy"])
    model.fit(x, y, verbose=0)
    assert not (tmp_path / "mnist_cnn_model.h5").exists()


def test_pictures_of_three_classes_become_a_model_of_three_classes(tmp_path):
    import keras

    folder = pictures(tmp_path / "Möwen und-mehr", names=("a", "b", "c"))
    run_here("--data", folder, "--epochs", 1, "--output-dir", tmp_path / "output")
    model = keras.models.load_model(tmp_path / "output" / "Möwen und-mehr_cnn_model.h5")
    assert model.output_shape == (None, 3)


def test_colour_images_are_trained_on(tmp_path, monkeypatch):
    import keras

    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "colour.npz",
        x_train=rng.integers(0, 256, (40, 32, 32, 3), "uint8"),
        y_train=np.arange(40) % 4,
        x_test=rng.integers(0, 256, (20, 32, 32, 3), "uint8"),
        y_test=np.arange(20) % 4,
    )
    monkeypatch.chdir(tmp_path)
    run_here("--data", "colour.npz", "--epochs", 1)
    model = keras.models.load_model(tmp_path / "colour_cnn_model.h5")
    assert model.input_shape == (None, 32, 32, 3)


def test_a_validation_split_is_held_out_of_the_training(small_npz, tmp_path, capsys):
    options = ["--epochs", 1, "--validation-split", 0.5, "--output-dir", tmp_path]
    run_here("--data", small_npz, *options)
    assert "10/10" in capsys.readouterr().out  # 300 of the 600 images, 32 a step
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["epochs"]["val_loss"][-1] != pytest.approx(metrics["test_loss"], rel=1e-3)


def test_keras_own_data_sets_are_recognised_by_name(monkeypatch):
    import keras

    data = (
        (np.zeros((4, 32, 32, 3), "uint8"), np.uint8([[9], [0], [1], [2]])),
        (np.ones((1, 32, 32, 3), "uint8"), np.uint8([[9]])),
    )
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: data)
    (_, y_train), (x_test, _), names = load("cifar10")
    assert y_train.tolist() == [9, 0, 1, 2] and x_test.shape == (1, 32, 32, 3)
    assert names[:2] == ["airplane", "automobile"]
    grey = (
        (np.zeros((2, 28, 28), "uint8"), np.uint8([9, 0])),
        (np.zeros((1, 28, 28), "uint8"), np.uint8([0])),
    )
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: grey)
    assert len(load("fashion_mnist")[2]) == 10
