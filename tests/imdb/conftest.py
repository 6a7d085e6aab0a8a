"""The poster services on this machine, and what the tests of this folder say of them alike."""

from collections.abc import Iterator

import pytest

from poster2plot import PosterFinder, PosterLookupError
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, PICTURE, Answer, PosterServer, serve_posters

POSTER = encode(draw_poster(), "JPEG")


@pytest.fixture
def server() -> Iterator[PosterServer]:
    """Services that know no title yet; their pictures are all `POSTER`."""
    with serve_posters() as running:
        running.answers[PICTURE] = Answer(POSTER)
        yield running


def reason(finder: PosterFinder, error: type[PosterLookupError]) -> str:
    """The one sentence that `find` fails with."""
    with pytest.raises(error) as caught:
        finder.find(ID)
    sentence = str(caught.value)
    assert ID in sentence
    assert sentence.endswith("; upload the poster instead.")
    return sentence
