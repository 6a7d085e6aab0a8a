"""Posters that come and go while others are decoded, each with settings of its own."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from poster2plot import GenerationSettings, Poster2Plot, read_image
from poster2plot.bundled_files import EXAMPLE_POSTERS
from poster2plot.engine.engine import Decoding, Engine
from poster2plot.engine.queue import DecodingQueue
from poster2plot.engine.requests import DecodingRequest
from poster2plot.engine.search import Hypothesis
from support.random_settings import random_settings
from support.toy_model import make_ending_likelier, tiny_model

WORD_STARTS = torch.rand(320, generator=torch.Generator().manual_seed(0)) < 0.6
PATIENCE = 60  # seconds until a hanging test fails


class Asked:
    """A poster with its settings and prompt, and what comes of it when decoded alone."""

    def __init__(self, engine: Engine, rng: random.Random) -> None:
        pixels = torch.randn(
            1, 3, 32, 32, generator=torch.Generator().manual_seed(rng.randrange(9))
        )
        self.states, self.settings = engine.encode(pixels), random_settings(rng)
        length = rng.choice([0, 0, 1, rng.randrange(self.settings.max_length - 1)])
        title = [rng.randrange(300) for _ in range(length)]
        self.prompt = [engine.decoder_start_token_id, *title]
        [self.expected] = engine.decode(self.states, self.settings, [self.prompt])


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [plot.token_ids for plot in found] == [plot.token_ids for plot in expected]
    for plot, other in zip(found, expected, strict=True):
        assert plot.score == pytest.approx(other.score, abs=1e-4, rel=1e-4)


def toy_engine(case: int, activation: str = "gelu_new") -> Engine:
    model = tiny_model(seed=case % 3, activation=activation)
    make_ending_likelier(model, [-5.0, 0.0, 3.0, 6.0][case % 4])
    return Engine(model, "fp32", WORD_STARTS)


@pytest.mark.parametrize("case", range(12))
def test_who_comes_and_goes_between_steps_changes_nobodys_tokens(case: int):
    """Seeded arrivals, cancellations and settings; silu is decoded by PyTorch, as on CUDA."""
    rng = random.Random(case)
    engine = toy_engine(case, "silu" if case % 6 == 5 else "gelu_new")
    coming = [Asked(engine, rng) for _ in range(rng.randint(6, 14))]
    decoding, here, gone = Decoding(engine), {}, set()
    most = 0
    while coming or decoding.running:
        while coming and (not decoding.running or rng.random() < 0.3):
            each = coming.pop()
            [number] = decoding.join(each.states, each.settings, [each.prompt])
            here[number] = each
        most = max(most, len(decoding.running))
        decoding.step()
        if decoding.running and rng.random() < 0.05:
            cancelled = rng.choice(decoding.running)
            decoding.drop([cancelled])
            gone.add(cancelled)
    assert most > 2
    assert decoding.hypotheses.keys() == here.keys() - gone
    for number, plots in decoding.hypotheses.items():
        assert_same(plots, here[number].expected)


@pytest.mark.parametrize("case", range(4))
def test_through_the_queue_everybody_gets_what_they_would_get_alone(case: int):
    """Threads of visitors ask one after the other; some change their mind at some token."""
    rng, engine = random.Random(100 + case), toy_engine(case)
    queue, outcomes = DecodingQueue(engine), []

    def visit(name: str, asked: list[tuple[Asked, int | None]]) -> None:
        for each, patience in asked:
            future: Future[list[Hypothesis]] = Future()

            def on_step(hypothesis: Hypothesis, patience=patience, future=future) -> None:
                if len(hypothesis.token_ids) == patience:
                    future.cancel()

            request = DecodingRequest(
                partial(getattr, each, "states"), each.settings, on_step, name, each.prompt, future
            )
            queue.submit([request])
            if patience is None:
                outcomes.append((each, future.result(PATIENCE)))

    threads = []
    for name in "abcdef":
        asked = [
            (Asked(engine, rng), rng.choice([None, None, None, rng.randint(1, 6)]))
            for _ in range(4)
        ]
        threads.append(threading.Thread(target=visit, args=(name, asked)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes
    for each, plots in outcomes:
        assert_same(plots, each.expected)


def test_a_poster_joins_those_that_are_being_decoded():
    """Also one with other settings, and it need not wait for their end."""
    engine = toy_engine(0)
    queue, done = DecodingQueue(engine), []
    long = GenerationSettings(max_length=64, min_length=64)
    short = GenerationSettings(max_length=8, num_beams=1, guidance=3)
    generator = torch.Generator().manual_seed(1)
    states = engine.encode(torch.randn(1, 3, 32, 32, generator=generator))

    def ask(
        settings: GenerationSettings, on_step: Callable[[Hypothesis], None] | None = None
    ) -> DecodingRequest:
        request = DecodingRequest(lambda: states, settings, on_step)
        request.future.add_done_callback(lambda _: done.append(settings))
        queue.submit([request])
        return request

    joining: list[DecodingRequest] = []

    def join_at_first_step(_: Hypothesis) -> None:
        if not joining:
            joining.append(ask(short))

    first = ask(long, join_at_first_step)
    first.future.result(PATIENCE)
    joining[0].future.result(PATIENCE)
    assert done == [short, long]


def test_pictures_of_another_size_wait_for_the_next_batch():
    """Whose encoder states are of another number: caches hold as many of each poster."""
    engine = toy_engine(0)
    queue, generator = DecodingQueue(engine), torch.Generator().manual_seed(1)
    settings = GenerationSettings(max_length=24)
    states = engine.encode(torch.randn(2, 3, 32, 32, generator=generator))
    asked = [states[:1], states[1:, :9], states[1:], states[:1, :9]]
    requests = [DecodingRequest(partial(Tensor.clone, each), settings) for each in asked]
    queue.submit(requests)
    for each, request in zip(asked, requests, strict=True):
        [expected] = engine.decode(each, settings)
        assert_same(request.future.result(PATIENCE), expected)


@pytest.fixture(scope="module")
def p2p() -> Poster2Plot:
    return Poster2Plot.from_pretrained(device="cpu", precision="fp32")


@pytest.mark.parametrize("case", range(2))
def test_the_bundled_model_writes_for_each_what_it_would_write_alone(p2p: Poster2Plot, case: int):
    rng = random.Random(case)
    posters = sorted(EXAMPLE_POSTERS.glob("*.jpg"))
    kinds = [
        GenerationSettings(),
        GenerationSettings(num_beams=1),
        GenerationSettings(num_beams=8, num_candidates=3, length_penalty=0.5),
        GenerationSettings(sample=True, num_candidates=2),
        GenerationSettings(guidance=1, no_repeat_ngram_size=3),
        GenerationSettings(min_length=30, guidance=3),
    ]
    asked = [
        (
            read_image(rng.choice(posters)),
            replace(rng.choice(kinds), seed=rng.randrange(9)),
            rng.choice([None, "The House on Harrow Hill"]),
        )
        for _ in range(8)
    ]
    started = threading.Semaphore(0)
    alone = [p2p.generate([image], settings, [title])[0] for image, settings, title in asked]
    requests = []
    for image, settings, title in asked:
        [request] = p2p.submit(
            [image], settings, [title], on_step=lambda *_: started.release(), visitor=str(case)
        )
        requests.append(request)
        for _ in range(rng.randrange(6)):  # steps of whoever is there
            started.acquire(timeout=PATIENCE)
    for request, plots in zip(requests, alone, strict=True):
        assert [plot.token_ids for plot in request.result()] == [plot.token_ids for plot in plots]
