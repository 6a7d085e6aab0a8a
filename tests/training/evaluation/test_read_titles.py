from pathlib import Path

import pytest

from poster2plot.training.evaluation.read_titles import Reading, is_right, list_of, save, table


@pytest.mark.parametrize(
    ("read", "title"),
    [
        ("THE THIRD MAN", "The Third Man"),
        ("Strangers on a Train", "Strangers on a Train"),
        ("KNOCKIN ON HEAVENS DOOR", "Knockin' on Heaven's Door"),
        ("BREAKINGAWAY", "Breaking Away"),
        ("AMELIE", "Amélie"),
        ("13 TH", "13th"),
        ("The Purple Rose of Calro", "The Purple Rose of Cairo"),
        ("TIM'S BIG FISH", "Big Fish"),
    ],
)
def test_right(read: str, title: str):
    assert is_right(read, title)


@pytest.mark.parametrize(
    ("read", "title"),
    [
        ("", "Rush"),
        ("GONE", "Gone Girl"),
        ("Kingsman", "Kingsman: The Secret Service"),
        ("MARLON BRANDO GUYS AND DOLLS", "Guys and Dolls"),
        ("Les yeux sans visage", "Eyes Without a Face"),
        ("CHAPLIN", "City Lights"),
        ("...", "..."),
    ],
)
def test_not_right(read: str, title: str):
    assert not is_right(read, title)


READINGS = [
    Reading("tt1", ("Gone Girl",), "Gone Girl", 0.9),
    Reading("tt2", ("Eyes Without a Face", "Les yeux sans visage"), "Les Yeux Sans Visage", 0.8),
    Reading("tt3", ("City Lights",), "Chaplin", 0.7),
    Reading("tt4", ("Mad Max",), "", 0.0),
]


def test_the_table_counts(tmp_path: Path):
    assert table(READINGS).splitlines()[2:] == [
        "| right | 2 | 50.0% |", "| wrong | 1 | 25.0% |", "| none | 1 | 25.0% |",
    ]  # fmt: skip
    assert list_of(READINGS).splitlines()[2] == "| Gone Girl | Gone Girl | 0.90 | right |"
    save(READINGS, tmp_path / "titles.csv")
    assert "tt3,City Lights,Chaplin,0.700,wrong" in (tmp_path / "titles.csv").read_text()
