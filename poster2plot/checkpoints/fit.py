"""Whether a checkpoint's tokenizer and image processor fit its model.

What the stock model takes is taken. All else is refused when the checkpoint is loaded, not at the
first poster.
"""

from __future__ import annotations

import re
from typing import Any

from poster2plot.errors import CheckpointError

# (width, height) of pictures to try: posters stand, others lie, and some are tiny.
_PICTURES = ((60, 90), (90, 60), (5, 8))


def check_tokenizer(tokenizer: Any, vocab_size: int, name: str) -> None:
    """Raise `CheckpointError` where a tokenizer is none of a model with so many tokens.

    The model may have more, as many vocabularies are rounded up, though not twice as many. A
    special token beyond the model's, such as a padding that was added later, is never generated.
    """
    ids = tokenizer.get_vocab().values()
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    known = sum(id < vocab_size for id in ids)
    beyond = {id for id in ids if id >= vocab_size} - special
    if beyond or 2 * known < vocab_size:
        raise CheckpointError(
            f"{name!r} has the tokenizer of another model, with {len(ids)} tokens for its "
            f"{vocab_size}; get its own."
        )


def check_kind(image_processor: Any, stated: object, name: str) -> None:
    """Raise `CheckpointError` where an image processor is not of the kind that its file states.

    transformers takes that of the encoder where it does not know the kind. The names of a kind have
    changed: ViTFeatureExtractor, ViTImageProcessor, ViTImageProcessorFast.
    """

    def kind(text: str) -> str:
        return re.sub("(?:FeatureExtractor|ImageProcessor)(?:Fast|Pil)?$", "", text)

    if isinstance(stated, str) and kind(stated) != kind(type(image_processor).__name__):
        raise CheckpointError(
            f"The ImageProcessor of {name!r} is a {stated[:60]!r}, which is not known here; choose "
            "another model."
        )


def check_image_processor(image_processor: Any, encoder: Any, name: str) -> None:
    """Raise `CheckpointError` where the encoder cannot take what an image processor makes."""
    import torch
    from PIL import Image

    if getattr(encoder.config, "mask_ratio", None):
        raise CheckpointError(
            f"The encoder of {name!r} leaves parts of a picture out at random; choose another."
        )
    try:
        made = [
            image_processor(Image.new("RGB", size, "gray"), return_tensors="pt")["pixel_values"]
            for size in _PICTURES
        ]
        shapes = {tuple(pixels.shape) for pixels in made}
        finite = all(bool(pixels.isfinite().all()) for pixels in made)
    except Exception as error:
        raise CheckpointError(
            f"The image processor of {name!r} cannot prepare a picture; get its own."
        ) from error
    if len(shapes) > 1:
        raise CheckpointError(
            f"The image processor of {name!r} leaves pictures in sizes of their own; choose a "
            "model whose processor resizes or crops all to one."
        )
    if not finite:
        raise CheckpointError(
            f"The image processor of {name!r} divides by a standard deviation of 0; get its own."
        )
    try:
        with torch.inference_mode():
            states = encoder(made[0]).last_hidden_state
        fits = states.ndim == 3 and len(states) == 1
    except Exception as error:
        raise CheckpointError(
            f"{name!r} has the image processor of another model; get its own."
        ) from error
    if not fits:
        raise CheckpointError(
            f"The encoder of {name!r} makes no sequence of a picture; choose another."
        )
