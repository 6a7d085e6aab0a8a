"""Bring a Hub model into the cache of huggingface_hub.

`HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_HOME` have their usual meaning.
"""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from poster2plot.errors import CheckpointError

logger = logging.getLogger(__name__)

# In the order in which transformers takes them: whole or in shards, tensors before pickles.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SHARD = re.compile(r"[\w-][\w.-]*\.(?:safetensors|bin)", re.ASCII)
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

# A tokenizer's vocabulary, one of which every tokenizer has, and what may come with it.
_TOKENIZER = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_TOKENIZER_DETAILS = (
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# transformers 5 writes the second alone where it saves a whole processor.
_IMAGE_PROCESSOR = ("preprocessor_config.json", "processor_config.json")
LEXICON = "lexicon.txt"  # a word a line
_OTHERS = ("generation_config.json", LEXICON, *_TOKENIZER_DETAILS)


def download(name: str, revision: str | None) -> Path:
    """The cache's folder of a Hub model, with the files that loading needs and no others.

    File after file, as transformers does, so that the cache also knows which ones there are not;
    the weights come last, and what is cut off goes on where it was. Raises `CheckpointError`.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    unknown: set[str] = set()  # that the cache says nothing of, while nobody can be asked

    def fetch(file: str) -> bool:
        known = try_to_load_from_cache(name, file, revision=commit)
        if known is not None:
            return isinstance(known, str)  # else the cache knows that there is no such file
        if not answers:
            unknown.add(file)
            return False
        try:
            # It raises where the connection breaks, which is no reason to do without a file.
            hf_hub_download(name, file, revision=commit)
        except RemoteEntryNotFoundError:
            return False
        return True

    with _hub_errors(f"The Hub model {name!r}"):
        config, answers = _fetch_first(name, "config.json", revision or REVISIONS.get(name))
        answers = answers and not constants.is_offline_mode()
        folder, commit = config.parent, config.parent.name
        parts = (("tokenizer", _TOKENIZER, 2), ("image processor", _IMAGE_PROCESSOR, 1))
        for part, files, usual in parts:
            # Has it none of its own, or does the cache only lack it? The usual names tell: those
            # that are seldom used, no other program may have asked for.
            there = [fetch(file) for file in files]
            if not any(there) and unknown.intersection(files[:usual]):
                raise CheckpointError(
                    f"The Hub model {name!r} is in the cache without its {part}, and the Hub "
                    "cannot be asked for it; load it once with a connection."
                )
        for file in _OTHERS:
            fetch(file)
        for file in WEIGHTS:
            if fetch(file):
                for shard in shards(folder / file, name):
                    hf_hub_download(name, shard, revision=commit, local_files_only=not answers)
                return folder
        # As none is there, this raises what is to be said.
        hf_hub_download(name, WEIGHTS[0], revision=commit, local_files_only=not answers)
    return folder


def shards(weights: Path, name: str) -> list[str]:
    """The files that an index of sharded weights names; none where `weights` is no index.

    Raises `CheckpointError` for an index that is damaged or names files elsewhere.
    """
    if not weights.name.endswith(".index.json"):
        return []
    try:
        named = set(json.loads(weights.read_text(encoding="utf-8"))["weight_map"].values())
        files = sorted(named)
        plain = files and all(_SHARD.fullmatch(file) for file in files)
    except (ValueError, LookupError, AttributeError, TypeError):
        plain = False
    if not plain:
        raise CheckpointError(f"The {weights.name} of {name!r} is damaged; get it again.")
    return files


def _fetch_first(repo: str, file: str, revision: str | None) -> tuple[Path, bool]:
    """The cache's copy of a file, and whether the Hub answers a first request.

    Without that request `hf_hub_download` would try a silent Hub again and again, for minutes.
    """
    from huggingface_hub import constants, errors, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import get_hf_file_metadata

    url = hf_hub_url(repo, file, revision=revision)
    answers = True
    try:
        get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        answers = isinstance(error, errors.HfHubHTTPError) and error.response.status_code < 500
    path = hf_hub_download(repo, file, revision=revision, local_files_only=not answers)
    return Path(path), answers


def tokenizer_folder(folder: Path, name: str) -> Path:
    """Where the tokenizer of the checkpoint in `folder` is: there, or in the cache."""
    if any((folder / file).is_file() for file in _TOKENIZER):
        return folder
    return _other_models(_TOKENIZER[0], TOKENIZER_REPO, name)


def image_processor_folder(folder: Path, name: str) -> Path:
    """Where the image processor of the checkpoint in `folder` is: there, or in the cache.

    Raises `CheckpointError` where it is not there and the layout is not that of 2021: an encoder
    that was trained with other pictures would see these wrongly, and write all the same.
    """
    own, whole = (folder / file for file in _IMAGE_PROCESSOR)
    if own.is_file() or _holds_image_processor(whole):
        return folder
    if not _is_of_2021(folder):
        raise CheckpointError(
            f"{name!r} has no image processor, and how its encoder wants pictures cannot be "
            f"guessed; get a complete copy, or add the {own.name} that it was trained with."
        )
    return _other_models(own.name, IMAGE_PROCESSOR_REPO, name)


def _is_of_2021(folder: Path) -> bool:
    """Whether a folder without an image processor is laid out as `deepklarity/poster2plot`."""
    if any((folder / file).is_file() for file in _TOKENIZER):
        return False
    encoder = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("encoder")
    return isinstance(encoder, dict) and encoder.get("model_type") == "vit"


def _holds_image_processor(file: Path) -> bool:
    """Whether the settings of a whole processor are there, and an image processor's in them."""
    try:
        return "image_processor" in json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return False
    except (ValueError, TypeError):
        return True  # damaged, which whoever reads it says


def image_processor_kind(folder: Path) -> object:
    """What the files of an image processor state as its kind; None where they state none."""
    for file in _IMAGE_PROCESSOR:
        try:
            settings = json.loads((folder / file).read_text(encoding="utf-8"))
            settings = settings.get("image_processor", settings)
            for key in ("image_processor_type", "feature_extractor_type"):
                if key in settings:
                    return settings[key]
        except (OSError, ValueError, AttributeError, TypeError):
            continue  # what is damaged, reading says
    return None


def _other_models(file: str, repo: str, name: str) -> Path:
    """The cache's folder of the repository that completes the checkpoints of 2021."""
    from huggingface_hub import try_to_load_from_cache

    logger.info("%r has no %s: that of %s is used", name, file, repo)
    cached = try_to_load_from_cache(repo, file, revision=REVISIONS[repo])
    if isinstance(cached, str):
        return Path(cached).parent
    with _hub_errors(f"{repo!r}, the Hub model from which {name!r} takes {file},"):
        path, _ = _fetch_first(repo, file, REVISIONS[repo])
    return path.parent


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
        (errors.GatedRepoError, "is gated; accept its terms on the Hub and run `hf auth login`"),
        (errors.RepositoryNotFoundError, "is missing or private; check it or run `hf auth login`"),
        (errors.RevisionNotFoundError, "has no such revision; check the revision"),
        (errors.LocalEntryNotFoundError, away),
        (errors.RemoteEntryNotFoundError, "lacks its config.json or its weights; name another"),
        (errors.HfHubHTTPError, "is refused by the Hub; run `hf auth login` or try later"),
        (Exception, "cannot be downloaded; check the connection and the free disk space"),
    )
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            full = "does not fit on the disk; free some space or let HF_HOME name another disk"
            raise CheckpointError(f"{what} {full}.") from error
        reason = next(reason for kind, reason in reasons if isinstance(error, kind))
        raise CheckpointError(f"{what} {reason}.") from error
