"""Tiny checkpoints with seeded random weights, built in milliseconds, in the layouts of the Hub.

A ViT for pictures of 32 × 32 in patches of 8, and a GPT-2 with 64 positions and a byte-level BPE
vocabulary learned from the sentences below; both have 2 layers and are 32 wide.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from safetensors.torch import load, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

END = "<|endoftext|>"
SEPARATOR = "<|separator|>"  # of checkpoints that take titles
PICTURE = 32  # pixels a side
WIDTH = 32
LAYERS = 2
POSITIONS = 64
VOCABULARY = 320

SENTENCES = (
    "A young lighthouse keeper finds a letter that the sea has carried for a hundred years.",
    "Two rival bakers must share one oven when the river floods their town.",
    "A retired detective returns to the island where her first case was never solved.",
    "When the last train leaves the station, a boy and his dog set out on foot.",
    "The crew of a lost ship wakes to find that the stars have moved.",
)


def tiny_tokenizer(folder: str | Path | None = None, *, titles: bool = False) -> GPT2Tokenizer:
    """A GPT-2 tokenizer whose last token ends the text; saved in `folder` if one is given.

    With `titles` a separator comes after it.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    learned = json.loads(bpe.to_str())["model"]
    tokenizer = GPT2Tokenizer(
        vocab=learned["vocab"] | {END: len(learned["vocab"])},
        merges=[tuple(merge) for merge in learned["merges"]],
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
    )
    if titles:
        tokenizer.add_special_tokens({"sep_token": SEPARATOR})
    if folder is not None:
        tokenizer.save_pretrained(folder)
    return tokenizer


def tiny_image_processor(folder: str | Path | None = None) -> ViTImageProcessor:
    """The image processor of the tiny ViT; saved in `folder` if one is given."""
    image_processor = ViTImageProcessor(
        size={"height": PICTURE, "width": PICTURE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    if folder is not None:
        image_processor.save_pretrained(folder)
    return image_processor


def tiny_model(
    *,
    seed: int = 0,
    pooler: bool = False,
    activation: str = "gelu_new",
    titles: bool = False,
    positions: int = POSITIONS,
) -> VisionEncoderDecoderModel:
    """The model alone, with weights large enough that the picture changes the text.

    With `titles` its config says that it takes them, and its vocabulary has a separator.
    """
    torch.manual_seed(seed)
    end = VOCABULARY - 1
    encoder = ViTModel(
        ViTConfig(
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=2 * WIDTH,
            image_size=PICTURE,
            patch_size=8,
            initializer_range=0.3,
        ),
        add_pooling_layer=pooler,
    )
    decoder = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY + titles,
            n_positions=positions,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=2,
            activation_function=activation,
            bos_token_id=end,
            eos_token_id=end,
            is_decoder=True,
            add_cross_attention=True,
            initializer_range=0.3,
        )
    )
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    model.config.decoder_start_token_id = model.config.pad_token_id = end
    if titles:
        model.config.title_prompt = {"separator_token_id": VOCABULARY, "max_tokens": 16}
    model.generation_config = GenerationConfig(
        decoder_start_token_id=end, bos_token_id=end, eos_token_id=end, pad_token_id=end
    )
    return model.eval()


def save_tiny_model(
    folder: str | Path,
    *,
    layout: Literal["current", "2021"] = "current",
    safetensors: bool = True,
    seed: int = 0,
    titles: bool = False,
    positions: int = POSITIONS,
) -> Path:
    """Save a tiny checkpoint in `folder` and return the folder.

    "current" is what transformers 5 saves, complete with tokenizer, image processor and generation
    config. "2021" is the layout of `deepklarity/poster2plot`: `config.json` and `pytorch_model.bin`
    and nothing else, unless `safetensors` adds a `model.safetensors` beside them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "2021":
        _save_2021(folder, seed=seed, safetensors=safetensors)
        return folder
    tiny_model(seed=seed, titles=titles, positions=positions).save_pretrained(folder)
    tiny_tokenizer(folder, titles=titles)
    tiny_image_processor(folder)
    if not safetensors:
        weights = folder / "model.safetensors"
        torch.save(load(weights.read_bytes()), folder / "pytorch_model.bin")
        weights.unlink()
    return folder


def _save_2021(folder: Path, *, seed: int, safetensors: bool) -> None:
    model = tiny_model(seed=seed, pooler=True)  # a ViT kept its unused pooler then
    with TemporaryDirectory() as temporary:
        # transformers 5 renames the weights when loading and gives the old names when saving.
        model.save_pretrained(temporary)
        state = load(Path(temporary, "model.safetensors").read_bytes())
    # Each attention saved its causal mask and the value that fills it as buffers.
    mask = torch.tril(torch.ones(POSITIONS, POSITIONS, dtype=torch.uint8))[None, None]
    for layer in range(LAYERS):
        for attention in ("attn", "crossattention"):
            state[f"decoder.transformer.h.{layer}.{attention}.bias"] = mask.clone()
            state[f"decoder.transformer.h.{layer}.{attention}.masked_bias"] = torch.tensor(-1e4)
    if safetensors:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    state["decoder.lm_head.weight"] = state["decoder.transformer.wte.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(_config_2021(), indent=2) + "\n")


def _config_2021() -> dict[str, Any]:
    """A `config.json` of transformers 4.11: whole sub-configs, and generation settings in each."""
    end = VOCABULARY - 1
    every: dict[str, Any] = {
        "bad_words_ids": None,
        "diversity_penalty": 0.0,
        "do_sample": False,
        "early_stopping": False,
        "length_penalty": 1.0,
        "max_length": 20,
        "min_length": 0,
        "no_repeat_ngram_size": 0,
        "num_beam_groups": 1,
        "num_beams": 1,
        "num_return_sequences": 1,
        "output_attentions": False,
        "output_hidden_states": False,
        "pad_token_id": None,
        "prefix": None,
        "pruned_heads": {},
        "repetition_penalty": 1.0,
        "return_dict": True,
        "sep_token_id": None,
        "temperature": 1.0,
        "tie_encoder_decoder": False,
        "tie_word_embeddings": True,
        "tokenizer_class": None,
        "top_k": 50,
        "top_p": 1.0,
        "torch_dtype": None,
        "torchscript": False,
        "transformers_version": "4.11.3",
        "use_bfloat16": False,
    }
    encoder = {
        "_name_or_path": "google/vit-base-patch16-224-in21k",
        "add_cross_attention": False,
        "architectures": ["ViTModel"],
        "attention_probs_dropout_prob": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": WIDTH,
        "image_size": PICTURE,
        "initializer_range": 0.02,
        "intermediate_size": 2 * WIDTH,
        "is_decoder": False,
        "is_encoder_decoder": False,
        "layer_norm_eps": 1e-12,
        "model_type": "vit",
        "num_attention_heads": 2,
        "num_channels": 3,
        "num_hidden_layers": LAYERS,
        "patch_size": 8,
        "qkv_bias": True,
    }
    decoder = {
        "_name_or_path": "gpt2",
        "activation_function": "gelu_new",
        "add_cross_attention": True,
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": end,
        "embd_pdrop": 0.1,
        "eos_token_id": end,
        "gradient_checkpointing": False,
        "initializer_range": 0.02,
        "is_decoder": True,
        "is_encoder_decoder": False,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": POSITIONS,
        "n_embd": WIDTH,
        "n_head": 2,
        "n_inner": None,
        "n_layer": LAYERS,
        "n_positions": POSITIONS,
        "resid_pdrop": 0.1,
        "scale_attn_weights": True,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }
    return {
        "architectures": ["VisionEncoderDecoderModel"],
        "decoder": every | decoder,
        "decoder_start_token_id": end,
        "encoder": every | encoder,
        "is_encoder_decoder": True,
        "length_penalty": 2.0,
        "max_length": 64,
        "model_type": "vision-encoder-decoder",
        "no_repeat_ngram_size": 3,
        "num_beams": 4,
        "pad_token_id": end,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": None,
        "vocab_size": VOCABULARY,
    }


def make_ending_likelier(model: VisionEncoderDecoderModel, nats: float) -> None:
    """Add to the logit of the end token at each step."""
    head = torch.nn.Linear(model.decoder.config.n_embd, model.decoder.config.vocab_size)
    with torch.no_grad():
        head.weight.copy_(model.decoder.lm_head.weight)
        head.bias.zero_()
        head.bias[model.generation_config.eos_token_id] = nats
    model.decoder.lm_head = head
