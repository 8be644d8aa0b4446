"""MNIST's digits drawn again as pictures that people have of theirs.

``redraw(image, kind, rng, path)`` writes one. In the plain kinds a picture has 280 pixels a side,
and the digit takes 35 to 90% of it; in the others, 480 and 25 to 60%, unless the kind says so.
"""

import numpy as np
from PIL import Image, ImageFilter

PLAIN_KINDS = [
    "white on black",
    "black on white",
    "photo: uneven light and noise",
    "photo: pencil",
    "transparent PNG",
    "rotated by EXIF",
]
PHOTO_KINDS = [
    "table beyond the sheet",
    "hard shadow",
    "light falling off from the middle",
    "specks",
    "ruled paper",
    "squared paper",
    "coloured ink on coloured paper",
    "chalk",
    "5 to 12% of the side",
    "tilted by up to 15 degrees",
    "A4 at 300 dpi, 60 to 300 pixels tall",
]
KINDS = PLAIN_KINDS + PHOTO_KINDS
SIZES = {"5": (1200, 1600), "A": (3508, 2480)}  # by a kind's first letter
SHARES = {"5": (0.05, 0.12), "A": (60 / 3508, 300 / 3508)}
INKS = [(30, 30, 35), (35, 50, 130), (170, 40, 45), (30, 100, 60), (90, 45, 110)]
PAPERS = [(240, 225, 120), (245, 185, 195), (185, 225, 180), (175, 210, 235), (200, 170, 130)]
CONTRASTS = {"photo: uneven light and noise": (90, 140), "photo: pencil": (35, 60)}


def draw_ink(image, rng, size, shares, degrees=0.0, margin=0.0):
    """Return ink from 0 to 1, float32 of that size, with a digit from uint8 (28, 28, 1)."""
    picture = Image.fromarray(image[..., 0]).rotate(degrees, Image.Resampling.BICUBIC)
    digit = picture.crop(picture.point(lambda grey: 255 * (grey > 10)).getbbox())
    scale = rng.uniform(*shares) * max(size) / max(digit.size)
    sides = [max(1, round(scale * side)) for side in digit.size]
    digit = digit.resize(sides, Image.Resampling.BICUBIC)
    digit = np.float32(digit.filter(ImageFilter.GaussianBlur(0.35 * scale)))
    stroke = rng.uniform(70, 150)  # the brightness from which on there is ink: less is thicker
    digit = np.clip((digit - stroke) / 30 + 0.5, 0, 1)
    ink = np.zeros(size, "float32")
    edges = [margin * max(size), size[0] - digit.shape[0], size[1] - digit.shape[1]]
    top = int(rng.uniform(edges[0], edges[1] - edges[0]))
    left = int(rng.uniform(edges[0], edges[2] - edges[0]))
    ink[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
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


def light_up(grey, kind, x, y, rng):
    """Return a photo's brightness in that kind's light, or with its table beyond the sheet."""
    if kind == "table beyond the sheet":
        table = rng.uniform(30, 130) + 6 * np.sin(40 * x + 8 * y)
        return grey + beyond_edge(x, y, rng, rng.uniform(0.05, 0.13), 0.004) * (table - grey)
    if kind == "hard shadow":
        shadow = beyond_edge(x, y, rng, rng.uniform(0.2, 0.8), rng.uniform(0.004, 0.016))
        return grey * (1 - rng.uniform(0.2, 0.45) * shadow)
    if kind == "light falling off from the middle":
        return grey * (1 - rng.uniform(0.6, 1.2) * (x**2 + y**2))
    return grey * (1 + rng.uniform(-0.15, 0.15) * x)


def photograph(image, kind, rng):
    """Return a photo of the digit, (height, width, 1 or 3), from 0 to 255."""
    size, shares = SIZES.get(kind[0], (480, 480)), SHARES.get(kind[0], (0.25, 0.6))
    degrees = rng.uniform(-15, 15) if kind.startswith("tilted") else 0
    margin = 0.15 if kind.startswith("table") else 0.03
    ink = draw_ink(image, rng, size, shares, degrees, margin)
    y, x = np.mgrid[: size[0], : size[1]] / max(size) - 0.5
    paper, contrast, ground = rng.uniform(170, 220), rng.uniform(80, 140), np.zeros(size)
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
    grey = paper - contrast * np.maximum(ink, rng.uniform(0.15, 0.5) * ground)
    if kind == "coloured ink on coloured paper":
        pen, sheet = rng.choice(INKS), rng.choice(PAPERS)
        return sheet + (pen - sheet) * rng.uniform(0.6, 1) * ink[..., None]
    return light_up(grey, kind, x, y, rng)[..., None]


def redraw(image, kind, rng, path):
    """Write a digit, uint8 (28, 28, 1), as a picture of that kind; return its path."""
    if kind in PHOTO_KINDS:
        photo = photograph(image, kind, rng)
        photo = np.clip(photo + rng.normal(0, 4, (*photo.shape[:2], 1)), 0, 255)
        photo = Image.fromarray(np.uint8(np.broadcast_to(photo, (*photo.shape[:2], 3))))
        photo.save(path.with_suffix(".jpg"), quality=85)
        return path.with_suffix(".jpg")
    ink = draw_ink(image, rng, (280, 280), (0.35, 0.9))
    grey = 255 * (ink if kind == "white on black" else 1 - ink)
    if kind in CONTRASTS:
        y, x = np.mgrid[:280, :280] / 280 - 0.5
        light = rng.uniform(150, 200) + rng.uniform(-60, 60) * x + rng.uniform(-60, 60) * y
        grey = light - rng.uniform(*CONTRASTS[kind]) * ink + rng.normal(0, 6, ink.shape)
    picture = Image.fromarray(np.uint8(np.clip(grey, 0, 255)))
    if kind == "transparent PNG":
        picture = Image.merge("LA", (picture.point(lambda _: 0), picture.point(lambda v: 255 - v)))
    if kind == "rotated by EXIF":
        exif = Image.Exif()
        exif[274] = 8  # a viewer rotates it back, counterclockwise by a quarter
        picture = picture.transpose(Image.Transpose.ROTATE_270)
        picture.save(path.with_suffix(".jpg"), exif=exif, quality=90)
        return path.with_suffix(".jpg")
    picture.save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def enlarge(image, path):
    """Write MNIST's own image, uint8 (28, 28, 1), enlarged ten times; return the path."""
    path = path.with_suffix(".png")
    Image.fromarray(image[..., 0]).resize((280, 280), Image.Resampling.BICUBIC).save(path)
    return path


def side_by_side(images, gaps):
    """Return digits, uint8 (n, 28, 28, 1), in a row as one image, with ``gaps`` (n,) in pixels."""
    row = []
    for image, gap in zip(images[..., 0], gaps):
        columns = np.flatnonzero(image.max(axis=0) > 100)
        row += [image[:, columns[0] : columns[-1] + 1], np.zeros((28, gap), "uint8")]
    return np.hstack(row[:-1])


def numbers(images, labels, n, gaps):
    """Return n pictures of two to six of the digits side by side, and the numbers they show.

    ``gaps`` are the least and the largest between two digits, as shares of their height.
    """
    rng, found = np.random.default_rng(11), []
    for _ in range(n):
        chosen = rng.choice(len(images), rng.integers(2, 7))
        spaces = 20 * rng.uniform(*gaps, len(chosen))
        row = np.pad(side_by_side(images[chosen], spaces.round().astype(int)), 8)
        large = Image.fromarray(255 - row).resize([8 * side for side in row.shape[::-1]])
        found.append((large, "".join(map(str, labels[chosen]))))
    return found
