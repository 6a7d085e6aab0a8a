"""Load a ViT–GPT-2 checkpoint: the bundled one, a local folder or a Hub model.

Code that a checkpoint brings along is never run.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poster2plot.bundled_files import BUNDLED_MODEL
from poster2plot.checkpoints.checksums import check_sums
from poster2plot.checkpoints.fit import check_image_processor, check_kind, check_tokenizer
from poster2plot.checkpoints.hub import (
    LEXICON,
    WEIGHTS,
    download,
    image_processor_folder,
    image_processor_kind,
    shards,
    tokenizer_folder,
)
from poster2plot.errors import CheckpointError, DeviceError, is_out_of_memory

if TYPE_CHECKING:
    import torch
    from transformers import (
        PreTrainedTokenizerBase,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
    )
    from transformers.image_processing_utils import BaseImageProcessor

# transformers keeps its log level and its hook for progress bars in globals. One load at a time may
# borrow them; each puts them back.
_transformers_globals = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """A model in float32 and evaluation mode, with its tokenizer and image processor.

    `name` is what the user asked for, or "poster2plot-title" for the bundled model. `lexicon` are
    the words that it writes with, spelt as inside a sentence; None where the checkpoint does not
    say.
    """

    name: str
    model: VisionEncoderDecoderModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: BaseImageProcessor
    device: torch.device
    lexicon: frozenset[str] | None = None


def load_checkpoint(
    name_or_path: str | Path | None = None, *, device: str = "auto", revision: str | None = None
) -> Checkpoint:
    """Load the bundled model (None), a local folder, or a Hub model such as `owner/name`.

    An existing folder comes before a Hub model of the same name. `device` is "auto" (CUDA where
    there is one), "cpu" or "cuda". `revision` is a branch, tag or commit of a Hub model; the
    default is the one in `poster2plot.checkpoints.hub`, else the main branch. Safetensors come
    before a pickle. A ViT–GPT-2 checkpoint without tokenizer and image processor, such as
    `deepklarity/poster2plot`, gets those of GPT-2 and ViT.

    Raises `CheckpointError` for whatever goes wrong, `DeviceError` where it is the device.
    """
    target = choose_device(device)
    name = BUNDLED_MODEL.name if name_or_path is None else str(name_or_path)
    folder = checkpoint_folder(name_or_path, revision)
    check_sums(folder, name)
    _check_files(folder, name)
    image_processor_at = image_processor_folder(folder, name)  # first, as it may refuse the layout
    tokenizer_at = tokenizer_folder(folder, name)
    with _transformers_globals, _quiet_transformers():
        from transformers import AutoImageProcessor, AutoTokenizer

        model = _read_model(folder, name)
        # A tokenizer or image processor that does not state its type takes it from these.
        encoder, decoder = model.config.encoder, model.config.decoder
        tokenizer = _read(AutoTokenizer, tokenizer_at, name, config=decoder)
        image_processor = _read(AutoImageProcessor, image_processor_at, name, config=encoder)
        # Warnings of pictures and ids that do not fit come with the sentence that refuses them.
        check_tokenizer(tokenizer, decoder.vocab_size, name)
        check_kind(image_processor, image_processor_kind(image_processor_at), name)
        check_image_processor(image_processor, model.encoder, name)
    lexicon = _read_lexicon(folder, name)
    _fill_special_tokens(model, tokenizer)
    try:
        model.to(target)
    except (RuntimeError, AssertionError) as error:  # too little memory, or no driver after all
        raise DeviceError(f"{name!r} does not go on {target}; use the device cpu.") from error
    return Checkpoint(name, model, tokenizer, image_processor, target, lexicon)


def checkpoint_folder(name_or_path: str | Path | None = None, revision: str | None = None) -> Path:
    """Where the files of a checkpoint are, downloaded first if need be.

    The arguments are those of `load_checkpoint`. Raises `CheckpointError`.
    """
    folder = _local_folder(name_or_path)
    if folder is None:
        return download(str(name_or_path), revision)
    if revision is not None:
        raise CheckpointError(f"{str(name_or_path)!r} is a local folder; leave the revision out.")
    return folder


def too_little_memory(name: str) -> CheckpointError:
    """What to raise where a checkpoint of this name needs more memory than there is."""
    return CheckpointError(
        f"There is too little memory for {name!r}; close other programs, or choose a smaller model."
    )


def read_config(name_or_path: str | Path | None = None) -> VisionEncoderDecoderConfig:
    """The config of a checkpoint whose weights stay on the disk. Raises `CheckpointError`."""
    name = BUNDLED_MODEL.name if name_or_path is None else str(name_or_path)
    folder = checkpoint_folder(name_or_path)
    _check_files(folder, name)
    from transformers import VisionEncoderDecoderConfig

    config: VisionEncoderDecoderConfig = _read(VisionEncoderDecoderConfig, folder, name)
    return config


def choose_device(name: str) -> torch.device:
    """The device that auto, cpu or cuda means here. Raises `CheckpointError`."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise CheckpointError(f"The device {name!r} is unknown; choose auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise CheckpointError("There is no CUDA device here; choose the device auto or cpu.")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def _local_folder(name_or_path: str | Path | None) -> Path | None:
    """The folder that the user means; None for the id of a Hub model."""
    if name_or_path is None or name_or_path == BUNDLED_MODEL.name:
        if not BUNDLED_MODEL.is_dir():
            raise CheckpointError(
                f"The bundled model is not in {BUNDLED_MODEL}; run from a complete copy of the "
                "repository or name another model."
            )
        return BUNDLED_MODEL
    text = str(name_or_path)
    try:
        path = Path(name_or_path).expanduser()
        if text and path.is_dir():
            return path
    except (OSError, RuntimeError):  # too long, not readable, the home of an unknown user
        path = Path(name_or_path)
    if isinstance(name_or_path, Path) or text.startswith((".", "~")) or path.is_absolute():
        raise CheckpointError(f"The model folder {text!r} does not exist; check the path.")
    return None


def _check_files(folder: Path, name: str) -> None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{name!r} has no config.json; name another model.") from error
    except ValueError as error:
        raise CheckpointError(f"The config.json of {name!r} is damaged; get it again.") from error
    decoder = config.get("decoder") if isinstance(config, dict) else None
    if not (
        isinstance(decoder, dict)
        and config.get("model_type") == "vision-encoder-decoder"
        and decoder.get("model_type") == "gpt2"
        and decoder.get("add_cross_attention")
    ):
        raise CheckpointError(
            f"{name!r} is not a VisionEncoderDecoderModel with GPT-2 as decoder; choose another."
        )
    generation = folder / "generation_config.json"
    try:
        if generation.is_file() and not isinstance(json.loads(generation.read_bytes()), dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The {generation.name} of {name!r} is damaged; get it again."
        ) from error
    weights = next((folder / file for file in WEIGHTS if (folder / file).is_file()), None)
    if weights is None:
        raise CheckpointError(
            f"{name!r} has no weights (model.safetensors or pytorch_model.bin); get them again."
        )
    missing = [file for file in shards(weights, name) if not (folder / file).is_file()]
    if missing:
        raise CheckpointError(
            f"{name!r} lacks {missing[0]!r}, which its {weights.name} names; get a complete copy."
        )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No load report, whose content `_read_model` checks, and no bar for half a second."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    hook = transformers_logging.set_tqdm_hook(
        lambda bar, args, options: bar(*args, **options | {"disable": True})
    )
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.set_tqdm_hook(hook)


def _read(kind: Any, folder: Path, name: str, **options: Any) -> Any:
    part = kind.__name__.removeprefix("Auto")
    try:
        return kind.from_pretrained(folder, trust_remote_code=False, **options)
    except ImportError as error:
        raise CheckpointError(
            f"The {part} of {name!r} is of a kind that needs another package; choose another "
            "model, or save it as a tokenizer.json."
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise too_little_memory(name) from error
        raise CheckpointError(
            f"The {part} of {name!r} cannot be read, because its files are damaged, of an unknown "
            "kind or hold more than plain data; get it again from a source you trust."
        ) from error


def _read_model(folder: Path, name: str) -> Any:
    import torch
    from transformers import VisionEncoderDecoderModel

    options = {"dtype": torch.float32, "output_loading_info": True}
    # Weights of another shape are then reported like missing ones, both of which are refused here.
    options["ignore_mismatched_sizes"] = True
    model, report = _read(VisionEncoderDecoderModel, folder, name, **options)
    unset = report["missing_keys"] | {key for key, *_ in report["mismatched_keys"]}
    needed = sorted(key for key in unset if not key.startswith("encoder.pooler."))
    if needed:
        raise CheckpointError(
            f"The weights of {name!r} do not fit its config.json: {len(needed)} are missing or of "
            f"another shape, {needed[0]!r} for one; get a complete copy of the model."
        )
    if unset:
        model.encoder.pooler = None  # random, and the decoder does not look at it
    return model


def _read_lexicon(folder: Path, name: str) -> frozenset[str] | None:
    path = folder / LEXICON
    if not path.is_file():
        return None
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The {LEXICON} of {name!r} is damaged; get it again.") from error


def _fill_special_tokens(model: Any, tokenizer: Any) -> None:
    """Complete the generation config; GPT-2 begins, ends and pads a text with the same token."""
    own = model.generation_config
    if own.eos_token_id is None:
        own.eos_token_id = tokenizer.eos_token_id
    if own.bos_token_id is None:
        own.bos_token_id = tokenizer.bos_token_id
    if own.decoder_start_token_id is None:
        own.decoder_start_token_id = own.bos_token_id
    if own.pad_token_id is None:
        end = own.decoder_start_token_id if own.eos_token_id is None else own.eos_token_id
        own.pad_token_id = end[0] if isinstance(end, list) else end
    # The loss of `forward` reads these two from the model's config.
    model.config.decoder_start_token_id = own.decoder_start_token_id
    model.config.pad_token_id = own.pad_token_id
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
