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
    PreTrainedTokenizerBase,
    VisionEncoderDecoderModel,
    set_seed,
)
from transformers.image_processing_utils import BaseImageProcessor

from poster2plot.title_prompts import TitlePrompt
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import TITLE_TOKENS

# Encoders whose pooler can be left out; the decoder never looks at it.
_WITH_POOLER = {"vit", "deit", "beit", "swin", "swinv2"}


LARGEST_FILE = "90MB"  # hosts of repositories refuse files of 100 MB


@dataclass(frozen=True)
class Captioner:
    """A model to train, and what turns plots and posters into its inputs."""

    model: VisionEncoderDecoderModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: BaseImageProcessor

    @classmethod
    def load(cls, folder: Path) -> "Captioner":
        """The checkpoint of a folder, in fp32, to train it further."""
        return cls(
            VisionEncoderDecoderModel.from_pretrained(folder, **_to_train()),
            AutoTokenizer.from_pretrained(folder),
            AutoImageProcessor.from_pretrained(folder),
        )

    def save(self, folder: Any) -> None:
        """Write a checkpoint that the stock classes load."""
        self.model.save_pretrained(folder, max_shard_size=LARGEST_FILE)
        for part in (self.tokenizer, self.image_processor):
            part.save_pretrained(folder)


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

    The decoder may be that of another captioner, to train it further.

    GPT-2 has one special token: it starts, ends and pads a plot. Raises `OSError` for a name or
    path that cannot be loaded, `ValueError` where titles are wanted and the tokenizer has no
    separator token.
    """
    set_seed(recipe.seed)  # for the new weights, alike in every process and every run
    config = AutoConfig.from_pretrained(recipe.encoder)
    pooler = {"add_pooling_layer": False} if config.model_type in _WITH_POOLER else {}
    options = _to_train()
    encoder = AutoModel.from_pretrained(recipe.encoder, dtype=options["dtype"], **pooler)
    config = AutoConfig.from_pretrained(recipe.decoder)
    captioner = None
    if config.model_type == "vision-encoder-decoder":
        captioner = VisionEncoderDecoderModel.from_pretrained(recipe.decoder, **options)
        decoder = captioner.decoder
    else:
        config.is_decoder = config.add_cross_attention = True
        decoder = AutoModelForCausalLM.from_pretrained(recipe.decoder, config=config, **options)
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    projection = getattr(captioner, "enc_to_dec_proj", None)  # from the encoder's width
    if projection is not None and projection.in_features == encoder.config.hidden_size:
        model.enc_to_dec_proj = projection
    tokenizer = AutoTokenizer.from_pretrained(recipe.decoder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if recipe.titles:
        if tokenizer.sep_token_id is None:
            raise ValueError(f"The tokenizer of {recipe.decoder} has no separator for titles.")
        prompt = TitlePrompt(tokenizer.sep_token_id, TITLE_TOKENS)
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
    return Captioner(model, tokenizer, AutoImageProcessor.from_pretrained(recipe.encoder))
