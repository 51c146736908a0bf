from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from file_search_emulator.answering import Passage, Quote, answer
from file_search_emulator.sentences import fold

_ANNUAL = "Full-time employees receive 27 days of paid annual leave per calendar year."
_LEAVE = Passage(
    f"""Leave policy

Annual leave

{_ANNUAL} Up to 5 unused days may be carried over
until 31 March. Requests are approved by the line manager.

Sick leave

A medical certificate is required from the fourth day of absence.""",
    "leave.md",
    1.0,
)
_PRICES = Passage(
    "Plan: Basic | Price: 10 EUR | Users: 5\nPlan: Pro | Price: 20 EUR | Users: 25\nPart: H-120 | Price: 3 EUR",
    "prices.csv",
    0.8,
)
_GATEWAY = Passage(
    "Error E1234 means that the certificate has expired. After a restart, retry_policy is set to exponential. "
    "The hotline is 0800 555 0142. The gateway weighs 9.4 kg and is kept below 35 °C.",
    "gateway.txt",
    0.7,
)
_JAPANESE = Passage("有給休暇は、入社6か月後に10日付与する。申請は3日前までに上司に提出する。", "休暇.txt", 0.6)
_GERMAN = Passage("Der Jahresurlaub umfasst 30 Arbeitstage. Die Kündigungsfrist beträgt drei Monate.", "urlaub.md", 0.6)
_FRENCH = Passage("La garantie est de trois ans. La pompe pèse 6,8 kg.", "pompe.md", 0.6)
_ALL = [_LEAVE, _PRICES, _GATEWAY, _JAPANESE, _GERMAN, _FRENCH]


def _ask(question: str, passages: Sequence[Passage] = _ALL) -> list[Quote]:
    def document_frequency(word: str) -> float:
        return sum(fold(word) in fold(f"{passage.title} {passage.text}") for passage in passages) / len(passages)

    return answer(question, passages, document_frequency)


@pytest.mark.parametrize(
    ("question", "passage", "quote"),
    [
        ("How many days of annual leave do I get?", _LEAVE, _ANNUAL),
        ("Who approves leave requests?", _LEAVE, "Requests are approved by the line manager."),
        ("How many unused days are carried over?", _LEAVE, "Up to 5 unused days may be carried over until 31 March."),
        ("How much does the Pro plan cost?", _PRICES, "Plan: Pro | Price: 20 EUR | Users: 25"),
        ("What does error E1234 mean?", _GATEWAY, "Error E1234 means that the certificate has expired."),
        ("What is retry_policy set to?", _GATEWAY, "After a restart, retry_policy is set to exponential."),
        ("What is the hotline?", _GATEWAY, "The hotline is 0800 555 0142."),
        ("How heavy is the gateway?", _GATEWAY, "The gateway weighs 9.4 kg and is kept below 35 °C."),
        ("有給休暇は何日もらえますか？", _JAPANESE, "有給休暇は、入社6か月後に10日付与する。"),  # noqa: RUF001
        ("Wie lange ist die Kündigungsfrist?", _GERMAN, "Die Kündigungsfrist beträgt drei Monate."),
        ("Combien pèse la pompe ?", _FRENCH, "La pompe pèse 6,8 kg."),
    ],
)  # fmt: skip
def test_quotes_the_sentence_that_answers(question: str, passage: Passage, quote: str) -> None:
    assert _ask(question) == [Quote(quote, _ALL.index(passage))]


@pytest.mark.parametrize(
    "question",
    [
        "How many days of parental leave do I get?",
        "How much does the Enterprise plan cost?",
        "What is the price of part H-130?",
        "What does error E1250 mean?",
        "What is idle_timeout set to after a restart?",
        "How much does the gateway cost?",
        "How wide is the gateway?",
        "What is the weather in Berlin?",
        "育児休業は何か月ですか？",  # noqa: RUF001
        "Wie hoch ist das Weihnachtsgeld?",
        "Quelle est la couleur du couvercle ?",
        "the of and?",
        "",
    ],
)
def test_refuses_what_the_passages_do_not_say(question: str) -> None:
    assert _ask(question) == []


def test_a_synonym_is_understood() -> None:
    passages = [Passage("Restart the server with the red button. Paint it blue.", "server.txt", 1.0)]
    assert _ask("How do I reboot the server?", passages) == [Quote("Restart the server with the red button.", 0)]


def test_the_title_counts() -> None:
    text = "The warranty lasts two years."
    assert _ask("How long is the warranty of the Bellavia?", [Passage(text, "Bellavia manual", 1.0)]) == [
        Quote(text, 0)
    ]
    assert _ask("How long is the warranty of the Bellavia?", [Passage(text, "manual", 1.0)]) == []


def test_overlapping_chunks_are_quoted_once() -> None:
    twice = [_LEAVE, Passage(_LEAVE.text[60:], "leave.md", 0.9), Passage(_LEAVE.text[100:], "leave.md", 0.9)]
    assert len(_ask("How many days of annual leave do I get?", twice)) == 1


def test_no_passages_no_answer() -> None:
    assert answer("How long is the warranty?", [], lambda word: 0.0) == []


_VOCABULARY = [
    "leave",
    "days",
    "price",
    "Pro",
    "25",
    "EUR\n",
    "the",
    "of",
    "gateway",
    "休暇",
    "|",
    ".",
    "3\uff0e5",
    "-",
    "Who",
]
_WORDS = st.lists(st.sampled_from(_VOCABULARY), max_size=60)


@settings(max_examples=60)
@given(_WORDS.map(" ".join), st.lists(_WORDS.map(" ".join), max_size=4))
def test_quotes_are_verbatim_few_and_in_order(question: str, texts: list[str]) -> None:
    passages = [Passage(text, "title", 1.0 / (index + 1)) for index, text in enumerate(texts)]
    quotes = _ask(question, passages)
    assert quotes == _ask(question, passages)
    assert len(quotes) <= 4
    assert [quote.passage for quote in quotes] == sorted(quote.passage for quote in quotes)
    for quote in quotes:
        assert quote.text in " ".join(texts[quote.passage].split())
