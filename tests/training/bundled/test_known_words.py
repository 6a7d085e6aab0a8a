"""Tests of the words that the bundled model may write."""

from poster2plot.training.bundled.known_words import known_words


def test_words_of_several_texts_are_known_but_slips_names_and_slurs_are_not():
    texts = [f"Zorro {i}, a slut of London, and of a well-known kitten's tale." for i in range(5)]
    texts += ["A tpyo.", "A kitten, a tale.", *["Paris is not in London." for _ in range(100)]]
    found = known_words(texts * 100)
    assert {"well-known", "kitten", "tale", "tpyo", "a", "of"} <= set(found)
    assert not {"slut", "london", "Paris", "paris"} & set(found)
    assert {"well-known", "kitten", "tale"} <= set(known_words(texts))
    assert not {"tpyo", "Zorro", "kitten's", "of"} & set(known_words(texts))
    assert found == sorted(found)


def test_names_of_persons_places_and_peoples_are_not_known():
    texts = ["Harry and I met an Irish nurse in New York.", "She flew on to New York with Harry."]
    found = known_words([*texts, "His new nurse was no mark of honour."] * 100)
    assert {"nurse", "new"} <= set(found)
    assert not [word for word in found if not word.islower()]
    assert not {"i", "irish", "harry", "york"} & set(found)


def test_a_word_that_goes_on_with_what_is_not_known_is_not_known_either():
    found = known_words(["A panda learns kung fu.", "A panda learns much."] * 99)
    assert {"panda", "learns", "much"} <= set(found)
    assert not {"kung", "fu"} & set(found)
