"""README.md and this folder's: they are short, what they name is there, their code is run."""

import re

import pytest

import pages
from conftest import ROOT
from pages import PAGES

TEXTS = [page.read_text("utf-8") for page in PAGES]


@pytest.mark.parametrize("text, words", list(zip(TEXTS, (1150, 2000))), ids=["front", "tests"])
def test_a_page_is_short(text, words):
    """But for blocks of code; a table's row, a link or a picture may take a long line."""
    assert len(text.split()) <= words
    prose = re.sub(r"^```.*?^```|^[|!].*?$|\]\(.*?\)", "", text, flags=re.M | re.S)
    assert max(map(len, prose.splitlines())) <= 100


@pytest.mark.parametrize("page, text", list(zip(PAGES, TEXTS)), ids=["front", "tests"])
def test_every_file_that_a_page_links_to_or_names_exists(page, text):
    links = re.findall(r"\]\((?!https?://)([^)#\s]+)", text)
    names = re.findall(r"`((?:tests/|\.ci/)[\w/.-]+)`", text)
    for path in [page.parent / link for link in links] + [ROOT / name for name in names]:
        assert path.exists()


def test_pictures_are_small_and_all_are_shown():
    for path in (ROOT / "tests" / "pictures").iterdir():
        assert path.stat().st_size <= 150_000 and f"pictures/{path.name}" in TEXTS[0], path.name


@pytest.mark.parametrize("page, text", list(zip(PAGES, TEXTS)), ids=["front", "tests"])
def test_every_block_of_code_is_run_or_listed(page, text):
    found = pages.blocks(page)
    assert text.count("```") == 2 * len(found)  # none is overlooked
    for language, code in found:
        listed = any(word in code for word in pages.NOT_RUN)
        assert listed or language in pages.RUNNERS, code
        assert language != "sh" or max(map(len, code.splitlines())) <= 60, code


@pytest.mark.parametrize("word", pages.NOT_RUN)
def test_a_word_of_the_list_names_one_block(word):
    assert word in pages.block(word)
