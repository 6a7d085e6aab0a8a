"""How fluent plots are: what another language model makes of them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from poster2plot.training.beginnings import identity
from poster2plot.training.target_texts import IGNORE_INDEX

MAX_LENGTH = 128  # tokens of a plot that count
BATCH = {"cpu": 16, "cuda": 256}


def load_language_model(
    name_or_path: str | Path,
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """The tokenizer and the model, in fp32, of a name, a path, or a GGUF file."""
    source, file, how = str(name_or_path), {}, {}
    if source.endswith(".gguf"):
        source, file = str(Path(source).parent), {"gguf_file": Path(source).name}
        how = {"quantization_config": GgufConfig(dequantize=True)}  # else it cannot be trained
    tokenizer = AutoTokenizer.from_pretrained(source, **file)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **file, **how)
    return tokenizer, model.eval()


class LanguageModelJudge:
    """A causal language model, by name, path, or a GGUF file."""

    def __init__(self, name_or_path: str | Path, device: str = "cpu") -> None:
        self._tokenizer, model = load_language_model(name_or_path)
        self._model, self._name = model.to(device), name_or_path

    @property
    def identity(self) -> str:
        """What tells it from others."""
        return identity(self._name, self._model)

    def __call__(self, texts: Sequence[str]) -> float:
        """Mean negative log-likelihood in nats a token of the judge, over all tokens of the texts.

        Each text stands alone after the start token.
        """
        nats, tokens = self._nats(texts)
        return float(nats.sum() / tokens.sum())

    def nats_per_token(self, texts: Sequence[str]) -> Tensor:
        """The same of each of N texts, (N,); 0 for a text of no tokens."""
        nats, tokens = self._nats(texts)
        return nats / tokens.clamp(min=1)

    @torch.inference_mode()
    def _nats(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood in nats, and number of tokens, of each of N texts, both (N,)."""
        start = self._tokenizer.bos_token_id
        # The last token is only predicted, so that it needs no position.
        longest = min(MAX_LENGTH, self._model.config.max_position_embeddings)
        ids = [
            torch.tensor([start, *row[:longest]])
            for row in self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        ]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        nats = torch.zeros(len(ids))
        batch = BATCH[self._model.device.type]
        for i in range(0, len(ids), batch):
            rows = order[i : i + batch]
            padded: Tensor = torch.nn.utils.rnn.pad_sequence(
                [ids[row] for row in rows], batch_first=True, padding_value=IGNORE_INDEX
            ).to(self._model.device)
            inputs, targets = padded[:, :-1], padded[:, 1:]
            if not targets.shape[1]:
                continue
            logits = self._model(input_ids=inputs.clamp(min=0)).logits  # padding is to the right
            losses = F.cross_entropy(
                logits.float().transpose(1, 2),
                targets,
                ignore_index=IGNORE_INDEX,
                reduction="none",
            )
            nats[rows] = losses.sum(-1).cpu()
        return nats, torch.tensor([len(row) - 1 for row in ids])
