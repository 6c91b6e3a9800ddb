"""Redaction: known secrets, and text that is a secret by its form, become a marker.

A marker carries a short keyed fingerprint, so that two places of one secret can be told to be the same without
saying what it is; the key lives as long as the process.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

_SHORTEST = 4  # replacing every "a" in an output would hide nothing and destroy everything

_KEY_BEGINS = "-----BEGIN "
_KEY_END = r"-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
_KEY = r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"  # RFC 7468, OpenSSH's, and PGP's (RFC 4880, section 6.2)
_SIGNATURE = r"[A-Za-z0-9%+/=]{16,}"  # Azure storage: shared access signature
_BEARER = r"[A-Za-z0-9._~+/=-]{16,}"  # RFC 6750, section 2.1; the scheme's name is of either case
_USER = r"[^/\s:@]*:[^/\s@]+(?=@)"  # RFC 3986, section 3.2.1: user information
# Forms of secrets that are recognised without knowing the value, each with a text that stands in all of them: to look
# for that first is what makes redaction cheap where there is nothing to hide.
_FORMS = (
    (_KEY_BEGINS, rf"{_KEY}.*?(?:{_KEY_END}|\Z)"),
    ("sig=", rf"(?:(?<=[^A-Za-z0-9]sig=)|(?<=\Asig=)|(?<=\\u0026sig=)|(?<=%26sig=)){_SIGNATURE}"),
    ("sig%3", rf"(?<=sig%3[Dd]){_SIGNATURE}"),
    ("earer ", rf"(?<=[Bb]earer ){_BEARER}"),
    ("BEARER ", rf"(?<=BEARER ){_BEARER}"),
    ("://", rf"(?<=://){_USER}"),
    (r":\/\/", rf"(?<=:\\/\\/){_USER}"),  # as some write it in JSON
)
_RARE, _DIGEST = 8, 32  # characters: what no digest holds by chance; the shortest digest (and an id without hyphens)
_HEX, _HEX_END = re.compile(r"[0-9a-f-]+"), re.compile(r"[0-9a-f-]+\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{5,}")
_OPEN_KEY = re.compile(rf"{_KEY}(?!.*{_KEY_END})", re.DOTALL)


class Redactor:
    """Replaces secrets in text. `add` a value before it can be shown anywhere."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._markers: dict[str, str] = {}
        self._plain: tuple[str, ...] = ()  # as they are, and what of their other forms may stand anywhere
        self._percent: tuple[str, ...] = ()
        self._escaped: tuple[str, ...] = ()
        self._base64: tuple[str, ...] = ()
        self.count = 0

    def add(self, secret: str) -> None:
        """From now on hide this value, its lines, and their base64, URL-encoded and JSON-escaped forms."""
        marker = self._marker(secret)
        for part in {secret, *secret.splitlines()}:
            if len(part) < _SHORTEST:
                continue
            self._plain = self._with(self._plain, [part], marker)
            self._percent = self._with(self._percent, [quote(part, safe=""), quote(part)], marker)
            self._escaped = self._with(self._escaped, _json_forms(part), marker)
            self._base64 = self._with(self._base64, _base64_forms(part), marker)

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        pattern = self._pattern(text)
        if pattern is None:
            return text
        return pattern.sub(self._replace, text)

    def data(self, value: Any) -> Any:
        """Plain data with every secret in its texts replaced, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value

    def buffer(self, content: Any) -> Any:
        """Bytes (or a view of them) with every secret replaced; the very same object if there is none."""
        raw = bytes(content)
        # No byte of a secret's UTF-8 is taken for the end of something before it: it is found wherever it begins.
        text = raw.decode(errors="surrogateescape")
        clean = self.text(text)
        return content if clean == text else clean.encode(errors="surrogateescape")

    def finds(self, text: str) -> bool:
        """True if there is something to hide."""
        pattern = self._pattern(text)
        return pattern is not None and pattern.search(text) is not None

    def _with(self, forms: tuple[str, ...], more: Iterable[str], marker: str) -> tuple[str, ...]:
        new = {form for form in more if len(form) >= _SHORTEST and form not in self._markers}
        self._markers |= dict.fromkeys(new, marker)
        return (*forms, *sorted(new))

    def _pattern(self, text: str) -> re.Pattern[str] | None:
        """What matches the secrets in this text; None if it has none. Only what can be in it is looked for."""
        found = [form for form in self._plain if form in text]
        if "%" in text:
            found += [form for form in self._percent if form in text]
        if "\\" in text:
            found += [form for form in self._escaped if form in text]
        if self._base64:
            runs = " ".join(_BASE64.findall(text))
            found += [form for form in self._base64 if form in runs]
        forms = [pattern for hint, pattern in _FORMS if hint in text]
        return _compiled(tuple(sorted(found, key=len, reverse=True)), tuple(forms)) if found or forms else None

    def _replace(self, match: re.Match[str]) -> str:
        if _by_chance(match):
            return match[0]
        self.count += 1
        return self._markers.get(match[0]) or self._marker(match[0])

    def _marker(self, secret: str) -> str:
        return f"[secret {hmac.digest(self._key, secret.encode(errors='surrogatepass'), 'sha256').hex()[:6]}]"


def _by_chance(match: re.Match[str]) -> bool:
    """True for a few hex digits in the middle of a digest or an id.

    One digest in a thousand holds a given word of four: replaced there, the journal would not fit what it describes.
    """
    if len(match[0]) >= _RARE or not _HEX.fullmatch(match[0]):
        return False
    before, after = (
        _HEX_END.search(match.string[max(0, match.start() - _DIGEST) : match.start()]),
        _HEX.match(match.string, match.end()),
    )
    around = (len(before[0]) if before else 0) + (len(after[0]) if after else 0)
    return around + len(match[0]) >= _DIGEST


def unfinished(text: str) -> int:
    """Where a private key begins in this text and does not end in it; its length if none does."""
    if _KEY_BEGINS not in text:
        return len(text)
    found = _OPEN_KEY.search(text)
    return found.start() if found else len(text)


@lru_cache(maxsize=256)
def _compiled(known: tuple[str, ...], forms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([*map(re.escape, known), *forms]), re.DOTALL)


def _json_forms(text: str) -> set[str]:
    """As it stands in a JSON text, and in a JSON text within one."""
    once = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return once | {json.dumps(form)[1:-1] for form in once}


def _base64_forms(text: str) -> set[str]:
    """What stands in the base64 of any text that holds this one: at each of its three offsets, without the ends that
    depend on what is beside it."""
    raw, forms = text.encode(errors="surrogatepass"), set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw)
        whole = encoded.rstrip(b"=")
        spare = 1 if len(encoded) > len(whole) else 0  # the last character holds bits of what follows
        core = whole[(0, 2, 3)[offset] : len(whole) - spare].decode()
        forms |= {core, core.translate(str.maketrans("+/", "-_"))}
    return {form for form in forms if len(form) >= 5}
