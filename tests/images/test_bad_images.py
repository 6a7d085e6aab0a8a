"""The quick part of the corpus, in process; `python -m reliability.images` reads all of it."""

import warnings
from collections import Counter
from pathlib import Path

from poster2plot.errors import ImageError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import MAX_SIDE
from support.bad_images import quick_cases

CASES = list(quick_cases())


def test_the_corpus_is_large_and_its_names_unique():
    names = [name for name, _ in CASES]
    assert len(names) >= 200
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert {name.partition("/")[0] for name in names} >= {"modes", "refused formats", "cut off"}


def test_the_corpus_is_the_same_each_time():
    for case, again in zip(CASES, quick_cases(), strict=True):
        timed = "AVIF" in case[0] or "PDF" in case[0]  # the time of day is in them
        assert case == again or timed


def test_each_case_ends_in_a_small_picture_or_an_error_of_ours():
    refused = 0
    for name, data in CASES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on odd metadata
                picture = read_image(data, name=Path(name).name)
        except ImageError:
            refused += 1
            continue
        assert (picture.mode, picture.info) == ("RGB", {}), name
        assert 1 <= max(picture.size) <= MAX_SIDE, name
    assert 0 < refused < len(CASES)


def test_refused_formats_are_refused():
    for name, data in CASES:
        if name.startswith("refused formats/"):
            try:
                read_image(data)
            except ImageError:
                continue
            raise AssertionError(name)
