"""Which words a second search adds."""

from __future__ import annotations

from ragkit.nouns import Chunk, Hit, Sparse
from ragkit.words.bm25 import encode_query
from ragkit.words.expand import NAMES, WEIGHT, expand


def hit(text: str, title: str = "") -> Hit:
    return Hit(Chunk(text, "d", "s", text, 0, len(text), 0, 1, title), 1.0)


def added(question: str, *hits: Hit) -> dict[int, float]:
    terms = encode_query(question)
    more = expand(terms, question, hits)
    return {index: value for index, value in zip(more.indices, more.values, strict=True) if index not in terms.indices}


def index(word: str) -> int:
    return encode_query(word).indices[0]


def test_names_are_added_and_other_words_are_not() -> None:
    words = added("Who sang Brother?", hit("Brother is a song by the band Pearl Jam."))
    assert words.keys() == {index("Pearl"), index("Jam")}


def test_the_names_of_better_hits_weigh_more() -> None:
    words = added("who", hit("by Lovelace"), hit("by Babbage"), hit("by Babbage and Lovelace"))
    assert words[index("Lovelace")] == WEIGHT
    assert 0 < words[index("Babbage")] < WEIGHT


def test_titles_are_names_and_the_questions_own_words_are_not_added_again() -> None:
    words = added("Where is Nugegoda?", hit("a suburb", title="Nugegoda in Colombo"))
    assert words.keys() == {index("Colombo")}


def test_without_names_the_terms_come_back_as_they_were() -> None:
    terms = Sparse((3, 1), (1.0, 0.5))
    assert expand(terms, "what", [hit("nothing but small letters")]) is terms
    assert expand(terms, "what", []) is terms


def test_there_is_an_end_to_names() -> None:
    text = " and ".join(f"Name{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(200))
    assert len(added("who", hit(text))) == NAMES
