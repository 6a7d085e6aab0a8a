"""The inference engine: pictures and settings in, token ids out, as stock `generate` would give.

It knows tensors and token ids, nothing of tokenizers, files or screens.
"""

from poster2plot.engine.engine import Decoding, Engine
from poster2plot.engine.linear import Precision, precisions
from poster2plot.engine.search import Hypothesis

__all__ = ["Decoding", "Engine", "Hypothesis", "Precision", "precisions"]
