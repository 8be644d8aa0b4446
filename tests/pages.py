"""Run the commands and snippets of README.md and tests/README.md as they stand there.

    python3 tests/pages.py

in a clean clone. The ``sh`` blocks come first, in order; then the ``python`` blocks, as one
program, since they build on one another.
"""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "tests" / "README.md"]
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [".venv/bin/python", "-c"]}

OPENED = "tests/consumers/run does, and opens what it writes"
# The blocks that aren't run here, by a word of theirs, and why.
NOT_RUN = {
    "loadLayersModel": "needs a browser; tests/consumers/run does the same",
    "InferenceSession": "tests/consumers/run does the same",
    "seq 8001": "takes ten minutes",
    "tests/benchmark.py": "takes a quarter of an hour",
    "--numbers NUMBERS": "needs pictures that are not in the repository",
    "tests/consumers/run": ".ci/run runs it at the end",
    "tensorflowjs_converter": OPENED,
    "tf2onnx.convert": OPENED,
    "TFLiteConverter": OPENED,
    ".export(": OPENED,
    "import openvino": OPENED,
}


def blocks(page):
    """Return language and text of each fenced block of a page."""
    return re.findall(r"^```(.*)\n((?:.*\n)*?)```$", page.read_text("utf-8"), re.M)


def block(word):
    """Return the text of the only block with this word on both pages."""
    (text,) = [text for page in PAGES for _, text in blocks(page) if word in text]
    return text


def programs():
    """Return what is run of the pages: language and text."""
    run = [block for page in PAGES for block in blocks(page)]
    run = [block for block in run if not any(word in block[1] for word in NOT_RUN)]
    commands = [(language, text) for language, text in run if language == "sh"]
    snippets = "\n".join(text for language, text in run if language == "python")
    return commands + [("python", snippets)]


def write_pictures():
    """Write a 7 in the place of each picture that the pages call the reader's own; return them."""
    points = [(x, y) for y in range(28) for x in range(28)]
    bar = {(x, y) for x, y in points if 7 <= x < 20 and 6 <= y < 9}
    stroke = {(x, y) for x, y in points if 6 <= y < 22 and abs(x + y / 2 - 21) < 1.5}
    pixels = bytes(255 * (point not in bar | stroke) for point in points)
    Path("folder").mkdir(exist_ok=True)
    paths = [Path("seven.png"), Path("photo.jpg"), Path("folder", "seven.png")]
    for path in paths:
        path.write_bytes(b"P5 28 28 255\n" + pixels)  # PGM: Pillow goes by the content
    return paths


if __name__ == "__main__":
    environment = {**os.environ, "MPLBACKEND": "agg"}  # no window waits for being closed
    pictures = write_pictures()
    for language, text in programs():
        print(f"\n== {language}\n{text}", flush=True)
        subprocess.run([*RUNNERS[language], text], env=environment, check=True)
    for path in pictures:
        path.unlink()
    Path("folder").rmdir()
