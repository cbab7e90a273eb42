"""Avro schemas by number: from a schema registry (Confluent's HTTP interface) or from the project itself."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

from connectors.formats.cells import Unreadable
from streams.errors import BrokerError

AUTH = "DRIFTLINE_SCHEMA_REGISTRY_AUTH"  # user:password
KIND = "application/vnd.schemaregistry.v1+json"


class Schemas(Protocol):
    """Where writers' schemas come from."""

    def schema(self, number: int) -> Any | None:
        """The Avro schema of this id, None where it is not known; Unreadable where it is none, BrokerError where nobody answers."""
        ...

    def register(self, subject: str, schema: Any) -> int:
        """The id of this schema under a subject."""
        ...


class ProjectSchemas:
    """Schemas that stand in the project, by the ids its producers write."""

    def __init__(self, schemas: Mapping[int, Any] | None = None) -> None:
        self._schemas = dict(schemas or {})

    def schema(self, number: int) -> Any | None:
        return self._schemas.get(number)

    def register(self, subject: str, schema: Any) -> int:
        for number, known in self._schemas.items():
            if known == schema:
                return number
        number = max(self._schemas, default=0) + 1
        self._schemas[number] = schema
        return number

    def __str__(self) -> str:
        return "the project's schemas"


class Registry:
    """A schema registry at a URL; user and password come from DRIFTLINE_SCHEMA_REGISTRY_AUTH. What was found once is kept."""

    def __init__(self, url: str, timeout_s: float = 10) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._found: dict[int, Any] = {}
        self._registered: dict[tuple[str, str], int] = {}

    def schema(self, number: int) -> Any | None:
        if number not in self._found:
            answer = self._ask("GET", f"/schemas/ids/{number}")
            if answer is None:
                return None  # not kept: it may be registered later
            if answer.get("schemaType", "AVRO") != "AVRO":
                raise Unreadable(f"schema {number} at {self.url} is {answer['schemaType']}, wished AVRO")
            if answer.get("references"):
                raise Unreadable(f"schema {number} at {self.url} refers to other schemas, which is not read; register it whole")
            self._found[number] = json.loads(answer["schema"])
        return self._found[number]

    def register(self, subject: str, schema: Any) -> int:
        text = json.dumps(schema, sort_keys=True)
        if (subject, text) not in self._registered:
            answer = self._ask("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})
            if answer is None:
                raise BrokerError(f"the schema registry at {self.url} takes no schema for {subject}")
            self._registered[subject, text] = int(answer["id"])
        return self._registered[subject, text]

    def latest(self, subject: str) -> tuple[int, Any] | None:
        """Id and schema of a subject's newest version."""
        answer = self._ask("GET", f"/subjects/{subject}/versions/latest")
        return None if answer is None else (int(answer["id"]), json.loads(answer["schema"]))

    def _ask(self, method: str, path: str, body: Any = None) -> Any | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": KIND, "Accept": KIND}, method=method)
        if auth := os.environ.get(AUTH):
            request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise BrokerError(
                f"the schema registry at {self.url} refuses {method} {path}: {error.code} {error.read(300).decode('utf-8', 'replace')}"
            ) from error
        except (OSError, ValueError) as error:
            raise BrokerError(
                f"the schema registry at {self.url} does not answer: {error}; is it running, and is the address right?"
            ) from error

    def __str__(self) -> str:
        return f"the schema registry at {self.url}"
