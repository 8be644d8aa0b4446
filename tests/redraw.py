"""MNIST's digits drawn again as pictures that people have of their own digits.

``redraw(image, kind, rng, path)`` writes one; each has 280 pixels a side, the digit takes 35 to
90 % of it, anywhere, with a thin or thick stroke.
"""

import numpy as np
from PIL import Image, ImageFilter

SIDE = 280
KINDS = [
    "white on black",
    "black on white",
    "photo: uneven light and noise",
    "photo: pencil",
    "transparent PNG",
    "rotated by EXIF",
]
PHOTOS = {  # how much darker the ink is, how much the light changes from side to side, noise
    "photo: uneven light and noise": ((90, 140), 60, 6),
    "photo: pencil": ((35, 60), 40, 5),
}


def draw_ink(image, rng):
    """Return ink from 0 to 1, (SIDE, SIDE), with the digit in ``image``, uint8 (28, 28)."""
    rows = np.flatnonzero(image.any(axis=1))
    columns = np.flatnonzero(image.any(axis=0))
    digit = Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = rng.uniform(0.35, 0.9) * SIDE / max(digit.size)
    size = [max(1, round(scale * side)) for side in digit.size]
    digit = digit.resize(size, Image.Resampling.BICUBIC)
    digit = digit.filter(ImageFilter.GaussianBlur(0.35 * scale))
    stroke = rng.uniform(70, 160)  # the brightness from which on there is ink: less is thicker
    digit = np.clip((np.asarray(digit, "float32") - stroke) / 30 + 0.5, 0, 1)
    top, left = (int(rng.integers(0, SIDE - side + 1)) for side in digit.shape)
    ink = np.zeros((SIDE, SIDE), "float32")
    ink[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return ink


def redraw(image, kind, rng, path):
    """Write the digit in ``image``, uint8 (28, 28), as a picture of that kind; return its path."""
    ink = draw_ink(image, rng)
    if kind in PHOTOS:
        darkness, slope, noise = PHOTOS[kind]
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
        paper = rng.uniform(150, 200) + rng.uniform(-slope, slope) * x
        paper = paper + rng.uniform(-slope, slope) * y
        grey = paper - rng.uniform(*darkness) * ink + rng.normal(0, noise, ink.shape)
        picture = Image.fromarray(np.clip(grey, 0, 255).astype("uint8")).convert("RGB")
    elif kind == "transparent PNG":
        picture = Image.new("RGBA", ink.shape)
        picture.putalpha(Image.fromarray((255 * ink).astype("uint8")))
    elif kind == "white on black":
        picture = Image.fromarray((255 * ink).astype("uint8"))
    else:
        picture = Image.fromarray((255 * (1 - ink)).astype("uint8"))
    if kind == "rotated by EXIF":
        exif = Image.Exif()
        exif[274] = 8  # a viewer turns it back, counterclockwise by a quarter
        path = path.with_suffix(".jpg")
        picture.transpose(Image.Transpose.ROTATE_270).save(path, exif=exif, quality=90)
    else:
        path = path.with_suffix(".png")
        picture.save(path)
    return path


def enlarge(image, path):
    """Write MNIST's own image, uint8 (28, 28), ten times enlarged; return the path."""
    path = path.with_suffix(".png")
    Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return path
