"""Reads the printed title of a poster: `TitleReader` in `reader.py`."""
