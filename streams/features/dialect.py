"""The dialect of features.sql on top of sqlglot: what the feature SQL says that no other dialect says.

ROWS_RANGE frames with unit literals (`3h`), OPEN bounds, EXCLUDE CURRENT_TIME and CURRENT_ROW, MAXSIZE, INSTANCE_NOT_IN_WINDOW, windows
over a UNION of tables, LAST JOIN with its own ORDER BY, typed literals (`0L`, `1.5f`), `map<k, v>` and `ARRAY<t>[...]`. Every function
stays a name with arguments: what it means and whether it exists is decided in `functions.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token, TokenType
from sqlglot.tokens import Tokenizer

UNITS = {"S": 1_000, "M": 60_000, "H": 3_600_000, "D": 86_400_000}


class LastJoin(exp.Join):
    """LAST JOIN right [ORDER BY column] ON condition: one row per left row, always."""

    arg_types = {**exp.Join.arg_types, "order": False}


class FeatureWindow(exp.Expression):
    """A window specification, or the name of one (`name`), and the expression under OVER (`this`)."""

    arg_types = {
        "this": False,
        "name": False,
        "alias": False,
        "union": False,
        "partition": False,
        "order": False,
        "kind": False,
        "start": False,
        "end": False,
        "maxsize": False,
        "exclude": False,
        "instance_not_in_window": False,
    }


class Bound(exp.Expression):
    """One end of a frame. `this` is the offset (None: UNBOUNDED), `unit` its letter, `side` PRECEDING or FOLLOWING."""

    arg_types = {"this": False, "unit": False, "side": False, "open": False, "current": False}


class UnitLiteral(exp.Expression):
    """A number with a unit: `2s`, `1.5f`, `0L`."""

    arg_types = {"this": True, "unit": True}


class TypeName(exp.Expression):
    """A type as written: `int`, `varchar(60)`, `map<int, string>`."""

    arg_types = {"this": True, "expressions": False}


class TypedArray(exp.Expression):
    """ARRAY<t>[...]."""

    arg_types = {"to": True, "expressions": False}


class TypedCast(exp.Expression):
    """CAST(this AS to)."""

    arg_types = {"this": True, "to": True}


class FeatureTokenizer(Tokenizer):
    QUOTES = ["'", '"']
    IDENTIFIERS = ["`"]
    STRING_ESCAPES = ["\\"]
    COMMENTS = ["--", "#", ("/*", "*/")]
    KEYWORDS = {
        **{
            word: kind
            for word, kind in Tokenizer.KEYWORDS.items()
            if (kind not in Parser.TYPE_TOKENS or word == "UNION") and not word.startswith("/*") and word not in ("END IF", "WITHIN GROUP")
        },
        "==": TokenType.EQ,
        "DIV": TokenType.DIV,
        "MOD": TokenType.MOD,
        "XOR": TokenType.XOR,
        "RLIKE": TokenType.RLIKE,
        "LAST JOIN": TokenType.STRAIGHT_JOIN,
        "FINAL": TokenType.FINAL,
        "ARRAY": TokenType.VAR,
        "MAP": TokenType.VAR,
        "NULL": TokenType.NULL,
    }
    for _word in ("TIMESTAMP", "DATE", "INTERVAL YEAR", "COMMENT", "REPLACE", "FORMAT", "ROW", "TOP", "KEEP"):
        KEYWORDS.pop(_word, None)


class FeatureParser(Parser):
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    FUNCTION_PARSERS = {"CAST": lambda self: self._parse_typed_cast()}
    NO_PAREN_FUNCTION_PARSERS = {"CASE": Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}
    QUERY_MODIFIER_PARSERS = {
        kind: parse for kind, parse in Parser.QUERY_MODIFIER_PARSERS.items() if kind not in (TokenType.USING, TokenType.TABLE_SAMPLE)
    }
    TABLE_ALIAS_TOKENS = Parser.TABLE_ALIAS_TOKENS - {TokenType.STRAIGHT_JOIN, TokenType.WINDOW, TokenType.UNION, TokenType.FINAL}
    PLACEHOLDER_PARSERS: ClassVar[dict[Any, Any]] = {}  # they may be names: `t@d`, `n:a`
    FACTOR: ClassVar[dict[Any, Any]] = {**Parser.FACTOR, TokenType.DIV: exp.IntDiv, TokenType.SLASH: exp.Div, TokenType.MOD: exp.Mod}
    SUPPORTS_IMPLICIT_UNNEST = False

    def _parse_statement(self) -> exp.Expr | None:
        return self._parse_select()  # nothing but a query is a feature definition

    def _need(self, kind: TokenType, message: str) -> None:
        if not self._match(kind):
            self.raise_error(message)

    def _parse_conjunction(self) -> exp.Expr | None:
        this = self._parse_xor()
        while self._match(TokenType.AND):
            this = self.expression(exp.And(this=this, expression=self._parse_xor()))
        return this

    def _parse_xor(self) -> exp.Expr | None:
        this = self._parse_equality()
        while self._match(TokenType.XOR):
            this = self.expression(exp.Xor(this=this, expression=self._parse_equality()))
        return this

    def _parse_atom(self) -> exp.Expr | None:
        token = self._curr
        if token.token_type == TokenType.NUMBER and self._next.token_type == TokenType.VAR and self._next.start == token.end + 1:
            return None
        if token.token_type == TokenType.VAR and token.text.upper() == "ARRAY" and self._next.token_type == TokenType.LT:
            return self._parse_primary()
        atom = super()._parse_atom()
        if atom is not None and not atom.meta.get("line"):
            atom.update_positions(token)
        return atom

    def _parse_primary(self) -> exp.Expr | None:
        token = self._curr
        if token and token.token_type == TokenType.NUMBER:
            follower = self._next
            if follower and follower.token_type == TokenType.VAR and follower.start == token.end + 1:
                self._advance(2)
                unit = self.expression(UnitLiteral(this=token.text, unit=follower.text.upper()))
                return unit.update_positions(token)
        if token and token.token_type == TokenType.VAR and token.text.upper() == "ARRAY" and self._next.token_type == TokenType.LT:
            kind = self._parse_type_name()
            self._need(TokenType.L_BRACKET, "Expected [ after the type of an array")
            items = [] if self._match(TokenType.R_BRACKET, advance=False) else self._parse_csv(self._parse_disjunction)
            self._need(TokenType.R_BRACKET, "Expected ]")
            return self.expression(TypedArray(to=kind, expressions=items)).update_positions(token)
        primary = super()._parse_primary()
        if primary is not None and token is not None and not primary.meta.get("line"):
            primary.update_positions(token)
        return primary

    def _parse_type_name(self) -> exp.Expr:
        token = self._curr
        if token is None or not self._match_set(self.ID_VAR_TOKENS | {TokenType.VAR, TokenType.IDENTIFIER}):
            self.raise_error("Expected a type")
        parameters: list[exp.Expr] = []
        if self._match(TokenType.LT):
            parameters = self._parse_csv(self._parse_type_name)
            self._need(TokenType.GT, "Expected >")
        elif self._match(TokenType.L_PAREN):
            self._parse_csv(super()._parse_primary)
            self._match_r_paren()
        return self.expression(TypeName(this=token.text.upper(), expressions=parameters)).update_positions(token)

    def _parse_typed_cast(self) -> exp.Expr:
        this = self._parse_disjunction()
        self._need(TokenType.ALIAS, "Expected AS in CAST")
        return self.expression(TypedCast(this=this, to=self._parse_type_name()))

    def _parse_table(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        start = self._index
        table = super()._parse_table(*args, **kwargs)
        for token in self._tokens[start : self._index] if isinstance(table, exp.Table) else ():
            if token.token_type in (TokenType.STAR, TokenType.NOT):  # `t*`, NOT INDEXED: no node tells of them
                self.raise_error("Expected a table and its alias", token)
        return table

    # LAST JOIN t [AS a] [ORDER BY c] ON condition
    def _parse_join(self, *args: Any, **kwargs: Any) -> exp.Join | None:
        token = self._curr
        if token is None or not self._match(TokenType.STRAIGHT_JOIN):
            return super()._parse_join(*args, **kwargs)
        table = self._parse_table()
        order = self._parse_order()
        on = self._parse_disjunction() if self._match(TokenType.ON) else None
        return self.expression(LastJoin(this=table, on=on, order=order, kind="LAST")).update_positions(token)

    def _parse_named_window(self) -> exp.Expr | None:
        token = self._curr
        name = self._parse_id_var()
        self._need(TokenType.ALIAS, "Expected AS after the name of a window")
        if self._match(TokenType.L_PAREN):
            window = self._parse_window_body()
        else:  # another window by its name
            other = self._parse_id_var()
            if other is None:
                self.raise_error("Expected ( or the name of a window")
            window = self.expression(FeatureWindow(name=other))
        window.set("alias", name)
        return window.update_positions(token)

    def _parse_window(self, this: exp.Expr | None, alias: bool = False) -> exp.Expr | None:
        if this is None or not self._match(TokenType.OVER):
            return this
        token = self._prev
        if self._match(TokenType.L_PAREN):
            window = self._parse_window_body()
        else:
            name = self._parse_id_var()
            if name is None:
                self.raise_error("Expected the name of a window, or ( , after OVER")
            window = self.expression(FeatureWindow(name=name))
        window.set("this", this)
        return window.update_positions(token)

    def _parse_column_ops(self, this: exp.Expr | None) -> exp.Expr | None:
        this = super()._parse_column_ops(this)
        return self._parse_window(this) if isinstance(this, (exp.Bracket, exp.Paren)) else this

    def _parse_window_body(self) -> FeatureWindow:
        arguments: dict[str, Any] = {}
        if self._match(TokenType.UNION):
            arguments["union"] = self._parse_csv(self._parse_union_table)
        if self._match(TokenType.PARTITION_BY):
            arguments["partition"] = self._parse_csv(self._parse_disjunction)
        arguments["order"] = self._parse_order()
        if self._match_texts(("ROWS", "ROWS_RANGE", "RANGE")):
            arguments["kind"] = "ROWS" if self._prev.text.upper() == "ROWS" else "RANGE"
            between = self._match(TokenType.BETWEEN)
            arguments["start"] = self._parse_bound()
            if between:
                self._need(TokenType.AND, "Expected AND between the bounds of a frame")
                arguments["end"] = self._parse_bound()
        exclude: list[str] = []
        while self._curr and not self._match(TokenType.R_PAREN, advance=False):
            if self._match_text_seq("EXCLUDE"):
                if self._match_text_seq("CURRENT_TIME"):
                    exclude.append("CURRENT_TIME")
                elif self._match_text_seq("CURRENT_ROW") or self._match_text_seq("CURRENT", "ROW"):
                    exclude.append("CURRENT_ROW")
                else:
                    self.raise_error("Expected CURRENT_TIME or CURRENT_ROW after EXCLUDE")
            elif self._match_text_seq("MAXSIZE"):
                if exclude or "instance_not_in_window" in arguments or "maxsize" in arguments:
                    self.raise_error("Expected MAXSIZE once, and before EXCLUDE and INSTANCE_NOT_IN_WINDOW", self._prev)
                arguments["maxsize"] = self._parse_primary()
            elif self._match_text_seq("INSTANCE_NOT_IN_WINDOW"):
                arguments["instance_not_in_window"] = True
            else:
                self.raise_error("Expected EXCLUDE, MAXSIZE, INSTANCE_NOT_IN_WINDOW or )")
        self._match_r_paren()
        return self.expression(FeatureWindow(**arguments, exclude=exclude))

    def _parse_union_table(self) -> exp.Expr | None:
        return self._parse_table(alias_tokens=self.TABLE_ALIAS_TOKENS - {TokenType.PARTITION_BY})

    def _parse_bound(self) -> Bound:
        token = self._curr
        arguments: dict[str, Any] = {}
        if self._match_text_seq("CURRENT", "ROW") or self._match_text_seq("CURRENT_ROW"):
            return self.expression(Bound(current=True)).update_positions(token)
        if not self._match_text_seq("UNBOUNDED"):
            if self._match_text_seq("INTERVAL"):
                arguments["this"] = self._parse_primary()
                if self._match_texts(("OPEN", "PRECEDING", "FOLLOWING"), advance=False):
                    self.raise_error("Expected a unit behind the quotes, as in INTERVAL '3' HOUR", self._prev)
                unit = self._curr
                self._advance()
                arguments["unit"] = unit.text.upper() if unit else None
            else:
                arguments["this"] = self._parse_bitwise()
        arguments["open"] = bool(self._match_text_seq("OPEN"))
        if not self._match_texts(("PRECEDING", "FOLLOWING")):
            self.raise_error("Expected PRECEDING")
        arguments["side"] = self._prev.text.upper()
        return self.expression(Bound(**arguments)).update_positions(token)


class Features(Dialect):
    """`sqlglot` dialect of features.sql."""

    class Tokenizer(FeatureTokenizer):
        pass

    Parser = FeatureParser


def tokenize(sql: str) -> list[Token]:
    return list(Features().tokenize(sql))


def parse(tokens: list[Token], sql: str) -> list[exp.Expr | None]:
    return list(Features().parser().parse(tokens, sql))
