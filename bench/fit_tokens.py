"""Fits the two models of `ragkit.tokens` to real tokenizers and prints their coefficients: thousandths of a token."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog, nnls
from token_data import Sample, samples

from ragkit.tokens import CLASSES, features

MARGIN = 1.05
"""The bound stays this far above every text of the fit, in the worst of the tokenizers."""
NAMES = ("bytes", *map(chr, CLASSES), "words", "1")
PLAIN = "covid_qa", "mtrag_un", "musique100", "wiki_distractors", "api_docs_qa", "xquad en", "docs", "questions"
"""What RAG mostly sends: these groups weigh most in the typical model."""

UNREAL = tuple(f"noise {kind}" for kind in ("han", "hangul", "private", "scripts", "letters", "syllables", "repeated"))


def fit_typical(texts: list[Sample]) -> Any:
    """Least squares, relative to length, against OpenAI's current tokenizer; not for noise or scripts unknown to it."""
    texts = [text for text in texts if text.group not in UNREAL and text.counts[0] < 1.5 * len(text.text)]
    actual = np.array([text.counts[0] for text in texts], float)
    weight = np.array([1.0 if text.group in PLAIN else 0.1 if text.noise else 0.6 for text in texts])
    weight /= np.sqrt(actual * 50 + 50)
    inputs = np.array([features(text.text) for text in texts], float)
    return np.round(1000 * nnls(inputs * weight[:, None], actual * weight)[0])


def fit_bound(texts: list[Sample]) -> Any:
    """The linear bound that is tightest on real texts while no text in any tokenizer exceeds it."""
    worst = np.array([max(text.counts) for text in texts], float)
    inputs = np.array([features(text.text) for text in texts], float)
    sizes: dict[str, int] = {}
    for text in texts:
        sizes[text.group] = sizes.get(text.group, 0) + 1
    weight = np.array([0.0 if text.noise else 1 / sizes[text.group] for text in texts]) / worst
    limits = [(0, 1.05)] * 7 + [(0, 4.2)] * 13 + [(0, None), (0, 16)]
    found = linprog((inputs * weight[:, None]).sum(0), A_ub=-inputs, b_ub=-np.ceil(worst * MARGIN), bounds=limits)
    assert found.success, found.message
    return np.ceil(1000 * found.x)


def report(texts: list[Sample], typical: Any, bound: Any) -> None:
    print(f"{'group':26} {'texts':>5}  typical/o200k: median, 5 %, 95 %   bound/worst: median, least")
    for group in dict.fromkeys(text.group for text in texts):
        own = [text for text in texts if text.group == group]
        inputs = np.array([features(text.text) for text in own], float)
        guess = inputs @ typical / 1000 / [text.counts[0] for text in own]
        over = inputs @ bound / 1000 / [max(text.counts) for text in own]
        middle, low, high = np.quantile(guess, (0.5, 0.05, 0.95))
        print(f"{group:26} {len(own):5}  {middle:.2f} {low:.2f} {high:.2f}   {np.median(over):.2f} {over.min():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    texts = samples(parser.parse_args().data)
    typical, bound = fit_typical(texts), fit_bound(texts)
    for name, values in (("TYPICAL", typical), ("BOUND", bound)):
        print(f"{name} = ({', '.join(str(int(value)) for value in values)})")
        print("#", ", ".join(f"{key} {int(value)}" for key, value in zip(NAMES, values, strict=True)))
    report(texts, typical, bound)
    fresh = samples(parser.parse_args().data, seed=11)
    print("\nother samples, not in the fit:")
    report(fresh, typical, bound)


if __name__ == "__main__":
    main()
