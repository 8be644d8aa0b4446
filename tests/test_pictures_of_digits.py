"""Pictures of digits: how they are prepared, and how many are read then."""

import functools
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

import deep_learning_model as dlm
from conftest import SCRIPT
from redraw import KINDS, STROKES, draw_ink, numbers, redraw

load_model = functools.cache(dlm.load_model)


def read(model_file, picture):
    """Return the answer to a picture, such as "unsure: 42 (80.0%)"."""
    return dlm.classify(*load_model(model_file), picture)[1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("A4")])
def test_digits_of_every_kind_are_read(kind, model_file, mnist, tmp_path):
    """With the default run's model, digits.py asks for more."""
    rng, (images, labels) = np.random.default_rng(1), mnist[1]
    paths = [redraw(image, kind, rng, tmp_path / str(i)) for i, image in enumerate(images[:30])]
    right = [f" {label} (" in " " + read(model_file, path) for path, label in zip(paths, labels)]
    assert np.mean(right) >= 0.9


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


@pytest.mark.parametrize("digit", ["4", "5"])
def test_thin_strokes_are_thickened(digit):
    """Or a ballpoint's would fade to a fifth of full ink."""
    ink = []
    for width in 3, 8:
        picture = Image.new("L", (280, 280), "white")
        for stroke in STROKES[digit]:
            ImageDraw.Draw(picture).line(stroke, "black", width, joint="curve")
        ink.append(dlm.prepare_picture(picture).sum())
    assert ink[0] > 0.9 * ink[1]


FORMATS = "RGB .jpg, CMYK .jpg, P .gif, 1 .bmp, RGB .webp, L .tif, LA .png, I;16 .png, I;16 .tif"


@pytest.mark.parametrize("mode, suffix", [words.split() for words in FORMATS.split(",")])
def test_every_usual_format_and_mode_is_read_alike(mode, suffix, mnist, tmp_path):
    ink = draw_ink(mnist[1][0][0], np.random.default_rng(4), (280, 280), (0.35, 0.9))
    small = Image.fromarray((255 * (1 - ink)).astype("uint8")).convert("RGB")
    small = ImageOps.expand(small, 60, "white")
    large = ImageOps.expand(small.resize((3000, 3000)), 200)  # with a dark table all round
    large.convert("L").convert(mode).save(tmp_path / f"large{suffix}")
    prepared = [dlm.prepare_picture(picture) for picture in (small, tmp_path / f"large{suffix}")]
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
            np.testing.assert_allclose(dlm.prepare_picture(form), expected, atol=0.05)
    assert dlm.prepare_picture(gray > 128).shape == expected.shape


@pytest.mark.parametrize("gaps, share", [((0.15, 1), 0.9), ((0, 0.1), 0.85)])
def test_a_number_is_read_from_left_to_right(gaps, share, mnist, model_file):
    """Where digits nearly touch, it is read or marked."""
    pairs = [(read(model_file, picture), n) for picture, n in numbers(*mnist[1], 60, gaps)]
    right = [answer.startswith(f"{number} (") for answer, number in pairs]
    marked = [answer.startswith("unsure: ") for answer, _ in pairs]
    assert np.mean(np.logical_or(right, marked)) >= share
    if gaps[0]:
        assert np.mean(right) >= 0.75
        assert np.mean([f" {number} (" in f" {answer}" for answer, number in pairs]) >= share


BESIDE = {
    "comma": [[(146, 235), (138, 255)]],
    "minus": [[(10, 150), (50, 150)]],
    "speck": [[(20, 60), (24, 60)]],
    "a line below": [[(20, 330), (380, 330)]],
    "a ruled line": [[(0, 226), (420, 232)]],
    "two ruled lines": [[(0, 40), (420, 46)], [(0, 220), (420, 226)]],
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_stands_beside_a_number_is_no_digit(kind):
    picture = Image.new("L", (420, 360), "white")
    pen = ImageDraw.Draw(picture)
    for line in BESIDE[kind]:
        pen.line(line, "black", 4 if "line" in kind else 10)
    for shift, strokes in (40, STROKES["4"]), (190, STROKES["5"]):
        for stroke in strokes:
            pen.line([(shift + 0.7 * x, y) for x, y in stroke], "black", 12, joint="curve")
    assert len(dlm.find_digits(picture)) == 2


def test_a_number_cropped_to_its_edges_keeps_its_digits(mnist):
    """But for digits that reach into a corner, as shadows do."""
    kept = []
    for picture, number in numbers(*mnist[1], 20, (0.3, 0.6)):
        ink = Image.fromarray(255 - np.asarray(picture)).point(lambda value: 255 * (value > 60))
        kept.append(len(dlm.find_digits(picture.crop(ink.getbbox()))) == len(number))
    assert np.mean(kept) >= 0.7


def test_of_several_digits_prepare_picture_takes_the_middle_one(mnist):
    for picture, number in numbers(*mnist[1], 10, (0.3, 0.6)):
        digits, middle = dlm.find_digits(picture), dlm.prepare_picture(picture)
        assert digits.shape == (len(number), 28, 28, 1) and digits.dtype == np.float32
        place = [np.array_equal(middle, digit) for digit in digits].index(True)
        assert abs(place - (len(number) - 1) / 2) < 2


BROKEN = {4: [[(180, 60), (180, 230)], [(173, 150), (80, 150), (110, 60)]]}
BROKEN[7] = [[(190, 60), (130, 230)], [(80, 60), (183, 60)]]


@pytest.mark.parametrize("digit", BROKEN)
@pytest.mark.parametrize("gap", [4, 10, 20])
def test_strokes_that_do_not_touch_are_one_digit(digit, gap, model_file):
    picture = Image.new("L", (280, 280), "white")
    stem, other = BROKEN[digit]
    for stroke in stem, [(x - gap, y) for x, y in other]:
        ImageDraw.Draw(picture).line(stroke, "black", 14, joint="curve")
    assert read(model_file, picture).startswith((f"{digit} (", "unsure"))
    assert len(dlm.find_digits(picture)) == 1


def test_the_section_works_copied_alone(mnist, tmp_path):
    """With NumPy and Pillow, and nothing else of the script."""
    text = SCRIPT.read_text("utf-8")
    section = text.partition("\n# --- Pictures of digits")[2].partition("\n# --- ")[0]
    imports = re.findall("^import numpy.*|^from PIL .*", text, re.M)
    alone = {}
    exec("\n".join([*imports, "#" + section]), alone)
    path = redraw(mnist[1][0][0], "pencil", np.random.default_rng(5), tmp_path / "picture")
    for name in "prepare_picture", "find_digits":
        np.testing.assert_array_equal(alone[name](path), getattr(dlm, name)(path))
    with pytest.raises(ValueError, match="no ink"):
        alone["prepare_picture"](np.zeros((50, 50)))


@pytest.mark.parametrize("brightness", [0, 128, 255])
@pytest.mark.parametrize("noise", [0, 6])
def test_a_blank_picture_is_refused(brightness, noise, tmp_path):
    gray = brightness + np.random.default_rng(5).normal(0, noise, (300, 200))
    with pytest.raises(ValueError, match="no ink"):
        dlm.prepare_picture(np.clip(gray, 0, 255).astype("uint8"))
