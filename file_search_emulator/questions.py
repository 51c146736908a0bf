"""What a question asks for: which terms an answer must speak of, and what kind of thing it must contain."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources

from file_search_emulator.sentences import UNSPACED, fold, terms_of_word, words

_WORDS = tomllib.loads(resources.files("file_search_emulator").joinpath("question_words.toml").read_text("utf-8"))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    whole = "|".join(patterns)
    for name, pattern in _WORDS["patterns"].items():
        whole = whole.replace(name, pattern)
    return re.compile(whole)


def _first_terms(text: str) -> frozenset[str]:
    return frozenset(terms_of_word(word)[0] for word in text.split())


_FUNCTION_WORDS = frozenset(_WORDS["function_words"].split())
_WEAK_TERMS = _first_terms(_WORDS["weak_words"])
_ASKED = {kind: _any_of(entry["asked"]) for kind, entry in _WORDS["kinds"].items()}
_HELD = {kind: _any_of(entry["held"]) for kind, entry in _WORDS["kinds"].items()}
_KIND_TERMS = {kind: _first_terms(entry["words"]) for kind, entry in _WORDS["kinds"].items()}
_UNIT = _any_of(["UNIT_OF_TIME|euros?|eur|dollars?|people|persons?|times?|percent|kg|km|miles?"])
_UNSPACED_RUN = re.compile(f"[{UNSPACED}]+")
_JAPANESE = re.compile("[\u3041-\u30ff]")
_JAPANESE_FUNCTION = re.compile("[\u3041-\u309f]+|何[\u4e00-\u9fff]?間?|必要|誰|料金|価格|電話番号")
_CHINESE_FUNCTION = re.compile("[的是了在有吗呢和与]|多少|什么|怎么|如何|哪里|几")
_LESSER = re.compile(  # what kind of thing it is ("which command") and what is done ("must I submit") get paraphrased
    r"^(?:which|what|welche[rsmn]?|quel(?:le)?s?) (?!is\b|are\b|est\b|sont\b|ist\b|sind\b)([^\W\d]+)"
    r"|\b(?:do|does|did|can|may|must|should|will|shall) (?:i|we|you|they|one) ([^\W\d]+)"
    r"|\b(?:faut-il|puis-je|dois-je|peut-on|doit-on) ([^\W\d]+)"
    r"|\b(?:kann|muss|darf|soll) (?:ich|man)\b.{0,200} ([^\W\d]{1,60})\?"
)
_HOW_TO = re.compile(r"how (?:do|can|should|to)\b|wie (?:kann|muss|soll)\b|comment\b")
_QUALIFIER = re.compile(  # what narrows a question down: "for interns", "in Asia", "bei Umzug"
    r"\b(?:for|in|at|by|during|without|within|bei|fur|ohne|wahrend|pour|pendant|sans|en cas de) "
    r"(?:(?:an?|the|my|our|eine?[mnrs]?|de[mnrs]|die|das|une?|le|la|les|des) )?([^\W\d]+(?: [^\W\d]+)?)"
)
_INVERTED = re.compile(r"-(?:t-)?(?:je|tu|il|elle|on|nous|vous|ils|elles|ce)$")
_GERMAN = re.compile(r"\b(?:der|die|das|ist|wie|wer|was|wo|wann|ich|und|fur|den|dem|wird|gibt|bei|ein|eine)\b")


@dataclass(frozen=True)
class Term:
    """A word of a question that an answer has to speak of."""

    word: str
    """As written, for the embedding and the index."""
    keys: tuple[str, ...]
    """Its terms: of an identifier the whole first, then the parts."""
    importance: float
    """How much depends on it before the corpus is asked: 0.3 for a word of any question, 1, or 1.3 for a name."""
    exact: bool
    """An identifier: nothing that is merely similar will do."""
    unspaced: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked: for which kind of thing, about what."""

    text: str
    kind: str | None
    terms: tuple[Term, ...]

    def is_kind_in(self, text: str) -> bool:
        """Whether a text holds what this kind of question asks for; true when it asks for nothing particular."""
        return self.kind is None or any(_HELD[self.kind].search(form) for form in (text, fold(text)))


def understand(text: str) -> Question:
    """Read a question in English, German, French, Japanese or Chinese; others by their words alone."""
    folded = fold(text.strip())
    kind = next((kind for kind, pattern in _ASKED.items() if pattern.search(folded)), None)
    asked = words(text)
    kind_terms = _KIND_TERMS.get(kind or "", frozenset()) & {terms_of_word(word)[0] for word in asked}
    capitals = sum(not word.islower() for word in asked)
    capitals_tell = _GERMAN.search(folded) is None and capitals * 2 <= len(asked) + 2
    lesser = (
        set()
        if _HOW_TO.match(folded)
        else {word for match in _LESSER.finditer(folded) for word in match.groups() if word}
    )
    narrowing = {word for match in _QUALIFIER.finditer(folded) for word in match.group(1).split()}
    found: dict[tuple[str, ...], Term] = {}
    for index, word in enumerate(asked):
        following = asked[index + 1] if index + 1 < len(asked) else ""
        for term in _terms(word, following, capitals_tell and index > 0):
            if term.keys[0] not in kind_terms:
                found.setdefault(term.keys, _placed(term, fold(word) in lesser, fold(word) in narrowing))
    return Question(text, kind, tuple(found.values()))


def _placed(term: Term, lesser: bool, narrowing: bool) -> Term:
    """A term with the importance that its place in the question gives it."""
    if term.importance != 1.0 or lesser == narrowing:
        return term
    return replace(term, importance=0.6 if lesser else 1.3)


def _importance_of_run(run: str) -> float:
    """Of characters without spaces: a single one says little, four are a compound."""
    return {1: 0.5, 2: 1.0, 3: 1.0}.get(len(run), 1.3)


def _terms(word: str, following: str, capitals_tell: bool) -> list[Term]:
    if _UNSPACED_RUN.match(word):
        function = _JAPANESE_FUNCTION if _JAPANESE.search(word) else _CHINESE_FUNCTION
        runs = filter(None, function.split(word))
        return [Term(run, terms_of_word(run), _importance_of_run(run), False, unspaced=True) for run in runs]
    word = _INVERTED.sub("", word)
    keys = terms_of_word(word)
    folded = fold(word)
    is_name = capitals_tell and not word.islower() and not word.isdigit()
    if len(keys[0]) < 2 and not word.isdigit():
        return []
    if not is_name and (folded in _FUNCTION_WORDS or keys[0] in _FUNCTION_WORDS):
        return []
    if any(character.isdigit() for character in word):
        quantity = word.replace(".", "").replace(",", "").isdigit() and _UNIT.match(fold(following)) is not None
        return [Term(word, keys, 0.3 if quantity else 1.6, exact=not quantity)]
    if keys[0] in _WEAK_TERMS and not is_name:
        return [Term(word, keys, 0.3, exact=False)]
    return [Term(word, keys, 1.3 if is_name else 1.0, exact="_" in word)]
