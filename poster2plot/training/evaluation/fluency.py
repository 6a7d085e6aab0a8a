"""How fluent plots are: what a language model that had no part in training makes of them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from poster2plot.training.target_texts import IGNORE_INDEX

MAX_LENGTH = 128  # tokens of a plot that count


class LanguageModelJudge:
    """A causal language model, by name, path, or a GGUF file."""

    def __init__(self, name_or_path: str | Path, device: str = "cpu") -> None:
        source, options = str(name_or_path), {}
        if source.endswith(".gguf"):
            source, options = str(Path(source).parent), {"gguf_file": Path(source).name}
        self._tokenizer = AutoTokenizer.from_pretrained(source, **options)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **options)
        self._model = model.eval().to(device)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], *, batch: int = 16) -> float:
        """Mean negative log-likelihood in nats a token of the judge, over all tokens of the texts.

        Each text stands alone after the start token.
        """
        start = self._tokenizer.bos_token_id
        ids = [
            torch.tensor([start, *row[:MAX_LENGTH]])
            for row in self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        ]
        ids.sort(key=len)
        nats, tokens = 0.0, 0
        for i in range(0, len(ids), batch):
            rows = ids[i : i + batch]
            padded: Tensor = torch.nn.utils.rnn.pad_sequence(
                rows, batch_first=True, padding_value=IGNORE_INDEX
            ).to(self._model.device)
            inputs, targets = padded[:, :-1], padded[:, 1:]
            logits = self._model(input_ids=inputs.clamp(min=0)).logits  # padding is to the right
            nats += float(
                F.cross_entropy(
                    logits.flatten(0, 1),
                    targets.flatten(),
                    ignore_index=IGNORE_INDEX,
                    reduction="sum",
                )
            )
            tokens += int((targets != IGNORE_INDEX).sum())
        return nats / tokens
