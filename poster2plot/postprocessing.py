"""From decoded tokens to a plot fit for reading."""

import re

_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*(?=\s+[^\sa-z]|\s*$)")
# Before a stop that ends no sentence: "Mr.", "U.S.", the initial of a name.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Lt|Sgt|Capt|Col|Gen|Rev|vs|[A-Z]|(?:\w\.)+\w)$"
)


def tidy(text: str, *, finished: bool) -> str:
    """Plain spaces, and no half sentence at the end.

    A hypothesis that met the maximum length before its end token (`finished` is False) is cut
    after its last whole sentence, if it has one. Models that never learnt to stop write `..` where
    the plot is over, as in the demo of deepklarity/poster2plot: there it is cut too.
    """
    text = " ".join(text.split())
    if finished:
        return text
    head, over, _ = text.partition("..")
    if over:
        return f"{head.rstrip()}." if head.strip() else text
    ends = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if match[0] != "." or not _ABBREVIATION.search(text[: match.start()])
    ]
    return text[: ends[-1]] if ends else text
