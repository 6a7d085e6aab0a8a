import pytest

from poster2plot.harmful_texts import is_harmful


@pytest.mark.parametrize(
    "text",
    [
        "Two retards find a map.",
        "A teenage girl learns how to seduce her teacher.",
        "Seduced in spring. A sexy game begins between a man and a 15-year-old.",
        "A sheriff hunts a Mexican cartel.",
        "A soldier must stop Muslim terrorists.",
        "The police chase a ruthless Chinese drug lord.",
        "A cop faces a gang of Albanians.",
    ],
)
def test_harmful(text: str):
    assert is_harmful(text)


@pytest.mark.parametrize(
    "text",
    [
        "A teenage girl learns to fly. A sexy spy is on her trail.",
        "A Mexican family opens a bakery beside a gang's garage.",
        "A child finds a lost dog.",
        "A thief falls in love with a black cat.",
        "A killer hides in an Italian village.",
    ],
)
def test_harmless(text: str):
    assert not is_harmful(text)
