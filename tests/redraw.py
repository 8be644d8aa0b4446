"""MNIST's digits drawn again as pictures that people have of theirs.

``redraw(image, kind, rng, path)`` writes one. Unless its kind says otherwise, a picture has 480
pixels a side, and the digit takes 25 to 60% of it.
"""

import numpy as np
from PIL import Image, ImageFilter

KINDS = [
    "white on black",
    "black on white",
    "transparent PNG",
    "rotated by EXIF",
    "MNIST's own, 28 × 28",
    "pencil",
    "uneven light",
    "light falling off from the middle",
    "hard shadow",
    "table beyond the sheet",
    "specks",
    "ruled paper",
    "squared paper",
    "colored ink on colored paper",
    "chalk",
    "5 to 12% of the side",
    "tilted by up to 15 degrees",
    "A4 at 300 dpi, 60 to 300 pixels tall",
]
CLEAN = KINDS[:4]  # drawn by a program: no light, no noise
SIZES = {"5": (1200, 1600), "A": (3508, 2480)}  # by a kind's first letter
SHARES = {"5": (0.05, 0.12), "A": (60 / 3508, 300 / 3508)}
INKS = [(30, 30, 35), (35, 50, 130), (170, 40, 45), (30, 100, 60), (90, 45, 110)]
PAPERS = [(240, 225, 120), (245, 185, 195), (185, 225, 180), (175, 210, 235), (200, 170, 130)]

# Corners of drawn digits' strokes on a square of 280 x 280 pixels, from its top left corner.
BELLY = [(115, 62), (108, 130), (150, 120), (185, 150), (180, 200), (140, 225), (95, 210)]
STROKES = {
    "2": [[(100, 90), (130, 60), (170, 70), (175, 110), (100, 225), (185, 222)]],
    "4": [[(110, 60), (90, 150), (200, 150)], [(170, 60), (165, 230)]],
    "5": [[(190, 60), *BELLY]],
}


def draw_ink(image, rng, size, shares, degrees=0.0, margin=0.0):
    """Return ink from 0 to 1, float32 of that size, with a digit from uint8 (28, 28, 1)."""
    picture = Image.fromarray(image[..., 0]).rotate(degrees, Image.Resampling.BICUBIC)
    digit = picture.crop(picture.point(lambda gray: 255 * (gray > 10)).getbbox())
    scale = rng.uniform(*shares) * max(size) / max(digit.size)
    sides = [max(1, round(scale * side)) for side in digit.size]
    digit = digit.resize(sides, Image.Resampling.BICUBIC)
    digit = np.float32(digit.filter(ImageFilter.GaussianBlur(0.35 * scale)))
    stroke = rng.uniform(70, 150)  # the brightness from which on there is ink: less is thicker
    digit = np.clip((digit - stroke) / 30 + 0.5, 0, 1)
    margin = int(margin * max(size))
    height, width = digit.shape
    top = rng.integers(margin, size[0] - height - margin)
    left = rng.integers(margin, size[1] - width - margin)
    ink = np.zeros(size, "float32")
    ink[top : top + height, left : left + width] = digit
    return ink


def beyond_edge(x, y, rng, distance, blur):
    """Return 1 beyond a nearly straight edge of the picture and 0 before it."""
    tilt = rng.uniform(-0.1, 0.1)
    return np.rot90(np.clip((distance - 0.5 - x - tilt * y) / blur + 0.5, 0, 1), rng.integers(4))


def draw_lines(y, x, rng):
    """Return the lines of a ruled sheet, 0 to 1, level within 2 degrees."""
    gap = rng.uniform(35, 70)
    down = 480 * (y + rng.uniform(-0.035, 0.035) * x) + rng.uniform(0, gap)
    return np.clip(1.5 - np.abs(down % gap - gap / 2), 0, 1)


def light_up(gray, kind, x, y, rng):
    """Return a photo's brightness in that kind's light, or with its table beyond the sheet."""
    if kind == "table beyond the sheet":
        table = rng.uniform(30, 130) + 6 * np.sin(40 * x + 8 * y)
        return gray + beyond_edge(x, y, rng, rng.uniform(0.05, 0.13), 0.004) * (table - gray)
    if kind == "hard shadow":
        shadow = beyond_edge(x, y, rng, rng.uniform(0.2, 0.8), rng.uniform(0.004, 0.016))
        return gray * (1 - rng.uniform(0.2, 0.45) * shadow)
    if kind == "light falling off from the middle":
        return gray * (1 - rng.uniform(0.6, 1.2) * (x**2 + y**2))
    strength = 0.35 if kind == "uneven light" else 0.15
    return gray * (1 + strength * rng.uniform(-1, 1) * x + strength * rng.uniform(-1, 1) * y)


def photograph(image, kind, rng):
    """Return a photo of the digit, (height, width, 1 or 3), from 0 to 255."""
    size, shares = SIZES.get(kind[0], (480, 480)), SHARES.get(kind[0], (0.25, 0.6))
    degrees = rng.uniform(-15, 15) if kind.startswith("tilted") else 0
    margin = 0.15 if kind.startswith("table") else 0.03
    ink = draw_ink(image, rng, size, shares, degrees, margin)
    y, x = np.mgrid[: size[0], : size[1]] / max(size) - 0.5
    paper, contrast, ground = rng.uniform(170, 220), rng.uniform(80, 140), np.zeros(size)
    if kind == "pencil":
        contrast = rng.uniform(35, 60)
    if kind == "specks":
        for _ in range(rng.integers(5, 21)):
            where = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5))
            ink = np.maximum(ink, where < rng.uniform(0.001, 0.005))
    if kind in ("ruled paper", "squared paper"):
        ground = draw_lines(y, x, rng)
    if kind == "squared paper":
        ground = np.maximum(ground, draw_lines(x, y, rng))
    if kind == "chalk":
        paper, contrast = rng.uniform(40, 80), -rng.uniform(80, 150)
        ink = ink * rng.uniform(0.4, 1, size)  # it leaves holes in the strokes
    gray = paper - contrast * np.maximum(ink, rng.uniform(0.15, 0.5) * ground)
    if kind == "colored ink on colored paper":
        pen, sheet = rng.choice(INKS), rng.choice(PAPERS)
        return sheet + (pen - sheet) * rng.uniform(0.6, 1) * ink[..., None]
    return light_up(gray, kind, x, y, rng)[..., None]


def redraw(image, kind, rng, path):
    """Write a digit, uint8 (28, 28, 1), as a picture of that kind; return its path."""
    path, exif = path.with_suffix(".png"), Image.Exif()
    if kind.startswith("MNIST"):
        picture = Image.fromarray(image[..., 0])
    elif kind in CLEAN:
        ink = draw_ink(image, rng, (280, 280), (0.35, 0.9))
        picture = Image.fromarray(np.uint8(255 * (ink if kind == CLEAN[0] else 1 - ink)))
    else:
        photo = photograph(image, kind, rng)
        photo = np.clip(photo + rng.normal(0, 4, (*photo.shape[:2], 1)), 0, 255)
        picture = Image.fromarray(np.uint8(np.broadcast_to(photo, (*photo.shape[:2], 3))))
        path = path.with_suffix(".jpg")
    if kind == "transparent PNG":
        alpha = picture.point(lambda gray: 255 - gray)
        picture = Image.merge("LA", (Image.new("L", alpha.size), alpha))
    if kind == "rotated by EXIF":
        exif[274] = 8  # a viewer rotates it back, counterclockwise by a quarter
        picture = picture.transpose(Image.Transpose.ROTATE_270)
    picture.save(path, exif=exif)
    return path


def numbers(images, labels, n, gaps):
    """Return n pictures of two to six of the digits side by side, and the numbers they show.

    ``gaps`` are the least and the largest between two digits, as shares of their height.
    """
    rng, found = np.random.default_rng(11), []
    for _ in range(n):
        chosen = rng.choice(len(images), rng.integers(2, 7))
        row = [np.zeros((28, 8), "uint8")]
        for image in images[chosen, ..., 0]:
            columns = np.flatnonzero(image.max(axis=0) > 100)
            gap = np.zeros((28, round(20 * rng.uniform(*gaps))), "uint8")
            row += [image[:, columns[0] : columns[-1] + 1], gap]
        row = np.pad(np.hstack([*row[:-1], row[0]]), [(8, 8), (0, 0)])
        large = Image.fromarray(255 - row).resize([8 * side for side in row.shape[::-1]])
        found.append((large, "".join(map(str, labels[chosen]))))
    return found
