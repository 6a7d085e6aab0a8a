"""Where the files are that lie beside the package in the repository, and inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "bundled"  # where setup.py puts them
ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent

BUNDLED_MODEL = ROOT / "models" / "poster2plot-title"
EXAMPLE_POSTERS = ROOT / "assets" / "posters"
APP_SCRIPT = ROOT / "streamlit_app.py"  # its settings lie beside it, in .streamlit


def example_title(poster: Path) -> str:
    """The title of an example poster, which its file is named after."""
    return poster.stem.replace("-", " ").title()
