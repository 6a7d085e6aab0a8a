"""What `docs/architecture.md` promises of imports, and that documents name files that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "poster2plot"
BASE = {"settings", "errors"}
# What each room may import of the others; whatever is not named here may import all of the core.
ALLOWED = {
    "settings": {"errors"},
    "errors": set(),
    "harmful_texts": set(),
    "postprocessing": set(),
    "title_spelling": set(),
    "title_prompts": {"title_spelling"},
    "title_reading": {"errors", "images", "title_spelling"},
    "engine": {"settings", "harmful_texts"},
    "delimited_text": set(),
    "images": {"errors"},
    "checkpoints": {"bundled_files", "errors"},
    "imdb": {"errors", "images", "title_spelling"},
    "pipeline": BASE
    | {"checkpoints", "engine", "harmful_texts", "images", "postprocessing", "title_prompts"},
    "inputs": {"errors", "images", "imdb", "title_prompts", "title_reading"},
    "records": BASE | {"imdb", "inputs", "pipeline"},
    "cli": BASE | {"bundled_files", "imdb", "inputs", "pipeline", "records"},
    "server": BASE | {"images", "imdb", "inputs", "pipeline", "records"},
    "page": BASE
    | {"", "bundled_files", "images", "imdb", "inputs", "pipeline", "records", "server"}
    | {"title_prompts"},
}
FOLDERS = ("poster2plot", "tests", "support", "benchmarks", "reliability", "scripts", "models")
FACES = {"page", "batch", "training"}  # which nothing else imports


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, at its top or anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def room(module: str) -> str | None:
    """The folder or module of the package that a module belongs to, None for other packages.

    What `poster2plot/__init__.py` offers belongs to "".
    """
    parts = module.split(".")
    if parts[0] != "poster2plot":
        return None
    known = len(parts) > 1 and any(PACKAGE.glob(f"{parts[1]}*"))
    is_module = known and ((PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file())
    return parts[1] if is_module else ""


def rooms() -> dict[str, set[str]]:
    """What each room imports of the others."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        names = {name for module in imported(path) if (name := room(module)) is not None}
        if own != "page":  # else the package's first name counts as the room ""
            names -= {""}
        found.setdefault(own, set()).update(names - {own})
    return found


@pytest.mark.parametrize("name", ALLOWED)
def test_a_room_imports_what_it_may(name: str):
    assert rooms()[name] <= ALLOWED[name]


def test_nothing_imports_the_faces():
    for name, others in rooms().items():
        assert not others & (FACES - {name}), name
        if name != "page":
            assert "server" not in others, name


@pytest.mark.parametrize(
    ("library", "home"), [("streamlit", {"page"}), ("torch", {"checkpoints", "engine", "pipeline"})]
)
def test_a_library_stays_in_its_rooms(library: str, home: set[str]):
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own not in home | {"training"}:
            assert all(module.split(".")[0] != library for module in imported(path)), path


def test_to_import_a_module_changes_nothing_of_others():
    """Such as the limits of Pillow and `csv`, which are the whole process's."""
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "page" / "main.py"}:  # which is a script
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            told = f"{path}: {ast.unparse(statement)}"
            if isinstance(statement, ast.Expr):
                assert isinstance(statement.value, ast.Constant), told
            for target in getattr(statement, "targets", []):
                assert isinstance(target, ast.Name | ast.Tuple), told


@pytest.mark.parametrize("name", ["benchmarks", "reliability", "support"])
def test_what_shares_support_shares_nothing_else(name: str):
    others = {"tests", "benchmarks", "reliability"} - {name}
    for path in (ROOT / name).rglob("*.py"):
        assert not {module.split(".")[0] for module in imported(path)} & others, path


@pytest.mark.parametrize(
    "document",
    [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        PACKAGE / "training" / "card.md",
    ],
    ids=lambda path: path.name,
)
def test_a_document_names_files_that_exist(document: Path):
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", text))
    if document.name == "architecture.md":
        inside = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir())
        named |= {f"poster2plot/{each}" for each in re.findall(rf"`((?:{inside})/[\w./]*)`", text)}
    named |= {
        str((document.parent / target).resolve().relative_to(ROOT))
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    }
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
