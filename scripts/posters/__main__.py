"""Draw the example posters of the page: `python -m scripts.posters`.

Films and series that do not exist, so that the repository needs nobody else's pictures.
"""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from scripts.posters import delights, thrills

FOLDER = Path(__file__).parent.parent.parent / "assets" / "posters"
POSTERS: dict[str, Callable[[], Image.Image]] = {
    "a-quiet-alibi": thrills.noir,
    "far-side-of-silence": thrills.space,
    "good-boy-bad-day": delights.comedy,
    "iron-meadow": thrills.war,
    "pip-and-the-cloud-whale": delights.animation,
    "ten-thousand-wings": delights.documentary,
    "the-corner-table": delights.sitcom,
    "the-ember-crown": thrills.fantasy,
    "the-house-on-harrow-hill": thrills.horror,
    "the-last-water": thrills.western,
    "two-umbrellas": delights.romance,
    "undertow-bay": thrills.shark,
}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in POSTERS.items():
        draw().save(FOLDER / f"{name}.jpg", quality=88, optimize=True)
