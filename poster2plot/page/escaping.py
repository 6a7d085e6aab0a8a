"""Text from outside, made harmless in Markdown and in file names."""

import re


def escape_markdown(text: str) -> str:
    """Text, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|$~:-])", r"\\\1", text)


def file_stem(label: str) -> str:
    """A harmless file name from a label."""
    return re.sub(r"[^\w-]+", "-", label.rsplit(".", 1)[0]).strip("-")[:60] or "plot"
