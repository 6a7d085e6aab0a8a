"""The mean of two captioners' weights.

The mean of a model before and after a fine-tune is often better than either (model soups, Wortsman
et al. 2022, arXiv:2203.05482). Here it keeps the fluency of the first and most of what the second
gained in meaning.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from poster2plot.training.compose import Captioner
from poster2plot.training.train import LOG, finished_run
from poster2plot.training.whole import whole_file


def average(first: Path, second: Path, out: Path) -> None:
    """Write the mean of two checkpoints that `train` wrote, with the second one's recipe.

    Raises `InputError` where the second is no finished run, `CheckpointError` where one cannot be
    loaded.
    """
    log = finished_run(second)
    mean, other = Captioner.load(first), Captioner.load(second)
    weights = other.model.state_dict()
    with torch.no_grad():
        for name, parameter in mean.model.named_parameters():
            parameter.lerp_(weights[name], 0.5)
    replace(other, model=mean.model).save(out)
    with whole_file(out / LOG) as part:
        shutil.copy(log, part)
