"""What goes wrong in Robot's own terms: a status, a code, a sentence, in the shape of its reference."""

from __future__ import annotations

from typing import Any


class Failure(Exception):
    """A request was refused; `more` stands beside status, code and message (`missing`, `invalid`)."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.body = {"error": {"status": status, "code": code, "message": message, **more}}


def server_not_found(number: str) -> Failure:
    """No such server under this login."""
    return Failure(404, "SERVER_NOT_FOUND", f"Server with id {number} not found")


def invalid(missing: list[str] | None = None, wrong: dict[str, list[str]] | None = None) -> Failure:
    """A form that lacks something, or has something that is not allowed."""
    return Failure(400, "INVALID_INPUT", "invalid input", missing=missing, invalid=wrong)


def key_not_found() -> Failure:
    """No key with that fingerprint."""
    return Failure(404, "NOT_FOUND", "No such key")
