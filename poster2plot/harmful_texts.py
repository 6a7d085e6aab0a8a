"""Texts that a program must neither learn from nor write, by word lists.

The lists are short and blunt: a harmless plot that they refuse costs nothing, for there are others.
A sentence is read word by word, as what is being written must not go on with what would harm.
"""

import re
from functools import lru_cache

_SLUR = (
    r"n[i1]gg(?:er|a)s?|negro(?:es)?|coon|chink|gook|kike|spic|wetback|raghead|towelhead|paki|"
    r"gyps(?:y|ies)|savages|redskins?|injuns?|darkie|orientals|"
    r"fag(?:got)?s?|dykes?|trann(?:y|ies)|shemales?|transvestites?|homos?|"
    r"retard(?:s|ed)?|cripples?|spastics?|midgets?|whores?|sluts?|nymphos?"
)
_CHILD = (
    r"child(?:ren)?|kids?|teen(?:age[rd]?s?|s)?|schoolgirls?|schoolboys?|minors?|underage|"
    r"adolescents?|daughters?|toddlers?|lolita"
)
_SEXUAL = (
    r"sex(?:ual(?:ly|ity)?|y)?|seduc(?:e[srd]?|ing|tive|tion)|erotic|nud(?:e|ity)|naked|"
    r"virgin(?:ity)?|rap(?:e[sd]?|ing|ist)|molest\w*|incest\w*|porn\w*|prostitut\w+|lust\w*|"
    r"orgy|fetish|pa?edophil\w+|brothels?|escorts?|strip(?:pers?|tease)"
)
_PEOPLE = (
    r"black|white|brown|colou?red|asian|african|arab|jewish|jews?|muslims?|islamic|hindus?|"
    r"christians?|catholics?|mormons?|buddhists?|sikhs?|indians?|native|aboriginal|mexicans?|"
    r"chinese|japanese|koreans?|russians?|germans?|turk(?:s|ish)?|italians?|irish|albanians?|"
    r"colombians?|cubans?|vietnamese|pakistanis?|afghans?|iraqis?|iranians?|palestinians?|"
    r"israelis?|somalis?|nigerians?|haitians?|romanians?|serbs?|serbian|chechens?|americans?|"
    r"europeans?|latinos?|immigrants?|refugees?"
)
_VILLAIN = (
    r"terrorists?|gang(?:s|sters?)?|killers?|murderers?|criminals?|thugs?|cartels?|mafia|"
    r"mob(?:sters?)?|cannibals?|rapists?|extremists?|militants?|villains?|pirates?|"
    r"traffickers?|kidnappers?|warlords?|triads?|yakuza"
)
_RELATIVE = (
    r"(?:grand|step|god)?(?:mother|father|parent|sister|brother|son|daughter)s?|"
    r"mom|mum|dad|daddy|siblings?|twins?|cousins?|aunts?|uncles?|nieces?|nephews?"
)
_KINDS = {
    kind: re.compile(words)
    for kind, words in {
        "slur": _SLUR,
        "breed": r"breeds?",
        "child": _CHILD,
        "girl or boy": r"girls?|boys?",
        "old": r"olds?",
        "sexual": _SEXUAL,
        "people": _PEOPLE,
        "villain": _VILLAIN,
        "drug lord": r"lords?|dealers?",
        "relative": _RELATIVE,
        "lovers": (
            r"lovers?|romances?|romantic(?:ally)?|affairs?|marr(?:y|ies|ied|ying)|weds?|engaged|"
            r"kiss(?:es|ed|ing)?|dat(?:es|ed|ing)"
        ),
        "in love": "love",
        "falls for": "for|in",
        "baby": r"bab(?:y|ies)",
    }.items()
}
_PHRASES = {
    kind: re.compile(rf"\b(?:{words})\b")
    for kind, words in {
        "child": r"(?:school|little|young|teenage) (?:girl|boy)s?|\w+ years? olds?",
        "small child": (
            r"little (?:girl|boy)s?|toddlers?|(?:one|two|three|four|five|six|seven|eight|nine|ten|"
            r"eleven|twelve|\d|1[0-2]) years? olds?"
        ),
        "relatives": (
            rf"(?:{_RELATIVE}) and (?:\w+ ){{0,4}}(?:{_RELATIVE})|siblings|"
            r"(?:two|three|four|twin|half|the) (?:sisters|brothers|twins|cousins)"
        ),
    }.items()
}
# What must not come next, by what is somewhere before it in the sentence and by the last words.
_NEXT = [
    (before, re.compile(rf"(?:\A|\b)(?:{last})\Z"), kind)
    for before, last, kind in [
        ("", "", "slur"),
        ("", "half", "breed"),
        ("child", "", "sexual"),
        ("sexual", "", "child"),
        ("sexual", "school|little|young|teenage", "girl or boy"),
        ("sexual", r"years?", "old"),
        ("people", rf"(?:{_PEOPLE})(?: \w+)?", "villain"),
        ("people", rf"(?:{_PEOPLE}) drug", "drug lord"),
        ("villain", rf"(?:{_VILLAIN}) (?:of|from)(?: the)?(?: \w+)?", "people"),
        *(
            row
            for nobodys in ("small child", "relatives")
            for row in [
                (nobodys, "", "lovers"),
                (nobodys, "in", "in love"),
                (nobodys, r"fall\w*|fell", "falls for"),
                (nobodys, r"ha(?:ve|s|ving) a", "baby"),
            ]
        ),
        (
            "",
            r"(?:love with|falls? for|crush on|affair with|married to|engaged to|marry|marries) "
            r"(?:her|his|their)(?: own| estranged)?",
            "relative",
        ),
    ]
]
_LAST = 5  # words, the most that a pattern of them has
_SENTENCE_END = re.compile(r"[.!?]")
_WORD = re.compile(r"[^\W_]+")


@lru_cache(4096)
def kinds(word: str) -> frozenset[str]:
    """Of which kinds a word in small letters is, for `harmful_next`."""
    return frozenset(kind for kind, words in _KINDS.items() if words.fullmatch(word))


def harmful_next(text: str) -> set[str]:
    """Of which kinds the next word of a text must not be, by its last sentence."""
    words = _WORD.findall(_SENTENCE_END.split(text)[-1].lower())
    found = set().union(*map(kinds, words))
    if found & {"girl or boy", "old", "child", "relative"}:
        sentence = " ".join(words)
        found |= {kind for kind, phrase in _PHRASES.items() if phrase.search(sentence)}
    last = " ".join(words[-_LAST:])
    return {
        kind for before, end, kind in _NEXT if (not before or before in found) and end.search(last)
    }


def is_harmful(text: str) -> bool:
    """Tell a slur, a child in a sentence on sex, small children or relatives as lovers, or villains
    by colour, faith or nation.
    """
    return any(
        found & harmful_next(text[: word.start()])
        for word in _WORD.finditer(text)
        if (found := kinds(word[0].lower()))
    )
