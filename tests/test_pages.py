"""The README and this folder's: that what they name is there, and that they are in shape."""

import re

import pytest

from conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "tests" / "README.md"]
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
