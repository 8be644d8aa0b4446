"""The README and this folder's: that what they name is there, and that their code is run."""

import io
import re
import sys

import pytest

import deep_learning_model as dlm
import pages
from conftest import ROOT, SCRIPT
from pages import PAGES

MADE = "mnist_cnn_model|fashion_mnist_cnn_model|training_curves|confusion_matrix|sample_predictions"
# No files of the repository: what runs write, what users give, and TensorFlow.js.
MADE_BY_RUNS = re.compile(
    rf"(TensorFlow|{MADE}|metrics|predictions|seven|photo|model|FILE|TRAIN|TEST)\."
)


@pytest.mark.parametrize("page", PAGES, ids=["front", "tests"])
def test_every_file_that_a_page_links_to_exists(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    links = [link for link in links if not link.startswith("https://")]
    assert links
    for link in links:
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=["front", "tests"])
def test_every_file_that_a_page_names_in_code_exists(page):
    names = re.findall(
        r"(?<![\w*/.])(?:tests/|\.ci/)?[\w/-]+\.(?:py|txt|toml|md|js|html)\b",
        page.read_text("utf-8"),
    )
    assert names
    for name in set(names):
        if not MADE_BY_RUNS.match(name):
            assert (ROOT / name).exists() or (page.parent / name).exists(), name


def test_pictures_are_small_and_all_are_shown():
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    pictures = list((ROOT / "tests" / "pictures").iterdir())
    assert pictures
    for path in pictures:
        assert path.stat().st_size <= 150_000 and f"pictures/{path.name}" in pages, path.name


def test_the_front_page_is_short_and_gives_its_commands_at_once():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 170
    start = "\n".join(lines[:25])
    assert "deep_learning_model.py\n```" in start and "--predict" in start


@pytest.mark.parametrize("page", PAGES, ids=["front", "tests"])
def test_every_block_is_run_or_listed_and_fits_a_narrow_window(page):
    found = pages.blocks(page)
    assert page.read_text("utf-8").count("```") == 2 * len(found)  # none is overlooked
    for language, text in found:
        listed = any(word in text for word in pages.NOT_RUN)
        assert listed or language in ("", *pages.RUNNERS), text
        assert language != "sh" or max(map(len, text.splitlines())) <= 60, text


@pytest.mark.parametrize("word", pages.NOT_RUN)
def test_a_word_of_the_list_names_one_block(word):
    assert word in pages.block(word)


@pytest.mark.parametrize("cell, epochs", [({}, 5), ({"__file__": str(SCRIPT)}, 2)])
def test_pasted_into_a_notebook_the_script_takes_its_defaults(cell, epochs, monkeypatch):
    """With %run it has a file and its own options. A notebook's output can't be reconfigured."""
    options = ["--epochs", "2"] if cell else ["-f", "kernel.json"]
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", *options])
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    definitions, start, end = SCRIPT.read_text("utf-8").rpartition('\nif __name__ == "__main__":')
    cell = {"__name__": "__main__", **cell}
    exec(definitions, cell)
    parsed = []
    cell["main"] = lambda argv: parsed.append(dlm.parse_args(argv))
    exec(start + end, cell)
    assert parsed[0].epochs == epochs and parsed[0].data == ["mnist"]
