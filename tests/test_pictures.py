"""The user's own pictures: how one is prepared, and --predict from outside."""

import inspect
import json
import re
from pathlib import Path

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

import deep_learning_model as dlm
import drawing
from conftest import SCRIPT, draw_bar, refusal, run, run_here
from redraw import PHOTO_KINDS, PLAIN_KINDS, draw_ink, enlarge, numbers, redraw

KINDS = PLAIN_KINDS + PHOTO_KINDS[:6]


@pytest.fixture(scope="module")
def model_file(mnist, tmp_path_factory):
    """A model after 300 steps: good enough to tell digits from each other."""
    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = mnist
    training_data = dlm.normalize(x_train[:40_000]), y_train[:40_000]
    validation_data = dlm.normalize(x_test[:100]), y_test[:100]
    model = dlm.build_model()
    options = dlm.parse_args("--epochs 1 --batch-size 128".split())
    dlm.train(model, training_data, validation_data, options)
    path = tmp_path_factory.mktemp("model") / "mnist_cnn_model.h5"
    dlm.save_h5(model, path, list("0123456789"))
    return path


def pictures(mnist, kind, folder):
    """Draw the first 60 test images as pictures of that kind; return their paths."""
    rng, images = np.random.default_rng(1), mnist[1][0][:60]
    if kind == "enlarged":
        return [enlarge(image, folder / str(i)) for i, image in enumerate(images)]
    return [redraw(image, kind, rng, folder / str(i)) for i, image in enumerate(images)]


@pytest.mark.parametrize("kind", [*KINDS, "enlarged"])
def test_digits_of_every_kind_are_read(kind, model_file, mnist, tmp_path):
    """With the default run's model tests/digits.py asks for more."""
    prepared = [dlm.prepare_picture(path) for path in pictures(mnist, kind, tmp_path)]
    answers = dlm.load_model(model_file)[0].predict(np.array(prepared), verbose=0).argmax(axis=1)
    assert np.mean(answers == mnist[1][1][:60]) >= 0.93


def test_a_prepared_picture_is_as_mnists_makers_made_theirs(mnist, tmp_path):
    rng = np.random.default_rng(2)
    for i in range(20):
        path = redraw(mnist[1][0][i], KINDS[i % len(KINDS)], rng, tmp_path / str(i))
        image = dlm.prepare_picture(path)
        assert image.shape == (28, 28, 1) and image.dtype == np.float32
        assert image.min() == 0 and 0.95 < image.max() <= 1
        rows, columns = np.flatnonzero(image.any((1, 2))), np.flatnonzero(image.any((0, 2)))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
        y, x = np.mgrid[:28, :28]
        for axis, place in (y, rows), (x, columns):
            at_the_edge = place[0] == 0 or place[-1] == 27
            assert abs(np.average(axis, weights=image[..., 0]) - 14) < 0.6 or at_the_edge


FORMATS = ["RGB .jpg", "CMYK .jpg", "P .gif", "1 .bmp", "RGB .webp", "L .tif", "LA .png"]


@pytest.mark.parametrize("mode, suffix", [words.split() for words in FORMATS])
def test_every_usual_format_and_mode_is_read_alike(mode, suffix, mnist, tmp_path):
    ink = draw_ink(mnist[1][0][0], np.random.default_rng(4), (280, 280), (0.35, 0.9))
    small = Image.fromarray((255 * (1 - ink)).astype("uint8")).convert("RGB")
    small = ImageOps.expand(small, 60, "white")
    small.save(tmp_path / "small.png")
    large = ImageOps.expand(small.resize((3000, 3000)), 200)  # with a dark table all round
    large.convert(mode).save(tmp_path / f"large{suffix}")
    prepared = [dlm.prepare_picture(tmp_path / name) for name in ("small.png", f"large{suffix}")]
    assert np.abs(prepared[0] - prepared[1]).mean() < 0.02


def test_a_picture_may_be_a_path_a_file_an_image_or_an_array(mnist, tmp_path):
    """As programs with a canvas hold them; an array from 0 to 1 or 255, or of 16 bits."""
    path = redraw(mnist[1][0][4], "black on white", np.random.default_rng(9), tmp_path / "digit")
    expected = dlm.prepare_picture(path)
    image = Image.open(path)
    gray = np.asarray(image)
    forms = [str(path), image, image.convert("RGBA"), gray, gray[..., None], gray.astype(int)]
    forms += [np.dstack([gray] * 3), np.dstack([gray] * 3 + [np.full_like(gray, 255)])]
    forms += [gray / 255, np.float32(gray), np.uint16(gray) * 257, (gray / 255 - 0.13) / 0.31]
    with open(path, "rb") as file:
        for form in [file, *forms]:
            prepared = dlm.prepare_picture(form)
            np.testing.assert_allclose(prepared, expected, atol=0.05)
    assert dlm.prepare_picture(gray > 128).shape == expected.shape
    assert dlm.to_image(gray, (20, 30, 3), ["a", "b"]).shape == (20, 30, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("brightest", [65535, 4095])  # 4095: of a camera with 12 bits
def test_pictures_of_16_bits_are_read_like_those_of_8(suffix, brightest, mnist, tmp_path):
    rng = np.random.default_rng(10)
    for i in range(10):
        gray = np.asarray(Image.open(redraw(mnist[1][0][i], KINDS[1], rng, tmp_path / "eight")))
        path = tmp_path / f"sixteen{suffix}"
        exif = Image.Exif()
        exif[274] = 1 if suffix == ".tif" else 8  # a viewer rotates it back
        turned = gray if suffix == ".tif" else np.rot90(gray, -1)
        Image.fromarray(np.uint16(turned / 255 * brightest)).save(path, exif=exif)
        prepared = dlm.prepare_picture(path)
        np.testing.assert_allclose(prepared, dlm.prepare_picture(gray), atol=0.1)


@pytest.mark.parametrize("gaps, share", [((0.15, 1), 0.9), ((0, 0.1), 0.85)])
def test_a_number_is_read_from_left_to_right(gaps, share, mnist, model_file):
    """Where digits nearly touch, it is read or marked."""
    model, names = dlm.load_model(model_file)
    answers = [
        (dlm.classify(model, names, picture)[1], n) for picture, n in numbers(*mnist[1], 60, gaps)
    ]
    read = [answer.startswith(f"{number} (") for answer, number in answers]
    marked = [answer.startswith("unsure: ") for answer, _ in answers]
    assert np.mean(np.logical_or(read, marked)) >= share
    if gaps[0]:
        assert np.mean([f"{number} (" in answer for answer, number in answers]) >= share


BESIDE = {
    "comma": [[(146, 235), (138, 255)]],
    "minus": [[(10, 150), (50, 150)]],
    "speck": [[(20, 60), (24, 60)]],
    "a line below": [[(20, 330), (380, 330)]],
    "a ruled line": [[(0, 226), (420, 232)]],
    "two ruled lines": [[(0, 40), (420, 46)], [(0, 220), (420, 226)]],
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_stands_beside_a_number_is_not_read_as_a_digit(kind, model_file):
    model, names = dlm.load_model(model_file)
    picture = Image.new("L", (420, 360), "white")
    pen = ImageDraw.Draw(picture)
    for line in BESIDE[kind]:
        pen.line(line, "black", 4 if "line" in kind else 10)
    for shift, strokes in (40, drawing.FOUR), (190, drawing.FIVE):
        for stroke in strokes:
            pen.line([(shift + 0.7 * x, y) for x, y in stroke], "black", 12, joint="curve")
    answer = dlm.classify(model, names, picture)[1]
    assert "45 (" in answer or answer.startswith("unsure"), answer


def test_a_number_cropped_to_its_edges_keeps_its_digits(mnist):
    """But for digits that reach into a corner, as shadows do."""
    kept = []
    for picture, number in numbers(*mnist[1], 20, (0.3, 0.6)):
        ink = Image.fromarray(255 - np.asarray(picture)).point(lambda value: 255 * (value > 60))
        kept.append(len(dlm.find_digits(picture.crop(ink.getbbox()))) == len(number))
    assert np.mean(kept) >= 0.7


@pytest.mark.parametrize("kind", ["light falling off from the middle", "hard shadow"])
def test_a_shadow_is_no_digit_beside_the_digit(kind, mnist, tmp_path):
    paths = pictures(mnist, kind, tmp_path)[:40]
    assert np.mean([len(dlm.find_digits(path)) == 1 for path in paths]) >= 0.9


def test_of_several_digits_prepare_picture_takes_the_middle_one(mnist):
    for picture, number in numbers(*mnist[1], 10, (0.3, 0.6)):
        digits = dlm.find_digits(picture)
        assert digits.shape == (len(number), 28, 28, 1) and digits.dtype == np.float32
        middle = dlm.prepare_picture(picture)
        assert any(np.array_equal(middle, digit) for digit in digits)
        gray = np.asarray(picture)  # alone in the picture it is the same
        np.testing.assert_array_equal(dlm.find_digits(gray), digits)


@pytest.mark.parametrize("gap", [4, 10, 20])
def test_strokes_that_do_not_touch_are_one_digit(gap, model_file):
    strokes = {4: [[(180, 60), (180, 230)], [(173 - gap, 150), (80, 150), (110, 60)]]}
    strokes[7] = [[(80, 60), (183 - gap, 60)], [(190, 60), (130, 230)]]
    model, names = dlm.load_model(model_file)
    for digit, lines in strokes.items():
        picture = Image.new("L", (280, 280), "white")
        for line in lines:
            ImageDraw.Draw(picture).line(line, "black", 14, joint="curve")
        _, answer, _ = dlm.classify(model, names, picture)
        assert answer.startswith((f"{digit} (", "unsure")), answer


def test_a_model_of_other_classes_reads_whole_pictures_at_its_size_and_in_color(tmp_path, capsys):
    """Which preparing as digits would make alike: one bar is high in the picture, one low."""
    folder, colors = tmp_path / "signs", {"high red": "red", "low blue": "blue", "low red": "red"}
    rng = np.random.default_rng(12)
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for i in range(28):
            picture = Image.new("RGBA", (90, 70))  # transparent: white is behind it
            y = int(rng.integers(5, 15) + 40 * name.startswith("low"))
            picture.paste(color, (int(rng.integers(5, 20)), y, 70, y + 12))
            picture.save(folder / name / f"{i}.png")
    run_here("--data", folder, "--epochs", 8, "--batch-size", 8, "--output-dir", tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"] == 1
    capsys.readouterr()
    words = ["--model", tmp_path / "signs_cnn_model.h5", "--output-dir", tmp_path]
    run_here("--predict", *[folder / name / "3.png" for name in colors], *words)
    for name, line in zip(colors, capsys.readouterr().out.splitlines()):
        assert re.search(rf"3\.png: (unsure: )?{name} \(", line)


def test_prepare_picture_works_copied_alone(mnist, tmp_path):
    """With the functions that it calls, NumPy and Pillow, and nothing else of the script."""
    copied, waiting = [], [dlm.prepare_picture]
    while waiting:
        copied.append(waiting.pop())
        words = set(re.findall(r"\w+", inspect.getsource(copied[-1])))
        named = [getattr(dlm, word, None) for word in words]
        called = [
            each for each in named if inspect.isfunction(each) and each.__module__ == dlm.__name__
        ]
        waiting += [each for each in called if each not in copied + waiting]
    imports = re.findall(r"^import numpy.*|^from PIL .*", SCRIPT.read_text("utf-8"), re.M)
    alone = {}
    exec("\n".join([*imports, *map(inspect.getsource, copied)]), alone)
    for kind in KINDS:
        path = redraw(mnist[1][0][0], kind, np.random.default_rng(5), tmp_path / "picture")
        np.testing.assert_array_equal(alone["prepare_picture"](path), dlm.prepare_picture(path))
    Image.new("L", (50, 50)).save(tmp_path / "blank.png")
    with pytest.raises(ValueError, match="no ink"):
        alone["prepare_picture"](tmp_path / "blank.png")


@pytest.mark.parametrize("color", [0, 128, 255])
@pytest.mark.parametrize("noise", [0, 6])
def test_a_blank_picture_is_refused(color, noise, tmp_path):
    grey = color + np.random.default_rng(5).normal(0, noise, (300, 200))
    Image.fromarray(np.clip(grey, 0, 255).astype("uint8")).save(tmp_path / "blank.png")
    with pytest.raises(ValueError, match="no ink"):
        dlm.prepare_picture(tmp_path / "blank.png")


@pytest.mark.parametrize("drawn", ["5", "4", "1", "42"])
@pytest.mark.parametrize("scale, corner", [(1, 0), (0.5, 135)])  # the second, in a corner
def test_what_is_drawn_is_answered_and_a_key_wipes_it(drawn, scale, corner, model_file):
    figure = drawing.window(model_file)
    sheet, seen = figure.axes
    assert np.min(sheet.images[0].get_array()) == 255
    strokes = [
        [(corner + scale * (x + 180 * place), corner + scale * y) for x, y in stroke]
        for place, digit in enumerate(drawn)
        for stroke in drawing.DIGITS[digit]
    ]
    for _ in range(2):
        drawing.draw(figure, strokes)
        assert f"{drawn} (" in figure.get_suptitle()
        canvas = Image.fromarray(np.uint8(sheet.images[0].get_array()))
        expected = np.hstack(dlm.find_digits(canvas))[..., 0]
        assert len(expected[0]) == 28 * len(drawn)
        np.testing.assert_array_equal(seen.images[0].get_array(), expected)
        drawing.press_key(figure, " ")
        assert np.min(sheet.images[0].get_array()) == 255 and not figure.get_suptitle().strip()


def test_without_windows_draw_says_what_it_needs(model_file, tmp_path):
    environment = {"MPLBACKEND": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    result = run("--draw", "--model", model_file, cwd=tmp_path, env=environment)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "--draw needs a display" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_predict_prints_a_line_a_picture_in_their_order_and_draws_them(model_file, mnist, tmp_path):
    x_test, y_test = mnist[1]
    rng = np.random.default_rng(7)
    (tmp_path / "mnist_cnn_model.h5").write_bytes(model_file.read_bytes())
    digits = {"größe 3.png": 3, r"$x^$.png": 1, "a1.png": 2, "a[1].png": 0}  # formula, pattern
    for kind, (name, i) in zip(KINDS, digits.items()):
        redraw(x_test[i], kind, rng, tmp_path / "digit").rename(tmp_path / name)
    result = run("--predict", *digits, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    number = r"\d \(\d+\.\d%\)"
    for line, (name, i) in zip(lines, digits.items(), strict=True):
        answer = rf"(unsure: )?{y_test[i]} \((\d+\.\d)%\), then {number}, {number}"
        unsure, first = re.fullmatch(f"{re.escape(ascii(name)[1:-1])}: {answer}", line).groups()
        assert bool(unsure) == (float(first) < 85)
    assert last == f"Written to {tmp_path}: predictions.png"
    assert Image.open(tmp_path / "predictions.png").width >= 900


def test_a_model_reads_the_pictures_it_was_trained_on_and_names_their_classes(
    mnist, tmp_path, capsys
):
    """Both prepare them alike, though they are black on white here and MNIST is white on black."""
    (x_train, y_train), rng = mnist[0], np.random.default_rng(8)
    folder = tmp_path / "digits"
    for digit, name in {0: "0", 1: "1"}.items():
        for i in np.flatnonzero(y_train == digit)[:20]:
            for split in "train", "test":
                (folder / split / name).mkdir(parents=True, exist_ok=True)
                path = folder / split / name / str(i)
                redraw(x_train[i], "black on white", rng, path)
    options = ["--epochs", 10, "--batch-size", 8, "--output-dir", tmp_path]
    run_here("--data", folder, *options)
    capsys.readouterr()
    words = [folder / "train" / "0", folder / "train" / "1" / "*.png"]  # a folder and a pattern
    model = tmp_path / "digits_cnn_model.h5"
    run_here("--predict", *words, "--model", model, "--output-dir", tmp_path)
    *lines, _ = capsys.readouterr().out.splitlines()
    said = r"[/\\](\w)[/\\]\d+\.png: (?:unsure: )?(\w) \(.*, then (\w) \("
    answers = [re.search(said, line) for line in lines]
    assert len(answers) == 40 and {answer[3] for answer in answers} == {"0", "1"}
    assert sum(answer[1] == answer[2] for answer in answers) >= 39


def test_pictures_that_can_not_be_read_are_named_and_the_others_answered(
    model_file, tmp_path, capsys
):
    draw_bar(tmp_path / "pictures" / "first.png")
    draw_bar(tmp_path / "pictures" / "last.jpg")
    for name in ".DS_Store", "Thumbs.db", "desktop.ini":
        (tmp_path / "pictures" / name).write_text("no picture")
    (tmp_path / "pictures" / "middle.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    arguments = ["--model", model_file, "--output-dir", tmp_path, "--predict"]
    (tmp_path / "empty").mkdir()
    for nothing in "absent.png", "empty", "*.jpeg":
        words = [tmp_path / "pictures", tmp_path / nothing]
        assert f"no picture {tmp_path / nothing}" in refusal(run_here, *arguments, *words)
    assert capsys.readouterr().out == ""
    assert "some pictures" in refusal(run_here, *arguments, tmp_path / "pictures")
    output = capsys.readouterr()
    first, last = output.out.splitlines()[:2]
    assert "first.png: 1 (" in first and "last.jpg: 1 (" in last
    (heic,) = output.err.splitlines()
    assert "middle.heic" in heic and "as a picture" in heic
    assert (tmp_path / "predictions.png").exists()


def test_a_transparent_picture_stands_on_white_in_the_figure(tmp_path):
    Image.new("LA", (30, 30)).save(tmp_path / "transparent.png")
    answered = [(tmp_path / "transparent.png", np.zeros((1, 28, 28, 1)), "1 (99%)")]
    figure = dlm.plot_predictions(answered)
    assert figure.axes[0].images[0].get_array()[140, 140].tolist() == [255, 255, 255]


# Sixty subfigures collapsed, after ten minutes.
@pytest.mark.filterwarnings("error:constrained_layout")
def test_any_number_of_pictures_is_read_at_once_and_sixty_are_drawn(model_file, tmp_path, capsys):
    path = draw_bar(tmp_path / "one.png")
    arguments = ["--model", model_file, "--output-dir", tmp_path]
    run_here("--predict", *[path] * 70, *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "one.png: 1 (" in line]) == 70
    assert len([ax for ax in plt.gcf().axes if ax.images]) == 60


def test_a_folder_is_read_without_the_figure_of_the_run_before(model_file, mnist, tmp_path, capsys):
    (picture, number), *_ = numbers(*mnist[1], 1, (0.3, 0.6))
    picture.save(tmp_path / "number.png")
    arguments = ["--model", model_file, "--output-dir", tmp_path, "--predict", tmp_path]
    for _ in range(2):
        run_here(*arguments)
        line, last = capsys.readouterr().out.splitlines()
        assert re.search(rf"number\.png: (unsure: )?{number} \(\d+\.\d%\)$", line)
        assert last.endswith(": predictions.png")


@pytest.mark.filterwarnings("ignore:You are saving a model")
def test_what_predict_can_not_use_is_named(model_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_bar(Path("good.png"))
    untrained = dlm.build_model("dnn")
    dlm.save_h5(untrained, Path("untrained.h5"), list("0123456789"))
    run_here("--predict", "good.png", "--model", "untrained.h5")
    assert capsys.readouterr().out.startswith("good.png: unsure: ")
    Path("text.png").write_text("no picture")
    other = {"flat.h5": (784,), "any size.h5": (None, None, 1), "four.h5": (9, 9, 4)}
    for name, shape in other.items():
        last = keras.layers.GlobalMaxPooling2D() if len(shape) == 3 else keras.layers.Flatten()
        keras.Sequential([keras.Input(shape), last, keras.layers.Dense(10)]).save(name)
    network = [keras.Input((28, 28, 1)), keras.layers.Flatten()]
    keras.Sequential([*network, keras.layers.Dense(1, activation="sigmoid")]).save("one.h5")
    with h5py.File("older.h5", "w") as file:
        file.attrs.update({"keras_version": "1.2.2", "model_config": "{}"})
    keras.Sequential([keras.layers.Dense(10)]).save("unbuilt.keras")
    Path("damaged.h5").write_bytes(model_file.read_bytes()[:5000])
    before = sorted(Path().iterdir())
    names = [*other, "one.h5", "older.h5", "unbuilt.keras", "damaged.h5", "text.png", "absent.h5"]
    for name in names:
        message = refusal(run_here, "--predict", "good.png", "--model", name, "--output-dir", "new")
        assert name in message
    assert "mnist_cnn_model.h5" in refusal(run_here, "--predict", "good.png")
    assert sorted(Path().iterdir()) == before
    result = run("--predict", "text.png", "--model", model_file)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "text.png" in result.stderr and "error: no picture could be read" in result.stderr
