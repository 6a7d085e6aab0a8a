"""Posters in, candidate plots out: the library's one class."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from poster2plot.checkpoints.loading import Checkpoint, load_checkpoint, too_little_memory
from poster2plot.engine.queue import QueueClosedError
from poster2plot.engine.word_attention import WordAttention, by_word, patch_grid
from poster2plot.errors import (
    CheckpointError,
    DeviceError,
    ImageError,
    QueueFullError,
    SettingsError,
    is_out_of_memory,
)
from poster2plot.harmful_texts import is_harmful
from poster2plot.images.decoding import read_picture
from poster2plot.postprocessing import tidy
from poster2plot.settings import GenerationSettings
from poster2plot.title_prompts import TitlePrompt

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor
    from transformers import VisionEncoderDecoderConfig

    from poster2plot.engine.linear import Precision
    from poster2plot.engine.queue import DecodingQueue
    from poster2plot.engine.requests import DecodingRequest
    from poster2plot.engine.search import Hypothesis

logger = logging.getLogger(__name__)

_CACHED_POSTERS = 64  # whose encoder states are kept; 0.6 MB each at the size of ViT-B/16


@dataclass(frozen=True)
class Candidate:
    """One plot for a poster.

    `score` is its log-probability under the (guided) model: in beam search divided by
    length ** length_penalty, otherwise the mean per token. With guidance the first of several is
    the one to which poster and title add most, which need not have the highest score. `token_ids`
    are the tokens as generated after `prompt_ids`, which are the start token and, where the model
    was given one, the title.
    """

    text: str
    score: float
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...] = ()

    @property
    def used_title(self) -> bool:
        """Whether it was written from a title, too."""
        return len(self.prompt_ids) > 1


class PlotRequest:
    """A poster whose plots are being written; `Poster2Plot.submit` makes it."""

    def __init__(
        self,
        request: DecodingRequest,
        queue: DecodingQueue,
        to_candidates: Callable[[Sequence[Hypothesis]], list[Candidate]],
    ) -> None:
        self._request, self._queue, self._to_candidates = request, queue, to_candidates

    def result(self, timeout: float | None = None) -> list[Candidate]:
        """Wait for the candidates, best first.

        Raises `TimeoutError` after `timeout` seconds, and `CancelledError` (both of
        `concurrent.futures`) where the request was cancelled; `QueueFullError` where `close` ended
        it.
        """
        try:
            hypotheses = self._request.future.result(timeout)
        except QueueClosedError:
            raise closed() from None
        return self._to_candidates(hypotheses)

    def done(self) -> bool:
        """Whether `result` would return or raise at once."""
        return self._request.future.done()

    def cancelled(self) -> bool:
        """Whether it ended by `cancel`."""
        return self._request.future.cancelled()

    def error(self) -> BaseException | None:
        """What it ended by, of a request that is done and was not cancelled, if not by plots."""
        error = self._request.future.exception(0)
        return closed() if isinstance(error, QueueClosedError) else error

    def on_done(self, call: Callable[[], object]) -> None:
        """Call this in another thread when the request is done, or at once where it is already."""
        self._request.future.add_done_callback(lambda _: call())

    def ahead(self) -> int:
        """How many posters come before this one; 0 once it is being decoded."""
        return self._queue.ahead(self._request)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that each stage took so far: wait, encode, decode."""
        return dict(self._request.seconds)

    def cancel(self) -> None:
        """Stop before the next token; nothing happens to a request that is done."""
        self._request.future.cancel()


class Poster2Plot:
    """A captioner for posters around a stock `VisionEncoderDecoderModel`.

    ```python
    p2p = Poster2Plot.from_pretrained()
    [[best, *others]] = p2p.generate(["poster.jpg"])
    ```
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision | None = None) -> None:
        """Take over the checkpoint's model, which is of no use to others afterwards.

        Raises `CheckpointError` for a precision that the model's device lacks, for a model that the
        default settings do not fit, and where there is too little memory.
        """
        from poster2plot.engine.engine import Engine
        from poster2plot.engine.guidance import word_start_mask
        from poster2plot.engine.lexicon import Lexicon
        from poster2plot.engine.queue import DecodingQueue

        precision = resolve_precision(precision, checkpoint.device.type)
        self.name = checkpoint.name
        self.notice: str | None = None  # what users should know of how it runs
        self.config: VisionEncoderDecoderConfig = checkpoint.model.config
        try:
            self.resolve()
        except SettingsError as error:
            raise CheckpointError(f"The model {self.name!r} cannot write: {error}") from error
        self.tokenizer = checkpoint.tokenizer
        self.image_processor = checkpoint.image_processor
        self._title_prompt = TitlePrompt.of(self.config)
        self.device = checkpoint.device
        vocab_size, words = self.config.decoder.vocab_size, checkpoint.lexicon
        word_starts = word_start_mask(self.tokenizer, vocab_size)
        lexicon = None if words is None else Lexicon(words, self.tokenizer, vocab_size)
        try:
            self.engine = Engine(checkpoint.model, precision, word_starts, lexicon)
        except ValueError as error:
            raise CheckpointError(
                f"The generation config of {self.name!r} cannot be followed: {error}."
            ) from error
        except Exception as error:
            if is_out_of_memory(error):
                raise too_little_memory(self.name) from error
            raise
        if ignored := self.engine.rules.ignored:
            logger.warning(
                "%r asks for %s in its generation config, which is left out.",
                self.name,
                ", ".join(ignored),
            )
        if overruled := self.engine.rules.overruled:
            logger.warning(
                "%r asks for %s in its generation config, which is left to the settings; by "
                "default they are %s.",
                self.name,
                ", ".join(f"{name}={asked!r}" for name, (asked, _) in overruled.items()),
                ", ".join(f"{name}={default!r}" for name, (_, default) in overruled.items()),
            )
        self._queue = DecodingQueue(self.engine)
        self._encoded: OrderedDict[bytes, tuple[Tensor, tuple[int, int]]] = OrderedDict()  # LRU
        self._cache_lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | None = None,
        device: str = "auto",
        *,
        revision: str | None = None,
        precision: Precision | None = None,
    ) -> Poster2Plot:
        """Load a checkpoint: the bundled one (None), a local folder, or a repository of the Hub.

        `device` is "auto" (CUDA when there is one and it works), "cpu" or "cuda"; `precision` one
        of `poster2plot.engine.linear.precisions(device)`, without it the first of them. Raises
        `CheckpointError`.
        """
        try:
            p2p = cls(load_checkpoint(name_or_path, device=device, revision=revision), precision)
            if p2p.device.type == "cuda":
                p2p._check_device()
        except DeviceError as error:
            if device != "auto":
                raise
            logger.warning("CUDA fails, so the CPU is used: %s", error.__cause__)
            p2p = cls(load_checkpoint(name_or_path, device="cpu", revision=revision), precision)
            p2p.notice = "CUDA fails here, so the model runs on the CPU."
        return p2p

    def _check_device(self) -> None:
        """Write a few words. Raises `DeviceError` where that fails."""
        from PIL import Image

        try:
            self.generate([Image.new("RGB", (32, 32))], GenerationSettings(max_length=8))
        except Exception as error:
            raise DeviceError(f"{self.name!r} does not write on {self.device}.") from error

    def resolve(self, settings: GenerationSettings | None = None) -> GenerationSettings:
        """The settings with this model's own values where they leave the choice to it.

        Raises `SettingsError` where the model cannot follow them.
        """
        return resolve_settings(settings, self.config)

    def generate(
        self,
        images: Sequence[Image.Image | str | Path | None],
        settings: GenerationSettings | None = None,
        titles: Sequence[str | None] | None = None,
    ) -> list[list[Candidate]]:
        """For each image, or path of one, its candidate plots, best first.

        Images become upright RGB as `read_image` makes them. None is no poster: its encoder states
        are zeros, as in the unconditional batch of guidance. `titles` are those of the posters
        where they are known; without `use_title`, or by a model without `takes_titles`, they are
        passed over. In fp32 a poster's plots do not depend on the posters beside it; in int8 some
        do, as its rounding makes more of differences in the last digits. Raises `SettingsError`,
        `ValueError` where there are not as many titles as images, `ImageError`, for a path
        `InputError`, and `TypeError` for what is no picture, or no list of them.
        """
        _need_lists(images, titles)
        requests = self._submit(images, settings, titles)
        try:
            return [request.result() for request in requests]
        finally:
            # Where one failed or the wait was interrupted, nobody wants the others.
            for request in requests:
                request.cancel()

    def submit(
        self,
        images: Sequence[Image.Image | str | Path | None],
        settings: GenerationSettings | None = None,
        titles: Sequence[str | None] | None = None,
        *,
        on_step: Callable[[int, str], None] | None = None,
        visitor: str = "",
    ) -> list[PlotRequest]:
        """Queue images and return; whatever waits is decoded together.

        An open picture is copied before, so that it may be changed or closed; a path is read when
        its turn comes. `on_step` gets the index of an image and its best plot so far after each
        step, in another thread. Different `visitor`s take turns. Otherwise as `generate`, but what
        is wrong with a picture is raised by `PlotRequest.result`.
        """
        _need_lists(images, titles)
        given = [*images]  # as a sequence may make its items anew, and ids are of those that exist
        copies = {key: _copied(image) for key, image in {id(each): each for each in given}.items()}
        return self._submit(
            [copies[id(image)] for image in given], settings, titles, on_step, visitor
        )

    def _submit(
        self,
        images: Sequence[Image.Image | str | Path | ImageError | None],
        settings: GenerationSettings | None,
        titles: Sequence[str | None] | None,
        on_step: Callable[[int, str], None] | None = None,
        visitor: str = "",
    ) -> list[PlotRequest]:
        """As `submit`, but whatever the images are is read when their turn comes.

        An error stands for an image that could not be read.
        """
        from poster2plot.engine.requests import DecodingRequest

        settings = self.resolve(settings)
        titles = [None] * len(images) if titles is None else titles
        decoded = settings
        if settings.is_beam_search and settings.is_guided:
            decoded = replace(settings, num_candidates=settings.num_beams)  # to choose from
        requests = [
            DecodingRequest(
                partial(self._encode, image),
                decoded,
                on_step and partial(self._report_step, on_step, i),
                visitor,
                self._prompt(title, settings),
            )
            for i, (image, title) in enumerate(zip(images, titles, strict=True))
        ]
        self._queue.submit(requests)
        return [
            PlotRequest(
                request, self._queue, partial(self._to_candidates, request.prompt, settings)
            )
            for request in requests
        ]

    def waiting(self) -> int:
        """How many posters wait; those being decoded do not count."""
        return len(self._queue)

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more posters, as `close` was called."""
        return self._queue.is_closed

    def close(self, seconds: float) -> None:
        """Take no more posters, end those that wait, and give the others so many seconds.

        Returns when none is left; the requests that were ended raise `QueueFullError`.
        """
        self._queue.close(seconds)

    def attention(
        self, image: Image.Image | str | Path, candidate: Candidate
    ) -> list[WordAttention]:
        """Where on the poster the model looked for each word of a plot that it wrote for it.

        Raises `ImageError`, and `InputError` for a path.
        """
        encoder_states, size = self._encode_with_size(image)
        weights = self.engine.cross_attention_weights(
            encoder_states, candidate.token_ids, candidate.prompt_ids
        )
        return by_word(
            candidate.text,
            candidate.token_ids,
            weights.float().cpu(),
            self.tokenizer,
            patch_grid(self.config.encoder, *size),
        )

    @property
    def takes_titles(self) -> bool:
        """Whether a title makes a difference to this model."""
        return self._title_prompt is not None

    def uses_titles(self, settings: GenerationSettings) -> bool:
        """Whether a title makes a difference to a plot with these settings."""
        return self.takes_titles and settings.use_title

    def _prompt(self, title: str | None, settings: GenerationSettings) -> list[int]:
        start = self.engine.decoder_start_token_id
        if self._title_prompt is None or not settings.use_title or not title:
            return [start]
        return self._title_prompt.token_ids(
            self.tokenizer, title, start=start, max_length=settings.max_length
        )

    def _encode(self, image: Image.Image | str | Path | ImageError | None) -> Tensor:
        """Encoder states (1, S, width) of an image; zeros of None. Raises an error given."""
        if isinstance(image, ImageError):
            raise image
        if image is None:
            from PIL import Image
            from torch import zeros_like

            # One would do, but a batch of posters has as many states of each.
            return zeros_like(self._encode(Image.new("RGB", (32, 32))))
        return self._encode_with_size(image)[0]

    def _encode_with_size(self, image: Image.Image | str | Path) -> tuple[Tensor, tuple[int, int]]:
        """Encoder states (1, S, width), and height and width of what the encoder saw, in pixels.

        Cached (LRU) by the image's pixels.
        """
        image = read_picture(image)
        key = hashlib.blake2b(image.tobytes(), salt=b"%dx%d" % image.size).digest()
        with self._cache_lock:
            if key in self._encoded:
                self._encoded.move_to_end(key)
                return self._encoded[key]
        pixels = self.image_processor(image, return_tensors="pt")["pixel_values"]
        height, width = pixels.shape[-2:]
        encoded = self.engine.encode(pixels.to(self.device)), (height, width)
        with self._cache_lock:
            self._encoded[key] = encoded
            if len(self._encoded) > _CACHED_POSTERS:
                self._encoded.popitem(last=False)
        return encoded

    def _report_step(
        self, on_step: Callable[[int, str], None], image: int, hypothesis: Hypothesis
    ) -> None:
        on_step(image, self.tokenizer.decode(hypothesis.token_ids, skip_special_tokens=True))

    def _to_candidates(
        self,
        prompt: Sequence[int],
        settings: GenerationSettings,
        hypotheses: Sequence[Hypothesis],
    ) -> list[Candidate]:
        """Those asked for, best first.

        Of beams the likeliest are those that suit any poster, so what poster and title add decides
        (Li et al. 2016, arXiv:1510.03055). It is 0 without guidance, which leaves their order.
        Harmful ones come last.
        """

        def candidate(hypothesis: Hypothesis) -> Candidate:
            ids = hypothesis.token_ids
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            text = tidy(text, finished=ids[-1] in self.engine.rules.eos_token_ids)
            return Candidate(text, hypothesis.score, ids, tuple(prompt))

        def rank(pair: tuple[Hypothesis, Candidate]) -> tuple[bool, bool, float]:
            gain = pair[0].gain
            return gain == -math.inf, is_harmful(pair[1].text), -gain

        ranked = sorted(zip(hypotheses, map(candidate, hypotheses), strict=True), key=rank)
        return [found for _, found in ranked[: settings.num_candidates]]


def closed() -> QueueFullError:
    """What a request ends by that `Poster2Plot.close` ended or kept out."""
    return QueueFullError("The server is shutting down; try again in a moment.", retry_after=5)


def resolve_precision(precision: Precision | None, device: str) -> Precision:
    """The precision, or the default of a kind of device ("cpu" or "cuda").

    Raises `CheckpointError` for one that the device lacks.
    """
    import torch

    from poster2plot.engine.linear import precisions

    allowed = precisions(torch.device(device))
    if precision is not None and precision not in allowed:
        raise CheckpointError(
            f"The precision {precision} does not work on {device} here; "
            f"choose {' or '.join(allowed)}."
        )
    return precision or allowed[0]


def resolve_settings(
    settings: GenerationSettings | None, config: VisionEncoderDecoderConfig
) -> GenerationSettings:
    """As `Poster2Plot.resolve`, of a model that need not be loaded. Raises `SettingsError`."""
    longest = config.decoder.n_positions
    if settings is None:
        settings = GenerationSettings(max_length=min(GenerationSettings.max_length, longest))
    if settings.guidance is None:
        recommended = getattr(config, "recommended_guidance", 1.0)
        settings = replace(settings, guidance=recommended)
    if settings.max_length > longest:
        raise SettingsError(
            f"This model writes at most {longest} tokens; lower the maximum length."
        )
    return settings


def _need_lists(images: object, titles: object) -> None:
    """A text is a sequence, too, of letters."""
    from PIL import Image

    if isinstance(images, str | bytes | Path | Image.Image):
        raise TypeError("The images are a list, also where there is one: [image].")
    if isinstance(titles, str):
        raise TypeError("The titles are a list, with one for each image.")


def _copied(
    image: Image.Image | str | Path | None,
) -> Image.Image | str | Path | ImageError | None:
    """What an image is now, whatever becomes of an open one; the error of one that is none."""
    if image is None or isinstance(image, str | Path):
        return image
    try:
        return read_picture(image)
    except ImageError as error:
        return error
