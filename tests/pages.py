"""Run the commands and snippets of README.md and tests/README.md as they stand there.

    python3 tests/pages.py

in a clean clone. The ``sh`` blocks come first, in order; then the ``python`` blocks, as one
program, since they build on one another. A block without a language is a sample of output.
"""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "tests" / "README.md"]
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [".venv/bin/python", "-c"]}

OPENED = "tests/consumers runs it and opens what it writes"
# The blocks that aren't run here, by a word of theirs, and why.
NOT_RUN = {
    "Scripts": "needs Windows",
    "%run": "needs a notebook; tried by hand, as the page of the tests says",
    "seq 8001": "takes ten minutes",
    "tests/benchmark.py": "takes an hour",
    "--numbers NUMBERS": "takes ten minutes, and pictures that are not in the repository",
    "tests/consumers": ".ci/run runs it at the end, with --own",
    "tensorflowjs_converter": OPENED,
    "tf2onnx.convert": OPENED,
    "TFLiteConverter": OPENED,
    ".export(": OPENED,
    "import openvino": OPENED,
}


def blocks(page):
    """Return language and text of each fenced block of a page; a sample's language is empty."""
    return re.findall(r"^```(.*)\n((?:.*\n)*?)```$", page.read_text("utf-8"), re.M)


def block(word):
    """Return the text of the only block with this word on both pages."""
    (text,) = [text for page in PAGES for _, text in blocks(page) if word in text]
    return text


def programs():
    """Return what is run of the pages: language and text."""
    run = [block for page in PAGES for block in blocks(page)]
    run = [block for block in run if not any(word in block[1] for word in NOT_RUN)]
    commands = [(language, text) for language, text in run if language not in ("", "python")]
    snippets = "\n".join(text for language, text in run if language == "python")
    return commands + [("python", snippets)]


def write_pictures():
    """Write the pictures that the pages call the reader's own; return their paths."""
    Path("folder").mkdir(exist_ok=True)
    paths = [Path("seven.png"), Path("photo.jpg"), Path("folder", "seven.png")]
    points = [(x, y) for y in range(28) for x in range(28)]
    bar = {(x, y) for x, y in points if 7 <= x < 20 and 6 <= y < 9}
    stroke = {(x, y) for x, y in points if 6 <= y < 22 and abs(x + y / 2 - 21) < 1.5}
    pixels = bytes(255 * (point not in bar | stroke) for point in points)
    for path in paths:
        path.write_bytes(b"P5 28 28 255\n" + pixels)  # PGM: Pillow goes by the content
    return paths


def main():
    environment = {**os.environ, "MPLBACKEND": "agg"}  # no window waits for being closed
    pictures = write_pictures()
    for language, text in programs():
        print(f"\n== {language}\n{text}", flush=True)
        subprocess.run([*RUNNERS[language], text], env=environment, check=True)
    for path in pictures:
        path.unlink()
    Path("folder").rmdir()


if __name__ == "__main__":
    main()
