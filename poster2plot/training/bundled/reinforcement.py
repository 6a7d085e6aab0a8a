"""Reinforcement learning: the captioner's plots for training posters earn what they are worth.

Each plot that it writes becomes likelier by as much as its reward is above that of its other plots
for the same poster: self-critical sequence training (Rennie et al. 2017, arXiv:1612.00563) with a
leave-one-out baseline (RLOO, Ahmadian et al. 2024, arXiv:2402.14740). Likelihood alone teaches what
texts are like; this teaches to say what poster and title tell, and to say it differently for each.
"""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from poster2plot.engine.decoder import Decoder
from poster2plot.engine.search import Prompts
from poster2plot.training.batches import Collator
from poster2plot.training.beginnings import (
    digest,
    hold_to_beginning,
    identity,
    note_beginning,
)
from poster2plot.training.bundled.rewards import PlotReward, RecentPhrases, Rewards
from poster2plot.training.bundled.self_training import LONGEST, sample
from poster2plot.training.bundled.sources import Sources
from poster2plot.training.bundled.text_matching import misread, plain_words
from poster2plot.training.compose import Captioner
from poster2plot.training.evaluation.fluency import LanguageModelJudge
from poster2plot.training.plot_embeddings import Clues
from poster2plot.training.recipe import SMALL
from poster2plot.training.target_texts import IGNORE_INDEX, prompt_ids
from poster2plot.training.train import LOG
from poster2plot.training.whole import whole_file

# What a plot is written from. More pictures alone than in what is learnt from texts: there the
# captioner has the most to gain.
CLUE_SHARES: dict[Clues, float] = {"both": 0.5, "picture": 0.42, "title": 0.08}
KL_WEIGHT = 0.02  # of a nat of divergence from the captioner as it came, in standard rewards
WARMUP_STEPS = 10
PLOTS_AT_ONCE = {"cpu": 64, "cuda": 512}  # in a backward pass
SAVE_EVERY = 10  # steps
CHECKPOINT = "checkpoint.pt"


# Of plots, their titles, the predicted embeddings, and what was written last: as `PlotReward`.
RatePlots = Callable[[Sequence[str], Sequence[str], Tensor, RecentPhrases], Rewards]


@dataclass(frozen=True)
class Reinforcement:
    """How long and how fast a captioner learns from rewards."""

    steps: int
    posters: int  # a step
    samples: int  # plots of a poster
    learning_rate: float  # falls to zero
    bf16: bool = False
    seed: int = 0


class _Requests(NamedTuple):
    """Posters to write for, and what is known of them."""

    states: Tensor  # (B, S, width), zero where the poster does not count
    titles: list[str]  # "" where it does not count
    wanted: Tensor  # (B, E), the predicted embeddings of their plots


def reinforce(
    captioner: Path,
    sources: Sources,
    judge: LanguageModelJudge,
    out: Path,
    how: Reinforcement,
) -> None:
    """Train a captioner, of `train` or exported, on its own plots, and leave the result in `out`.

    The judge tells how fluent they are. A run that was interrupted goes on from its checkpoint in
    `out`. Raises `InputError` where that is of one that was begun with other settings.
    """
    made: dict[str, Any] = {"recipe": {"captioner": captioner.name}}
    if (captioner / LOG).is_file():  # an exported one has its recipe in its card
        made = json.loads((captioner / LOG).read_text(encoding="utf-8"))
    learner = Captioner.load(captioner)
    pairs = sources.pairs
    settings = {
        **asdict(how),
        "captioner": identity(captioner, learner.model),
        "judge": judge.identity,
        "embedder": sources.embedder.identity,
        "plots": digest([*((pair.id, pair.title, pair.text) for pair in pairs), *sources.plots]),
        "encoder_states": digest(sources.encoder_states[p.id].numpy().tobytes() for p in pairs),
    }
    if (out / CHECKPOINT).exists():
        hold_to_beginning(out, settings)
    else:
        note_beginning(out, settings)
    log = Reinforcer(learner, sources, plot_reward(sources, judge.nats_per_token), how).run(out)
    made["reinforcement"] = {**asdict(how), "log": log}
    with whole_file(out / LOG) as part:
        part.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def plot_reward(sources: Sources, nats: Callable[[Sequence[str]], Tensor]) -> PlotReward:
    """What rates plots for the training posters.

    `nats` tells how fluent texts are, in nats a token, (N,).
    """
    texts = frozenset(plot.text for plot in sources.plots)
    mean = sources.plot_embeddings.mean(0)
    return PlotReward(sources.embedder, mean, nats, plain_words([*texts]), texts)


class Reinforcer:
    """A captioner that learns from rewards, what it was before, and the optimizer."""

    def __init__(
        self, captioner: Captioner, sources: Sources, reward: RatePlots, how: Reinforcement
    ) -> None:
        self._captioner, self._sources, self._reward, self._how = captioner, sources, reward, how
        self._device = torch.device(sources.embedder.device)
        self._model = captioner.model.to(self._device).eval()
        self._model.requires_grad_(True)
        self._model.encoder.requires_grad_(False)
        self._before: PreTrainedModel = copy.deepcopy(self._model)
        self._collate = Collator(captioner.tokenizer, captioner.image_processor, SMALL)
        learnt = [each for each in self._model.parameters() if each.requires_grad]
        self._optimizer = torch.optim.AdamW(
            learnt, lr=how.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer,
            lambda step: min((step + 1) / WARMUP_STEPS, 1 - step / (how.steps + 1)),
        )
        self._generator = torch.Generator(self._device)
        self._recent = RecentPhrases()
        self._wanted: dict[Clues, Tensor] = {
            clues: sources.predicted(clues) for clues in CLUE_SHARES
        }

    def run(self, out: Path) -> list[dict[str, float]]:
        """Take all steps that are left, and save the result; what each step printed."""
        out.mkdir(parents=True, exist_ok=True)
        log: list[dict[str, float]] = []
        checkpoint = out / CHECKPOINT
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location=self._device, weights_only=True)
            self._model.load_state_dict(saved["model"])
            self._optimizer.load_state_dict(saved["optimizer"])
            self._schedule.load_state_dict(saved["schedule"])
            log = saved["log"]
        for step in range(len(log), self._how.steps):
            log.append(self.step(step))
            print(step + 1, json.dumps({k: round(v, 4) for k, v in log[-1].items()}), flush=True)
            if (step + 1) % SAVE_EVERY == 0:
                saved = {
                    "model": self._model.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                    "schedule": self._schedule.state_dict(),
                    "log": log,
                }
                with whole_file(checkpoint) as part:
                    torch.save(saved, part)
        self._captioner.save(out)
        return log

    def step(self, number: int) -> dict[str, float]:
        """Write, rate, learn; the mean rewards, divergence in nats a token, and words a plot."""
        how, tokenizer = self._how, self._captioner.tokenizer
        seed = how.seed * 100_003 + number
        self._generator.manual_seed(seed)
        requests = self._requests(Random(seed))
        prompts = prompt_ids(tokenizer, requests.titles)
        ids = self._sample(requests.states, prompts)
        plots = [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
        self._recent.add(plots)
        of = [row for row in range(len(prompts)) for _ in range(how.samples)]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=how.bf16):
            rewards = self._reward(
                plots,
                [requests.titles[row] for row in of],
                requests.wanted[of],
                self._recent,
            )
        total = rewards.total().view(-1, how.samples)
        # A plot against the mean of the others of its poster.
        advantages = (total - total.mean(1, keepdim=True)).flatten()
        advantages = advantages / advantages.std().clamp(min=1e-6)
        divergence = self._learn(requests.states, prompts, ids, of, advantages)
        means = {name: float(each.mean()) for name, each in rewards._asdict().items()}
        lengths = sum(len(plot.split()) for plot in plots) / len(plots)
        if number % 10 == 0:
            for row in range(0, len(plots), -(-len(plots) // 6)):
                print(f"    {requests.titles[row // how.samples]!r}: {plots[row]}", flush=True)
        return {
            "reward": float(total.mean()),
            **means,
            "divergence": divergence,
            "words": lengths,
        }

    def _requests(self, chance: Random) -> _Requests:
        """Posters at random, each with clues at random, by `CLUE_SHARES`."""
        pairs = self._sources.pairs
        rows = chance.sample(range(len(pairs)), min(self._how.posters, len(pairs)))
        clues = chance.choices([*CLUE_SHARES], [*CLUE_SHARES.values()], k=len(rows))
        states = torch.stack([self._sources.encoder_states[pairs[row].id] for row in rows])
        pictured = torch.tensor([clue != "title" for clue in clues])
        return _Requests(
            (states * pictured[:, None, None]).to(self._device),
            [
                "" if clue == "picture" else misread(pairs[row].title, chance)
                for row, clue in zip(rows, clues, strict=True)
            ],
            torch.stack([self._wanted[clue][row] for row, clue in zip(rows, clues, strict=True)]),
        )

    @torch.inference_mode()
    def _sample(self, states: Tensor, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """`samples` plots for each of the posters in turn, as token ids with the end token."""
        model, end = copy.deepcopy(self._model), self._captioner.tokenizer.eos_token_id
        if self._device.type == "cuda" and self._how.bf16:
            model = model.bfloat16()
        padded = Prompts.of(prompts, self._device)
        sampled = sample(
            Decoder(model, "fp32"),
            states,
            padded,
            samples=self._how.samples,
            longest=min(LONGEST, model.config.decoder.n_positions - padded.tokens.shape[1]),
            end=end,
            temperature=1.0,  # what the gradient is of
            generator=self._generator,
        )
        rows = sampled.flatten(0, 1).tolist()
        return [row[: row.index(end) + 1] if end in row else row for row in rows]

    def _learn(
        self,
        states: Tensor,
        prompts: Sequence[Sequence[int]],
        ids: Sequence[Sequence[int]],
        of: Sequence[int],
        advantages: Tensor,
    ) -> float:
        """A step of the optimizer; the divergence from the captioner as it came, nats a token.

        The plots have token `ids`, are those `of` these posters (N,), and have `advantages` (N,).
        """
        tokens = sum(map(len, ids))
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]) + len(prompts[of[i]]))
        divergences = 0.0
        at_once = PLOTS_AT_ONCE[self._device.type]
        for start in range(0, len(order), at_once):
            some = order[start : start + at_once]
            batch = self._collate(
                [
                    {
                        "prompt": prompts[of[i]],
                        "labels": ids[i],
                        "pictured": True,
                        "encoder_states": states[of[i]],
                    }
                    for i in some
                ]
            )
            labels = batch["labels"].to(self._device)
            read = {
                "decoder_input_ids": batch["decoder_input_ids"].to(self._device),
                "encoder_outputs": BaseModelOutput(last_hidden_state=batch["encoder_states"]),
            }
            of_plot = labels != IGNORE_INDEX
            log_probs = self._log_probs(self._model, read)
            with torch.no_grad():
                before = self._log_probs(self._before, read)
            chosen = log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
            divergence = (log_probs.exp() * (log_probs - before)).sum(-1)
            gained = advantages[some].to(self._device)[:, None] * chosen
            loss = ((KL_WEIGHT * divergence - gained) * of_plot).sum() / tokens
            loss.backward()
            divergences += float((divergence.detach() * of_plot).sum())
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        return divergences / tokens

    def _log_probs(self, model: PreTrainedModel, read: dict[str, Any]) -> Tensor:
        """Log-probabilities (B, T, V) of the next tokens."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._how.bf16):
            logits: Tensor = model(**read).logits
        return logits.float().log_softmax(-1)
