"""Reading pictures: --predict and --draw, from outside."""

import json
import re
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from PIL import Image

import deep_learning_model as dlm
from conftest import DIGITS, draw_bar, refusal, run, run_here
from redraw import KINDS, STROKES, numbers, redraw


def test_predict_prints_a_line_for_each_picture(model_file, mnist, tmp_path):
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


def test_a_folder_is_read_without_the_figure_of_the_run_before(model_file, mnist, tmp_path, capsys):
    (picture, number), *_ = numbers(*mnist[1], 1, (0.3, 0.6))
    picture.save(tmp_path / "number.png")
    for hidden in ".DS_Store", "Thumbs.db", "desktop.ini":
        (tmp_path / hidden).write_text("no picture")
    arguments = ["--model", model_file, "--output-dir", tmp_path, "--predict", tmp_path]
    for _ in range(2):
        run_here(*arguments)
        line, last = capsys.readouterr().out.splitlines()
        assert re.search(rf"number\.png: (unsure: )?{number} \(\d+\.\d%\)$", line)
        assert last.endswith(": predictions.png")


def test_other_classes_are_read_from_whole_pictures_in_color(tmp_path, capsys):
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
    assert json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"] >= 0.9
    capsys.readouterr()
    words = ["--model", tmp_path / "signs_cnn_model.h5", "--output-dir", tmp_path]
    run_here("--predict", *[folder / name / "3.png" for name in colors], *words)
    for name, line in zip(colors, capsys.readouterr().out.splitlines()):
        assert re.search(rf"3\.png: (unsure: )?{name} \(", line)
    shown = plt.gcf().axes[0].images[0].get_array()
    assert shown[140, 270].tolist() == [255, 255, 255]  # what is transparent is white there too


def test_unreadable_pictures_are_named_and_left_out(model_file, tmp_path, capsys):
    draw_bar(tmp_path / "pictures" / "first.png")
    draw_bar(tmp_path / "pictures" / "last.jpg")
    (tmp_path / "pictures" / "middle.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    arguments = ["--model", model_file, "--output-dir", tmp_path, "--predict"]
    (tmp_path / "empty").mkdir()
    for nothing in "absent.png", "empty", "*.jpeg":
        words = [tmp_path / "pictures", tmp_path / nothing]
        assert f"no picture {tmp_path / nothing}" in refusal(run_here, *arguments, *words)
    assert capsys.readouterr().out == ""
    assert "some pictures" in refusal(run_here, *arguments, tmp_path / "pictures" / "*.[hjp]*")
    output = capsys.readouterr()
    first, last = output.out.splitlines()[:2]
    assert "first.png: " in first and "last.jpg: " in last
    (heic,) = output.err.splitlines()
    assert "middle.heic" in heic and "as a picture" in heic
    assert (tmp_path / "predictions.png").exists()
    assert "no picture could be read" in refusal(run_here, *arguments, *tmp_path.glob("*/*.heic"))


# Sixty subfigures collapsed, after ten minutes.
@pytest.mark.filterwarnings("error:constrained_layout")
def test_any_number_of_pictures_can_be_read(model_file, tmp_path, capsys):
    path = draw_bar(tmp_path / "one.png")
    arguments = ["--model", model_file, "--output-dir", tmp_path]
    run_here("--predict", *[path] * 70, *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "one.png: " in line]) == 70
    assert len([ax for ax in plt.gcf().axes if ax.images]) == 60


@pytest.fixture
def other_models(model_file, tmp_path, monkeypatch):
    """The current folder, with models that no picture can be read with, and their names."""
    monkeypatch.chdir(tmp_path)
    layers = keras.layers
    flat, of_any_size = keras.Input((784,)), keras.Input((None, None, 1))
    keras.Sequential([flat, layers.Dense(10)]).save("flat.h5")
    keras.Sequential([of_any_size, layers.GlobalMaxPooling2D(), layers.Dense(10)]).save("any.h5")
    network = [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    keras.Sequential(network).save("one.h5")
    keras.Sequential([layers.Dense(10)]).save("unbuilt.keras")
    Path("damaged.h5").write_bytes(model_file.read_bytes()[:5000])
    Path("text.png").write_text("no picture")
    return ["flat.h5", "any.h5", "one.h5", "unbuilt.keras", "damaged.h5", "text.png"]


@pytest.mark.filterwarnings("ignore:You are saving a model")
def test_a_model_that_predict_can_not_use_is_named(other_models, capsys):
    draw_bar(Path("good.png"))
    before = sorted(Path().iterdir())
    for name in [*other_models, "absent.h5"]:
        message = refusal(run_here, "--predict", "good.png", "--model", name, "--output-dir", "new")
        assert name in message
    assert "mnist_cnn_model.h5" in refusal(run_here, "--predict", "good.png")
    assert sorted(Path().iterdir()) == before
    dlm.save_h5(dlm.build_model("dnn"), Path("untrained.h5"), DIGITS)
    run_here("--predict", "good.png", "--model", "untrained.h5")
    assert capsys.readouterr().out.startswith("good.png: unsure: ")


def drawing_window(model_file, monkeypatch):
    """Return the figure that --draw shows."""
    monkeypatch.setattr(dlm.plt, "get_backend", lambda: "qtagg")
    monkeypatch.setattr(dlm.plt, "show", lambda: None)
    dlm.draw(*dlm.load_model(model_file))
    plt.gcf().canvas.draw()
    return plt.gcf()


def draw(figure, stroke):
    """Draw with the left button, in steps of a few pixels as a hand does."""

    def mouse(name, point):
        x, y = figure.axes[0].transData.transform(point)
        event = MouseEvent(name, figure.canvas, x, y, button=1)
        figure.canvas.callbacks.process(name, event)

    mouse("button_press_event", stroke[0])
    for start, end in zip(stroke, stroke[1:]):
        for point in np.linspace(start, end, 5):
            mouse("motion_notify_event", point)
    mouse("button_release_event", stroke[-1])
    mouse("motion_notify_event", stroke[-1])


@pytest.mark.parametrize("drawn, scale, corner", [("5", 1, 0), ("4", 0.5, 135), ("42", 1, 0)])
def test_what_is_drawn_is_answered(drawn, scale, corner, model_file, monkeypatch):
    figure = drawing_window(model_file, monkeypatch)
    sheet, seen = figure.axes
    assert np.min(sheet.images[0].get_array()) == 255
    strokes = [
        [(corner + scale * (x + 180 * place), corner + scale * y) for x, y in stroke]
        for place, digit in enumerate(drawn)
        for stroke in STROKES[digit]
    ]
    for _ in range(2):
        for stroke in strokes:
            draw(figure, stroke)
        assert f"{drawn} (" in figure.get_suptitle()
        canvas = Image.fromarray(np.uint8(sheet.images[0].get_array()))
        expected = np.hstack(dlm.find_digits(canvas))[..., 0]
        assert len(expected[0]) == 28 * len(drawn)
        np.testing.assert_array_equal(seen.images[0].get_array(), expected)
        figure.canvas.callbacks.process("key_press_event", KeyEvent("", figure.canvas, " "))
        assert np.min(sheet.images[0].get_array()) == 255 and not figure.get_suptitle().strip()


def test_without_windows_draw_says_what_it_needs(model_file, tmp_path):
    result = run("--draw", "--model", model_file, cwd=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "--draw needs a display" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
