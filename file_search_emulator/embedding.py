"""Texts as vectors, by WordLlama: the mean of its 256-dimensional token embeddings.

The weights and the tokenizer are files of the `wordllama` wheel, found without importing that package: its own `load()`
asks the network.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from file_search_emulator.remembering import remembering

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

DIMENSIONS = 256
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_CHARACTERS = 20_000
"""How much of a text is looked at: more would hardly move its mean."""
_loading = threading.Lock()


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """The meaning of each text as a vector: an array of shape (n, 256), each row of length 1.

    A text without any token gets a row of zeros. The first call in a process loads the model (0.1 s, 50 MB); safe to
    call from several threads.
    """
    return embed_counted(texts)[0]


def embed_counted(texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
    """The vectors of `embed`, and how many tokens each text has."""
    vectors, counts = sums(texts)
    return normalised(vectors), counts


def sums(texts: Sequence[str]) -> tuple[NDArray[np.float32], list[int]]:
    """The vectors of `embed` before they are normalised: those of two texts add up to that of both; and the tokens."""
    _, weights = _model()
    vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    counts = []
    for row, text in enumerate(texts):
        ids = _tokens(text[:_CHARACTERS])
        weights[ids].sum(axis=0, out=vectors[row])
        counts.append(len(ids))
    return vectors, counts


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors with the same directions and length 1, where they have any."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def pack(vectors: NDArray[np.float32]) -> Iterable[bytes]:
    """Vectors as they are kept: one byte for each dimension, scaled to the greatest."""
    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = np.rint(vectors * (127 / np.where(greatest > 0, greatest, 1))).astype(np.int8)
    return (row.tobytes() for row in scaled)


def count_tokens(text: str) -> int:
    """How many tokens WordLlama's tokenizer makes of a text: an honest approximation of a language model's count."""
    return len(_tokens(text))


def _tokens(text: str) -> list[int]:
    """The ids of a text's tokens, word by word: no token reaches over a space, and most words come again."""
    return [token for word in text.split() for token in _encoded(word)]


@remembering
def _encoded(word: str) -> tuple[int, ...]:
    return tuple(_model()[0].encode(word, add_special_tokens=False).ids)


def _model() -> tuple[Tokenizer, NDArray[np.float32]]:
    with _loading:
        return _load()


@cache
def _load() -> tuple[Tokenizer, NDArray[np.float32]]:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The emulator needs the wordllama package: pip install 'flamehaven-filesearch[container]'.")
    package = Path(spec.submodule_search_locations[0])
    tokenizer = Tokenizer.from_file(str(package / _TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, load_file(package / _WEIGHTS)["embedding.weight"].astype(np.float32)
