"""Where the time of a decoding step goes: `python -m benchmarks.step` prints a table.

The bundled model with its guidance and default settings, for one poster and for several decoded
together, on all cores. Within the decoder's layers the runtime's profiler tells the shares of its
operators; it takes time itself, so that only the shares are its.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import onnxruntime as ort

from benchmarks.speed import Case, bundled
from poster2plot import GenerationSettings
from poster2plot.engine import group, logits_processing
from poster2plot.engine.beam_search import BeamSearch
from poster2plot.engine.decoder_batch import DecoderBatch
from poster2plot.engine.engine import Decoding, Engine
from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.lexicon import Lexicon
from poster2plot.engine.linear import Precision
from poster2plot.engine.onnx_runtime import OnnxLayers, OnnxLMHead

LAYERS, HEAD, LOGITS, PROCESSED, STEP = "layers", "vocabulary", "logits", "processed", "step"
RULES, LEXICON, GUIDANCE = "the generation config's rules", "lexicon", "guidance"
SEARCH = "beam search"
# What is timed, and as what; some of these are parts of others.
TIMED: list[tuple[Any, str, str]] = [
    (Decoding, "step", STEP),
    (DecoderBatch, "next_token_logits", LOGITS),
    (OnnxLayers, "__call__", LAYERS),
    (OnnxLMHead, "__call__", HEAD),
    (group, "process_logits", PROCESSED),
    (GenerationRules, "process", RULES),
    (Lexicon, "restrict", LEXICON),
    (logits_processing, "guide", GUIDANCE),
    (BeamSearch, "advance", SEARCH),
]
PRODUCTS, QUANTIZING, ATTENTION = "products with weights", "quantizing their inputs", "attention"
OTHERS = "norms, activations, sums"
OPERATORS = {
    **dict.fromkeys(["Gemm", "MatMulIntegerToFloat"], PRODUCTS),
    **dict.fromkeys(["Abs", "ReduceMax", "Div", "QuantizeLinear", "Mul"], QUANTIZING),
    **dict.fromkeys(["FusedMatMul", "MatMul", "Softmax", "Concat", "Split", "Slice"], ATTENTION),
    **dict.fromkeys(["Transpose", "Reshape", "Gather"], ATTENTION),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--posters", type=int, default=16, help="decoded together")
    options = parser.parse_args()
    case = bundled()
    columns = [parts(case, options.precision, count) for count in (1, options.posters)]
    print(f"| {options.precision}, milliseconds | one poster | {options.posters} posters |")
    print("|---|---|---|")
    for part in columns[0]:
        print(f"| {part} | " + " | ".join(f"{column[part]:.2f}" for column in columns) + " |")


def parts(case: Case, precision: Precision, posters: int) -> dict[str, float]:
    """Milliseconds of a step by its parts, with the sum of all."""
    engine, timer = engine_of(case, precision), Timer()
    decode(case, engine, posters)
    with ExitStack() as patches:
        for owner, name, label in TIMED:
            timed = timer.timed(getattr(owner, name), label)
            patches.enter_context(patch.object(owner, name, timed))
        for _ in range(3):
            decode(case, engine, posters)
    took = {label: seconds / timer.calls[STEP] * 1000 for label, seconds in timer.seconds.items()}
    shares = operator_shares(case, precision, posters)
    inside = took[RULES] + took[LEXICON] + took[GUIDANCE]
    return {
        **{part: took[LAYERS] * share for part, share in shares.items()},
        HEAD: took[HEAD],
        "caches and what the runtime is given": took[LOGITS] - took[LAYERS] - took[HEAD],
        **{label: took[label] for label in (RULES, LEXICON, GUIDANCE, SEARCH)},
        "softmaxes and n-gram ban": took[PROCESSED] - inside,
        "the rest": took[STEP] - took[LOGITS] - took[PROCESSED] - took[SEARCH],
        "together": took[STEP],
    }


def engine_of(case: Case, precision: Precision) -> Engine:
    """An engine of a copy of the case's model, which it takes over."""
    return Engine(deepcopy(case.model), precision, case.word_starts, case.lexicon)


def decode(case: Case, engine: Engine, posters: int) -> None:
    """Write the plots of some pictures."""
    settings = replace(GenerationSettings(), guidance=case.guidance)
    engine.decode(engine.encode(case.pixels[:posters]), settings)


class Timer:
    """Seconds and calls by label."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()

    def timed(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """The function, whose time is counted."""

        def counted(*args: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                self.seconds[label] += time.perf_counter() - began
                self.calls[label] += 1

        return counted


def operator_shares(case: Case, precision: Precision, posters: int) -> dict[str, float]:
    """Shares of the time in the decoder's layers, by the kind of operator."""
    options = ort.SessionOptions
    with TemporaryDirectory() as folder:

        def profiled() -> ort.SessionOptions:
            found = options()
            found.enable_profiling, found.profile_file_prefix = True, f"{folder}/"
            return found

        with patch.object(ort, "SessionOptions", profiled):
            engine = engine_of(case, precision)
        decode(case, engine, posters)
        spent: Counter[str] = Counter()
        sessions = [
            each._session for each in engine.decoder._blocks if isinstance(each, OnnxLayers)
        ]
        for session in sessions:
            for operator, microseconds in _operators(Path(session.end_profiling())):
                spent[OPERATORS.get(operator, OTHERS)] += microseconds
    return {part: spent[part] / spent.total() for part in (*OPERATORS.values(), OTHERS)}


def _operators(profile: Path) -> Iterator[tuple[str, int]]:
    """Names of operators and the microseconds of each of their runs."""
    for event in json.loads(profile.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            yield event["args"]["op_name"], event["dur"]


if __name__ == "__main__":
    main()
