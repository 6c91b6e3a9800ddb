"""HTTP: requests in, replies out, each with its ids and one line in the log, which holds no body and no header."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tornado.web import Application, RequestHandler

from .cloud import Reply, Request
from .failure import Failure
from .faults import Fault

Answer = Callable[[Request], Reply]
Log = Callable[[dict[str, Any]], None]
Meet = Callable[[str, str], Fault | None]

_MAX_BODY = 4 * 2**20  # Resource Manager's own limit on a request


def application(answer: Answer, log: Log, meet: Meet = lambda _method, _path: None) -> Application:
    """A web application that answers every path with `answer` and tells `log` of it; `meet` names what goes wrong."""
    options = {"answer": answer, "log": log, "meet": meet}
    return Application([(r".*", _Handler, options)], log_function=lambda _handler: None)


def appending(path: Path) -> Log:
    """A log that appends JSON lines to a file."""
    file = path.open("a", encoding="utf-8", buffering=1)
    return lambda line: print(json.dumps(line), file=file)


class _Handler(RequestHandler):
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT")

    def initialize(self, answer: Answer, log: Log, meet: Meet) -> None:
        self.answer = answer
        self.log = log
        self.meet = meet
        self.began = time.monotonic()
        self.id = str(uuid.uuid4())

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    async def reply(self, *_groups: str) -> None:
        fault = self.meet(str(self.request.method), self.request.path)
        do = fault.do if fault else ""
        if do == "reset-before":
            self.cut()
            return
        reply = self.decide(fault if do == "answer" else None)
        if fault and do == "stall":
            await asyncio.sleep(fault.seconds)
        if do == "reset-after":
            self.cut()
        else:
            self.send(reply)

    get = head = post = delete = patch = put = reply

    def decide(self, fault: Fault | None) -> Reply:
        """What is answered; nothing is done where a fault answers."""
        try:
            if fault:
                raise fault.failure
            return self.answer(self.read())
        except Failure as failure:
            return Reply(failure.status, {"error": failure.error}, failure.headers)

    def cut(self) -> None:
        """Reset the connection: the client hears of no answer."""
        self.note(0)
        stream = self.detach()
        if stream.socket is not None:
            # SO_LINGER of 0 s: what close() sends is a reset, not an orderly end (socket(7)).
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    def read(self) -> Request:
        """The request as a value; Failure when its body is not JSON."""
        query = {name.lower(): values[-1].decode() for name, values in self.request.query_arguments.items()}
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        body = self.request.body
        try:
            content = json.loads(body) if body.strip() else None
        except ValueError as fault:
            text = f"The request content was invalid and could not be deserialized: '{fault}'."
            raise Failure(400, "InvalidRequestContent", text) from None
        return Request(str(self.request.method), self.request.path, query, headers, content)

    def send(self, reply: Reply) -> None:
        """Write an answer."""
        self.note(reply.status)
        self.set_status(reply.status)
        self.set_header("x-ms-request-id", self.id)
        correlation = self.request.headers.get("x-ms-correlation-request-id", self.id)
        self.set_header("x-ms-correlation-request-id", correlation)
        self.set_header("Cache-Control", "no-cache")
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if reply.body is None:
            self.clear_header("Content-Type")
            self.finish()
            return
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(reply.body))

    def write_error(self, status_code: int, **_more: Any) -> None:
        """A fault of the stand-in itself, in the same shape."""
        error = {"code": "InternalServerError", "message": "The stand-in has failed; the lab's log says where."}
        self.send(Reply(status_code, {"error": error}))

    def note(self, status: int) -> None:
        """One line: what was asked and how it ended. Written first, so that who has the answer finds it."""
        line = {"time": datetime.now(UTC).isoformat(), "method": self.request.method, "path": self.request.path}
        took = round((time.monotonic() - self.began) * 1000)
        self.log({**line, "status": status, "request_id": self.id, "ms": took})
