"""Digits of one's own: how a picture is prepared, and --predict from outside."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

import deep_learning_model as dlm
from conftest import refusal, run_here
from redraw import KINDS, draw_ink, enlarge, redraw


@pytest.fixture(scope="module")
def model_file(mnist, tmp_path_factory):
    """A model after one epoch of the 60,000 images: good enough to tell digits from each other."""
    keras.utils.set_random_seed(0)
    (x_train, y_train), _ = mnist
    batches = dlm.training_batches(dlm.normalize(x_train), y_train.astype(int), 128, 0)
    model = dlm.build_model(dtype=dlm.fastest_dtype())
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    model.fit(batches, steps_per_epoch=300, shuffle=False, verbose=0)
    path = tmp_path_factory.mktemp("model") / "mnist_cnn_model.h5"
    dlm.save_h5(dlm.final_model(model), path)
    return path


@pytest.mark.parametrize("kind", [*KINDS, "enlarged"])
def test_digits_of_every_kind_are_read(kind, model_file, mnist, tmp_path):
    """With the default run's model tests/digits.py asks for more."""
    _, (x_test, y_test) = mnist
    rng = np.random.default_rng(1)
    paths = []
    for i in range(60):
        path = tmp_path / str(i)
        large = kind == "enlarged"
        paths.append(enlarge(x_test[i], path) if large else redraw(x_test[i], kind, rng, path))
    images = np.array([dlm.prepare_picture(path) for path in paths])
    answers = dlm.load_model(model_file).predict(images, verbose=0).argmax(axis=1)
    assert np.mean(answers == y_test[:60]) >= 0.93


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
            assert abs(np.average(axis, weights=image[..., 0]) - 13.5) < 0.7 or at_the_edge


def test_neither_polarity_nor_light_nor_transparency_changes_what_the_network_sees(mnist, tmp_path):
    seen = []
    for kind in KINDS:
        path = redraw(mnist[1][0][7], kind, np.random.default_rng(3), tmp_path / kind[:8])
        seen.append(dlm.prepare_picture(path))
    for image in seen[1:]:
        assert np.abs(image - seen[0]).mean() < 0.05


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp", ".tif"])
def test_a_photo_of_12_megapixels_is_read_in_any_usual_format(suffix, mnist, tmp_path):
    ink = draw_ink(mnist[1][0][0], np.random.default_rng(4))
    small = Image.fromarray((255 * (1 - ink)).astype("uint8")).convert("RGB")
    small.resize((4000, 3000)).save(tmp_path / f"photo{suffix}")
    small.resize((400, 300)).save(tmp_path / f"small{suffix}")
    large, small = (
        dlm.prepare_picture(tmp_path / f"{name}{suffix}") for name in ("photo", "small")
    )
    assert np.abs(large - small).mean() < 0.02


def test_mnists_own_small_image_is_read_too(model_file, mnist, tmp_path):
    x_test, y_test = mnist[1]
    images = []
    for i in range(60):
        Image.fromarray(x_test[i]).save(tmp_path / f"{i}.png")
        images.append(dlm.prepare_picture(tmp_path / f"{i}.png"))
    answers = dlm.load_model(model_file).predict(np.array(images), verbose=0).argmax(axis=1)
    assert np.mean(answers == y_test[:60]) >= 0.93


@pytest.mark.parametrize("color", [0, 128, 255])
@pytest.mark.parametrize("noise", [0, 6])
def test_a_blank_picture_is_refused_by_name(color, noise, tmp_path):
    grey = color + np.random.default_rng(5).normal(0, noise, (300, 200))
    Image.fromarray(np.clip(grey, 0, 255).astype("uint8")).save(tmp_path / "blank.png")
    message = refusal(dlm.prepare_picture, tmp_path / "blank.png")
    assert "blank.png" in message and "no ink" in message


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 3), (5000, 20)])
def test_pictures_of_odd_sizes_are_read_or_refused(size, tmp_path):
    grey = np.random.default_rng(6).integers(0, 256, size[::-1]).astype("uint8")
    Image.fromarray(grey).save(tmp_path / "odd.png")
    try:
        assert dlm.prepare_picture(tmp_path / "odd.png").shape == (28, 28, 1)
    except dlm.InputError as error:
        assert "odd.png" in str(error)


def test_predict_prints_a_line_a_picture_in_their_order_and_draws_them(
    run_script, model_file, mnist, tmp_path
):
    """Also those whose names Matplotlib or the output can't spell."""
    x_test, y_test = mnist[1]
    rng = np.random.default_rng(7)
    (tmp_path / "mnist_cnn_model.h5").write_bytes(model_file.read_bytes())
    digits = {"größe 3.png": 3, r"$x^$.png": 1, r"$\frac$.png": 2}
    for kind, (name, i) in zip(KINDS, digits.items()):
        redraw(x_test[i], kind, rng, tmp_path / "digit").rename(tmp_path / name)
    result = run_script("--predict", *digits, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    number = r"\d \(\d+\.\d %\)"
    for line, (name, i) in zip(lines, digits.items(), strict=True):
        spelt = name.encode("ascii", "backslashreplace").decode()
        assert line.startswith(f"{spelt}: {y_test[i]} (")
        answer = line.removeprefix(f"{spelt}: ")
        assert re.fullmatch(f"{number}, then {number}, {number}", answer)
    assert last == f"Written to {tmp_path}: predictions.png"
    assert Image.open(tmp_path / "predictions.png").width >= 900


def test_hundreds_of_pictures_are_read_at_once_and_sixty_drawn(model_file, mnist, tmp_path, capsys):
    rng = np.random.default_rng(8)
    path = redraw(mnist[1][0][0], KINDS[1], rng, tmp_path / "seven")
    figure = dlm.predict([path] * 200, model_file)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 201 and len(set(lines[1:])) == 1 and "first 60 of 200" in lines[0]
    drawn = [ax for ax in figure.axes if ax.images]
    assert len(drawn) == 120
    assert [ax.get_title()[:3] for ax in drawn[:2]] == ["sev", "7 ("]


def test_what_predict_cannot_use_is_refused_in_a_sentence(
    run_script, model_file, tmp_path, monkeypatch
):
    (tmp_path / "text.png").write_text("no picture")
    stroke = np.eye(5, dtype="uint8").repeat(20, 0).repeat(20, 1)
    Image.fromarray(255 * stroke).save(tmp_path / "good.png")
    dlm.save_h5(dlm.final_model(dlm.build_model("dnn", (20, 20, 1))), tmp_path / "other.h5")
    keras.Sequential([keras.layers.Dense(10)]).save(tmp_path / "unbuilt.keras")
    convolution = [keras.Input((28, 28, 1)), keras.layers.Conv2D(10, 3)]
    keras.Sequential(convolution).save(tmp_path / "images.keras")
    x = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(x)
    outputs = [keras.layers.Dense(10)(flat), keras.layers.Dense(10)(flat)]
    keras.Model(x, outputs).save(tmp_path / "two.keras")
    for name in "unbuilt.keras", "images.keras", "two.keras":
        assert name in refusal(dlm.load_model, tmp_path / name)
    (tmp_path / "damaged.h5").write_bytes(model_file.read_bytes()[:5000])
    cases = {
        ("--predict", "good.png"): "run without --predict first",
        ("--predict", "good.png", "--model", "other.h5"): "other.h5",
        ("--predict", "good.png", "--model", "damaged.h5"): "damaged.h5",
        ("--predict", "good.png", "text.png", "--model", str(model_file)): "text.png",
        ("--predict", "good.png", "absent.png", "--model", str(model_file)): "absent.png",
    }
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    for arguments, culprit in cases.items():
        assert culprit in refusal(run_here, *arguments)
    result = run_script("--predict", "absent.png", "--model", model_file)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "absent.png" in result.stderr and "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
