"""The engine against stock `generate`: `python -m benchmarks.speed` prints a table of ratios.

Both sides run in the same process with the same threads, in turn, so that a busy moment of the
machine hits both; each figure compares medians. 4 beams, 64 tokens forced: the end token comes
only at the last place. Beam searches that differ in one token soon differ in most, so how far
precisions agree is told by the likeliest next token, too, teacher-forced over the same plots.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LogitsProcessorList,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTModel,
)

from poster2plot import GenerationSettings, read_image
from poster2plot.bundled_files import EXAMPLE_POSTERS
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.engine.decoder_batch import DecoderBatch
from poster2plot.engine.engine import Decoding, Engine
from poster2plot.engine.guidance import GuidanceLogitsProcessor, word_start_mask
from poster2plot.engine.lexicon import Lexicon, LexiconLogitsProcessor
from poster2plot.engine.linear import DTYPES, Precision, precisions
from poster2plot.engine.queue import DecodingQueue
from poster2plot.engine.requests import DecodingRequest

CPU = torch.device("cpu")
POSTERS = sorted(EXAMPLE_POSTERS.glob("*.jpg"))
PICTURES = 16
LENGTH = 64
FORCED = GenerationSettings(
    num_beams=4, max_length=LENGTH, min_length=LENGTH, no_repeat_ngram_size=3, guidance=1
)


@dataclass(frozen=True)
class Case:
    """A model and the pictures to give it."""

    name: str
    model: VisionEncoderDecoderModel
    pixels: torch.Tensor  # (B, 3, height, width)
    word_starts: torch.Tensor  # (vocabulary) which tokens may begin a word
    guidance: float = 1
    lexicon: Lexicon | None = None


def original_size() -> Case:
    """ViT-B/16 and GPT-2 with random weights: 239 M parameters."""
    torch.manual_seed(0)
    config = GPT2Config(is_decoder=True, add_cross_attention=True)
    model = VisionEncoderDecoderModel(
        encoder=ViTModel(ViTConfig(), add_pooling_layer=False), decoder=GPT2LMHeadModel(config)
    )
    end = config.eos_token_id
    model.generation_config = GenerationConfig(
        decoder_start_token_id=end, eos_token_id=end, pad_token_id=end
    )
    word_starts = torch.ones(config.vocab_size, dtype=torch.bool)
    return Case("original size", model.eval(), torch.randn(PICTURES, 3, 224, 224), word_starts)


def bundled() -> Case:
    """The model of this repository, at the guidance that it recommends."""
    checkpoint = load_checkpoint(device="cpu")
    model = checkpoint.model
    vocab_size, words = model.config.decoder.vocab_size, checkpoint.lexicon
    word_starts = word_start_mask(checkpoint.tokenizer, vocab_size)
    lexicon = None if words is None else Lexicon(words, checkpoint.tokenizer, vocab_size)
    images = [read_image(path) for path in islice(cycle(POSTERS), PICTURES)]
    pixels = checkpoint.image_processor(images, return_tensors="pt")["pixel_values"]
    guidance = model.config.recommended_guidance
    return Case("bundled", model, pixels, word_starts, guidance, lexicon)


def medians(runs: int, *sides: Callable[[], object]) -> list[float]:
    """Seconds of each side, all of them in turn, after a round to warm up."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(runs + 1):
        for side, seconds in zip(sides, times, strict=True):
            started = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds[1:]) for seconds in times]


@torch.inference_mode()
def stock(case: Case) -> list[int]:
    """Tokens that stock `generate` writes for the first picture."""
    config = GenerationConfig(
        num_beams=FORCED.num_beams,
        max_length=LENGTH,
        min_length=LENGTH,
        no_repeat_ngram_size=FORCED.no_repeat_ngram_size,
        decoder_start_token_id=case.model.generation_config.decoder_start_token_id,
        eos_token_id=case.model.generation_config.eos_token_id,
        pad_token_id=case.model.generation_config.pad_token_id,
    )
    processors = LogitsProcessorList()
    if case.lexicon is not None:
        processors.append(LexiconLogitsProcessor(case.lexicon))
    if case.guidance != 1:
        processors.append(GuidanceLogitsProcessor(case.model, case.guidance, case.word_starts))
    output = case.model.generate(
        pixel_values=case.pixels[:1],
        generation_config=config,
        logits_processor=processors,
    )
    tokens: list[int] = output[0, 1:].tolist()
    return tokens


def weight_bytes(model: VisionEncoderDecoderModel) -> int:
    """Bytes of float32 weights that a step must read: the decoder's but for the embeddings.

    Those that make the keys and values of a poster are read before the first step.
    """
    decoder = model.decoder
    skipped = {id(decoder.transformer.wpe.weight)}
    if decoder.lm_head.weight is not decoder.transformer.wte.weight:
        skipped.add(id(decoder.transformer.wte.weight))
    for block in decoder.transformer.h:
        skipped |= {id(each) for each in block.crossattention.c_attn.parameters()}
    return sum(each.numel() * 4 for each in decoder.parameters() if id(each) not in skipped)


def settings_of(case: Case) -> GenerationSettings:
    """`FORCED` at the guidance of the model."""
    return replace(FORCED, guidance=case.guidance)


def engine_call(case: Case, engine: Engine) -> tuple[int, ...]:
    """Tokens of the best plot of the first picture."""
    [[best, *_]] = engine.decode(engine.encode(case.pixels[:1]), settings_of(case))
    return best.token_ids


@torch.inference_mode()
def next_tokens(case: Case, engine: Engine, plots: Sequence[Sequence[int]]) -> list[int]:
    """The likeliest next token after each of the plots of the first pictures, teacher-forced."""
    likeliest = []
    for pixels, plot in zip(case.pixels.split(1), plots, strict=False):
        batch, nothing = DecoderBatch(engine.decoder), torch.zeros(1, 0, dtype=torch.long)
        cross_attention = engine.decoder.cross_attention_cache(engine.encode(pixels))
        batch.join(cross_attention, nothing, beams=1, guided=False)
        for token in (engine.decoder_start_token_id, *plot[:-1]):
            likeliest.append(int(batch.next_token_logits(torch.tensor([token])).argmax()))
    return likeliest


@torch.inference_mode()
def bandwidths(case: Case, engine: Engine, runs: int) -> tuple[float, float]:
    """Bytes a second that a step in the middle of a plot reads, and that can be read at all.

    By all threads together, the latter of far more than any cache holds, between the plots. A step
    must read weights, and keys and values of the poster; those of the plot so far are not counted.
    """
    data = torch.ones(2**28)  # 1 GiB
    encoder_states = engine.encode(case.pixels[:1])
    steps: list[float] = []
    reads: list[float] = []
    for _ in range(runs):
        decoding = Decoding(engine)
        decoding.join(encoder_states, settings_of(case))
        for done in range(LENGTH // 2 + 10):
            started = time.perf_counter()
            decoding.step()
            if done > LENGTH // 2:
                steps.append(time.perf_counter() - started)
        started = time.perf_counter()
        data.sum()
        reads.append(time.perf_counter() - started)
    step, read = statistics.median(steps), statistics.median(reads)
    cross_attention = engine.decoder.cross_attention_cache(encoder_states)
    of_poster = sum(each.nbytes for layer in cross_attention for each in layer)
    return (weight_bytes(case.model) + of_poster) / step, data.nbytes / read


def posters_at_once(case: Case, engine: Engine) -> None:
    """All pictures of the case in one batch, as `Poster2Plot.generate` takes them."""
    settings = settings_of(case)
    requests = [
        DecodingRequest(partial(engine.encode, pixels), settings) for pixels in case.pixels.split(1)
    ]
    DecodingQueue(engine).submit(requests)
    for request in requests:
        request.future.result()


def visitors(case: Case, engine: Engine, *, queued: bool, count: int = 8, each: int = 2) -> None:
    """`count` threads that ask for `each` plots one after the other, by queue or by lock."""
    queue, lock = DecodingQueue(engine), threading.Lock()
    settings = settings_of(case)

    def ask(i: int) -> None:
        for _ in range(each):
            encode = partial(engine.encode, case.pixels[i : i + 1])
            if queued:
                request = DecodingRequest(encode, settings)
                queue.submit([request])
                request.future.result()
            else:
                with lock:
                    engine.decode(encode(), settings)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def memory_after(precision: Precision | None, name: str) -> int:
    """Peak resident KiB of this process, which loads a model and writes a plot (None: stock).

    Linux alone tells it; `resource.getrusage` would count the peak of the process before it, too.
    """
    case = CASES[name]()
    if precision is None:
        stock(case)
    else:
        engine_call(case, Engine(case.model, precision, case.word_starts, case.lexicon))
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def peak_memory(precision: Precision | None, name: str) -> int:
    """`memory_after` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(memory_after, precision, name).result()


def at_once_against_calls(case: Case, engine: Engine, runs: int) -> tuple[str, str]:
    """The row (what, figure) of all pictures in one batch against one after the other."""
    count = len(case.pixels)
    alone, together = medians(
        runs, partial(engine_call, case, engine), partial(posters_at_once, case, engine)
    )
    return f"{count} posters at once against {count} calls", f"{count * alone / together:.1f} × |"


def figures(name: str, case: Case, runs: int) -> Iterator[tuple[str, str]]:
    """(what, figure) of each row of the table about a model."""
    engines = {
        each: Engine(deepcopy(case.model), each, case.word_starts, case.lexicon)
        for each in precisions(CPU)
    }
    calls = {each: partial(engine_call, case, engine) for each, engine in engines.items()}
    slow, *fast = medians(runs, partial(stock, case), *calls.values())
    expected = stock(case)
    exact = engines["fp32"]
    decoded = exact.decode(exact.encode(case.pixels[:4]), settings_of(case))
    plots = [best.token_ids for best, *_ in decoded]
    likeliest = {each: next_tokens(case, engine, plots) for each, engine in engines.items()}
    for (precision, call), seconds in zip(calls.items(), fast, strict=True):
        same = sum(ours == stocks for ours, stocks in zip(call(), expected, strict=True))
        pairs = zip(likeliest[precision], likeliest["fp32"], strict=True)
        alike = statistics.mean(ours == exacts for ours, exacts in pairs)
        yield (
            f"{precision} against stock `generate`",
            f"{slow / seconds:.1f} × | {same} of {len(expected)} tokens the same, "
            f"the likeliest next one {alike:.0%}",
        )
    reached, possible = bandwidths(case, exact, runs)
    yield (
        "fp32, share of the memory-bandwidth limit",
        f"{reached / possible:.0%} | {reached / 1e9:.1f} of {possible / 1e9:.1f} GB/s",
    )
    default = engines[precisions(CPU)[0]]
    yield at_once_against_calls(case, default, runs)
    locked, queued = medians(
        runs, *(partial(visitors, case, default, queued=queued) for queued in (False, True))
    )
    yield "8 visitors at once, queue against a lock", f"{locked / queued:.1f} × |"
    stock_peak = peak_memory(None, name)
    for precision in precisions(CPU):
        ratio = peak_memory(precision, name) / stock_peak
        yield f"{precision}, peak memory against stock", f"{ratio:.2f} × |"


def cuda_figures(case: Case, runs: int) -> Iterator[tuple[str, str]]:
    """The same on a CUDA device, where stock `generate` computes in each precision, too."""
    device = torch.device("cuda")
    for precision in precisions(device):
        model = deepcopy(case.model).to(device, DTYPES[precision])
        there = replace(
            case,
            model=model,
            pixels=case.pixels.to(device, DTYPES[precision]),
            word_starts=case.word_starts.to(device),
        )
        engine = Engine(deepcopy(model), precision, there.word_starts, case.lexicon)
        slow, fast = medians(runs, partial(stock, there), partial(engine_call, there, engine))
        expected = stock(there)
        same = sum(
            ours == stocks
            for ours, stocks in zip(engine_call(there, engine), expected, strict=True)
        )
        yield (
            f"{precision} against stock `generate` in {precision}",
            f"{slow / fast:.1f} × | {same} of {len(expected)} tokens the same",
        )
        if precision == precisions(device)[0]:
            yield at_once_against_calls(there, engine, runs)


CASES = {"original size": original_size, "bundled": bundled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of which the median counts")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    cuda = options.device == "cuda"
    where = torch.cuda.get_device_name() if cuda else f"{torch.get_num_threads()} threads"
    print(f"{where}\n\n| model | what | figure | |\n|---|---|---|---|")
    for name, make in CASES.items():
        case = make()
        rows = cuda_figures(case, options.runs) if cuda else figures(name, case, options.runs)
        for what, figure in rows:
            print(f"| {name} | {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
