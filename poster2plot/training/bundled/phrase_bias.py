"""A bias against phrases that the captioner writes more often than people do.

A search for the likeliest plot finds what is likely for many posters: "a woman's life is turned
upside down". Each round writes plots for training posters and lowers the log-odds of the phrases
that are commoner there than in people's plots: iterative scaling (Darroch and Ratcliff 1972,
https://doi.org/10.1214/aoms/1177692379) of the maximum entropy model that has the phrases as
features and the captioner as its base, as in distributional control of generation (Khalifa et al.
2021, arXiv:2012.11635). It begins with what leads to numbers, which plots have not: where none can
follow, "in the year" goes on with anything. The bias is stock, `sequence_bias` of
`generation_config.json`, and so is what keeps numbers out, `suppress_tokens`.
"""

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME

from poster2plot import GenerationSettings, Poster2Plot
from poster2plot.checkpoints.checksums import CHECKSUMS
from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.errors import InputError
from poster2plot.title_prompts import TitlePrompt
from poster2plot.training.dataset import Pair
from poster2plot.training.whole import whole_file

Phrase = tuple[int, ...]  # token ids
Shares = Mapping[Phrase, float]  # of the plots that have each phrase
Bias = dict[Phrase, float]  # logits, of the last token after the others

BEGIN = -1  # in phrases, what comes before a plot's first token
_LENGTHS = (2, 3, 4)  # of phrases, in tokens
_RARE = 0.006  # share below which phrases are not counted well
_TOO_COMMON = 1.8  # times as common as in people's plots
_MOST = 80  # phrases of a round
_STEP = 0.7  # of the logarithm of how much too common a phrase is
_LARGEST = 4.0  # logits
_AT_ONCE = 32  # posters
_LEADS = (2, 3)  # tokens that may tell that a number follows, fewer ones first
_MIN_LEADS = 20  # places in people's plots; fewer tell nothing
_MIN_LEADING = 0.5  # share of them behind which a number comes
_NUMBER = re.compile(r"[\d$£€¥₹]")


def phrase_shares(plots: Collection[Sequence[int]]) -> Shares:
    """Of plots as token ids without an end token."""
    counts = Counter(chain.from_iterable(map(_phrases, plots)))
    return {phrase: count / len(plots) for phrase, count in counts.items()}


def _phrases(ids: Sequence[int]) -> set[Phrase]:
    return {phrase for length in _LENGTHS for phrase in _windows((BEGIN, *ids), length)}


def _windows(tokens: Phrase, length: int) -> Iterator[Phrase]:
    return (tokens[start : start + length] for start in range(len(tokens) - length + 1))


def overdone(own: Shares, human: Shares) -> dict[Phrase, float]:
    """The phrases that are too common, and how many times; no one is part of another.

    Of two that are about as common the shorter one comes first.
    """
    ratios = {
        phrase: ratio
        for phrase, share in own.items()
        if (ratio := (share + _RARE) / (human.get(phrase, 0.0) + _RARE)) >= _TOO_COMMON
    }
    found: dict[Phrase, float] = {}
    for phrase in sorted(ratios, key=lambda each: (-(ratios[each] // 0.5), len(each), each)):
        if len(found) < _MOST and not any(
            _is_part(phrase, other) or _is_part(other, phrase) for other in found
        ):
            found[phrase] = ratios[phrase]
    return found


def _is_part(part: Phrase, whole: Phrase) -> bool:
    return part in _windows(whole, len(part))


def leads_to_numbers(plots: Collection[Sequence[int]], numbers: Set[int]) -> Bias:
    """A bias against what is before numbers, of plots as token ids without an end token.

    Where no number may follow, a phrase is as much less likely as its share of places before one.
    """
    bias: Bias = {}
    for length in _LEADS:
        places, leading = Counter[Phrase](), Counter[Phrase]()
        for ids in plots:
            for *before, after in _windows((BEGIN, *ids), length + 1):
                phrase = tuple(before)
                places[phrase] += 1
                leading[phrase] += after in numbers
        for phrase, count in places.items():
            likely = count >= _MIN_LEADS and leading[phrase] >= _MIN_LEADING * count
            if likely and numbers.isdisjoint(phrase):
                logits = math.log((count - leading[phrase] + 1) / (count + 1))
                bias[phrase] = min(0.0, logits - bias.get(phrase[1:], 0.0))
    return bias


def fit_bias(
    write: Callable[[Bias], Collection[Sequence[int]]],
    human: Shares,
    rounds: int,
    start: Bias | None = None,
) -> Bias:
    """The bias after so many rounds, the first of which has that of the `start`, or none.

    `write` gives plots as token ids, written under a bias.
    """
    bias = dict(start or {})
    for number in range(1, rounds + 1):
        found = overdone(phrase_shares(write(bias)), human)
        for phrase, ratio in found.items():
            bias[phrase] = max(-_LARGEST, bias.get(phrase, 0.0) - _STEP * math.log(ratio))
        most = max(found.values(), default=1.0)
        print(f"round {number}: at most {most:.1f} times too common, {len(bias)} phrases")
    return bias


def sequence_bias(bias: Bias, before: Collection[int]) -> list[tuple[list[int], float]]:
    """As in a generation config; a plot begins behind one of the tokens `before` it."""
    found = []
    for phrase, logits in bias.items():
        first = before if phrase[0] == BEGIN else [phrase[0]]
        found += [([token, *phrase[1:]], round(logits, 3)) for token in first]
    return found


def number_tokens(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> list[int]:
    """The tokens with a digit or a sign of a currency in them.

    No poster shows the year of a story, how old somebody is, or how much there is to win.
    """
    special = set(tokenizer.all_special_ids)
    return [
        id
        for id in range(vocab_size)
        if id not in special and _NUMBER.search(tokenizer.decode([id]))
    ]


def bias_phrases(
    captioner: Path, pairs: Sequence[Pair], texts: Collection[str], rounds: int, out: Path
) -> None:
    """Leave a copy of an exported captioner in `out` that writes phrases as often as `texts` do.

    It writes for the posters of the pairs, with their titles and without; numbers never. Raises
    `InputError` where `out` is the captioner itself.
    """
    if out.exists() and out.samefile(captioner):
        raise InputError("The captioner would be overwritten; name another folder as --out.")
    p2p = Poster2Plot.from_pretrained(captioner)
    prompt = TitlePrompt.of(p2p.config)
    before = [p2p.engine.rules.start, *([prompt.separator_token_id] if prompt else [])]
    config = json.loads((captioner / GENERATION_CONFIG_NAME).read_text(encoding="utf-8"))
    numbers = number_tokens(p2p.tokenizer, p2p.config.decoder.vocab_size)
    config["suppress_tokens"] = numbers
    images = [pair.picture.read() for pair in pairs]
    untitled = [""] * len(pairs)
    told = [[pair.title for pair in pairs], untitled] if prompt else [untitled]

    def biased(bias: Bias) -> dict[str, object]:
        return {**config, "sequence_bias": sequence_bias(bias, before)} if bias else config

    def write(bias: Bias) -> list[list[int]]:
        p2p.engine.rules = GenerationRules.of(
            GenerationConfig.from_dict(biased(bias)),
            p2p.config.decoder.vocab_size,
            p2p.engine.decoder.device,
        )
        written = []
        for known in told:
            for start in range(0, len(pairs), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                for [plot] in p2p.generate(images[some], GenerationSettings(), known[some]):
                    ends = p2p.engine.rules.eos_token_ids
                    written.append([token for token in plot.token_ids if token not in ends])
        return written

    human = p2p.tokenizer([*texts], add_special_tokens=False).input_ids
    leads = leads_to_numbers(human, set(numbers))
    bias = fit_bias(write, phrase_shares(human), rounds, leads)
    # What tells that this is done comes last.
    left_out = shutil.ignore_patterns(CHECKSUMS, GENERATION_CONFIG_NAME)
    shutil.copytree(captioner, out, dirs_exist_ok=True, ignore=left_out)
    with whole_file(out / GENERATION_CONFIG_NAME) as part:
        part.write_text(json.dumps(biased(bias), indent=2) + "\n", encoding="utf-8")
