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
from typing import Any
from urllib.parse import quote

_SHORTEST = 4  # replacing every "a" in an output would hide nothing and destroy everything

# Forms of secrets that are recognised without knowing the value.
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=[?&]sig=)[A-Za-z0-9%+/=]{16,}"  # Azure storage: shared access signature
    r"|(?<=Bearer )[A-Za-z0-9._~+/=-]{16,}"  # RFC 6750, section 2.1
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",  # RFC 3986, section 3.2.1: user information
    re.DOTALL,
)


class Redactor:
    """Replaces secrets in text. `add` a value before it can be shown anywhere."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._markers: dict[str, str] = {}
        self._pattern = _FORMS
        self.count = 0

    def add(self, secret: str) -> None:
        """From now on hide this value, its lines, and their base64, URL-encoded and JSON-escaped forms."""
        marker = self._marker(secret)
        for part in {secret, *secret.splitlines()}:
            for form in _forms(part):
                if len(form) >= _SHORTEST:
                    self._markers[form] = marker
        longest_first = sorted(self._markers, key=len, reverse=True)
        self._pattern = re.compile("|".join([*map(re.escape, longest_first), _FORMS.pattern]), re.DOTALL)

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        text, count = self._pattern.subn(self._replace, text)
        self.count += count
        return text

    def data(self, value: Any) -> Any:
        """Plain data with every secret in its texts replaced, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value

    def _replace(self, match: re.Match[str]) -> str:
        return self._markers.get(match[0]) or self._marker(match[0])

    def _marker(self, secret: str) -> str:
        return f"[secret {hmac.digest(self._key, secret.encode(), 'sha256').hex()[:6]}]"


def _forms(text: str) -> set[str]:
    raw = text.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return {text, quote(text, safe=""), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], *encoded}
