import io
import json
import math
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers.modeling_outputs import BaseModelOutput

from poster2plot import (
    CheckpointError,
    GenerationSettings,
    ImageError,
    InputError,
    Poster2Plot,
    SettingsError,
    UnsupportedImageError,
    pipeline,
    read_image,
)
from poster2plot.checkpoints.loading import Checkpoint, load_checkpoint
from poster2plot.engine.search import Hypothesis
from poster2plot.errors import QueueFullError
from poster2plot.images.decoding import read_picture
from support.drawn_posters import draw_poster
from support.toy_model import save_tiny_model

PLAIN = GenerationSettings(guidance=1, max_length=24)


def stock_tokens(stock: Checkpoint, image, **settings) -> list[list[int]]:
    """Tokens of the stock `generate`, from the start token's successor to the end token.

    None is an encoder state of zeros.
    """
    if image is None:
        nothing = torch.zeros(1, 1, stock.model.encoder.config.hidden_size)
        given = {"encoder_outputs": BaseModelOutput(nothing)}
    else:
        given = dict(stock.image_processor(image, return_tensors="pt"))
    sequences = stock.model.generate(**given, **settings).tolist()
    end = stock.model.generation_config.eos_token_id
    rows = [ids[1:] for ids in sequences]
    return [ids[: ids.index(end) + 1] if end in ids else ids for ids in rows]


@pytest.mark.parametrize(
    ("settings", "image"),
    [
        (PLAIN, draw_poster()),
        (PLAIN, None),
        (replace(PLAIN, num_beams=1), draw_poster()),
        (replace(PLAIN, num_beams=5, num_candidates=3, length_penalty=2.0), draw_poster()),
        (replace(PLAIN, no_repeat_ngram_size=0), draw_poster()),
    ],
)
def test_without_guidance_the_tokens_are_those_of_stock_generate(
    tiny_folder: Path, settings: GenerationSettings, image: Image.Image | None
):
    p2p = Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")
    [candidates] = p2p.generate([image], settings)
    expected = stock_tokens(
        load_checkpoint(tiny_folder, device="cpu"),
        image,
        num_beams=settings.num_beams,
        max_length=settings.max_length,
        num_return_sequences=settings.num_candidates,
        length_penalty=settings.length_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
    )
    assert [list(candidate.token_ids) for candidate in candidates] == expected


def test_candidates_come_best_first(tiny: Poster2Plot):
    for sample in (False, True):
        settings = replace(PLAIN, num_candidates=4, sample=sample)
        [candidates] = tiny.generate([draw_poster()], settings)
        scores = [candidate.score for candidate in candidates]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        assert all(score < 0 for score in scores)


def test_the_beam_that_the_poster_makes_likelier_than_any_other_is_the_plot(tiny: Poster2Plot):
    settings = replace(PLAIN, guidance=3, num_candidates=PLAIN.num_beams)
    changed = False
    for color in ("navy", "darkred", "white"):
        poster = draw_poster(color)
        [beams] = tiny.engine.decode(tiny._encode(poster), settings)  # by their log-probability
        by_gain = sorted(beams, key=lambda beam: -beam.gain)
        for count in range(1, 5):
            [candidates] = tiny.generate([poster], replace(settings, num_candidates=count))
            ids = [candidate.token_ids for candidate in candidates]
            assert ids == [beam.token_ids for beam in by_gain[:count]]
        changed |= by_gain != beams
    assert changed


def test_a_harmful_beam_is_the_plot_only_where_no_other_has_ended(tiny: Poster2Plot):
    def hypothesis(text: str, gain: float) -> Hypothesis:
        return Hypothesis(tuple(tiny.tokenizer(text).input_ids), -1.0, gain)

    harmful = hypothesis("A whore finds a map.", 2.0)
    others = [hypothesis("A cat finds a map.", 0.5), hypothesis("A dog does.", -math.inf)]
    for beams in ([harmful, *others], [*others, harmful]):
        found = tiny._to_candidates([], replace(PLAIN, num_candidates=3), beams)
        assert [each.token_ids for each in found] == [
            each.token_ids for each in (others[0], harmful, others[1])
        ]


def test_the_score_is_the_mean_log_probability(tiny_folder: Path):
    image = draw_poster()
    stock = load_checkpoint(tiny_folder, device="cpu")
    p2p = Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")
    [[candidate]] = p2p.generate([image], replace(PLAIN, num_beams=1, no_repeat_ngram_size=0))
    pixels = stock.image_processor(image, return_tensors="pt")["pixel_values"]
    start = stock.model.generation_config.decoder_start_token_id
    with torch.inference_mode():
        logits = stock.model(
            pixel_values=pixels, decoder_input_ids=torch.tensor([[start, *candidate.token_ids]])
        ).logits.log_softmax(-1)
    picked = [float(logits[0, i, token]) for i, token in enumerate(candidate.token_ids)]
    assert candidate.score == pytest.approx(sum(picked) / len(picked), abs=1e-4)


def test_a_poster_is_not_touched_by_its_neighbours(tiny: Poster2Plot):
    posters = [draw_poster("navy"), None, draw_poster("darkred"), draw_poster("white")]
    for settings in (PLAIN, replace(PLAIN, sample=True, seed=3)):
        together = tiny.generate(posters, settings)
        for plots, poster in zip(together, posters, strict=True):
            [alone] = tiny.generate([poster], settings)
            assert [plot.token_ids for plot in plots] == [plot.token_ids for plot in alone]


def test_sampling_follows_its_seed_and_leaves_the_global_one_alone(tiny: Poster2Plot):
    settings = replace(PLAIN, sample=True, temperature=1.5, top_p=1.0)
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    first = tiny.generate([draw_poster()], settings)
    assert torch.equal(torch.rand(1), expected)
    assert tiny.generate([draw_poster()], settings) == first
    assert tiny.generate([draw_poster()], replace(settings, seed=1)) != first


def test_threads_do_not_mix_their_seeds(tiny: Poster2Plot):
    settings = [replace(PLAIN, sample=True, temperature=1.5, seed=seed) for seed in range(6)]

    def plot(each: GenerationSettings) -> tuple[int, ...]:
        [[candidate]] = tiny.generate([draw_poster()], each)
        return candidate.token_ids

    expected = [plot(each) for each in settings]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(plot, settings)) == expected


def test_plots_have_the_words_of_the_lexicon(tiny_folder: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    known = {"a", "sea", "lost", "lighthouse", "island"}
    (folder / "lexicon.txt").write_text("\n".join(known), encoding="utf-8")
    p2p = Poster2Plot.from_pretrained(folder, "cpu")
    settings = GenerationSettings(max_length=16, no_repeat_ngram_size=0)
    for [plot] in p2p.generate(
        [draw_poster(color) for color in ("navy", "white", "red")], settings
    ):
        written = re.findall(r"[a-z]+", plot.text.lower())
        assert set(written[:-1]) <= known  # the last may be cut off


def test_guidance_changes_the_plot(tiny: Poster2Plot):
    plain = tiny.generate([draw_poster()], PLAIN)
    assert tiny.generate([draw_poster()], replace(PLAIN, guidance=4)) != plain


def test_an_open_picture_is_read_as_its_file_is(tiny: Poster2Plot, tmp_path: Path):
    """Turned by EXIF, on white where it is transparent, deep greys scaled, the long side capped."""
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = draw_poster().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    deep = Image.linear_gradient("L").resize((200, 300)).convert("I").point(lambda v: v * 257)
    pictures: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "turned.png": (draw_poster(), {"exif": turned}),
        "clear.png": (clear, {}),
        "deep.png": (deep.convert("I;16"), {}),
        "large.png": (draw_poster(size=(1400, 2100)), {}),
        "grey.png": (draw_poster().convert("L"), {}),
    }
    plots = set()
    for name, (picture, options) in pictures.items():
        path = tmp_path / name
        picture.save(path, **options)
        with Image.open(path) as opened:
            from_open, from_path, from_text = (
                tiny.generate([each], PLAIN) for each in (opened, path, str(path))
            )
        assert from_open == from_path == from_text == tiny.generate([read_image(path)], PLAIN)
        plots.add(from_path[0][0].text)
    assert len(plots) > 1  # the model tells them apart


def test_what_becomes_of_an_open_picture_after_it_was_submitted_changes_no_plot(
    tiny: Poster2Plot, poster_file: Callable[..., Path]
):
    path = poster_file()
    expected = tiny.generate([path], PLAIN)
    held = threading.Event()

    def hold(*_: object) -> None:
        held.wait(30)

    [holds] = tiny.submit([draw_poster("white")], replace(PLAIN, max_length=8), on_step=hold)
    painted = draw_poster("navy")
    with Image.open(path) as closed:
        requests = tiny.submit([painted, closed, closed], PLAIN)
    painted.paste("white", (0, 0, *painted.size))
    held.set()
    assert [request.result(30) for request in (holds, *requests)][1:] == [*expected] * 3


def test_an_open_picture_is_copied_once_however_often_it_is_given(
    tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch
):
    read: list[Image.Image] = []

    def counted(picture: Image.Image) -> Image.Image:
        read.append(picture)
        return read_picture(picture)

    monkeypatch.setattr(pipeline, "read_picture", counted)
    poster = draw_poster()
    requests = tiny.submit([poster] * 3, PLAIN)
    assert sum(each is poster for each in read) == 1
    [first, *others] = [request.result(30) for request in requests]
    assert others == [first, first]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", ["cut off", "closed", "empty", "flat"])
def test_an_open_picture_that_cannot_be_read_is_an_error_of_this_package(
    tiny: Poster2Plot, poster_file: Callable[..., Path], kind: str, times: int
):
    data = poster_file().read_bytes()
    shown = data[: len(data) // 2] if kind == "cut off" else data
    picture: Image.Image = Image.open(io.BytesIO(shown))
    if kind == "closed":
        picture.close()
    elif kind in {"empty", "flat"}:
        picture = Image.new("RGB", (0, 0) if kind == "empty" else (5, 0))
    says = "no pixels" if kind in {"empty", "flat"} else "cut off"
    with pytest.raises(ImageError, match=says):
        tiny.generate([picture] * times, PLAIN)
    *failing, fine = tiny.submit([*[picture] * times, draw_poster()], PLAIN)
    for request in failing:
        with pytest.raises(ImageError, match=says):
            request.result(30)
    assert fine.result(30) == tiny.generate([draw_poster()], PLAIN)[0]


def test_a_path_without_a_picture_is_an_error_and_harms_no_other(tiny: Poster2Plot, tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UnsupportedImageError, match=r"text\.png"):
        tiny.generate([draw_poster(), tmp_path / "text.png"], PLAIN)
    with pytest.raises(InputError):
        tiny.generate([tmp_path / "missing.png"], PLAIN)


def test_what_is_no_list_of_pictures_is_told(tiny: Poster2Plot):
    poster = draw_poster()
    wrong: list[Any] = [poster, "poster.jpg", Path("poster.jpg"), b"GIF"]
    for images in wrong:
        for ask in (tiny.generate, tiny.submit):
            with pytest.raises(TypeError, match="images are a list"):
                ask(images, PLAIN)
    for ask in (tiny.generate, tiny.submit):
        with pytest.raises(TypeError, match="titles are a list"):
            ask([poster] * 5, PLAIN, titles="Alien")
        with pytest.raises(TypeError, match="not bytes; read_image decodes"):
            ask([poster, wrong[-1]], PLAIN)


def test_no_images_no_plots(tiny: Poster2Plot):
    assert tiny.generate([], PLAIN) == []


def test_defaults_are_cut_to_a_short_model(tmp_path: Path):
    short = Poster2Plot.from_pretrained(save_tiny_model(tmp_path, positions=48), "cpu")
    assert short.resolve().max_length == 48
    [[plot]] = short.generate([draw_poster()])
    assert plot.text


@pytest.mark.parametrize("guidance", [0.5, 11, "much"])
def test_a_model_that_recommends_what_cannot_be_is_refused(tmp_path: Path, guidance: Any):
    config = save_tiny_model(tmp_path) / "config.json"
    changed = json.loads(config.read_text()) | {"recommended_guidance": guidance}
    config.write_text(json.dumps(changed))
    with pytest.raises(CheckpointError, match="guidance"):
        Poster2Plot.from_pretrained(tmp_path, "cpu")


def test_a_length_beyond_the_positions_is_refused(tiny: Poster2Plot):
    with pytest.raises(SettingsError, match="at most 64 tokens"):
        tiny.generate([draw_poster()], GenerationSettings(max_length=65))


def test_the_model_recommends_a_guidance(tiny: Poster2Plot, bundled: Poster2Plot):
    assert tiny.resolve().guidance == 1
    assert (bundled.resolve().guidance or 0) > 1
    assert bundled.resolve(GenerationSettings(guidance=1)).guidance == 1


def test_after_the_close_a_poster_gets_a_sentence(tiny_folder: Path):
    p2p = Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")
    [written] = p2p.submit([draw_poster()], PLAIN)
    p2p.close(60)
    assert written.done()
    [late] = p2p.submit([draw_poster()], PLAIN)
    assert isinstance(late.error(), QueueFullError)
    with pytest.raises(QueueFullError, match="shutting down; try again"):
        late.result(0)


def test_importing_the_package_loads_no_torch():
    script = "import sys, poster2plot; assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True)
