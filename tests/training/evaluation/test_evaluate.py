import torch
from torch.nn import functional as F

from poster2plot.training.evaluation.evaluate import Diversity, Losses
from poster2plot.training.evaluation.retrieval import Embedder, similarity
from support.training_data import PLOTS


def test_diversity():
    plots = ["A man in a hat walks.", "A man in a hat runs.", "Dogs bark", "Dogs bark"]
    assert Diversity.of(plots) == Diversity(0.75, 0.5, "A man in a", 0.5)


def test_picture_gain():
    assert Losses(right=4.0, shuffled=4.5, unconditional=4.2).picture_gain == 0.5


def test_similarity_by_hand():
    x, y = torch.eye(2)
    plots = torch.stack([x, F.normalize(x + y, dim=0)])
    found = similarity(plots, [torch.stack([y, x]), y[None]])
    root = 0.5**0.5
    torch.testing.assert_close(found.cosine, torch.tensor([1.0, root]))
    # Each title's best reference counts: x itself for the first title, seen from the second too.
    torch.testing.assert_close(found.margin, torch.tensor([1.0, 0.0]))


def test_recall_of_plots_that_know_their_title_and_of_plots_that_do_not():
    generator = torch.Generator().manual_seed(0)
    titles = F.normalize(torch.randn(300, 64, generator=generator), dim=-1)
    strangers = F.normalize(torch.randn(300, 64, generator=generator), dim=-1)
    assert similarity(titles, list(titles[:, None])).hits.mean() == 1
    assert 0.05 < similarity(strangers, list(titles[:, None])).hits.mean() < 0.15


def test_embeddings_do_not_depend_on_the_texts_beside(embedder):
    embed = Embedder(embedder)
    together = embed(PLOTS[:7], batch=3)
    alone = torch.cat([embed([plot]) for plot in PLOTS[:7]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(7))
