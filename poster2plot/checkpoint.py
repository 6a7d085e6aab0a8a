"""Find, download and load a ViT–GPT-2 checkpoint: the bundled one, a local folder or a Hub model.

A Hub model is first brought into the cache of huggingface_hub and then read as a local folder, so
`HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_HOME` have their usual meaning. Code that a checkpoint
brings along is never run.
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

from poster2plot.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase, VisionEncoderDecoderModel
    from transformers.image_processing_utils import BaseImageProcessor

BUNDLED_MODEL = Path(__file__).resolve().parent.parent / "models" / "poster2plot-small"

# The checkpoints of 2021 have no tokenizer and no image processor: they were trained with these.
# "openai-community/gpt2" is the full name of "gpt2".
TOKENIZER_REPO = "openai-community/gpt2"
IMAGE_PROCESSOR_REPO = "google/vit-base-patch16-224-in21k"

# Commits that are used where the caller names no revision. `deepklarity/poster2plot` is not among
# them, because no commit of it could be confirmed: it follows its main branch. Its pickle is read
# as plain tensors, so a changed file could change the plots but run no code.
REVISIONS = {
    TOKENIZER_REPO: "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    IMAGE_PROCESSOR_REPO: "b4569560a39a0f1af58e3ddaf17facf20ab919b0",
}

_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer.json", "vocab.json")
_IMAGE_PROCESSOR = ("preprocessor_config.json",)
_OTHERS = ("generation_config.json", "tokenizer_config.json", "merges.txt")

# transformers keeps its log level and its hook for progress bars in globals. One load at a time may
# borrow them; each puts them back.
_transformers_globals = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """A model in float32 and evaluation mode, with its tokenizer and image processor.

    `name` is what the user asked for, or "poster2plot-small" for the bundled model.
    """

    name: str
    model: VisionEncoderDecoderModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: BaseImageProcessor
    device: torch.device


def load_checkpoint(
    name_or_path: str | Path | None = None, *, device: str = "auto", revision: str | None = None
) -> Checkpoint:
    """Load the bundled model (None), a local folder, or a Hub model such as `owner/name`.

    An existing folder comes before a Hub model of the same name. `device` is "auto" (CUDA where
    there is one), "cpu" or "cuda". `revision` is a branch, tag or commit of a Hub model; the
    default is the one in `REVISIONS`, else the main branch. Safetensors come before a pickle. A
    checkpoint without tokenizer or image processor, such as `deepklarity/poster2plot`, gets those
    of `TOKENIZER_REPO` and `IMAGE_PROCESSOR_REPO`.

    Raises `CheckpointError` for whatever goes wrong.
    """
    target = _device(device)
    name = BUNDLED_MODEL.name if name_or_path is None else str(name_or_path)
    folder = _local_folder(name_or_path)
    if folder is None:
        folder = _download(name, revision)
    elif revision is not None:
        raise CheckpointError(f"{name!r} is a local folder; leave the revision out.")
    _check_files(folder, name)
    tokenizer_folder = _part(folder, _TOKENIZER, TOKENIZER_REPO, name)
    processor_folder = _part(folder, _IMAGE_PROCESSOR, IMAGE_PROCESSOR_REPO, name)
    with _transformers_globals, _quiet_transformers():
        from transformers import AutoImageProcessor, AutoTokenizer

        model = _read_model(folder, name)
        # A tokenizer or image processor that does not state its type takes it from these.
        encoder, decoder = model.config.encoder, model.config.decoder
        tokenizer = _read(AutoTokenizer, tokenizer_folder, name, config=decoder)
        image_processor = _read(AutoImageProcessor, processor_folder, name, config=encoder)
    _check_fit(encoder, decoder, tokenizer, image_processor, name)
    _fill_special_tokens(model, tokenizer)
    try:
        model.to(target)
    except RuntimeError as error:
        raise CheckpointError(f"{name!r} does not fit on {target}; use the device cpu.") from error
    return Checkpoint(name, model, tokenizer, image_processor, target)


def _device(name: str) -> torch.device:
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


def _download(name: str, revision: str | None) -> Path:
    """The cache's folder of a Hub model, complete with the files that loading needs.

    File by file, because the calls that list a repository wait for a silent Hub without a limit
    and retry a broken one for half a minute.
    """
    from huggingface_hub import constants, errors, hf_hub_download, try_to_load_from_cache

    def fetch(file: str) -> bool:
        known = try_to_load_from_cache(name, file, revision=commit)
        if known is not None:
            return isinstance(known, str)  # else the cache knows that there is no such file
        try:
            hf_hub_download(name, file, revision=commit)
        except errors.RemoteEntryNotFoundError:
            return False
        except errors.LocalEntryNotFoundError:
            if not constants.is_offline_mode():
                raise  # a broken connection is no reason to take another model's tokenizer
            return False
        return True

    with _hub_errors(f"The Hub model {name!r}"):
        revision = revision or REVISIONS.get(name)
        folder = Path(hf_hub_download(name, "config.json", revision=revision)).parent
        commit = folder.name
        for file in (*_TOKENIZER, *_IMAGE_PROCESSOR, *_OTHERS):
            fetch(file)
        if not fetch("model.safetensors"):
            hf_hub_download(name, "pytorch_model.bin", revision=commit)
    return folder


def _part(folder: Path, files: tuple[str, ...], repo: str, name: str) -> Path:
    """`folder` if it holds one of `files`, else the cache's folder with the first of them."""
    from huggingface_hub import hf_hub_download

    if any((folder / file).is_file() for file in files):
        return folder
    with _hub_errors(f"{repo!r}, the Hub model from which {name!r} takes {files[0]},"):
        return Path(hf_hub_download(repo, files[0], revision=REVISIONS[repo])).parent


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Turn the errors of huggingface_hub into sentences that begin with `what`."""
    from huggingface_hub import constants, errors

    if constants.is_offline_mode():
        away = "is not in the cache and HF_HUB_OFFLINE is set; unset it or name a local folder"
    else:
        away = "is not in the cache and the Hub does not answer; check the connection or try later"
    reasons = (
        (errors.HFValidationError, "has a name that is neither a folder nor like owner/name"),
        (errors.GatedRepoError, "is gated; accept its terms there and log in with `hf auth login`"),
        (errors.RepositoryNotFoundError, "is not to be found; check the name or log in"),
        (errors.RevisionNotFoundError, "has no such revision; check the revision"),
        (errors.LocalEntryNotFoundError, away),
        (errors.RemoteEntryNotFoundError, "lacks its config.json or its weights; name another"),
        (errors.HfHubHTTPError, "is refused by the Hub; log in anew or try later"),
        (Exception, "cannot be downloaded; check the connection and the free disk space"),
    )
    try:
        yield
    except Exception as error:
        reason = next(reason for kind, reason in reasons if isinstance(error, kind))
        raise CheckpointError(f"{what} {reason}.") from error


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
    if not any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
        raise CheckpointError(
            f"{name!r} has no weights (model.safetensors or pytorch_model.bin); get them again."
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
    try:
        return kind.from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:
        part = kind.__name__.removeprefix("Auto")
        raise CheckpointError(
            f"The {part} of {name!r} cannot be read, because its files are damaged or hold more "
            "than plain data; get it again from a source you trust."
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


def _check_fit(encoder: Any, decoder: Any, tokenizer: Any, image_processor: Any, name: str) -> None:
    if len(tokenizer) > decoder.vocab_size:
        raise CheckpointError(f"{name!r} has the tokenizer of another model; get its own.")
    crops = getattr(image_processor, "do_center_crop", False)
    size = dict(image_processor.crop_size if crops else image_processor.size)
    side = encoder.image_size
    height, width = (side, side) if isinstance(side, int) else side
    if (size.get("height", height), size.get("width", width)) != (height, width):
        raise CheckpointError(f"{name!r} has the image processor of another model; get its own.")


def _fill_special_tokens(model: Any, tokenizer: Any) -> None:
    """Complete the generation config; GPT-2 begins, ends and pads a text with the same token."""
    own, decoder = model.generation_config, model.config.decoder
    if own.eos_token_id is None:
        own.eos_token_id = decoder.eos_token_id
    end = own.eos_token_id[0] if isinstance(own.eos_token_id, list) else own.eos_token_id
    if own.bos_token_id is None:
        own.bos_token_id = end if decoder.bos_token_id is None else decoder.bos_token_id
    if own.decoder_start_token_id is None:
        own.decoder_start_token_id = own.bos_token_id
    if own.pad_token_id is None:
        own.pad_token_id = end
    # The loss of `forward` reads these two from the model's config.
    model.config.decoder_start_token_id = own.decoder_start_token_id
    model.config.pad_token_id = own.pad_token_id
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
