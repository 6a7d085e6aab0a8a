"""Trials that try to break the app: one command for each family, `python -m reliability.NAME`.

docs/reliability.md has what they printed.
"""
