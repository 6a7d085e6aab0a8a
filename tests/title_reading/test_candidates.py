import pytest

from poster2plot.title_reading.candidates import candidates, in_reading_order
from poster2plot.title_reading.features import PosterText
from poster2plot.title_reading.text_lines import TextLine, one_reading
from poster2plot.title_reading.words import are_misread, words


def line(
    text: str,
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    score: float = 0.99,
    scale: int = 480,
    turned: bool = False,
) -> TextLine:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return TextLine(text, score, corners, turned, scale)


def texts(lines: list[TextLine]) -> set[str]:
    return {each.text for each in lines}


def test_the_height_of_a_turned_line_is_its_width():
    assert line("WARRIOR", 0.1, 0.1, 0.3, 1.4, turned=True).height == pytest.approx(0.2)
    assert line("WARRIOR", 0.1, 0.1, 0.3, 1.4, turned=True).length == pytest.approx(1.3)


# Which reading is kept


def test_of_two_readings_of_a_line_the_surer_is_kept():
    small = line("0RACULA", 0.1, 0.1, 0.9, 0.3, score=0.7)
    large = line("DRACULA", 0.11, 0.11, 0.9, 0.3, scale=192)
    assert one_reading([small, large]) == [large]


def test_words_that_ran_together_give_way_to_their_parts():
    parts = [line("DON'T", 0.1, 0.1, 0.45, 0.2), line("BREATHE", 0.5, 0.1, 0.9, 0.2)]
    whole = line("DONTBREATHE", 0.1, 0.1, 0.9, 0.2, scale=192)
    assert set(one_reading([*parts, whole])) == set(parts)


def test_one_of_two_readings_always_stays():
    fine = [line("FAULT", 0.36, 1.01, 0.65, 1.16), line("THE", 0.44, 0.97, 0.57, 1.05)]
    coarse = [
        line("FAULT", 0.36, 1.0, 0.65, 1.17, scale=192),
        line("THE", 0.43, 0.96, 0.58, 1.06, scale=192),
    ]
    assert texts(one_reading([*fine, *coarse])) == {"FAULT", "THE"}


def test_small_print_between_large_letters_stays():
    lines = [line("SING", 0.1, 0.2, 0.9, 0.7), line("a comedy", 0.4, 0.4, 0.6, 0.45, scale=192)]
    assert set(one_reading(lines)) == set(lines)


def test_lines_of_one_picture_stay_where_they_overlap():
    lines = [line("THE", 0.1, 0.1, 0.4, 0.2), line("END", 0.1, 0.12, 0.4, 0.22)]
    assert set(one_reading(lines)) == set(lines)


@pytest.mark.parametrize(
    ("text", "score"), [("", 0.99), ("—", 0.99), ("GREED", 0.5), ("三", 0.8), ("福", 0.2)]
)
def test_texture_is_no_text(text: str, score: float):
    assert one_reading([line(text, 0.1, 0.1, 0.5, 0.2, score=score)]) == []


# Groups


def test_neighbours_are_grouped_in_every_way():
    lines = [
        line("THE LAST", 0.2, 1.0, 0.8, 1.1),
        line("RIVER", 0.3, 1.12, 0.7, 1.22),
        line("JOHN FENWICK", 0.2, 0.05, 0.8, 0.1),
    ]
    assert {each.text for each in candidates(lines)} == {
        "THE LAST", "RIVER", "THE LAST RIVER", "JOHN FENWICK",
    }  # fmt: skip


def test_two_lines_alike_may_stand_far_apart():
    lines = [line("MOTHER", 0.2, 0.2, 0.8, 0.3), line("AND SON", 0.2, 0.9, 0.8, 1.0)]
    assert "MOTHER AND SON" in {each.text for each in candidates(lines)}


def test_lines_are_read_from_top_to_bottom_and_left_to_right():
    lines = [
        line("DOWN", 0.1, 0.3, 0.9, 0.4),
        line("RIGHT", 0.5, 0.11, 0.9, 0.2),
        line("LEFT", 0.1, 0.1, 0.45, 0.19),
    ]
    assert [each.text for each in in_reading_order(lines)] == ["LEFT", "RIGHT", "DOWN"]


def test_a_wall_of_text_ends():
    lines = [line(f"WORD{i}", 0.1, i / 10, 0.9, i / 10 + 0.08) for i in range(60)]
    assert len(candidates(lines)) <= 2000


@pytest.mark.parametrize(
    ("text", "is_title"),
    [("i", False), ("i 6", False), ("天", False), ("Up", True), ("怒り", True)],
)
def test_a_single_letter_is_no_title(text: str, is_title: bool):
    assert bool(candidates([line(text, 0.1, 0.1, 0.5, 0.2)])) == is_title


def test_no_lines_no_candidates():
    assert candidates([]) == []


@pytest.mark.parametrize(
    "text",
    ["KYNOΔONTAΣ", "TO BΛEMMA TOY OΔYΣΣEA", "СTAЛKEP", "0000000 000", "WORDWORDWORDWORD"],
)
def test_what_recognition_makes_of_other_scripts_and_patterns_is_misread(text: str):
    assert are_misread(words(text))


@pytest.mark.parametrize(
    "text",
    ["300", "1900", "xXx", "Boo", "TORA! TORA! TORA!", "New York, New York", "STRAßE", "Đường Về",
     "M3GAN", "α-OMEGA", "Сталкер", "七人の侍", "BLEACHブリーチ", "ＡＫＩＲＡ"],
)  # fmt: skip
def test_a_title_that_looks_odd_is_not_misread(text: str):
    assert not are_misread(words(text))


# Features


def test_features_are_finite_whatever_is_written():
    odd = [
        line("9", 0.1, 0.1, 0.2, 0.3),
        line("七人の侍", 0.3, 0.1, 0.9, 0.3),
        line("...", 0.1, 0.35, 0.9, 0.36),
        line("كفرناحوم", 0.1, 0.4, 0.9, 0.9),
    ]
    text = PosterText(odd, 1.5)
    for candidate in candidates(odd):
        values = text.features(candidate)
        assert all(abs(value) < 100 for value in values.values()), values
