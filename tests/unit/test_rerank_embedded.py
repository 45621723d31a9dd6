"""The embedded reranker: what lifts a chunk, what the scores promise, and what must not change an order."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest

from ragkit.nouns import Chunk, Hit
from ragkit.rerankers.embedded import EmbeddedReranker, rank
from ragkit.rerankers.model import load
from ragkit.rerankers.packed import Node, Tree, plant
from ragkit.rerankers.reading import read, read_title, want
from ragkit.rerankers.related import RELATED, meaning, related
from ragkit.rerankers.signals import SIGNALS, signals

FILLER = "There is a lot more to say about this, and it is said elsewhere in this manual. "


def hit(number: int, text: str, *, title: str = "", score: float = 0.5, document: str | None = None) -> Hit:
    chunk = Chunk(f"c{number}", document or f"d{number}", "s", text, 0, len(text), 0, len(text) // 4, title)
    return Hit(chunk, score, sparse_rank=number + 1, sparse_score=score * 10)


def best(question: str, *texts: str | tuple[str, str]) -> int:
    """The place of the best of some texts, or titles with texts, that retrieval thought equally good."""
    pairs = [("", text) if isinstance(text, str) else text for text in texts]
    ranked = rank(question, [hit(place, text, title=title) for place, (title, text) in enumerate(pairs)])
    return int(ranked[0].chunk.id.removeprefix("c"))


def signal(name: str, question: str, *hits: Hit) -> list[float]:
    return [row[SIGNALS.index(name)] for row in signals(question, hits)]


@pytest.mark.parametrize(
    ("question", "worse", "better"),
    [
        ("How long is the warranty of the pump?", "The pump is blue. " + FILLER, "The pump has a warranty of years."),
        ("Who repaired the broken bridge?", "A bridge. " + FILLER * 4 + "Repaired.", "Ada repaired the broken bridge."),
        ("What is the Atbarah River?", ("Nile", "A long river. " + FILLER), ("Atbarah River", "In Africa. " + FILLER)),
        ("Where is the prison of Elmira?", "Elmira has a school. " + FILLER, "Elmira has an old jail. " + FILLER),
    ],
)  # fmt: skip
def test_the_better_text_wins(question: str, worse: str | tuple[str, str], better: str | tuple[str, str]) -> None:
    assert best(question, worse, better) == 1
    assert best(question, better, worse) == 0


async def test_scores_are_chances_in_order_and_hits_are_the_same_ones() -> None:
    hits = [hit(n, f"pump {n} " + FILLER * n) for n in range(12)]
    ranked = (await EmbeddedReranker().rerank("How does pump 7 work?", hits)).hits
    scores = [hit.score for hit in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert {hit.chunk.id for hit in ranked} == {hit.chunk.id for hit in hits}
    before = {hit.chunk.id: replace(hit, score=0) for hit in hits}
    assert all(replace(hit, score=0) == before[hit.chunk.id] for hit in ranked)


async def test_it_is_free_and_says_nothing_of_nothing() -> None:
    reranked = await EmbeddedReranker().rerank("anything", [])
    assert (reranked.hits, reranked.usage.prompt, EmbeddedReranker.price_id) == ((), 0, None)


@pytest.mark.parametrize(
    "question", ["", "?", "the of and", "😀", "中国的首都是哪里", "a" * 5000, "x " * 2000, "\x00\n\t"]
)
def test_no_question_breaks_it(question: str) -> None:
    hits = [
        hit(0, ""),
        hit(1, "\n"),
        hit(2, "中国的首都是北京。"),
        hit(3, "pump " * 3000),
        hit(4, "...", title="( ) the"),
    ]
    assert len(rank(question, hits)) == 5


def test_order_does_not_depend_on_the_order_of_the_hits() -> None:
    hits = [hit(n, text, title=title, score=0.5 - n / 100) for n, (title, text) in enumerate([
        ("Pearl Jam", "A group from Seattle."), ("Brother", "A song by Pearl Jam."), ("Seattle", "A city with rain."),
        ("Brothers", "Two men and a song."), ("Rain", "Rain falls on Seattle."),
    ])]  # fmt: skip
    expected = rank("Where was the performer of Brother formed?", hits)
    for seed in range(5):
        shuffled = random.Random(seed).sample(hits, len(hits))
        assert rank("Where was the performer of Brother formed?", shuffled) == expected


def test_equal_chunks_are_ordered_by_id() -> None:
    ranked = rank("pump", [hit(n, "A pump.", score=0.5) for n in (3, 1, 2)])
    assert [hit.chunk.id for hit in ranked] == ["c1", "c2", "c3"]
    assert len({hit.score for hit in ranked}) == 1


def test_the_same_in_another_process_and_hash_seed() -> None:
    program = (
        "from ragkit.rerankers.signals import signals\nfrom ragkit.nouns import Chunk, Hit\n"
        "texts = ['The pump of Pearl Jam in Seattle', 'Pearl Jam', 'A pump and a valve']\n"
        "hits = [Hit(Chunk(t, t, 's', t, 0, len(t), 0, 9, t[:9]), 0.5) for t in texts]\n"
        "print(signals('Which pump does Pearl Jam use in Seattle?', hits))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_a_linked_chunk_is_told_from_an_unlinked_one() -> None:
    hits = [
        hit(0, "Brother is a song by the band Pearl Jam.", title="Brother", score=0.9),
        hit(1, "An American rock group.", title="Pearl Jam", score=0.3),
        hit(2, "An American rock group.", title="Nirvana", score=0.3),
    ]
    question = "Where was the performer of Brother formed?"
    assert signal("named_by", question, *hits) == [0.0, 1.0, 0.0]
    assert signal("names", question, *hits)[0] > 0
    assert signal("completes", question, *hits)[2] == 0.0


def test_chunks_of_one_document_are_not_linked_but_support_each_other() -> None:
    hits = [hit(n, "Pearl Jam plays.", title="Pearl Jam", score=0.5, document="one") for n in range(2)]
    assert signal("named_by", "Who plays?", *hits) == [0.0, 0.0]
    assert signal("document", "Who plays?", *hits) == [1.0, 1.0]


def test_related_words_count_for_less_than_the_word_itself() -> None:
    wanted = want("Which jail?")
    meant = meaning(wanted)

    def cover(text: str) -> float:
        found = [(place, said) for place, said in enumerate(read(text).order) if said in meant]
        return related(wanted, meant, found, read_title(""))[RELATED.index("related_cover")]

    covers = [cover(text) for text in ("the jail", "the prison", "the pumpkin")]
    assert covers[0] == 1.0
    assert 0.4 < covers[1] < 1.0
    assert covers[2] == 0.0


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("adjacent", "the green pump", "the pump is green"),
        ("near", "pump that is green", "pump. " + FILLER * 2 + "green"),
        ("phrase", "green pump", "green " + "word " * 20 + "pump"),
        ("sentence", "green " + "word " * 15 + "pump", "green " + "word " * 40 + "pump"),
        ("early", "green pump " + FILLER * 5, FILLER * 5 + "green pump"),
        ("exact", "green pump", "greens pumped"),
        ("numbers", "green pump 42", "green pump 43"),
    ],
)
def test_a_signal_tells_two_texts_apart(name: str, text: str, other: str) -> None:
    first, second = signal(name, "green pump 42", hit(0, text), hit(1, other))
    assert first > second


def test_accents_and_endings_do_not_hide_a_word() -> None:
    assert signal("cover", "Tekezé rivers", hit(0, "the river Tekeze"), hit(1, "the sea")) == [1.0, 0.0]


def test_both_models_are_learned_for_these_signals() -> None:
    for kind in ("lexical", "hybrid"):
        model = load(kind)
        assert len(model.weights) == len(SIGNALS)
        assert model.forest.values
        assert model.slope > 0


def test_a_tree_goes_left_at_its_threshold() -> None:
    tree = Tree(((1, 0.5, ~0, 1), (0, 2.0, ~1, ~2)), (10.0, 20.0, 30.0))
    assert [plant((tree,))(row) for row in ((9.0, 0.5), (2.0, 0.6), (2.1, 0.6))] == [10.0, 20.0, 30.0]


@pytest.mark.parametrize("seed", range(20))
def test_a_forest_ends_where_walking_each_tree_ends(seed: int) -> None:
    chance = random.Random(seed)
    trees = [grow(chance, leaves) for leaves in (1, 2, 3, 4, 8, 8)]
    forest = plant(trees)
    for _ in range(200):
        row = [chance.randrange(5) / 4 for _ in range(3)]
        assert forest(row) == sum(walk(tree, row) for tree in trees)


def grow(chance: random.Random, leaves: int) -> Tree:
    """A tree of any shape, its leaves in any order, with thresholds that rows often hit exactly."""
    names = chance.sample(range(leaves), leaves)
    nodes: list[Node] = []

    def branch(some: list[int]) -> int:
        if len(some) == 1:
            return ~some[0]
        place, cut = len(nodes), chance.randrange(1, len(some))
        nodes.append((0, 0.0, 0, 0))
        low, high = branch(some[:cut]), branch(some[cut:])
        nodes[place] = (chance.randrange(3), chance.randrange(5) / 4, low, high)
        return place

    return (
        Tree((), (1.0,)) if branch(names) < 0 else Tree(tuple(nodes), tuple(float(2**leaf) for leaf in range(leaves)))
    )


def walk(tree: Tree, row: list[float]) -> float:
    place = 0 if tree.nodes else ~0
    while place >= 0:
        signal, threshold, low, high = tree.nodes[place]
        place = low if row[signal] <= threshold else high
    return tree.leaves[~place]


def test_a_tree_of_many_leaves_is_refused() -> None:
    with pytest.raises(ValueError, match="9 leaves"):
        plant([grow(random.Random(0), 9)])


def test_chances_saturate_without_overflow() -> None:
    model = load("lexical")
    assert model.chance(-1e9, 0.0) >= 0.0
    assert model.chance(1e9, 1.0) == 1.0
