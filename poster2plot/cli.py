"""The command line: `poster2plot poster.jpg folder/ tt1375666`, and `poster2plot app`."""

import argparse
import errno
import importlib.util
import io
import json
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from poster2plot import __version__
from poster2plot.bundled_files import APP_SCRIPT
from poster2plot.errors import AmbiguousNameError, InputError, Poster2PlotError, is_out_of_memory
from poster2plot.imdb.finder import PosterFinder
from poster2plot.imdb.ids import looks_like_title
from poster2plot.inputs import READ_IN_VAIN, expand, load
from poster2plot.pipeline import Poster2Plot
from poster2plot.records import error_record, plot_record, title_and_year
from poster2plot.settings import GenerationSettings

_DEFAULTS = GenerationSettings()
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
TITLE_PASSED_OVER = "The model {} takes no titles, so it writes from the poster alone."


def parser() -> argparse.ArgumentParser:
    """The command line's options; `--help` prints them."""
    command = argparse.ArgumentParser(
        prog="poster2plot",
        description="Write a plot for each movie or TV poster. The plots are invented.",
        epilog="`poster2plot app` opens the page; what follows goes to Streamlit. "
        "Exit status: 0 when every input has its plot, 1 when some have not, "
        "2 when nothing could start.",
    )
    add = command.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="image file, folder, IMDb id or URL, or a name")
    add(
        "--title",
        metavar="TEXT",
        default="",
        help="title of the one poster that is given; an IMDb look-up brings its own",
    )
    add(
        "--read-title",
        action="store_true",
        help="read the printed title of each poster whose title is not known otherwise",
    )
    add("--json", action="store_true", help="print one JSON object a line")
    add("--version", action="version", version=f"poster2plot {__version__}")
    add_model(command)
    add_settings(command)
    return command


def add_model(command: argparse.ArgumentParser) -> None:
    """Add the options that say which model runs, and how."""
    add = command.add_argument_group("model").add_argument
    add("--model", metavar="NAME", help="folder or Hub id of a checkpoint (default: bundled)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    add("--precision", metavar="NAME", help="fp32 or int8; on CUDA fp32, fp16 or bf16")


def add_settings(command: argparse.ArgumentParser) -> None:
    """Add an option for each generation setting."""
    decoding = command.add_argument_group("decoding")

    def setting(flag: str, kind: type, text: str) -> None:
        name = flag.removeprefix("--").replace("-", "_")
        default = getattr(_DEFAULTS, name)
        shown = "the model's own" if default is None else default
        decoding.add_argument(
            flag, type=kind, default=default, metavar="N", help=f"{text} (default: {shown})"
        )

    setting("--num-beams", int, "hypotheses of beam search")
    setting("--max-length", int, "longest plot in tokens")
    setting("--min-length", int, "shortest plot in tokens")
    setting("--num-candidates", int, "plots for each poster")
    setting("--guidance", float, "how closely to follow the poster; 1 is the plain model")
    setting("--length-penalty", float, "above 0 favours longer plots in beam search")
    setting("--no-repeat-ngram-size", int, "no N tokens in a row occur twice; 0 allows all")
    decoding.add_argument("--sample", action="store_true", help="draw tokens instead of searching")
    setting("--temperature", float, "of sampling; lower is safer")
    setting("--top-p", float, "sample among the likeliest tokens of this total probability")
    setting("--seed", int, "of sampling")
    decoding.add_argument(
        "--no-title",
        dest="use_title",
        action="store_false",
        help="write from the poster alone, even where its title is known",
    )


def settings_of(options: argparse.Namespace) -> GenerationSettings:
    """The settings that the options of `add_settings` ask for. Raises `SettingsError`."""
    chosen = vars(options)
    return GenerationSettings(**{key: chosen[key] for key in vars(_DEFAULTS) if key in chosen})


@contextmanager
def writable_streams() -> Iterator[None]:
    """Let whatever a name has in it be printed, and what nobody reads be lost.

    Python has no stream where the shell has closed it, and none takes bytes of a file's name that
    are no text.
    """
    with ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                stack.callback(setattr, sys, name, stream)
                setattr(sys, name, stack.enter_context(Path(os.devnull).open("w")))
            elif isinstance(stream, io.TextIOWrapper):
                stack.callback(_reconfigure, stream, stream.errors)
                _reconfigure(stream, "backslashreplace")
        yield


def _reconfigure(stream: io.TextIOWrapper, errors: str | None) -> None:
    with suppress(OSError):  # it flushes, and the disk may be full
        stream.reconfigure(errors=errors)


@writable_streams()
def main(arguments: Sequence[str] | None = None, *, finder: PosterFinder | None = None) -> int:
    """Run the command line and return its exit status.

    `finder` looks up IMDb titles; without one the environment configures it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["app"]:
            _open_page(arguments[1:])
        options = parser().parse_args(arguments)
        return _run(options, finder or PosterFinder.from_environment())
    except Poster2PlotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe went away
        _drop_output()
        return 141
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _drop_output()
        print(f"error: The output cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print("error: There is too little memory; close other programs.", file=sys.stderr)
        return 2


def _drop_output() -> None:
    """Let nobody have what is left of it; Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_page(options: Sequence[str]) -> NoReturn:
    """Become the page's server. Raises `InputError` where Streamlit is missing."""
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("The page needs more packages; `pip install 'poster2plot[app]'`.")
    command = [sys.executable, "-m", "streamlit", "run", str(APP_SCRIPT), *options]
    os.execv(sys.executable, command)  # noqa: S606  # so that signals reach it


def _run(options: argparse.Namespace, finder: PosterFinder) -> int:
    # A picture with broken metadata is still a picture; what is wrong with others is an error.
    warnings.filterwarnings("ignore", module="PIL")
    settings = settings_of(options)
    sources = list(expand(options.inputs))
    if options.title and len(sources) > 1:
        raise InputError(
            f"There are {len(sources)} posters for one --title; name one poster, or write a table "
            "with the columns path and title for poster2plot-batch."
        )
    if looks_like_title(options.title):
        raise InputError("A --title is words; give an IMDb id or URL as the input instead.")
    if options.read_title and not settings.use_title:
        raise InputError(READ_IN_VAIN.format("--read-title", "--no-title"))
    if sys.stderr.isatty():
        print("Loading the model …", file=sys.stderr)
    p2p = Poster2Plot.from_pretrained(options.model, options.device, precision=options.precision)
    settings = p2p.resolve(settings)
    if (options.title or options.read_title) and settings.use_title and not p2p.takes_titles:
        print(TITLE_PASSED_OVER.format(p2p.name), file=sys.stderr)
    reads_title = options.read_title and p2p.uses_titles(settings)

    failed = False
    # No bar for a single input, nor where nobody watches.
    disable = None if len(sources) > 1 else True
    bar = tqdm(sources, unit="poster", leave=False, disable=disable, mininterval=0, miniters=1)
    for number, source in enumerate(bar, 1):
        record = _caption(p2p, finder, source, options.title, settings, reads_title=reads_title)
        failed |= "error" in record
        with bar.external_write_mode():
            if options.json:
                print(json.dumps(record, ensure_ascii=False), flush=True)
            else:
                count = f"[{number}/{len(sources)}] " if len(sources) > 1 else ""
                print(f"{count}{source}\n{_plain(record)}", flush=True)
    return int(failed)


def _caption(
    p2p: Poster2Plot,
    finder: PosterFinder,
    source: str,
    given_title: str,
    settings: GenerationSettings,
    *,
    reads_title: bool,
) -> dict[str, Any]:
    """The record of one input; what is wrong with it does not stop the others."""
    started = time.perf_counter()
    try:
        loaded = load(source, finder, given_title)
        if reads_title:
            loaded = loaded.with_printed_title()
        title = loaded.title
        [candidates] = p2p.generate([loaded.image], settings, [title.text if title else None])
    except Poster2PlotError as error:
        if isinstance(error, AmbiguousNameError):
            for match in error.matches:
                year = f"{match.year}, " if match.year else ""
                print(f"{match.title_id}  {match.title} ({year}{match.kind})", file=sys.stderr)
        return error_record(source, error)
    return plot_record(
        source,
        candidates,
        model=p2p.name,
        device=str(p2p.device),
        settings=settings,
        seconds=time.perf_counter() - started,
        poster=loaded.poster,
        title=title,
    )


def _plain(record: dict[str, Any]) -> str:
    """A record as an indented paragraph, or one for each candidate."""

    def paragraph(text: str, mark: str = "") -> str:
        width = min(shutil.get_terminal_size().columns, 100)
        first = f"    {mark}"
        return textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * len(first))

    if "error" in record:
        return paragraph(record["error"], "error: ") + "\n"
    parts = []
    if about := record["title"]:
        parts.append(paragraph(title_and_year(about)))
    if len(record["candidates"]) > 1:
        parts += [
            paragraph(candidate["text"], f"{rank}. ")
            for rank, candidate in enumerate(record["candidates"], 1)
        ]
    else:
        parts.append(paragraph(record["plot"]))
    if about and about.get("synopsis"):
        parts.append(paragraph(about["synopsis"], f"{about['service']} says: "))
        parts.append(paragraph(about["attribution"]))
    return "\n".join(parts) + "\n"
