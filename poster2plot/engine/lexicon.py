"""Decoding under a lexicon: words that exist or are the title's, and no long one over and over.

A vocabulary of word parts can spell anything, and a small model under guidance does: after
"investig" it may go on with a part of another word. Constrained decoding with a finite-state
automaton (Deutsch et al. 2019, "A general-purpose algorithm for constrained sequential inference",
https://aclanthology.org/K19-1045) keeps to what a trie of words spells. Here the trie is a sorted
list, and few tokens are looked up in it: between words the same ones may come everywhere.

Small models also repeat themselves: "relationships, relationship's relationships". Where a word
begins, those that share the first letters of a long one before it are out. It is the word that is
kept from coming, not its tokens as in a repetition penalty, which bends function words and
inflections.

They copy a title with its capitals, too ("a Girls school"), so its words have them inside of a
sentence only where they are no others ("Atlantis"); a slur in a title is no word to write with.
"An" comes before vowels, "a" does not; pronouns agree. And what would harm where it stands is out.
"""

from __future__ import annotations

import bisect
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from poster2plot.engine.pronouns import HE, SHE, disagreeing
from poster2plot.engine.topk import largest
from poster2plot.harmful_texts import harmful_next, is_harmful, kinds

_LIKELIEST = 32  # tokens of a row
# What is at the end of a text: nothing of a word, at the start of a sentence or later; a word that
# may be whole, and then one of the articles "a" and "an"; part of one.
_START, _LATER, _WHOLE, _A, _AN, _PART = range(6)
_ARTICLES = {"a": _A, "an": _AN}
_JOINTS = "'’-"  # inside words, as in "don't" and "well-known"
_CHARACTER = rf"(?:[^\W\d_]|[{_JOINTS}])"  # of a word
_OTHER_CHARACTERS = re.compile(rf"(?!{_CHARACTER}).", re.DOTALL)
_WORD = re.compile(rf"[^\W\d_]{_CHARACTER}*")
_SENTENCE_START = re.compile(r"(?:^|[.!?…:–—])[\s\"“‘'(]*\Z|[\"“‘(]\Z")
_BROKEN = re.compile(r"\S*\ufffd\S*")  # with a letter of several tokens, which none may write
_WORD_BEFORE = re.compile(rf"({_CHARACTER}+)[ ,;]*\Z")
_ROOT = 5  # letters that words of one root share, or one less
_FUNCTION_WORDS = {
    *("also", "away", "back", "been", "both", "come", "comes", "does", "done", "down", "each"),
    *("even", "ever", "find", "finds", "from", "gets", "goes", "have", "here", "hers", "into"),
    *("just", "like", "made", "make", "makes", "many", "more", "most", "much", "must", "once"),
    *("only", "onto", "ours", "over", "said", "some", "soon", "such", "take", "takes", "than"),
    *("that", "them", "then", "they", "this", "thus", "till", "told", "upon", "very", "were"),
    *("what", "when", "whom", "will", "with", "your"),
    *("about", "after", "against", "along", "among", "another", "around", "because", "before"),
    *("behind", "being", "between", "could", "during", "every", "herself", "himself", "other"),
    *("should", "since", "their", "themselves", "there", "these", "those", "through", "under"),
    *("until", "where", "which", "while", "within", "without", "would"),
}
# By their spelling alone, so "h" and "u" come after both ("a hotel", "an hour"), and capitals after
# "an" ("an FBI agent").
_NOT_AFTER = {
    "a": re.compile(r" (?:[aio]|e(?!u))(?!n(?:e|ce)\b)", re.IGNORECASE),
    "an": re.compile(r" (?:[bcdfgj-tvwyz]|eu|on(?:e|ce)\b)"),
}
_AFTER_DIGITS = ("s", "st", "nd", "rd", "th", "d", "s-era", "th-century")
_QUOTES = "'’"
_POSSESSIVES = ("'s", "’s")
_APOSTROPHES = (*_QUOTES, *_POSSESSIVES)


def words(text: str) -> list[str]:
    """The words of a text, with inner hyphens, without a possessive.

    >>> words("The well-known cat's “milk”")
    ['The', 'well-known', 'cat', 'milk']
    """
    return list(map(_base, _WORD.findall(text)))


def _base(word: str) -> str:
    word = word.rstrip(_JOINTS)
    return word[:-2] if word.endswith(_POSSESSIVES) else word


def _root(word: str) -> str:
    """What a word of some length shares with those of its family; empty for others."""
    if word in _FUNCTION_WORDS:
        return ""
    word = word.removesuffix("s")
    return "" if len(word) < _ROOT - 1 else word[:_ROOT]


class _Spelling(NamedTuple):
    """What a token does to words: it goes on with the last one, has whole ones, begins another."""

    lead: str  # the word characters before all others
    inner: tuple[str, ...]
    trail: str  # those behind all others
    starts: bool  # the trail, a sentence
    goes_on: bool  # it has no others

    @classmethod
    def of(cls, text: str) -> _Spelling:
        lead, *others = _OTHER_CHARACTERS.split(text)
        inner = tuple(filter(None, (_base(part.lstrip(_JOINTS)) for part in others[:-1])))
        trail = others[-1].lstrip(_JOINTS) if others else ""
        before = text[: len(text) - len(trail)]
        starts = bool(before.strip() and _SENTENCE_START.search(before))
        return cls(lead, inner, trail, starts, not others)


class _Words:
    """Words, and what they begin with."""

    def __init__(self, known: Iterable[str]) -> None:
        self._sorted = sorted(set(known))
        self._set = frozenset(self._sorted)

    def have(self, word: str) -> bool:
        """Whether a word, perhaps a possessive or before a closing quote, is one of these."""
        word = word.rstrip(_QUOTES)
        if word.endswith(_POSSESSIVES) and word[-3] != "s":
            word = word[:-2]
        return word in self._set

    def go_on(self, part: str, other: str) -> bool:
        """Whether there are longer words than this one, beside another word in small letters."""
        place = bisect.bisect_right(self._sorted, part)
        longer = self._sorted[place : place + 2]
        return any(word.startswith(part) and word.lower() != other for word in longer)

    def continuations(self, part: str) -> set[str]:
        """Whatever goes on with this part towards one of these words, up to its end."""
        start = bisect.bisect_right(self._sorted, part)
        end = bisect.bisect_left(self._sorted, part + chr(sys.maxunicode))
        done = len(part)
        return {
            word[done:until]
            for word in self._sorted[start:end]
            for until in range(done + 1, len(word) + 1)
        }


@lru_cache(1024)  # what beams have in common, and for as long as a word is written
def _context(text: str) -> tuple[bool, str, frozenset[str]]:
    """Whether a sentence starts behind a text, else the last word of it; the roots of all words."""
    last, starts = _WORD_BEFORE.search(text), _SENTENCE_START.search(text) is not None
    before = last[1].rstrip(_JOINTS).lower() if last else ""
    return starts, before, frozenset(map(_root, words(text.lower()))) - {""}


@lru_cache(1024)
def _unwanted(text: str) -> frozenset[str]:
    """Kinds of words, and pronouns, that must not come next."""
    return disagreeing(words(text.lower())).union(harmful_next(text))


class _Writing(NamedTuple):
    """What counts of a text so far."""

    word: str  # at its end, as far as it is written
    behind_digit: bool  # it, or what comes next
    starts: bool  # it, or what comes next, a sentence
    before: str  # the word before it in the same sentence, in small letters
    roots: frozenset[str]  # of the words before it
    unwanted: frozenset[str]  # next
    title: _Words


class Lexicon:
    """Which tokens may come next, so that a text has `known` words and those of its title alone.

    `known` are spelt as inside a sentence. `tokenizer` is a byte-level BPE, `vocab_size` that of
    the model.
    """

    def __init__(
        self, known: Iterable[str], tokenizer: PreTrainedTokenizerBase, vocab_size: int
    ) -> None:
        self._known, self._after_digits = _Words(known), _Words(_AFTER_DIGITS)
        special, decoder = set(tokenizer.all_special_ids), ByteLevel()
        tokens = tokenizer.convert_ids_to_tokens(range(vocab_size))
        self._texts = [
            " " if token is None or id in special else decoder.decode([token])
            for id, token in enumerate(tokens)
        ]
        self._spellings = list(map(_Spelling.of, self._texts))
        self._beginning: dict[str, list[int]] = defaultdict(list)  # tokens, by word and by root
        for id, (text, spelling) in enumerate(zip(self._texts, self._spellings, strict=True)):
            if root := _root(spelling.trail.lower()):
                self._beginning[root].append(id)
            elif spelling.trail and text == f" {spelling.trail}":
                self._beginning[spelling.trail.lower()].append(id)
        self._whole: dict[str, list[int]] = defaultdict(list)  # tokens of words, by kind
        for id, text in enumerate(self._texts):
            if text[:1] == " ":
                word = text[1:].lower()
                for each in kinds(word) | ({word} & (HE | SHE)):
                    self._whole[each].append(id)
        self._leading: dict[str, list[int]] = defaultdict(list)  # tokens, by their lead
        for id, spelling in enumerate(self._spellings):
            self._leading[spelling.lead].append(id)
        # An s is a possessive behind an apostrophe.
        self._possessive = [x for x in self._leading if x == "s" or x.endswith(_APOSTROPHES)]
        self._of_title = lru_cache(256)(self._read_title)
        # Where no word has begun, and where a whole one may end, the same may come whatever it is.
        start = self._read([], [])
        inside = start._replace(starts=False)
        later = [self._may_follow(id, inside) for id in range(vocab_size)]
        # A sentence may start with whatever may come later, and with capitals.
        at_start = [may or self._may_follow(id, start) for id, may in enumerate(later)]
        after_word = [
            may and not spelling.lead and not text[:1].isdigit()
            for may, spelling, text in zip(later, self._spellings, self._texts, strict=True)
        ]
        after_a, after_an = (
            [
                may and not wrong.match(text)
                for may, text in zip(after_word, self._texts, strict=True)
            ]
            for wrong in map(_NOT_AFTER.__getitem__, _ARTICLES)
        )
        never = [False] * vocab_size
        self._everywhere = [at_start, later, after_word, after_a, after_an, never]  # by state
        self._masks = torch.tensor(self._everywhere)

    def restrict(
        self, scores: Tensor, texts: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]
    ) -> None:
        """Put -inf into scores (R, V) for what would spell no word, or one that was there already.

        `texts` are the token ids of the R texts so far, `prompts` those of their titles, which may
        be empty. How a word goes on is looked up for the likeliest tokens, and for all only where
        none of those fits.
        """
        if self._masks.device != scores.device:
            self._masks = self._masks.to(scores.device)
        rows = [self._read(text, prompt) for text, prompt in zip(texts, prompts, strict=True)]
        states = list(map(self._state, rows))
        allowed = self._masks[torch.tensor(states, device=scores.device)]
        top, likeliest = largest(scores, min(_LIKELIEST, scores.shape[-1]))
        is_finite = top.isfinite()
        finite = [
            ids[:count]
            for ids, count in zip(likeliest.tolist(), is_finite.sum(-1).tolist(), strict=True)
        ]
        places: list[tuple[int, int]] = []
        values: list[bool] = []
        for index, (row, state, ids) in enumerate(zip(rows, states, finite, strict=True)):
            everywhere = self._everywhere[state]
            ids = [id for id in ids if not everywhere[id]]
            may = [self._may_follow(id, row) for id in ids]
            if state == _PART and not any(may):
                ids = self._going_on(row)
                may = [self._may_follow(id, row) for id in ids]
            places += [(index, id) for id in ids]
            values += may
            last = row.word.lower()
            out = [self._beginning.get(word, ()) for word in (*row.roots, _root(last) or last)]
            out += [self._whole.get(kind, ()) for kind in row.unwanted]
            for tokens in out:
                places += [(index, id) for id in tokens]
                values += [False] * len(tokens)
        at = torch.tensor(places, device=scores.device, dtype=torch.long).view(-1, 2)
        allowed[at[:, 0], at[:, 1]] = torch.tensor(values, device=scores.device, dtype=torch.bool)
        # Better a word that is none than no plot.
        going = (allowed.gather(1, likeliest) & is_finite).any(-1)
        for row in (~going).nonzero()[:, 0].tolist():
            if not (allowed[row] & (scores[row] > -torch.inf)).any():
                allowed[row] = True
        scores.masked_fill_(~allowed, -torch.inf)

    def _read(self, text: Sequence[int], prompt: Sequence[int]) -> _Writing:
        written = "".join(map(self._texts.__getitem__, text))
        start = len(written)
        while start and (written[start - 1].isalpha() or written[start - 1] in _JOINTS):
            start -= 1
        word = written[start:].lstrip(_JOINTS)
        rest = written[: len(written) - len(word)]
        title = self._of_title(tuple(prompt))
        return _Writing(word, rest[-1:].isdigit(), *_context(rest), _unwanted(written), title)

    def _read_title(self, prompt: Sequence[int]) -> _Words:
        title = _BROKEN.sub(" ", "".join(map(self._texts.__getitem__, prompt)))
        own = [word for word in words(title) if not is_harmful(word)]
        if len(own) > 1:  # the letters of "K.C." are no names by themselves
            own = [word for word in own if len(word) > 1]
        names = [word for word in own if not self._known.have(word.lower())]
        return _Words(names + [word.lower() for word in own])

    def _state(self, row: _Writing) -> int:
        if row.word:
            if not self._may_end(row.word, row):
                return _PART
            return _ARTICLES.get(row.word.lower(), _WHOLE)
        if row.behind_digit:
            return _WHOLE
        return _START if row.starts else _LATER

    def _going_on(self, row: _Writing) -> list[int]:
        """All tokens that may come next where a word has begun, and a few more."""
        leads = set(self._possessive)
        for form in self._forms(row.word, row):
            for known in self._possible(row):
                leads |= known.continuations(form)
        return [id for lead in leads for id in self._leading.get(lead, ())]

    def _may_follow(self, id: int, row: _Writing) -> bool:
        """Whether a token may come next."""
        text = self._texts[id]
        # Part of a letter, or a digit at the end of a word.
        if "\ufffd" in text or (row.word and text[:1].isdigit()):
            return False
        lead, inner, trail, starts, goes_on = self._spellings[id]
        word = row.word + lead if row.word else lead.lstrip(_JOINTS)
        if goes_on:
            return not word or self._may_stand(word, row)
        if (word and not self._may_end(word, row)) or not all(map(self._known.have, inner)):
            return False
        if (wrong := _NOT_AFTER.get(word.lower())) and wrong.match(text):
            return False
        before = word.lower() if text == f" {trail}" else ""
        starts = starts or (row.starts and not word)
        after = row._replace(starts=starts, before=before, behind_digit=False)
        return not trail or self._may_stand(trail, after)

    def _may_stand(self, part: str, row: _Writing) -> bool:
        """Whether this may be the next word or the beginning of it."""
        longer = any(
            known.go_on(form, row.before)
            for known in self._possible(row)
            for form in self._forms(part, row)
        )
        return longer or self._may_end(part, row)

    def _may_end(self, word: str, row: _Writing) -> bool:
        """Whether this may be the next whole word."""
        if word.rstrip(_QUOTES).lower() == row.before:
            return False
        return any(
            known.have(form) for known in self._possible(row) for form in self._forms(word, row)
        )

    def _possible(self, row: _Writing) -> tuple[_Words, ...]:
        return (self._after_digits,) if row.behind_digit else (self._known, row.title)

    def _forms(self, word: str, row: _Writing) -> tuple[str, ...]:
        """How a word may be spelt in the lexicon."""
        return (word, word[0].lower() + word[1:]) if row.starts and word else (word,)


class LexiconLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """`Lexicon.restrict` as a `LogitsProcessor` of the stock `generate`.

    `prompt` is how many of the tokens were given: the start token, and a title between it and a
    separator.
    """

    def __init__(self, lexicon: Lexicon, prompt: int = 1) -> None:
        self._lexicon, self._prompt = lexicon, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) after token ids (rows, length)."""
        rows, restricted = input_ids.tolist(), scores.clone()
        self._lexicon.restrict(
            restricted,
            [row[self._prompt :] for row in rows],
            [row[1 : self._prompt - 1] for row in rows],
        )
        return restricted
