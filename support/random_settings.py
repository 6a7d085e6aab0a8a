"""Settings of a decoding, drawn at random."""

import random

from poster2plot import GenerationSettings
from support.toy_model import POSITIONS


def random_settings(rng: random.Random) -> GenerationSettings:
    """Of all that a toy model can follow."""
    beams = rng.randint(1, 8)
    sample = rng.random() < 0.25
    max_length = rng.choice([8, 12, 24, 40, POSITIONS])
    return GenerationSettings(
        num_beams=beams,
        num_candidates=rng.randint(1, 8 if sample else beams),
        max_length=max_length,
        min_length=min(max_length, rng.choice([0, 0, 5, 20])),
        guidance=rng.choice([1, 1.5, 3, 6]),
        length_penalty=rng.choice([-1.0, 0.0, 0.6, 1.0, 2.0]),
        early_stopping=rng.choice([False, False, True, "never"]),
        no_repeat_ngram_size=rng.choice([0, 1, 2, 3, 4]),
        sample=sample,
        temperature=rng.choice([0.5, 1.0, 1.7]),
        top_p=rng.choice([0.5, 0.9, 1.0]),
        seed=rng.randrange(1000),
    )
