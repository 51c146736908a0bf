"""Made-up documents of a given size, each with one fact that no other has; the same ones every time."""

from __future__ import annotations

import random
from dataclasses import dataclass

TOPICS = tuple("invoice holiday laptop badge printer canteen parking salary contract travel garden audit".split())  # noqa: SIM905
WORDS = tuple(
    """the a of to in and for with on by team office staff request form week month manager approval policy rule limit
    room desk system service record process report change review budget order supplier visit meeting copy note number
    date list""".split()  # noqa: SIM905 - reads better than a hundred quotes
)


@dataclass(frozen=True, slots=True)
class Made:
    """A document, the question it answers and the words that its answer must hold."""

    name: str
    text: str
    question: str
    fact: str


def make(count: int, size: int = 3000, seed: int = 7) -> list[Made]:
    """`count` documents of about `size` bytes, spread over nothing: they all belong into one store."""
    chance = random.Random(seed)
    return [_one(number, size, chance) for number in range(count)]


def _one(number: int, size: int, chance: random.Random) -> Made:
    topic = TOPICS[number % len(TOPICS)]
    code, value = f"{topic[:2].upper()}{number:05d}", chance.randrange(10_000, 99_999)
    fact = f"The clearance value of {topic} unit {code} is {value}."
    sentences: list[str] = []
    while sum(map(len, sentences)) < size - len(fact):
        words = chance.choices(WORDS, k=chance.randrange(6, 16))
        words[chance.randrange(len(words))] = topic
        sentences.append(" ".join(words).capitalize() + ".")
    sentences.insert(chance.randrange(len(sentences)), fact)
    question = f"What is the clearance value of unit {code}?"
    return Made(f"{topic}-{number:05d}.md", " ".join(sentences), question, str(value))
