"""One captioner from a vision encoder and a language model, each by name or path."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    VisionEncoderDecoderModel,
    set_seed,
)
from transformers.image_processing_utils import BaseImageProcessor

from poster2plot.checkpoints.fit import check_image_processor, check_tokenizer
from poster2plot.checkpoints.hub import LEXICON
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.errors import InputError
from poster2plot.title_prompts import TitlePrompt
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import TITLE_TOKENS
from poster2plot.training.whole import whole_folder

# Encoders whose pooler can be left out; the decoder never looks at it.
_WITH_POOLER = {"vit", "deit", "beit", "swin", "swinv2"}


LARGEST_FILE = "90MB"  # hosts of repositories refuse files of 100 MB


@dataclass(frozen=True)
class Captioner:
    """A model to train, and what turns plots and posters into its inputs.

    `lexicon` are the words that it writes with; None where it has all.
    """

    model: VisionEncoderDecoderModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: BaseImageProcessor
    lexicon: frozenset[str] | None = None

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Captioner":
        """A checkpoint in fp32, to train it further. Raises `CheckpointError`."""
        checkpoint = load_checkpoint(name_or_path, device="cpu")
        model = checkpoint.model
        model.encoder.pooler = None  # the decoder does not look at it
        if attention := _to_train().get("attn_implementation"):
            model.set_attn_implementation(attention)
        return cls(model, checkpoint.tokenizer, checkpoint.image_processor, checkpoint.lexicon)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that the stock classes load, as a whole."""
        with whole_folder(folder) as part:
            self.model.save_pretrained(part, max_shard_size=LARGEST_FILE)
            self.tokenizer.save_pretrained(part)
            self.image_processor.save_pretrained(part)
            if self.lexicon is not None:
                words = "".join(f"{word}\n" for word in sorted(self.lexicon))
                (part / LEXICON).write_text(words, encoding="utf-8")


def _to_train() -> dict[str, Any]:
    """How a model is loaded that is to be trained."""
    # Else a checkpoint in half precision, as `export` writes it, would be trained in that.
    options: dict[str, Any] = {"dtype": torch.float32}
    if not torch.cuda.is_available():
        # There the fused attention's backward pass is slower at such lengths.
        options["attn_implementation"] = "eager"
    return options


def compose(recipe: Recipe) -> Captioner:
    """The captioner of a recipe, with new cross-attention where the decoder has none.

    Either part may be that of another captioner, to train it further: the encoder comes with its
    image processor, the decoder with its cross-attention, tokenizer and lexicon, and with its
    projection where that fits the encoder.

    GPT-2 has one special token: it starts, ends and pads a plot. Raises `OSError` for a name or
    path that cannot be loaded, `Poster2PlotError` for a part that a captioner cannot have, and
    `ValueError` where titles are wanted and the tokenizer has no separator token.
    """
    set_seed(recipe.seed)  # for the new weights, alike in every process and every run
    configs = {name: AutoConfig.from_pretrained(name) for name in (recipe.encoder, recipe.decoder)}
    captioners = {
        name: Captioner.load(name)
        for name, config in configs.items()
        if config.model_type == "vision-encoder-decoder"
    }
    if seeing := captioners.get(recipe.encoder):
        encoder, image_processor = seeing.model.encoder, seeing.image_processor
    else:
        encoder, image_processor = _encoder(recipe.encoder, configs[recipe.encoder])
    projection, lexicon = None, None
    if writing := captioners.get(recipe.decoder):
        decoder, tokenizer = writing.model.decoder, writing.tokenizer
        projection = getattr(writing.model, "enc_to_dec_proj", None)  # from the encoder's width
        lexicon = writing.lexicon
    else:
        decoder, tokenizer = _decoder(recipe.decoder, configs[recipe.decoder])
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    if projection is not None and projection.in_features == encoder.config.hidden_size:
        model.enc_to_dec_proj = projection
    if recipe.titles:
        separator = tokenizer.sep_token_id
        if separator is None or separator >= decoder.config.vocab_size:
            raise ValueError(f"The tokenizer of {recipe.decoder} has no separator for titles.")
        prompt = TitlePrompt(separator, TITLE_TOKENS)
        model.config.title_prompt = asdict(prompt)
    end = tokenizer.eos_token_id
    model.config.decoder_start_token_id = model.config.pad_token_id = end
    # Not a key of GenerationConfig: the stock guidance needs a negative prompt.
    model.config.recommended_guidance = recipe.guidance
    model.generation_config = GenerationConfig(
        decoder_start_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        max_length=recipe.max_target_length,
        num_beams=recipe.num_beams,
        length_penalty=recipe.length_penalty,
        no_repeat_ngram_size=recipe.no_repeat_ngram_size,
    )
    if not recipe.train_encoder:
        model.encoder.requires_grad_(False)
    return Captioner(model, tokenizer, image_processor, lexicon)


def _encoder(name: str, config: Any) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """A vision encoder and its image processor."""
    if not hasattr(config, "hidden_size"):
        raise InputError(
            f"{name!r} is of the kind {config.model_type!r}, whose parts or layers have widths of "
            "their own; choose an encoder of pictures alone with one width, such as a ViT, DeiT, "
            "BEiT, Swin, DINOv2 or CLIPVisionModel."
        )
    pooler = {"add_pooling_layer": False} if config.model_type in _WITH_POOLER else {}
    encoder = AutoModel.from_pretrained(name, dtype=torch.float32, **pooler)
    image_processor = AutoImageProcessor.from_pretrained(name)
    check_image_processor(image_processor, encoder.eval(), name)
    return encoder, image_processor


def _decoder(name: str, config: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A GPT-2 with cross-attention and its tokenizer."""
    if config.model_type != "gpt2":
        raise InputError(
            f"{name!r} is of the kind {config.model_type!r}; choose a GPT-2 as decoder, such as "
            "gpt2 or distilgpt2, or a captioner that has one."
        )
    config.is_decoder = config.add_cross_attention = True
    tokenizer = AutoTokenizer.from_pretrained(name)
    if tokenizer.eos_token_id is None:
        raise InputError(f"The tokenizer of {name!r} has no end token; get its own, complete.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    check_tokenizer(tokenizer, config.vocab_size, name)
    return AutoModelForCausalLM.from_pretrained(name, config=config, **_to_train()), tokenizer
