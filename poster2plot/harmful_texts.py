"""Texts that a program must neither learn from nor write, by word lists.

The lists are short and blunt: a harmless plot that they refuse costs nothing, for there are others.
"""

import re

# In any plot: slurs, by stem.
_SLURS = (
    r"n[i1]gg(?:er|a)s?|negro(?:es)?|coon|chink|gook|kike|spic|wetback|raghead|towelhead|paki|"
    r"gyps(?:y|ies)|savages|redskins?|injuns?|darkie|half-breed|orientals|"
    r"fag(?:got)?s?|dykes?|trann(?:y|ies)|shemales?|transvestites?|homos?|"
    r"retard(?:s|ed)?|cripples?|spastics?|midgets?|whores?|sluts?|nymphos?"
)
_CHILD = (
    r"child(?:ren)?|kids?|teen(?:age[rd]?s?|s)?|(?:school|little |young |teenage )(?:girls?|boys?)|"
    r"minors?|underage|adolescents?|daughters?|(?:\w+|\d+)[- ]year[- ]olds?|lolita"
)
_SEXUAL = (
    r"sex(?:ual(?:ly|ity)?|y)?|seduc(?:e[srd]?|ing|tive|tion)|erotic|nud(?:e|ity)|naked|"
    r"virgin(?:ity)?|rap(?:e[sd]?|ing|ist)|molest\w*|incest\w*|porn\w*|prostitut\w+|lust\w*|"
    r"orgy|fetish|pa?edophil\w+|brothels?|escorts?|strip(?:pers?|tease)"
)
_PEOPLE = (
    r"black|white|brown|colou?red|asian|african(?:-american)?|arab|jewish|jews?|muslims?|islamic|"
    r"hindus?|christians?|catholics?|mormons?|buddhists?|sikhs?|indians?|native|aboriginal|"
    r"mexicans?|chinese|japanese|koreans?|russians?|germans?|turk(?:s|ish)?|italians?|irish|albanians?|colombians?|cubans?|vietnamese|"
    r"pakistanis?|afghans?|iraqis?|iranians?|palestinians?|israelis?|somalis?|nigerians?|haitians?|"
    r"romanians?|serbs?|serbian|chechens?|americans?|europeans?|latinos?|immigrants?|refugees?"
)
_VILLAIN = (
    r"terrorists?|gang(?:s|sters?)?|killers?|murderers?|criminals?|thugs?|"
    r"drug (?:lord|dealer|cartel)s?|cartels?|mafia|mob(?:sters?)?|cannibals?|rapists?|"
    r"extremists?|militants?|villains?|pirates?|traffickers?|kidnappers?|warlords?|triads?|yakuza"
)
_HARMFUL = re.compile(
    rf"\b(?:{_SLURS})\b"
    rf"|\b(?:{_CHILD})\b[^.!?]*\b(?:{_SEXUAL})\b"
    rf"|\b(?:{_SEXUAL})\b[^.!?]*\b(?:{_CHILD})\b"
    rf"|\b(?:{_PEOPLE})\b(?:[ -]\w+)?[ -](?:{_VILLAIN})\b"
    rf"|\b(?:{_VILLAIN}) (?:of|from) (?:the )?(?:\w+ )?(?:{_PEOPLE})\b",
    re.IGNORECASE,
)


def is_harmful(text: str) -> bool:
    """Tell a slur, a child in a sentence on sex, or villains by colour, faith or nation."""
    return _HARMFUL.search(text) is not None
