"""The engine against the stock `generate`: the same tokens, whatever the settings."""

import random
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor
from transformers.modeling_outputs import BaseModelOutput

from poster2plot import GenerationSettings, read_image
from poster2plot.checkpoints.loading import Checkpoint, load_checkpoint
from poster2plot.engine import onnx_runtime, quantization
from poster2plot.engine.decoder import Decoder
from poster2plot.engine.decoder_batch import DecoderBatch
from poster2plot.engine.engine import Decoding, Engine
from poster2plot.engine.guidance import GuidanceLogitsProcessor, word_start_mask
from poster2plot.engine.lexicon import Lexicon, LexiconLogitsProcessor, words
from poster2plot.engine.linear import precisions
from poster2plot.engine.search import Hypothesis
from poster2plot.title_prompts import TitlePrompt
from support.random_settings import random_settings
from support.toy_model import (
    POSITIONS,
    SENTENCES,
    make_ending_likelier,
    tiny_model,
    tiny_tokenizer,
)

ROOT = Path(__file__).parents[2]
DRAWN_POSTERS = sorted((ROOT / "assets" / "posters").glob("*.jpg"))
POSTERS = DRAWN_POSTERS[:4]

WORD_STARTS = torch.rand(320, generator=torch.Generator().manual_seed(0)) < 0.6


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def stock(
    model,
    pixels: torch.Tensor,
    settings: GenerationSettings,
    word_starts: torch.Tensor,
    prompts: list[list[int]] | None = None,
    lexicon: Lexicon | None = None,
) -> list[list[Hypothesis]]:
    """Each poster's plots by `VisionEncoderDecoderModel.generate`, poster by poster."""
    own = model.generation_config
    search = (
        {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p}
        | {"top_k": 0, "num_beams": 1}
        if settings.sample
        else {
            "do_sample": False,
            "num_beams": settings.num_beams,
            "length_penalty": settings.length_penalty,
            "early_stopping": settings.early_stopping,
        }
    )
    config = GenerationConfig(
        max_length=settings.max_length,
        min_length=settings.min_length,
        num_return_sequences=settings.num_candidates,
        no_repeat_ngram_size=0 if lexicon else settings.no_repeat_ngram_size,
        decoder_start_token_id=own.decoder_start_token_id,
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
        return_dict_in_generate=True,
        output_scores=True,
        **search,
    )
    plots = []
    for picture, prompt in zip(
        pixels, prompts or [[own.decoder_start_token_id]] * len(pixels), strict=True
    ):
        guidance = settings.guidance
        processors = LogitsProcessorList()
        if lexicon is not None:
            if settings.no_repeat_ngram_size:
                processors.append(NoRepeatNGramBehind(len(prompt), settings.no_repeat_ngram_size))
            processors.append(LexiconLogitsProcessor(lexicon, len(prompt)))
        if guidance not in (None, 1):
            processors.append(GuidanceLogitsProcessor(model, guidance, word_starts, len(prompt)))
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(settings.seed)
            output = model.generate(
                pixel_values=picture[None],
                decoder_input_ids=torch.tensor([prompt], device=pixels.device),
                generation_config=config,
                logits_processor=processors,
            )
        rows = [
            until_end(ids[len(prompt) :], own.eos_token_id) for ids in output.sequences.tolist()
        ]
        if "sequences_scores" in output:
            scores = output.sequences_scores.tolist()
        else:
            steps = model.compute_transition_scores(
                output.sequences, output.scores, normalize_logits=True
            )
            scores = [float(row[: len(ids)].mean()) for row, ids in zip(steps, rows, strict=True)]
        found = [Hypothesis(tuple(ids), score) for ids, score in zip(rows, scores, strict=True)]
        plots.append(sorted(found, key=lambda hypothesis: -hypothesis.score))
    return plots


class NoRepeatNGramBehind(LogitsProcessor):  # type: ignore[misc]
    """The ban of transformers, counting only what comes behind a prompt."""

    def __init__(self, prompt: int, size: int) -> None:
        self._prompt, self._ban = prompt, NoRepeatNGramLogitsProcessor(size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        banned: torch.Tensor = self._ban(input_ids[:, self._prompt :], scores)
        return banned


def until_end(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids


def assert_same(ours: list[list[Hypothesis]], theirs: list[list[Hypothesis]]) -> None:
    for plots, expected in zip(ours, theirs, strict=True):
        assert [plot.token_ids for plot in plots] == [plot.token_ids for plot in expected]
        for plot, other in zip(plots, expected, strict=True):
            # Where few tokens may come, some of the plots are there only to fill the number.
            filler = max(plot.score, other.score) < -1e4
            assert filler or plot.score == pytest.approx(other.score, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("case", range(60))
def test_random_settings_give_the_tokens_of_stock_generate(case: int):
    rng = random.Random(case)
    model = tiny_model(seed=case % 3)
    make_ending_likelier(model, rng.choice([-5.0, 0.0, 3.0, 6.0]))
    settings = random_settings(rng)
    pixels = pictures(rng.randint(1, 5), seed=case)
    expected = stock(model, pixels, settings, WORD_STARTS)
    engine = Engine(model, "fp32", WORD_STARTS)
    assert_same(engine.decode(engine.encode(pixels), settings), expected)


@pytest.mark.parametrize("case", range(12))
def test_with_a_lexicon_the_tokens_are_those_of_stock_generate(case: int):
    rng = random.Random(case)
    model, tokenizer = tiny_model(seed=case % 3, titles=True), tiny_tokenizer(titles=True)
    make_ending_likelier(model, rng.choice([-5.0, 0.0, 3.0]))
    settings, pixels = random_settings(rng), pictures(4, seed=case)
    settings = replace(settings, max_length=max(24, settings.max_length))
    start, separator = model.generation_config.decoder_start_token_id, tokenizer.sep_token_id
    titles = [tokenizer(title)["input_ids"] for title in [" Zorro's Zeal", " The River", " É"]]
    prompts = [[start], *([start, *title, separator] for title in titles)]
    word_starts = word_start_mask(tokenizer, len(tokenizer))
    lexicon = Lexicon(words(" ".join(SENTENCES).lower()), tokenizer, len(tokenizer))
    expected = stock(model, pixels, settings, word_starts, prompts, lexicon)
    engine = Engine(model, "fp32", word_starts, lexicon)
    found = engine.decode(engine.encode(pixels), settings, prompts)
    assert_same(found, expected)
    known = {*words(" ".join(SENTENCES).lower()), "zorro", "zeal"}
    for hypothesis in chain(*found):
        *ids, last = hypothesis.token_ids
        # A ban on repetitions may leave no word to choose from.
        if last == tokenizer.eos_token_id and settings.no_repeat_ngram_size not in (1, 2):
            assert set(words(tokenizer.decode(ids).lower())) <= known


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
def test_other_activations_in_the_runtime_or_in_pytorch(activation: str):
    """silu is none of the runtime's, so that PyTorch decodes, as on other devices."""
    model = tiny_model(activation=activation)
    make_ending_likelier(model, 3.0)
    pixels = pictures(3)
    for guidance in (1, 3):
        settings = GenerationSettings(max_length=POSITIONS, guidance=guidance)
        expected = stock(model, pixels, settings, WORD_STARTS)
        engine = Engine(deepcopy(model), "fp32", WORD_STARTS)
        assert_same(engine.decode(engine.encode(pixels), settings), expected)


def test_a_large_model_becomes_several_graphs(monkeypatch: pytest.MonkeyPatch):
    model, settings = tiny_model(), GenerationSettings(max_length=24, guidance=3)
    expected = stock(model, pictures(2), settings, WORD_STARTS)
    monkeypatch.setattr(onnx_runtime, "_GRAPH_BYTES", 2**12)
    engine = Engine(model, "fp32", WORD_STARTS)
    assert_same(engine.decode(engine.encode(pictures(2)), settings), expected)


def test_in_int8_logits_are_close_and_do_not_depend_on_other_posters(
    monkeypatch: pytest.MonkeyPatch, two_threads: None
):
    monkeypatch.setattr(quantization, "_SMALL", 0)
    model, tokens = tiny_model(), torch.tensor([[3], [5], [7]])
    logits = {}
    for precision in ("fp32", "int8"):
        engine = Engine(deepcopy(model), precision)
        encoder_states = engine.encode(pictures(3))
        with torch.inference_mode():
            logits[precision] = logits_after(engine, encoder_states, tokens)
            alone = torch.stack(
                [logits_after(engine, encoder_states[[i]], tokens[[i]]) for i in range(3)], dim=1
            ).flatten(0, 1)
        torch.testing.assert_close(logits[precision], alone)
        one_by_one = torch.cat([engine.encode(picture[None]) for picture in pictures(3)])
        torch.testing.assert_close(encoder_states, one_by_one)
    assert engine.max_concurrent_decodings == 2
    with torch.inference_mode():
        beside_another = logits_after(
            engine, encoder_states, tokens, engine.decoder_for(exclusive=False)
        )
    torch.testing.assert_close(logits["int8"], beside_another)
    error = (logits["int8"] - logits["fp32"]).norm() / logits["fp32"].norm()
    assert 0 < error < 0.1


def logits_after(
    engine: Engine,
    encoder_states: torch.Tensor,
    tokens: torch.Tensor,
    decoder: Decoder | None = None,
) -> torch.Tensor:
    """Logits (2 * B, vocabulary) after a token (B, 1) of each poster, conditional and not."""
    batch = DecoderBatch(decoder or engine.decoder)
    cross_attention = batch.decoder.cross_attention_cache(encoder_states)
    batch.join(cross_attention, tokens[:, :0], beams=1, guided=True)
    return batch.next_token_logits(tokens.flatten().repeat(2))


@pytest.mark.parametrize("activation", ["gelu_new", "silu"])
@pytest.mark.parametrize("title", [[], [7, 8, 9]])
def test_attention_is_that_of_the_stock_model(activation: str, title: list[int]):
    model = tiny_model(activation=activation)
    engine = Engine(deepcopy(model), "fp32")
    encoder_states = engine.encode(pictures(1))
    prompt = [engine.decoder_start_token_id, *title]
    [[plot]] = engine.decode(encoder_states, GenerationSettings(max_length=24), [prompt])
    weights = engine.cross_attention_weights(encoder_states, plot.token_ids, prompt)
    model.decoder.set_attn_implementation("eager")
    ids = torch.tensor([[*prompt, *plot.token_ids[:-1]]])
    with torch.inference_mode():
        output = model.decoder(ids, encoder_hidden_states=encoder_states, output_attentions=True)
    expected = torch.stack(output.cross_attentions).mean((0, 1, 2))[len(title) :]
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(plot.token_ids)))


def test_finished_posters_leave_and_dropped_ones_have_no_hypotheses():
    model = tiny_model()
    make_ending_likelier(model, 4.0)
    engine = Engine(model)
    settings = GenerationSettings(max_length=40)
    encoder_states = engine.encode(pictures(6))
    expected = engine.decode(encoder_states, settings)
    decoding = Decoding(engine)
    decoding.join(encoder_states, settings)
    sizes = set()
    while decoding.running:
        sizes.add(len(decoding.running))
        decoding.step()
        if 2 in decoding.running:
            assert decoding.best_hypothesis(2).token_ids
            decoding.drop([2])
    assert len(sizes) > 2
    assert decoding.hypotheses.keys() == {0, 1, 3, 4, 5}
    for poster, plots in decoding.hypotheses.items():
        assert [plot.token_ids for plot in plots] == [plot.token_ids for plot in expected[poster]]


@pytest.mark.parametrize("sample", [False, True])
def test_without_beams_the_best_so_far_grows_into_the_result(sample: bool):
    engine = Engine(tiny_model())
    settings = GenerationSettings(num_beams=1, max_length=16, sample=sample)
    decoding = Decoding(engine)
    decoding.join(engine.encode(pictures(1)), settings)
    seen = []
    while decoding.running:
        decoding.step()
        if decoding.running:
            seen.append(decoding.best_hypothesis(0).token_ids)
    [plot] = decoding.hypotheses[0]
    assert seen == [plot.token_ids[:length] for length in range(1, len(plot.token_ids))]


@pytest.mark.parametrize("precision", precisions(torch.device("cpu")))
def test_plots_with_a_prompt_do_not_depend_on_other_posters(precision):
    engine = Engine(tiny_model(), precision, WORD_STARTS)
    encoder_states, settings = engine.encode(pictures(4)), GenerationSettings(guidance=3)
    prompts = [[319, *range(10, 10 + length)] for length in (0, 7, 1, 3)]
    together = engine.decode(encoder_states, settings, prompts)
    alone = [
        engine.decode(states, settings, [prompt])[0]
        for states, prompt in zip(encoder_states.split(1), prompts, strict=True)
    ]
    assert_same(together, alone)
    [without] = engine.decode(encoder_states[1:2], settings)
    assert without[0].token_ids != together[1][0].token_ids


@pytest.mark.parametrize("case", range(40))
def test_prompts_of_any_length_give_the_tokens_of_stock_generate(case: int):
    """Called poster by poster with `decoder_input_ids`; some have no more than the start token."""
    rng = random.Random(1000 + case)
    model = tiny_model(seed=case % 3)
    make_ending_likelier(model, rng.choice([-5.0, 0.0, 3.0, 6.0]))
    settings = random_settings(rng)
    start = model.generation_config.decoder_start_token_id
    pixels = pictures(rng.randint(1, 5), seed=case)
    lengths = [rng.choice([0, 1, 2, rng.randrange(settings.max_length - 1)]) for _ in pixels]
    prompts = [[start, *(rng.randrange(300) for _ in range(length))] for length in lengths]
    expected = stock(model, pixels, settings, WORD_STARTS, prompts)
    engine = Engine(model, "fp32", WORD_STARTS)
    assert_same(engine.decode(engine.encode(pixels), settings, prompts), expected)


@pytest.mark.parametrize("case", range(8))
def test_the_gain_of_a_plot_is_what_poster_and_title_add_to_its_log_probability(case: int):
    rng, model = random.Random(case), tiny_model(seed=case % 3)
    make_ending_likelier(model, rng.choice([0.0, 3.0]))
    settings = replace(random_settings(rng), sample=False, num_beams=4, num_candidates=4)
    settings = replace(settings, guidance=rng.choice([1.5, 3.0]))
    start, pixels = model.generation_config.decoder_start_token_id, pictures(3, seed=case)
    prompts = [[start], [start, 5, 9], [start, *range(20, 25)]]
    engine = Engine(deepcopy(model), "fp32", WORD_STARTS)
    found = engine.decode(engine.encode(pixels), settings, prompts)
    nothing = BaseModelOutput(torch.zeros(1, 1, model.encoder.config.hidden_size))

    def log_probability(prompt: list[int], ids: list[int], **given: Any) -> float:
        with torch.inference_mode():
            logits = model(decoder_input_ids=torch.tensor([prompt + ids]), **given).logits[0]
        steps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        return float(steps.gather(-1, torch.tensor(ids)[:, None]).sum())

    for picture, prompt, plots in zip(pixels, prompts, found, strict=True):
        for plot in plots:
            if plot.score < -1e4:  # there only to fill the number
                assert plot.gain == -torch.inf
                continue
            ids = [*plot.token_ids]
            gain = log_probability(prompt, ids, pixel_values=picture[None])
            gain -= log_probability([start], ids, encoder_outputs=nothing)
            assert plot.gain == pytest.approx(gain / len(ids), abs=1e-4)
    unguided = engine.decode(engine.encode(pixels), replace(settings, guidance=1), prompts)
    assert {plot.gain for plots in unguided for plot in plots} <= {0.0, -torch.inf}


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    """The bundled model, its files read once."""
    return load_checkpoint(device="cpu")


@pytest.fixture(scope="module")
def shipped_engine(shipped: Checkpoint) -> Engine:
    """It in fp32 with its lexicon, on weights of its own: an engine lays the encoder's out anew."""
    vocabulary = shipped.model.config.decoder.vocab_size
    assert shipped.lexicon is not None
    lexicon = Lexicon(shipped.lexicon, shipped.tokenizer, vocabulary)
    word_starts = word_start_mask(shipped.tokenizer, vocabulary)
    return Engine(deepcopy(shipped.model), "fp32", word_starts, lexicon)


def title_prompt(shipped: Checkpoint, title: str) -> list[int]:
    return TitlePrompt(**shipped.model.config.title_prompt).token_ids(
        shipped.tokenizer,
        title,
        start=shipped.model.generation_config.decoder_start_token_id,
        max_length=GenerationSettings.max_length,
    )


@pytest.mark.parametrize("title", ["", "The House on Harrow Hill"])
@pytest.mark.parametrize("poster", POSTERS, ids=lambda path: path.stem)
def test_the_bundled_model_writes_what_stock_generate_writes(
    shipped: Checkpoint, shipped_engine: Engine, poster: Path, title: str
):
    """At its own guidance, with its lexicon."""
    model, engine = shipped.model, shipped_engine
    settings = GenerationSettings(guidance=model.config.recommended_guidance)
    pixels = shipped.image_processor(read_image(poster), return_tensors="pt")["pixel_values"]
    prompt = title_prompt(shipped, title)
    expected = stock(model, pixels, settings, engine.word_starts, [prompt], engine.lexicon)
    assert_same(engine.decode(engine.encode(pixels), settings, [prompt]), expected)


@pytest.mark.parametrize("title", ["MasterChef", "Urusei Yatsura", "Koyaanisqatsi"])
def test_names_of_several_tokens_are_copied_whole(
    shipped: Checkpoint, shipped_engine: Engine, title: str
):
    settings = GenerationSettings(guidance=shipped.model.config.recommended_guidance)
    images = [read_image(path) for path in POSTERS]
    pixels = shipped.image_processor(images, return_tensors="pt")["pixel_values"]
    plots = shipped_engine.decode(
        shipped_engine.encode(pixels), settings, [title_prompt(shipped, title)] * len(images)
    )
    texts = [
        shipped.tokenizer.decode(best.token_ids, skip_special_tokens=True) for best, *_ in plots
    ]
    assert shipped.lexicon is not None
    known = {word.lower() for word in (*shipped.lexicon, *words(title))}
    assert not {word.lower() for word in words(" ".join(texts))} - known
    assert any(set(words(title)) <= set(words(text)) for text in texts)


@pytest.fixture(scope="module")
def int8_and_fp32(shipped: Checkpoint) -> tuple[Engine, Engine]:
    """The bundled model without its bias against common phrases."""
    word_starts = word_start_mask(shipped.tokenizer, shipped.model.config.decoder.vocab_size)
    models = deepcopy(shipped.model), deepcopy(shipped.model)
    for model in models:
        model.generation_config.sequence_bias = None
    return Engine(models[0], "int8", word_starts), Engine(models[1], "fp32", word_starts)


@pytest.mark.skipif("int8" not in precisions(torch.device("cpu")), reason="needs int8 kernels")
@pytest.mark.parametrize(("guided", "least"), [(False, 0.95), (True, 0.87)])
def test_in_int8_the_likeliest_next_token_is_mostly_that_of_fp32(
    shipped: Checkpoint, int8_and_fp32: tuple[Engine, Engine], guided: bool, least: float
):
    """Teacher-forced over the plots that the bundled model writes in fp32 for the drawn posters.

    Measured: 98 % of tokens agree over plain plots, 92 % over guided ones, which the model itself
    finds less likely, so that its first two choices lie closer. So it does under its bias, which is
    left out.
    """
    int8, fp32 = int8_and_fp32
    images = [read_image(path) for path in DRAWN_POSTERS]
    pixels = shipped.image_processor(images, return_tensors="pt")["pixel_values"]
    guidance = shipped.model.config.recommended_guidance if guided else 1
    settings = GenerationSettings(guidance=guidance)
    plots = [best.token_ids for best, *_ in fp32.decode(fp32.encode(pixels), settings)]
    ours, exact = (
        [token for row in teacher_forced(engine, pixels, plots) for token in row]
        for engine in (int8, fp32)
    )
    agreement = sum(a == b for a, b in zip(ours, exact, strict=True)) / len(exact)
    assert agreement >= least


@torch.inference_mode()
def teacher_forced(
    engine: Engine, pixels: torch.Tensor, plots: list[tuple[int, ...]]
) -> list[list[int]]:
    """The likeliest token at each place of each poster's plot, given the plot up to there."""
    start = engine.decoder_start_token_id
    inputs = [torch.tensor([start, *plot[:-1]]) for plot in plots]
    padded = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True, padding_value=start)
    batch = DecoderBatch(engine.decoder)
    cross_attention = engine.decoder.cross_attention_cache(engine.encode(pixels))
    batch.join(cross_attention, padded[:, :0], beams=1, guided=False)
    steps = [batch.next_token_logits(tokens) for tokens in padded.T]
    rows = torch.stack(steps, dim=1).argmax(-1).tolist()
    return [row[: len(plot)] for row, plot in zip(rows, plots, strict=True)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_tokens_are_those_of_stock_generate():
    model = tiny_model().cuda()
    pixels = pictures(3).cuda()
    settings = GenerationSettings(guidance=3, max_length=40)
    expected = stock(model, pixels, settings, WORD_STARTS)
    engine = Engine(model, "fp32", WORD_STARTS)
    assert_same(engine.decode(engine.encode(pixels), settings), expected)


def test_the_engine_leaves_no_second_copy_of_the_weights():
    model = tiny_model()
    engine = Engine(model)
    assert not len(model.decoder.transformer.h)
    assert not any(type(each) is torch.nn.Linear for each in engine._encoder.modules())
