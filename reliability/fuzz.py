"""Fuzz `read_image`, guided by coverage: `python -m reliability.fuzz --seconds 120`.

Atheris sees the Python of Pillow and of poster2plot/images.py. Pillow's C code and the libraries
under it are not instrumented, so what they do steers no mutation; a crash of theirs is still seen.
Seeds are the small cases of tests/corpus.py. runs/fuzz/corpus keeps the inputs that reached new
code and runs/fuzz/failures those that ended in anything but a picture or an error of the package;
the exit status is 1 where there is any. Needs requirements-reliability.txt.
"""

import argparse
import hashlib
import multiprocessing
import sys
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["PIL", "poster2plot.images.decoding"]):
    from PIL import Image

    from poster2plot.errors import ImageError
    from poster2plot.images.decoding import read_image
    from poster2plot.images.limits import MAX_SIDE
    from support.bad_images import quick_cases

    Image.init()  # imports Pillow's readers

FOLDER = Path("runs/fuzz")
MAX_BYTES = 4096
MAX_SECONDS = 10
MAX_MEGABYTES = 2000

_executions = multiprocessing.Value("L", 0)


def main() -> None:
    """Fuzz in a process of its own, as libFuzzer ends the one it runs in, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    seconds = parser.parse_args().seconds
    corpus, failures = FOLDER / "corpus", FOLDER / "failures"
    for folder in (corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    known = set(failures.iterdir())
    seeds = [data for _, data in quick_cases() if len(data) <= MAX_BYTES]
    for data in seeds:
        _keep(corpus, data)
    before = len(list(corpus.iterdir()))

    started = time.perf_counter()
    process = multiprocessing.get_context("fork").Process(target=_fuzz, args=(seconds,))
    process.start()
    process.join()
    took = time.perf_counter() - started
    found = sorted(set(failures.iterdir()) - known)
    count = _executions.value
    print(f"{count} executions in {took:.0f} s, {count / took:.0f} a second")
    print(f"corpus: {before} inputs before, {len(list(corpus.iterdir()))} after")
    print(f"failures: {len(found)}, exit status of the fuzzer: {process.exitcode}")
    for path in found:
        print(f"- {path}")
    sys.exit(bool(found or process.exitcode))


def _fuzz(seconds: int) -> None:
    warnings.simplefilter("ignore")  # Pillow's, on odd metadata
    options = {
        "max_total_time": seconds, "max_len": MAX_BYTES, "timeout": MAX_SECONDS,
        "rss_limit_mb": MAX_MEGABYTES, "artifact_prefix": f"{FOLDER / 'failures'}/", "verbosity": 0,
    }  # fmt: skip
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], str(FOLDER / "corpus"), *flags], _read)
    atheris.Fuzz()


def _read(data: bytes) -> None:
    _executions.value += 1
    try:
        picture = read_image(data)
        if picture.mode != "RGB" or max(picture.size) > MAX_SIDE:
            raise AssertionError(f"{picture.mode} {picture.size}")
    except ImageError:
        pass
    except Exception:  # kept, and the fuzzing goes on
        _keep(FOLDER / "failures", data)


def _keep(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


if __name__ == "__main__":
    main()
