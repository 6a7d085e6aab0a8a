"""Bring a Hub model into the cache of huggingface_hub.

`HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_HOME` have their usual meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from poster2plot.errors import CheckpointError

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

_TOKENIZER = ("tokenizer.json", "vocab.json")
_IMAGE_PROCESSOR = ("preprocessor_config.json",)
_OTHERS = ("generation_config.json", "tokenizer_config.json", "merges.txt")


def download(name: str, revision: str | None) -> Path:
    """The cache's folder of a Hub model, with the files that loading needs.

    Raises `CheckpointError`.
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
        folder = _fetch_first(name, "config.json", revision or REVISIONS.get(name)).parent
        commit = folder.name
        for file in (*_TOKENIZER, *_IMAGE_PROCESSOR, *_OTHERS):
            fetch(file)
        if not fetch("model.safetensors"):
            hf_hub_download(name, "pytorch_model.bin", revision=commit)
    return folder


def _fetch_first(repo: str, file: str, revision: str | None) -> Path:
    """The cache's copy of a file, downloaded if the Hub answers a first request.

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
    return Path(hf_hub_download(repo, file, revision=revision, local_files_only=not answers))


def tokenizer_folder(folder: Path, name: str) -> Path:
    """Where the tokenizer of the checkpoint in `folder` is: there, or in the cache."""
    return _own_or_cached(folder, _TOKENIZER, TOKENIZER_REPO, name)


def image_processor_folder(folder: Path, name: str) -> Path:
    """Where the image processor of the checkpoint in `folder` is: there, or in the cache."""
    return _own_or_cached(folder, _IMAGE_PROCESSOR, IMAGE_PROCESSOR_REPO, name)


def _own_or_cached(folder: Path, files: tuple[str, ...], repo: str, name: str) -> Path:
    """`folder` if it holds one of `files`, else the cache's folder with the first of them."""
    from huggingface_hub import try_to_load_from_cache

    if any((folder / file).is_file() for file in files):
        return folder
    cached = try_to_load_from_cache(repo, files[0], revision=REVISIONS[repo])
    if isinstance(cached, str):
        return Path(cached).parent
    with _hub_errors(f"{repo!r}, the Hub model from which {name!r} takes {files[0]},"):
        return _fetch_first(repo, files[0], REVISIONS[repo]).parent


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
    except Exception as error:
        reason = next(reason for kind, reason in reasons if isinstance(error, kind))
        raise CheckpointError(f"{what} {reason}.") from error
