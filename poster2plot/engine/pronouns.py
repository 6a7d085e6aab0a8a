"""Pronouns that agree with who is named: no "he" where all who are named are women.

A small model takes the pronoun that is likeliest after the last few words, and so a girl wins "his
heart". Agreement is a hard constraint here, by word lists.
"""

from __future__ import annotations

from collections.abc import Iterable

SHE, HE = frozenset({"she", "her", "hers", "herself"}), frozenset({"he", "him", "his", "himself"})
_WOMAN = {
    *("woman", "girl", "female", "lady", "mother", "mom", "mum", "daughter", "sister", "wife"),
    *("grandmother", "aunt", "niece", "queen", "princess", "empress", "goddess", "heroine", "nun"),
    *("actress", "waitress", "hostess", "heiress", "witch", "bride", "widow", "mistress", "maid"),
    *("girlfriend", "schoolgirl", "policewoman", "businesswoman", "stepmother", "stepdaughter"),
    *("stepsister", "ballerina", "housewife", "maiden"),
}
_MAN = {
    *("man", "boy", "male", "father", "dad", "daddy", "son", "brother", "husband", "grandfather"),
    *("uncle", "nephew", "king", "prince", "emperor", "monk", "priest", "groom", "widower"),
    *("boyfriend", "schoolboy", "cowboy", "policeman", "businessman", "salesman", "gentleman"),
    *("stepfather", "stepson", "swordsman", "fisherman", "actor", "waiter", "guy", "bachelor"),
}
_WOMEN = {"women", "girls", "ladies", "mothers", "daughters", "sisters", "wives", "actresses"}
_MEN = {"men", "boys", "fathers", "sons", "brothers", "husbands", "monks", "actors", "guys"}


def disagreeing(words: Iterable[str]) -> frozenset[str]:
    """The pronouns that nobody is, whom a text so far has, of its words in small letters.

    Of a text that names neither women nor men these are none.
    """
    said = {*words}
    she, he = said & (_WOMAN | SHE), said & (_MAN | HE)
    found: frozenset[str] = frozenset()
    if not he and (she or said & _WOMEN):
        found |= HE
    if not she and (he or said & _MEN):
        found |= SHE
    return found
