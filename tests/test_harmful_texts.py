import pytest

from poster2plot.harmful_texts import harmful_next, is_harmful, kinds


@pytest.mark.parametrize(
    "text",
    [
        "Two retards find a map.",
        "A half-breed finds a map.",
        "A teenage girl learns how to seduce her teacher.",
        "Seduced in spring. A sexy game begins between a man and a 15-year-old.",
        "A sheriff hunts a Mexican cartel.",
        "A soldier must stop Muslim terrorists.",
        "The police chase a ruthless Chinese drug lord.",
        "A cop faces a gang of Albanians.",
        "A single mom and her three-year-old daughter fall for each other.",
        "A mother and daughter, both of whom have grown up, decide to get married.",
        "A drama about two sisters who fall in love.",
        "Siblings who have a baby.",
        "A shy girl has a crush on her sister.",
        "A man has an affair with his estranged daughter.",
        "A little girl is engaged to a prince.",
        "A 9-year-old dates a spy.",
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
        "A mother and her daughter fall apart. A baker falls in love.",
        "A teenage girl falls in love with a vampire.",
        "Two brothers have a bakery and a baby elephant.",
        "A woman falls for her best friend.",
        "A 19-year-old is engaged to a prince.",
    ],
)
def test_harmless(text: str):
    assert not is_harmful(text)


@pytest.mark.parametrize(
    ("sentence", "harmful", "harmless"),
    [
        ("", "slut", "child"),
        ("A mother and her little daughter fall", "for", "apart"),
        ("A mother and her daughter", "kiss", "sail"),
        ("A brother and sister have a", "baby", "bakery"),
        ("A man and his wife fall in", "slut", "love"),
        ("A young girl is", "naked", "brave"),
        ("A naked man and a little", "girl", "dog"),
        ("She is in love with her", "brother", "teacher"),
        ("They hunt a Chinese drug", "lord", "store"),
    ],
)
def test_what_must_not_come_next(sentence: str, harmful: str, harmless: str):
    assert kinds(harmful) & harmful_next(sentence)
    assert not kinds(harmless) & harmful_next(sentence)
    assert is_harmful(f"{sentence} {harmful} now.")
    assert not is_harmful(f"{sentence} {harmless} now.")
