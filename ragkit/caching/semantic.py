"""Whether two questions ask the same in other words: pure, and in doubt they do not.

No similarity of vectors decides: "enable 2FA" is closer to "disable 2FA" than to most of its paraphrases. Two questions
are the same if they differ only in what carries no weight: polite frames, articles, contractions, the usual ways to ask
how to do a thing or whether it can be done, and an auxiliary verb. All else must be there in the same order: every
number, name, negation, tense, preposition and quantity.
"""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"[^\W_]+(?:['.,:/@_-][^\W_]+)*|[^\w\s]|_")
"""Words with what joins their parts (5.5, e-mail, don't, a/b), and every other sign by itself."""

CONTRACTED = {
    "what's": "what is", "where's": "where is", "who's": "who is", "how's": "how is", "when's": "when is",
    "that's": "that is", "there's": "there is", "it's": "it is", "i'm": "i am", "i've": "i have",
    "you're": "you are", "we're": "we are", "they're": "they are", "don't": "do not", "doesn't": "does not",
    "didn't": "did not", "can't": "can not", "cannot": "can not", "couldn't": "could not", "won't": "will not",
    "isn't": "is not", "aren't": "are not", "wasn't": "was not", "shouldn't": "should not", "wouldn't": "would not",
    "haven't": "have not", "hasn't": "has not", "i'll": "i will", "i'd": "i would",
}  # fmt: skip
GREETINGS = ("good morning", "good afternoon", "good evening", "hello there", "hi there", "hello", "hi", "hey")
FRAMES = (
    "could you please tell me", "can you please tell me", "could you tell me please", "can you tell me please",
    "could you tell me", "can you tell me", "would you tell me", "please tell me", "tell me please", "tell me",
    "i would like to know", "i want to know", "i need to know", "i was wondering", "i am wondering", "do you know",
)  # fmt: skip
"""What may stand before a question that begins with one of `ASKING`."""
CLOSINGS = ("thank you very much", "thanks a lot", "thank you", "many thanks", "thanks", "please")
HOW = ("how do i", "how can i", "how could i", "how would i", "how does one", "how can one", "how to")
MAY = ("is it possible for me to", "is it possible to", "am i able to", "would i be able to", "could i", "can i")
ASKING = ("what", "when", "where", "who", "whom", "whose", "which", "why", "how")
LIGHT = ("the", "is", "are", "am", "do", "does")
"""Words without weight inside a question; all others have some."""
HOW_TO, POSSIBLE = "\x01how", "\x01possible"
SMALL = "a an my your in on at of for to from with and or not it if this that will"
PHRASES = (*GREETINGS, *FRAMES, *CLOSINGS, *HOW, *MAY, *CONTRACTED.values(), *ASKING, *LIGHT, SMALL)
FUNCTION = frozenset(word for phrase in PHRASES for word in phrase.split())
"""Words that mean the same with a capital letter at the beginning of a sentence."""
MOST_WORDS = 60


def signature(question: str) -> str:
    """What a question asks, without what carries no weight; empty where that is not safe to say."""
    words = _words(question)
    if not words or len(words) > MOST_WORDS:
        return ""
    words = _without_frames(words)
    for phrase, mark in (*((how, HOW_TO) for how in HOW), *((may, POSSIBLE) for may in MAY)):
        words = _begin(words, phrase, [mark])
    kept = [word for place, word in enumerate(words) if not _light(words, place)]
    return "\x1f".join(kept) if len(kept) > 1 else ""


def same_question(one: str, other: str) -> bool:
    """Whether an answer to one question answers the other; False in doubt."""
    return bool(asked := signature(one)) and asked == signature(other)


def _words(question: str) -> list[str]:
    """Words and signs; function words small, contractions written out, everything else exactly as it stands."""
    text = unicodedata.normalize("NFC", question).replace("\u2019", "'").strip()
    found: list[str] = []
    for word in WORD.findall(text.rstrip("?").rstrip()):
        small = word.lower()
        if small in CONTRACTED and _plain(word):
            found += CONTRACTED[small].split()
        else:
            found.append(small if small in FUNCTION and _plain(word) else word)
    return found


def _plain(word: str) -> bool:
    """Not written in capitals throughout, as IT, US and WHO are; "I" is."""
    return word == "I" or len(word) == 1 or not word.isupper()


def _without_frames(words: list[str]) -> list[str]:
    for greeting in GREETINGS:
        shorter = _begin(words, greeting, [])
        if shorter is not words:
            words = shorter[1:] if shorter[:1] in ([","], ["!"], ["."]) else shorter
            break
    for closing in CLOSINGS:
        end = closing.split()
        if len(words) > len(end) + 1 and words[-len(end) :] == end:
            words = words[: -len(end)]
            words = words[:-1] if words[-1] in (",", ".", "?") else words
            break
    for frame in FRAMES:
        rest = _begin(words, frame, [])
        rest = rest[1:] if rest is not words and rest[:1] == [","] else rest
        if rest is not words and rest[:1] and rest[0] in ASKING:
            return rest[:-1] if rest[-1] in ("is", "are") else rest
    return words


def _begin(words: list[str], phrase: str, instead: list[str]) -> list[str]:
    """The words with another beginning, the very same list where they do not begin with the phrase."""
    head = phrase.split()
    return [*instead, *words[len(head) :]] if words[: len(head)] == head and len(words) > len(head) else words


def _light(words: list[str], place: int) -> bool:
    """A verb has weight where it begins a question or ends it, and beside a negation; "the" never has."""
    word = words[place]
    if word not in LIGHT or word == "the":
        return word == "the"
    return 0 < place < len(words) - 1 and words[place + 1] != "not"
