"""Forms as browsers and HTTP libraries send them: each has its own way to write a file's name that is not ASCII.

Sources: RFC 7578 (multipart/form-data); WHATWG HTML, "Multipart form data" (%22, %0D and %0A); RFC 8187 (`filename*`);
RFC 2047 (encoded words, which .NET sends).
"""

from __future__ import annotations

import re
from email.message import Message
from typing import Any

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from shared.bodies import unsupported
from shared.encoded_words import decoded
from shared.encodings import PLAIN

AS_THEY_ARE = ("", "7bit", "8bit", "binary")
"""The values of Content-Transfer-Encoding (RFC 2045, section 6) that leave a part as it is."""
ESCAPED = re.compile("%(22|0D|0A)")
"""What browsers write for a quotation mark and a line break; they leave every other `%` as it is."""


class FormParser(MultiPartParser):
    """Starlette's parser, which takes only the plain `filename`, with every other way to write it."""

    _ended = False

    def on_headers_finished(self) -> None:
        part = self._current_part
        _check_encodings(dict(part.item_headers))
        given = part.content_disposition or b""
        extended = _extended_name(given)
        if extended is not None:
            part.content_disposition = given + b'; filename=""'  # the last one counts
        super().on_headers_finished()
        if part.file is not None:
            part.file.filename = extended or _plain_name(part.file.filename or "")

    def on_part_end(self) -> None:
        super().on_part_end()
        name, value = self.items[-1]
        if name == "_charset_" and isinstance(value, str):  # the encoding of what follows (RFC 7578, section 4.6)
            self._charset = value.strip()

    def on_end(self) -> None:
        self._ended = True

    async def parse(self) -> FormData:
        """The form. Raises MultiPartException, also if its last boundary is missing (RFC 2046, section 5.1.1)."""
        form = await super().parse()
        if not self._ended:
            await form.close()
            raise MultiPartException("its last boundary is missing, so it was cut short. Send it again")
        return form


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a form with files; case does not matter (RFC 9110, section 8.3.1)."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def _check_encodings(headers: dict[bytes, bytes]) -> None:
    """Refuse a part that is not the file itself. Raises ServiceError, MultiPartException."""
    coding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if coding not in PLAIN:
        raise unsupported(coding)
    transfer = headers.get(b"content-transfer-encoding", b"").decode("latin-1").strip().lower()
    if transfer not in AS_THEY_ARE:
        raise MultiPartException(f"Content-Transfer-Encoding {transfer!r} is not for forms (RFC 7578); use binary")


def _extended_name(disposition: bytes) -> str | None:
    """The file's name by `filename*`, which says its own encoding and counts before `filename`; None without one.

    One that is not in the encoding that it names is as good as none where there is another (RFC 8187, section 3.2.1).
    Raises MultiPartException where there is not.
    """
    message = Message()
    message["Content-Disposition"] = disposition.decode("latin-1")
    names: list[Any] = [value for name, value in message.get_params([], "content-disposition") if name == "filename"]
    extended = next((value for value in names if isinstance(value, tuple)), None)
    if extended is None:
        return None
    try:
        return str(extended[2].encode("latin-1").decode(extended[0] or "utf-8"))
    except (LookupError, UnicodeError):
        if len(names) > 1:
            return None
        raise MultiPartException("`filename*` is not in the encoding that it names; use UTF-8") from None


def _plain_name(name: str) -> str:
    """The file's name that `filename` stands for."""
    return decoded(ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), name))
