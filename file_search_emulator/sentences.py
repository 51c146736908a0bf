"""Where sentences begin and end, and which terms a text holds: what chunking and answering share.

Both work on any language without models: by punctuation, by the shape of lines, and by Unicode script.
"""

from __future__ import annotations

import re
import unicodedata

from file_search_emulator.remembering import remembering

UNSPACED = (
    "\u3005\u3007\u303b"  # iteration marks and zero
    "\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
)
"""The characters of scripts that are written without spaces between words, for use inside a regular expression's []."""

_CANDIDATE = re.compile(  # from the first of several marks only: a long run of them is looked at once
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[。！？．｡]++[」』）”]*+|\n\s*+"  # noqa: RUF001 (full-width marks)
)
_STANDALONE = re.compile(
    r"\s*(?:[-*•‣◦▪–—]\s|\(?\d{1,3}[.)]\s|[a-zA-Z][.)]\s|#{1,6}\s|\||>|```|[・●○■□◆※])"  # noqa: RUF001
    r"|\s*[\w.\[\]/ -]{1,40}\s?[:=](?:\s|$)"
)
_ABBREVIATIONS = frozenset(
    """dr mr mrs ms prof st no nos vs etc approx incl excl max min est inc ltd co corp fig sec art abs nr ca bzw usw
    inkl zzgl ggf evtl str tel resp env e.g i.e z.b a.m p.m u.s d.h u.a
    jan feb mar apr jun jul aug sep sept oct nov dec""".split()  # noqa: SIM905 (a list of 50 strings reads worse)
)
_MONTH = re.compile(r"[a-z]|Jan|Feb|M[aä]r|Apr|Ma[iy]|Ju[nl]|Aug|Sep|O[ck]t|Nov|De[cz]")
_WRAPPED_AT = 55  # characters: a line this long without closing punctuation was probably wrapped
_WRAPPED_AT_UNSPACED = 28
_FIRST_UNSPACED = re.compile(f"[{UNSPACED}]")


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans (start, end) of the sentences of a text, without the white space around them.

    A bullet, a heading, a table row and a `key: value` line are sentences of their own; a line that was only wrapped
    goes on in the next. Every character that is not white space lies in exactly one span.
    """
    spans = []
    start = 0
    for match in _CANDIDATE.finditer(text):
        end = match.end()
        if match.start() >= start and _ends_sentence(text, start, match):
            spans.append((start, end))
            start = end
    spans.append((start, len(text)))
    return [span for begin, end in spans if (span := _trim(text, begin, end))]


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    stripped = piece.strip()
    if not stripped:
        return None
    start += len(piece) - len(piece.lstrip())
    return start, start + len(stripped)


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    mark = match.group()
    if mark[0] == "\n":
        return _ends_at_line_break(text, match)
    if mark[0] in "。！？．｡":  # noqa: RUF001
        return True
    following = text[match.end() : match.end() + 4].lstrip()
    if mark == "." and _is_abbreviation(text[max(start, match.start() - 12) : match.start()], following):
        return False
    return not (mark[0] in ".…" and following[:1].islower())


def _is_abbreviation(before: str, following: str) -> bool:
    last = before[max(before.rfind(" "), before.rfind("\n"), before.rfind("(")) + 1 :]
    if last.isdigit():
        return len(last) < 3 and _MONTH.match(following) is not None
    return (len(last) == 1 and last.isalpha()) or last.casefold() in _ABBREVIATIONS


def _ends_at_line_break(text: str, match: re.Match[str]) -> bool:
    if match.group().count("\n") > 1:
        return True
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].rstrip()
    following = text[match.end() : match.end() + 80]
    if not line or " | " in line or line.startswith(("#", "|")) or _STANDALONE.match(following):
        return True
    if following.split("\n", 1)[0].count(" | "):
        return True
    if following[:1].islower() and not line.endswith((";", "{", "}", ":")):
        return False
    unspaced = _FIRST_UNSPACED.match(line[-1]) is not None
    return len(line) < (_WRAPPED_AT_UNSPACED if unspaced else _WRAPPED_AT) or line[-1] in ":;{}"


_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
"""Accents and vowel signs that belong to the letters before them, and with them the scripts of India."""
_WORD = re.compile(
    rf"[{UNSPACED}]+"
    rf"|[^\W_{UNSPACED}]"
    rf"(?:[^\W{UNSPACED}]|[{_MARKS}]|[.\-/@'’+#](?=[^\W_{UNSPACED}]))*"  # noqa: RUF001 (apostrophe)
)
_ENDING_APOSTROPHE = re.compile(r"['’].{0,2}$")  # noqa: RUF001 (the employee's)
_LEADING_APOSTROPHE = re.compile(r"^(?:[cdjlmnst]|qu)['’](?=\w\w)")  # noqa: RUF001 (l'employeur)
_PART = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
_CAMEL = re.compile(r"(?<=[a-z\d]{2})(?=[A-Z][A-Za-z])")
_SCRIPT_RUN = re.compile(
    "[\u3041-\u309f]+|[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]+|[^\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]+"
)


def words(text: str) -> list[str]:
    """The words and identifiers of a text in order, without normal form; of a script without spaces whole runs."""
    return _WORD.findall(unicodedata.normalize("NFKC", text))


def terms(text: str) -> list[str]:
    """The terms of a text in order, normalised for matching: "retry_policy" gives "retrypolicy", "retri" and "polici".

    Folded case, no accents, light stems; an identifier (also `retryPolicy`) whole and in its parts; scripts without
    spaces as the overlapping pairs of characters of each run of one script.
    """
    return [term for word in words(text) for term in terms_of_word(word)]


@remembering
def terms_of_word(word: str) -> tuple[str, ...]:
    """The terms of one of the `words`; an identifier's first term is the whole of it."""
    if _FIRST_UNSPACED.match(word):
        return tuple(pair for run in _SCRIPT_RUN.findall(word) for pair in _pairs(run))
    word = _ENDING_APOSTROPHE.sub("", fold(_CAMEL.sub("_", word)))
    word = _LEADING_APOSTROPHE.sub("", word)
    parts = _PART.findall(word)
    if len(parts) == 1:
        return (stem(parts[0]),)
    return (word.replace("-", "").replace("_", ""), *(stem(part) for part in parts))


def _pairs(run: str) -> list[str]:
    return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]


def fold(text: str) -> str:
    """A text with its case folded and its accents taken off; the voice marks of kana are no accents."""
    if text.isascii():
        return text.casefold()
    decomposed = unicodedata.normalize("NFD", text.casefold())
    bare = "".join(mark for mark in decomposed if mark in "\u3099\u309a" or not unicodedata.combining(mark))
    return unicodedata.normalize("NFC", bare)


_SUFFIXES = (
    # longest first; (suffix, what replaces it, letters that must remain)
    ("izations", "iz", 3),
    ("ization", "iz", 3),
    ("ications", "i", 3),
    ("ication", "i", 3),
    ("ements", "", 4),
    ("ations", "", 4),
    ("ement", "", 4),
    ("ments", "", 4),
    ("ation", "", 4),
    ("ungen", "", 4),
    ("ities", "", 4),
    ("ment", "", 4),
    ("ings", "", 3),
    ("ions", "", 4),
    ("able", "", 4),
    ("ible", "", 4),
    ("ness", "", 4),
    ("sses", "ss", 2),
    ("ally", "", 4),
    ("ing", "", 3),
    ("ung", "", 4),
    ("ion", "", 4),
    ("ity", "", 4),
    ("ies", "y", 2),
    ("ied", "y", 2),
    ("eed", "e", 3),
    ("ern", "", 4),
    ("ely", "", 3),
    ("al", "", 5),
    ("ed", "", 3),
    ("er", "", 4),
    ("en", "", 4),
    ("em", "", 4),
    ("es", "", 3),
    ("ez", "", 4),
    ("ly", "", 4),
    ("s", "", 3),
    ("e", "", 3),
    ("n", "", 5),
)


def stem(word: str) -> str:
    """A folded word without its usual English, German or French ending; words with digits stay as they are.

    >>> stem("approval"), stem("approved"), stem("approves")
    ('approv', 'approv', 'approv')
    """
    if len(word) < 4 or not word.isalpha() or not word.isascii():
        return word
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]
    for suffix, replacement, remain in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= remain:
            if suffix == "s" and word[-2] in "su":
                break
            word = word[: -len(suffix)] + replacement
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in ("s" if len(word) > 5 else "ls"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word
