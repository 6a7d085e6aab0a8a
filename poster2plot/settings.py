"""How a plot is decoded."""

from dataclasses import dataclass, fields
from numbers import Real
from typing import Literal

from poster2plot.errors import SettingsError

RANGES: dict[str, tuple[float, float]] = {
    "num_beams": (1, 16),
    "max_length": (8, 512),
    "min_length": (0, 512),
    "num_candidates": (1, 16),
    "guidance": (1, 10),
    "length_penalty": (-5, 5),
    "no_repeat_ngram_size": (0, 10),
    "temperature": (0.05, 5),
    "top_p": (0.01, 1),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of one decoding, named as in `transformers`; checked when made.

    * `num_beams`: hypotheses kept at each step of beam search; 1 is greedy search. With guidance
      the one that poster and title make likelier than any other is the plot.
    * `max_length`: longest plot, in tokens, the start token included; none ends before
      `min_length`.
    * `num_candidates`: plots to return; in beam search no more than `num_beams`.
    * `guidance`: how closely to follow the poster (`poster2plot.engine.guidance`); 1 is the plain
      model, None the value that the checkpoint recommends.
    * `length_penalty`: above 0 favours longer plots in beam search.
    * `early_stopping`: end beam search with as many plots as beams (True), or only once no running
      hypothesis can beat them, by a guess (False) or surely ("never").
    * `no_repeat_ngram_size`: no sequence of so many tokens occurs twice; 0 allows all.
    * `sample`: draw each token instead of searching, by `temperature` and `top_p`, from `seed`:
      reproducibly in fp32, in int8 so where the same posters are decoded together.
    * `use_title`: write from the poster's title too, where it is known and the model takes titles.

    Numbers and booleans of any library become Python's. Raises `SettingsError` for a value that is
    of another kind or out of range.
    """

    num_beams: int = 4
    max_length: int = 64
    min_length: int = 0
    num_candidates: int = 1
    guidance: float | None = None
    length_penalty: float = 2.0
    early_stopping: bool | Literal["never"] = False
    no_repeat_ngram_size: int = 2
    sample: bool = False
    temperature: float = 0.8
    top_p: float = 0.9
    seed: int = 0
    use_title: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            name = field.name.replace("_", " ")
            if field.name not in RANGES:
                never = field.name == "early_stopping"
                if type(value).__name__ in ("bool", "bool_"):  # Python's, or one of NumPy's names
                    object.__setattr__(self, field.name, bool(value))
                elif not (never and isinstance(value, str) and value == "never"):
                    choices = 'True, False or "never"' if never else "True or False"
                    raise SettingsError(f"The {name} must be {choices}, not {value!r}.")
                continue
            if field.name == "guidance" and value is None:
                continue
            low, high = RANGES[field.name]
            if not isinstance(value, Real):
                raise SettingsError(f"The {name} must be a number, not {value!r}.")
            number = float(value)
            # NaN compares false with everything, so it is refused too.
            if not low <= number <= high:
                raise SettingsError(f"The {name} must lie between {low} and {high}, not {value}.")
            if field.type is int and not number.is_integer():
                raise SettingsError(f"The {name} must be a whole number, not {value}.")
            object.__setattr__(self, field.name, int(number) if field.type is int else number)
        if self.min_length > self.max_length:
            raise SettingsError(
                "The minimum length lies above the maximum length; lower it, or raise the other."
            )
        if not self.sample and self.num_candidates > self.num_beams:
            raise SettingsError(
                "Beam search gives no more candidates than it has beams; use more beams, or sample."
            )

    @property
    def is_beam_search(self) -> bool:
        """Whether several hypotheses are kept at each step."""
        return self.num_beams > 1 and not self.sample

    @property
    def is_guided(self) -> bool:
        """Whether each step looks at what the model would write without poster and title, too."""
        return self.guidance not in (None, 1)
