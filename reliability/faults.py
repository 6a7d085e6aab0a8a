"""Faults of the machine: `python -m reliability.faults`.

- The server is killed (SIGKILL) while it writes, and started again.
- The server is told to end (SIGTERM) while it writes and posters wait.
- The folder of cached posters cannot be made, or cannot be written to because the disk is full.
- Cached posters are damaged.
- A batch of posters does not fit into memory.

Each trial runs in processes of its own and prints a row.
"""

import multiprocessing
import random
import re
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from poster2plot import GenerationSettings, Poster2Plot
from poster2plot.server.shutdown import DRAIN_SECONDS, LEFT_SECONDS
from support.app_server import serve_app
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, MOVIE, PICTURE, Answer, PosterServer, cinemeta, serve_posters

KILLS = 10
VISITORS = 6  # of a server that is told to end
PATIENCE = 300  # seconds, on a busy machine
DAMAGES = 100


def main() -> int:
    """Run every trial; the exit status is 1 when one of them lost something."""
    print("| fault | tries | survived | |\n|---|---|---|---|")
    lost = 0
    trials = (
        killed,
        terminated,
        cache_that_cannot_be_made,
        cache_on_a_full_disk,
        damaged_cache,
        little_memory,
    )
    for trial in trials:
        tries, survived, note = trial()
        lost += tries - survived
        print(f"| {trial.__name__.replace('_', ' ')} | {tries} | {survived} | {note} |", flush=True)
    print(f"\nlost: {lost}")
    return int(lost > 0)


def killed() -> tuple[int, int, str]:
    """Kill the server at a random moment of a request; the next one has to write the same plot."""
    chance, survived, starts = random.Random(0), 0, []
    poster = encode(draw_poster())
    first = None
    with serve_posters() as services:
        for _ in range(KILLS):
            began = time.monotonic()
            with serve_app(services) as server:
                asking = threading.Thread(target=_ask, args=(server.url, poster))
                plot = _ask(server.url, poster)
                starts.append(time.monotonic() - began)
                first = first or plot
                survived += plot is not None and plot == first
                asking.start()
                time.sleep(chance.uniform(0, 0.8))
                server.process.send_signal(signal.SIGKILL)
                asking.join()
    return KILLS, survived, f"from start to plot at most {max(starts):.1f} s"


def _ask(url: str, poster: bytes) -> str | None:
    try:
        files = {"image": poster}
        return str(requests.post(f"{url}/api/plot", files=files, timeout=60).json()["plot"])
    except requests.RequestException:
        return None


def terminated() -> tuple[int, int, str]:
    """Tell the server to end: it answers everyone with a plot or a sentence, and ends in time."""
    poster = encode(draw_poster())
    long = {"num_beams": "12", "max_length": "128", "min_length": "120"}
    with serve_posters() as services, serve_app(services) as server:
        requests.get(f"{server.url}/api/health", timeout=PATIENCE)  # the model is loaded
        with ThreadPoolExecutor(VISITORS) as pool:
            asked = [
                pool.submit(
                    requests.post,
                    f"{server.url}/api/plot",
                    files={"image": poster},
                    data=long | {"seed": str(i)},  # each a batch of its own
                    timeout=PATIENCE,
                )
                for i in range(VISITORS)
            ]
            while _waiting(server.url) < VISITORS - 2:
                time.sleep(0.01)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(PATIENCE)
            seconds = time.monotonic() - began
        answers = [each.result() for each in asked if each.exception() is None]
    plots = sum(answer.status_code == 200 for answer in answers)
    told = sum("shutting down" in answer.text for answer in answers)
    in_time = seconds < DRAIN_SECONDS + LEFT_SECONDS + 1
    survived = (plots + told) * in_time
    return VISITORS, survived, f"{plots} plots, {told} told; ended in {seconds:.1f} s"


def _waiting(url: str) -> float:
    """How many posters wait, by the server's metrics."""
    text = requests.get(f"{url}/metrics", timeout=60).text
    [value] = re.findall(r"(?m)^poster2plot_waiting\w* ([0-9.]+)$", text)
    return float(value)


@contextmanager
def _title(services: PosterServer) -> Iterator[None]:
    services.answers = {
        MOVIE: cinemeta(services),
        PICTURE: Answer(encode(draw_poster(), "JPEG")),
    }
    yield


def cache_that_cannot_be_made() -> tuple[int, int, str]:
    """No process may make a folder there, not even root's."""
    return _found(Path("/proc/poster2plot"))


def cache_on_a_full_disk() -> tuple[int, int, str]:
    """No file may grow beyond its first byte, which fails as a full disk does: in the write."""
    return _in_a_child(_found_without_room)


def _found_without_room() -> tuple[int, int, str]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails instead
    with tempfile.TemporaryDirectory() as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
        return _found(Path(folder))


def _found(folder: Path) -> tuple[int, int, str]:
    with serve_posters() as services, _title(services):
        finder = services.finder(cache_dir=folder)
        survived = sum(bool(finder.find(ID).image_bytes) for _ in range(5))
    left = len(list(folder.glob("*"))) if folder.exists() else 0
    return 5, survived, f"{left} files left behind"


def damaged_cache() -> tuple[int, int, str]:
    """Cut the cached poster or flip one of its bits: it is found anew or is still a picture."""
    chance, survived = random.Random(0), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_posters() as services,
        _title(services),
    ):
        finder = services.finder(cache_dir=Path(folder))
        finder.find(ID)
        [entry] = Path(folder).iterdir()
        whole = entry.read_bytes()
        for i in range(DAMAGES):
            damaged = bytearray(whole)
            place = chance.randrange(len(whole))
            if i % 2:
                damaged[place] ^= 1 << chance.randrange(8)
            else:
                del damaged[place:]
            entry.write_bytes(damaged)
            survived += finder.find(ID).title_id == ID
    return DAMAGES, survived, f"{len(services.requests)} requests to services"


def little_memory() -> tuple[int, int, str]:
    """Sixteen posters with long plots and many beams, with room for a few of them only."""
    return _in_a_child(_sixteen_posters)


def _sixteen_posters() -> tuple[int, int, str]:
    p2p = Poster2Plot.from_pretrained(device="cpu")
    settings = GenerationSettings(num_beams=12, max_length=48, min_length=40)
    p2p.generate([draw_poster()], settings)
    spare = 120 * 2**20
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))
    posters = [draw_poster(f"#{i * 15:02x}3060") for i in range(16)]
    plots = p2p.generate(posters, settings)
    return 16, sum(bool(each) for each in plots), f"with {spare >> 20} MB to spare"


def _in_a_child(trial: Callable[[], tuple[int, int, str]]) -> tuple[int, int, str]:
    """Run a trial where its limits bind nobody else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(trial).result()


if __name__ == "__main__":
    sys.exit(main())
