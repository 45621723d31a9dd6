# ruff: noqa: E501, RUF001
"""Estimates and bounds against counts of real tokenizers; the counts were taken once and written down here."""

import random
import string
from fractions import Fraction

import pytest

from ragkit.models import Catalogue
from ragkit.tokens import estimate_tokens, typical_tokens, upper_bound_tokens

CATALOGUE = Catalogue.load()
GPT, HAIKU = CATALOGUE.model("gpt-6-luna"), CATALOGUE.model("claude-haiku-4-5")

# Text, then its tokens in OpenAI's current tokenizer and in Claude's of before version 3.
COUNTED = [
    (
        "A receipt lists every event of an answer: what it was, which model, how many tokens, and what it cost to the last digit.",
        29,
        29,
    ),
    (
        "Cache writes cost more than plain input, reads cost less; so a prefix pays for itself only when it is read often enough within its lifetime.",
        29,
        29,
    ),
    (
        "def price(usage: Usage, row: PriceRow) -> int:\n    return sum(count * row.price(name) for name, count in usage.items() if count)\n",
        35,
        40,
    ),
    (
        '{"model": "claude-haiku-5-5", "usage": {"input": 2800, "cache_read": 14000, "output": 210}, "cost_usd": "0.000525875"}',
        49,
        48,
    ),
    (
        "| model | input | output |\n|---|---:|---:|\n| gpt-6-luna | 0.10 | 0.50 |\n| gpt-6-sol | 2.00 | 10.00 |\n",
        51,
        51,
    ),
    (
        "Die Rechnung führt jeden Schritt einer Antwort auf: welches Modell gefragt wurde, wie viele Wörter es las und was das kostete.",
        25,
        39,
    ),
    (
        "La factura enumera cada paso de una respuesta: qué modelo, cuántas palabras leyó y cuánto costó hasta el último dígito.",
        30,
        38,
    ),
    (
        "Счёт перечисляет каждый шаг ответа: какая модель, сколько слов она прочитала и сколько это стоило до последней цифры.",
        29,
        53,
    ),
    ("تسرد الفاتورة كل خطوة من خطوات الإجابة: أي نموذج، وكم كلمة قرأ، وكم كلف ذلك حتى آخر رقم.", 31, 86),
    ("收据列出回答的每一步：哪个模型，读了多少字，花了多少钱，精确到最后一位。", 28, 36),
    ("領収書には回答の各段階が記載されています。どのモデルが、何語を読み、いくらかかったか。", 30, 48),
    ("영수증에는 답변의 각 단계가 나열됩니다. 어떤 모델이 몇 단어를 읽었고 비용이 얼마였는지.", 31, 61),
    ("https://example.org/docs/receipts.html?id=550e8400-e29b-41d4-a716-446655440000&lang=en#totals", 35, 42),
    ("c2hhMjU2OjlmODZkMDgxODg0YzdkNjU5YTJmZWFhMGM1NWFkMDE1YTNiZjRmMWIyYjBiODIyY2QxNWQ2YzE1YjBmMDBhMDg=", 68, 68),
    ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 43, 44),
    ("3.14159265358979323846264338327950288419716939937510582097494459", 23, 28),
    ("qzxv kjwq ptlb mnrd xkcd wvzq bhgf dskl zxcv jkqw rtpl vbnm qwrt zpxk", 37, 36),
    ("!@#$%^&*()_+-=[]{}|;':\",./<>?`~!?#&%$*@^(){}[]<>~`+=-_|\\;:'\"", 39, 40),
    ("🎉🚀👩🏽\u200d💻❤️🔥🇩🇪✅😀🎉🚀👩🏽\u200d💻❤️🔥", 32, 48),
    ("THE LEDGER KEEPS EVERY RECEIPT, AND NO RECEIPT IS EVER CHANGED AFTER IT WAS WRITTEN.", 27, 30),
    ("    \n\n\t\tindented\n\t\t\tdeeper\n\n\n        back\n", 13, 12),
]
PROSE = [case for case in COUNTED[:12] if case[1] < 60]


@pytest.mark.parametrize(("text", "openai", "claude"), COUNTED)
def test_no_real_count_exceeds_the_bound(text: str, openai: int, claude: int) -> None:
    assert upper_bound_tokens(text, GPT) >= openai
    assert upper_bound_tokens(text, HAIKU) >= claude


@pytest.mark.parametrize(("text", "openai", "claude"), PROSE)
def test_prose_and_code_are_estimated_fairly(text: str, openai: int, claude: int) -> None:
    assert 0.65 <= estimate_tokens(text) / openai <= 1.5


def test_an_estimate_of_many_texts_is_close() -> None:
    estimated = sum(estimate_tokens(text) for text, _, _ in PROSE)
    assert estimated / sum(openai for _, openai, _ in PROSE) == pytest.approx(1, abs=0.15)


def test_nothing_is_no_tokens_and_something_is_some() -> None:
    assert estimate_tokens("") == 0
    assert upper_bound_tokens("", GPT) == 0
    assert estimate_tokens("a") >= 1
    assert upper_bound_tokens("\ud800", GPT) >= 1


def test_plain_bytes_bound_the_bound() -> None:
    noise = "".join(random.Random(3).choices(string.printable, k=2_000))
    assert upper_bound_tokens(noise, GPT) <= 2_000


def test_a_model_s_tokenizer_scales_both() -> None:
    text, new = COUNTED[0][0] * 20, CATALOGUE.model("claude-haiku-5-5")
    assert typical_tokens(text, new) == round(estimate_tokens(text) * Fraction(7, 5))
    assert upper_bound_tokens(text, new) > upper_bound_tokens(text, HAIKU) > upper_bound_tokens(text, GPT)
