"""Fits the embedded reranker's weights and says honestly what they are worth.

    python bench/train_reranker.py --data DIR [--write]

Two numbers per set, both on questions that the weights have not seen: cross-validated by question, and with the whole
set left out of training. `--write` then fits on everything and replaces `ragkit/rerankers/model.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from dense_vectors import Dense, dense_vectors
from numpy.typing import NDArray
from retrieval_data import SETS, Case, indexed, load
from retrieval_metrics import Scores, mean, score

from ragkit.nouns import Hit, Query
from ragkit.rerankers.model import Model
from ragkit.rerankers.packed import Node, Tree, plant
from ragkit.rerankers.signals import SIGNALS, signals
from ragkit.retrieve import retrieve
from ragkit.store import Store

Array = NDArray[np.float64]

FOLDS, STEPS, RATE, RIDGE = 5, 300, 0.05, 0.01
TREES = {
    "objective": "lambdarank", "num_leaves": 4, "learning_rate": 0.07, "num_iterations": 120, "min_data_in_leaf": 40,
    "lambda_l2": 5, "feature_fraction": 0.5, "bagging_fraction": 0.7, "bagging_freq": 1,
    "lambdarank_truncation_level": 12, "deterministic": True, "num_threads": 1, "seed": 0, "verbose": -1,
}  # fmt: skip
TREES_WEIGHT = 0.8
"""The trees' part beside the weighted sum's 1, after both are scaled to the same spread."""

TARGET = Path(__file__).parents[1] / "ragkit" / "rerankers" / "model.json"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A question's hits with their signals, and which of them are relevant."""

    case: Case
    hits: tuple[Hit, ...]
    rows: Array
    relevant: Array


Groups = dict[str, list[Ranked]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and the trees that its forest was planted from, which is what the file holds."""

    model: Model
    trees: tuple[Tree, ...]


async def collect(data: Path, *, dense: bool) -> Groups:
    """Every set as retrieval gives it; conversations also without their history."""
    groups: Groups = {}
    for name in SETS:
        questions = load(data, name)
        vectors = await dense_vectors(questions) if dense else None
        async with indexed(questions.chunks, vectors.chunks if vectors else None) as store:
            groups[name] = [await rank_case(case, store, vectors) for case in questions.cases]
            if any(case.query.history for case in questions.cases):
                alone = [replace(case, query=Query(case.query.text)) for case in questions.cases]
                groups[f"{name} alone"] = [await rank_case(case, store, vectors) for case in alone]
    return groups


async def rank_case(case: Case, store: Store, vectors: Dense | None) -> Ranked:
    hits = (await retrieve(case.query, store=store, embedder=vectors)).hits
    relevant = np.array([float(hit.chunk.document_id in case.relevant) for hit in hits])
    return Ranked(case, hits, np.array(signals(case.query.text, hits)).reshape(-1, len(SIGNALS)), relevant)


def fit(groups: Groups) -> Fitted:
    """A weighted sum and small trees; both count a set by the root of its size, so that no large one drowns others."""
    useful = [[item for item in items if 0 < item.relevant.sum() < len(item.hits)] for items in groups.values()]
    flat = [(item, len(items) ** -0.5) for items in useful for item in items]
    rows = np.concatenate([item.rows for item, _ in flat])
    weights = _fit_sum(flat, rows.std(axis=0) + 1e-6)
    booster = _fit_trees(flat)
    weights /= (rows @ weights).std()
    scale = TREES_WEIGHT / np.asarray(booster.predict(rows)).std()
    trees = tuple(_flatten(tree["tree_structure"], scale) for tree in booster.dump_model()["tree_info"])
    plain = Model(tuple(weights.tolist()), plant(trees), 1.0, 0.0, 0.0)
    slope, cover, intercept = _calibrate(flat, plain)
    return Fitted(replace(plain, slope=slope, cover=cover, intercept=intercept), trees)


def _fit_sum(flat: Sequence[tuple[Ranked, float]], spread: Array) -> Array:
    width = max(len(item.hits) for item, _ in flat)
    rows = np.zeros((len(flat), width, len(SIGNALS)))
    target, mask = np.zeros((len(flat), width)), np.zeros((len(flat), width), dtype=bool)
    for index, (item, _) in enumerate(flat):
        size = len(item.hits)
        rows[index, :size] = item.rows / spread
        target[index, :size] = item.relevant / item.relevant.sum()
        mask[index, :size] = True
    counts = np.array([weight for _, weight in flat])
    return _descend(rows, target, mask, counts / counts.sum()) / spread


def _fit_trees(flat: Sequence[tuple[Ranked, float]]) -> lightgbm.Booster:
    weights = np.concatenate([np.full(len(item.hits), weight) for item, weight in flat])
    questions = lightgbm.Dataset(
        np.concatenate([item.rows for item, _ in flat]),
        np.concatenate([item.relevant for item, _ in flat]),
        weight=weights / weights.mean(),
        group=[len(item.hits) for item, _ in flat],
    )
    return lightgbm.train(TREES, questions)


def _flatten(root: dict[str, Any], scale: float) -> Tree:
    nodes: list[Node] = []
    leaves: list[float] = []

    def visit(branch: dict[str, Any]) -> int:
        if "leaf_value" in branch:
            leaves.append(float(f"{branch['leaf_value'] * scale:.5g}"))
            return ~(len(leaves) - 1)
        place = len(nodes)
        nodes.append((0, 0.0, 0, 0))
        low, high = visit(branch["left_child"]), visit(branch["right_child"])
        nodes[place] = (branch["split_feature"], float(f"{branch['threshold']:.6g}"), low, high)
        return place

    visit(root)
    return Tree(tuple(nodes), tuple(leaves))


def _descend(rows: Array, target: Array, mask: NDArray[np.bool_], counts: Array) -> Array:
    """Adam on the softmax over each question's hits."""
    weights = first = second = np.zeros(rows.shape[2])
    for step in range(1, STEPS + 1):
        logits = np.where(mask, rows @ weights, -np.inf)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        chance = odds / odds.sum(axis=1, keepdims=True)
        gradient = np.einsum("qk,qkf,q->f", chance - target, rows, counts, optimize=True) + RIDGE * weights
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        rate = RATE * (1.0 if step < 0.7 * STEPS else 0.2)
        weights = weights - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights


def _calibrate(flat: Sequence[tuple[Ranked, float]], model: Model) -> tuple[float, float, float]:
    """Logistic regression of relevance on the score and on the best coverage among a question's hits."""
    columns = [
        np.column_stack([scores(model, item), np.full(len(item.hits), _best_cover(item)), np.ones(len(item.hits))])
        for item, _ in flat
    ]
    x, y = np.concatenate(columns), np.concatenate([item.relevant for item, _ in flat])
    weight = np.concatenate([np.full(len(item.hits), count) for item, count in flat])
    beta = np.zeros(3)
    for _ in range(30):
        chance = 1 / (1 + np.exp(-x @ beta))
        curve = weight * chance * (1 - chance)
        beta += np.linalg.solve((x * curve[:, None]).T @ x + 1e-6 * np.eye(3), x.T @ (weight * (y - chance)))
    return float(beta[0]), float(beta[1]), float(beta[2])


def scores(model: Model, item: Ranked) -> Array:
    return np.array([model.score(row) for row in item.rows.tolist()])


def _best_cover(item: Ranked) -> float:
    return float(item.rows[:, SIGNALS.index("related_cover")].max())


def order(item: Ranked, values: Array) -> list[str]:
    return [item.hits[index].chunk.document_id for index in np.argsort(-values, kind="stable")]


def evaluate(items: Sequence[Ranked], every: Sequence[Array]) -> Scores:
    return mean([score(order(item, values), item.case.relevant) for item, values in zip(items, every, strict=True)])


def by_question(groups: Groups) -> dict[str, list[Array]]:
    """Scores of every question by weights that have not seen it; with and without its history it is one question."""
    found: dict[str, list[Array]] = {name: [np.zeros(0)] * len(items) for name, items in groups.items()}
    for fold in range(FOLDS):
        fitted = fit(
            {name: [item for at, item in enumerate(items) if at % FOLDS != fold] for name, items in groups.items()}
        )
        for name, items in groups.items():
            for at in range(fold, len(items), FOLDS):
                found[name][at] = scores(fitted.model, items[at])
    return found


def by_set(groups: Groups) -> dict[str, list[Array]]:
    """Scores of every question by weights that have not seen its set."""
    found = {}
    for name, items in groups.items():
        fitted = fit({other: rest for other, rest in groups.items() if other.split()[0] != name.split()[0]})
        found[name] = [scores(fitted.model, item) for item in items]
    return found


def report(groups: Groups) -> None:
    questions, sets = by_question(groups), by_set(groups)
    print(f"{'recall@4 / nDCG@10':20} {'retrieved':>15} {'cross-validated':>16} {'set left out':>15}")
    for name, items in groups.items():
        base = evaluate(items, [-np.arange(len(item.hits), dtype=float) for item in items])
        print(f"{name:20} {base!s:>15} {evaluate(items, questions[name])!s:>16} {evaluate(items, sets[name])!s:>15}")


def write(models: dict[str, Fitted]) -> None:
    """Merge into the file, so that one kind can be learned without the other."""
    table = json.loads(TARGET.read_text("ascii")) if TARGET.exists() else {}
    table["signals"] = SIGNALS
    for name, fitted in models.items():
        model = fitted.model
        table[name] = {
            "weights": [round(weight, 5) for weight in model.weights],
            "trees": [(tree.nodes, tree.leaves) for tree in fitted.trees],
            "chance": [round(value, 5) for value in (model.slope, model.cover, model.intercept)],
        }
    TARGET.write_text(json.dumps(table, separators=(",", ":")) + "\n", "ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the embedded reranker.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--lexical", action="store_true", help="leave out the fit for indexes with dense vectors")
    options = parser.parse_args()
    models = {}
    for name in ("lexical", "hybrid"):
        if name == "hybrid" and options.lexical:
            continue
        print(name)
        groups = asyncio.run(collect(options.data, dense=name == "hybrid"))
        report(groups)
        models[name] = fit(groups)
    if options.write:
        write(models)


if __name__ == "__main__":
    main()
