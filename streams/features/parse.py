"""Text to syntax tree: one query, and what may stand around it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token, TokenType

from streams.errors import FeatureError
from streams.features.dialect import parse, tokenize
from streams.features.refusal import Refusals, did_you_mean

OPTIONS = {"LONG_WINDOWS"}
_OPERAND_ENDS = {
    TokenType.VAR,
    TokenType.IDENTIFIER,
    TokenType.NUMBER,
    TokenType.STRING,
    TokenType.NULL,
    TokenType.TRUE,
    TokenType.FALSE,
    TokenType.END,
    TokenType.R_PAREN,
    TokenType.R_BRACKET,
}
_BEFORE_JOIN = {*_OPERAND_ENDS, *Parser.JOIN_SIDES, *Parser.JOIN_KINDS, *Parser.JOIN_METHODS}
_CLOSED = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|(?:--|#)[^\n]*"""
_OPENINGS = re.compile(rf"""{_CLOSED}|(?P<open>['"`]|/\*)|.""", re.DOTALL)


@dataclass(frozen=True)
class Statement:
    """The query, and the options around it (`long_windows`: window name to bucket text)."""

    query: exp.Expr
    options: dict[str, str] = field(default_factory=dict)
    outfile: str | None = None


def read(sql: str, refusals: Refusals) -> Statement:
    """Parse one SELECT with an optional OPTIONS(...) and a CONFIG(...) behind it.

    Raises FeatureError with line and column where it cannot be read.
    """
    try:
        tokens = tokenize(sql)
    except TokenError as error:
        raise _unreadable(sql, error, refusals) from error
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise refusals.place(1, 1, "nothing", "one SELECT")
    tokens, options = _split(tokens, refusals)
    outfile = options.pop("outfile", None)
    _check_words(tokens, refusals)
    first = tokens[0]
    if first.token_type not in (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN):
        raise refusals.place(first.line, _column(first), first.text.upper(), "SELECT: a file of features is one query")
    try:
        trees = parse(tokens, sql)
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        met, description = str(detail.get("highlight") or ""), str(detail.get("description") or error)
        if "TokenType.SENTINEL" in description:  # sqlglot's name for the end, at which it has no place
            raise refusals.place(tokens[-1].line, tokens[-1].col + 1, "the end", _wish(description)) from error
        line, column = detail.get("line"), detail.get("col")
        column = max(1, column - len(met) + 1) if column else column
        shown = met if met.startswith("'") else f"'{met}'"
        raise refusals.place(line, column, shown if met else "the end", _wish(description)) from error
    except (ValueError, AttributeError, TypeError, IndexError, RecursionError) as error:
        # sqlglot's parser raises these on some malformed input instead of a ParseError
        raise refusals.place(first.line, _column(first), f"a statement that cannot be read ({error})", "one SELECT") from error
    queries = [tree for tree in trees if tree is not None]
    if len(queries) != 1:
        raise refusals.place(first.line, _column(first), f"{len(queries)} statements", "one SELECT")
    return Statement(queries[0], options, outfile)


def _unreadable(sql: str, error: TokenError, refusals: Refusals) -> FeatureError:
    """The first quote or comment that is not closed, or else what sqlglot says."""
    found = next((match for match in _OPENINGS.finditer(sql) if match["open"]), None)
    if found is None:
        return refusals.place(1, 1, f"text that has no meaning ({error})", "one SELECT")
    start, opening = found.start(), found["open"]
    line, column = sql.count("\n", 0, start) + 1, start - sql.rfind("\n", 0, start)
    return refusals.place(line, column, f"{opening} without an end", {"/*": "*/"}.get(opening, f"another {opening}"))


def _check_words(tokens: list[Token], refusals: Refusals) -> None:
    """JOIN is a name where it is called, not joined with; and `::` is refused with what is said here instead."""
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.token_type == TokenType.JOIN and after.token_type == TokenType.L_PAREN and before.token_type not in _BEFORE_JOIN:
            token.token_type = TokenType.VAR
        if token.token_type == TokenType.DCOLON:
            value = before.text if before.token_type in (TokenType.VAR, TokenType.NUMBER) else "..."
            raise refusals.place(token.line, _column(token), "::", f"CAST({value} AS {after.text.upper()})")


def _wish(description: str) -> str:
    text = description.partition(" but got <Token")[0].rstrip(".").removeprefix("Expected ").removeprefix("Expecting ")
    if text.startswith("Required keyword"):
        return "more behind it"
    return "another word here" if text.startswith("Invalid expression") else text


def _split(tokens: list[Token], refusals: Refusals) -> tuple[list[Token], dict[str, str]]:
    """Take the clauses that are not part of the query off its end (and DEPLOY off its beginning)."""
    options: dict[str, str] = {}
    if tokens[0].text.upper() == "DEPLOY":
        start = next((i for i, token in enumerate(tokens) if token.token_type in (TokenType.SELECT, TokenType.WITH)), len(tokens) - 1)
        head = tokens[:start]
        at = next((i for i, token in enumerate(head) if token.text.upper() == "OPTIONS"), None)
        if at is not None:
            options |= _options(head[at:], refusals)
        tokens = tokens[start:]
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if depth or not index:
            continue
        word, following = token.text.upper(), tokens[index + 1].text.upper() if index + 1 < len(tokens) else ""
        if word in ("OPTIONS", "CONFIG") and following == "(":
            rest = tokens[index:]
            if word == "CONFIG":
                raise refusals.place(token.line, _column(token), "CONFIG", "a query without it: the rows of a request come from its topic")
            return tokens[:index], options | _options(rest, refusals)
        if word == "INTO" and following == "OUTFILE":
            return tokens[:index], options | _outfile(tokens[index + 2 :], token, refusals)
    return tokens, options


def _outfile(tokens: list[Token], into: Token, refusals: Refusals) -> dict[str, str]:
    """INTO OUTFILE 'path' [OPTIONS(...)]: where a backfill writes when nothing else is said."""
    if not tokens or tokens[0].token_type != TokenType.STRING or not tokens[0].text:
        raise refusals.place(into.line, _column(into), "INTO OUTFILE without a path", "INTO OUTFILE 'path'")
    path, rest = tokens[0].text, tokens[1:]
    if rest and (rest[0].text.upper() != "OPTIONS" or len(rest) < 2 or rest[1].token_type != TokenType.L_PAREN):
        raise refusals.place(rest[0].line, _column(rest[0]), rest[0].text, "OPTIONS(...) or the end")
    body, index = rest[2:], 0
    while index < len(body) and body[index].token_type != TokenType.R_PAREN:
        name, value = body[index], body[index + 2] if index + 2 < len(body) else None
        wished = _OUTFILE.get(name.text.lower())
        if wished is None:
            raise refusals.place(
                name.line, _column(name), f"the option {name.text}", f"one of {', '.join(_OUTFILE)}", did_you_mean(name.text, _OUTFILE)
            )
        kinds = {"text": (TokenType.STRING,), "true or false": (TokenType.TRUE, TokenType.FALSE), "a number": (TokenType.NUMBER,)}
        right = value is not None and body[index + 1].token_type == TokenType.EQ
        right = right and not (name.text.lower() == "quote" and value is not None and len(value.text) > 1)
        if (
            not right
            or value is None
            or (value.token_type not in kinds[wished] if wished in kinds else value.text.lower() not in wished.split(" or "))
        ):
            raise refusals.place(name.line, _column(name), f"{name.text} = {value.text if value else ''}", wished)
        index += 3
        if index < len(body) and body[index].token_type == TokenType.COMMA:
            index += 1
    return {"outfile": path}


_OUTFILE = {
    "format": "csv or parquet",
    "mode": "error_if_exists or errorifexists or overwrite or append",
    "header": "true or false",
    "delimiter": "text",
    "null_value": "text",
    "quote": "text",
    "coalesce": "a number",
}


def _options(tokens: list[Token], refusals: Refusals) -> dict[str, str]:
    """OPTIONS(key = 'value', ...)."""
    found: dict[str, str] = {}
    body = tokens[2:]
    index = 0
    while index < len(body) and body[index].token_type != TokenType.R_PAREN:
        name = body[index]
        if name.text.upper() not in OPTIONS:
            raise refusals.place(name.line, _column(name), f"the option {name.text}", "long_windows")
        if index + 2 >= len(body) or body[index + 1].token_type != TokenType.EQ or body[index + 2].token_type != TokenType.STRING:
            raise refusals.place(name.line, _column(name), "an option without a text", "long_windows = 'w:1h'")
        found[name.text.lower()] = body[index + 2].text
        index += 3
        if index < len(body) and body[index].token_type == TokenType.COMMA:
            index += 1
    return found


def _column(token: Token) -> int:
    return max(1, token.col - len(token.text) + 1)
