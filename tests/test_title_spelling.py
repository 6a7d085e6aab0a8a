"""Titles as people and tables spell them, brought to the spelling of catalogues."""

import pytest

from poster2plot import GenerationSettings, Poster2Plot
from poster2plot.title_prompts import LONGEST_TITLE, clean_title
from poster2plot.title_spelling import as_catalogued
from support.drawn_posters import draw_poster


@pytest.mark.parametrize(
    ("typed", "spelt"),
    [
        ("the third man", "The Third Man"),
        ("THE THIRD MAN", "The Third Man"),
        ("Third Man, The", "The Third Man"),
        ("“third man, the” (1949)", "The Third Man"),
        ("avventura, l'", "L'Avventura"),
        ("Girl, Interrupted", "Girl, Interrupted"),
        ("Don’t Look Now", "Don't Look Now"),
        ("hush… hush — sweet charlotte", "Hush... Hush - Sweet Charlotte"),
        ("ＨＥＡＤ－ＯＮ", "Head-On"),
        ("'Allo 'Allo", "'Allo 'Allo"),
        ("the godfather part ii", "The Godfather Part II"),
        ("2001: a space odyssey", "2001: A Space Odyssey"),
        ("mr. robot", "Mr. Robot"),
        ("MR. ROBOT", "Mr. Robot"),
        ("amélie", "Amélie"),
        ("ΑΓΟΡΑ ΚΑΛΗ", "Αγορα Καλη"),
        ("Dark (TV Series 2017–2020)", "Dark"),
        ("heat (1995 film)", "Heat"),
        ("Postman, The (Postino, Il) (1994)", "The Postman"),
        ("Seven (a.k.a. Se7en) (1995)", "Seven"),
        ("(500) Days of Summer (2009)", "(500) Days of Summer"),
        ("Law &amp; Order", "Law & Order"),
        ("Don&#39;t Look Now", "Don't Look Now"),
        ("R&B; Love", "R&B; Love"),
        ("Blade Runner 2049", "Blade Runner 2049"),
        ("1917 (2019)", "1917"),
        ("(1917)", "(1917)"),
        ("The Office (US)", "The Office (US)"),
        ("(500) Days of Summer", "(500) Days of Summer"),
        ("NCIS", "NCIS"),
        ("CSI: NY", "CSI: NY"),
        ("The X-Files", "The X-Files"),
        ("eXistenZ", "eXistenZ"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("", ""),
    ],
)
def test_a_title_is_spelt_as_in_catalogues(typed: str, spelt: str):
    assert as_catalogued(typed) == spelt
    assert as_catalogued(spelt) == spelt


@pytest.mark.parametrize("part", ["(", "“", "' ", "a, the ", "(film ", "(1999 ", "[tv", "ⅷß", "I."])
def test_no_title_is_lost_or_takes_long(part: str):
    title = clean_title(part * LONGEST_TITLE)
    assert as_catalogued(title).strip()


def test_however_a_title_is_typed_the_plot_is_the_same(titled: Poster2Plot):
    plain = GenerationSettings(guidance=1, max_length=24)
    spellings = ["The Dog", "the dog", "THE DOG", "Dog, The", "“The Dog” (1992)", "Another Dog"]
    plots = titled.generate([draw_poster()] * len(spellings), plain, spellings)
    *same, other = [best.token_ids for best, *_ in plots]
    assert len({*same}) == 1
    assert other not in same
