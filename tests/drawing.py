"""Use the window of --draw without a display: Matplotlib's own events stand for the mouse.

    .venv/bin/python tests/drawing.py MODEL tests/pictures/drawing.png

saves a picture of the window with a drawn 42, as the front page shows it.
"""

import sys
from pathlib import Path
from unittest import mock

import numpy as np
from matplotlib.backend_bases import KeyEvent, MouseEvent

import conftest  # noqa: F401  it finds the script and chooses a backend without windows
import deep_learning_model as dlm

# Corners of strokes on a square of 280 x 280 pixels, from its top left corner.
FIVE = [
    [(190, 60), (115, 62), (108, 130), (150, 120), (185, 150), (180, 200), (140, 225), (95, 210)]
]
FOUR = [[(110, 60), (90, 150), (200, 150)], [(170, 60), (165, 230)]]
ONE = [[(140, 50), (140, 230)]]
TWO = [[(100, 90), (130, 60), (170, 70), (175, 110), (100, 225), (185, 222)]]
DIGITS = {"1": ONE, "2": TWO, "4": FOUR, "5": FIVE}


def window(model_path):
    """Return the figure that --draw shows."""
    with mock.patch.object(dlm.plt, "show"), mock.patch.object(dlm.plt, "get_backend", str):
        dlm.draw(*dlm.load_model(Path(model_path)))
    figure = dlm.plt.gcf()
    figure.canvas.draw()
    return figure


def mouse(figure, name, point, button=None):
    x, y = figure.axes[0].transData.transform(point)
    event = MouseEvent(name, figure.canvas, x, y, button=button)
    figure.canvas.callbacks.process(name, event)


def draw(figure, strokes):
    """Draw strokes with the left button, in steps of a few pixels as a hand does."""
    for corners in strokes:
        mouse(figure, "button_press_event", corners[0], button=1)
        for start, end in zip(corners, corners[1:]):
            for share in np.linspace(0, 1, 5):
                point = (1 - share) * np.array(start) + share * np.array(end)
                mouse(figure, "motion_notify_event", point, button=1)
        mouse(figure, "button_release_event", corners[-1], button=1)
        mouse(figure, "motion_notify_event", corners[-1])


def press_key(figure, key):
    event = KeyEvent("key_press_event", figure.canvas, key)
    figure.canvas.callbacks.process("key_press_event", event)


if __name__ == "__main__":
    figure = window(sys.argv[1])
    draw(figure, FOUR + [[(x + 180, y) for x, y in stroke] for stroke in TWO])
    figure.savefig(sys.argv[2], dpi=80)
