"""The value grammar of queries: `name=!a*|"b,c"|3..10` becomes a tree typed by the field.

`|` and `,` separate alternatives, `!` negates one of them, `<` `<=` `>` `>=`
compare, `..` is a range, `*` stands for any text, `null` for an unset field.
Double quotes and braces make their content literal; braces nest and protect
quotes. The comma is what Ansible, Cinder and Manila send for any-of.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.core.query import Op
from gateway.frontends.ontap_rest.errors import WireError, invalid
from gateway.frontends.ontap_rest.scalars import HINTS, INTEGER_MAX, PARSERS, Scalar
from gateway.frontends.ontap_rest.schema import Field, Kind
from gateway.frontends.ontap_rest.tree import AnyOf, Between, Compare, Glob, Leaf, Node, Not, Search, Unset


class Mark(enum.Enum):
    """What a piece of a value is."""

    PLAIN = enum.auto()
    LITERAL = enum.auto()
    ANY = enum.auto()
    OR = enum.auto()


class Token(msgspec.Struct, frozen=True):
    """One piece of a value."""

    mark: Mark
    text: str = ""


Alternative = list[Token]

_COMPARISONS = ((">=", Op.GE), ("<=", Op.LE), (">", Op.GT), ("<", Op.LT))
_UNORDERED = frozenset({Kind.BOOLEAN, Kind.PASSWORD})
_FOLDED = frozenset({Kind.BOOLEAN, Kind.UUID})


def parse_value(field: Field, text: str) -> Node:
    """Give the tree that a query value means for a field; WireError when it cannot be read or typed."""
    alternatives = [part for part in _alternatives(field.path, text, separators="|,") if part]
    if not alternatives:
        if field.kind is Kind.STRING and not field.enum and not text:
            return Compare(field.path, Op.EQ, "")
        raise without_value(field.path)
    terms = tuple(_alternative(field, part, text) for part in alternatives)
    return terms[0] if len(terms) == 1 else AnyOf(terms)


def parse_search(paths: tuple[str, ...], text: str) -> Search:
    """Give the tree of `query=`: `|` separates alternatives, blanks separate patterns that must all match."""
    alternatives = [_words(part) for part in _alternatives("query", text, separators="|")]
    kept = tuple(group for group in alternatives if group)
    if not kept:
        raise WireError(400, "262274", message="The query is empty", target="query")
    return Search(paths, kept)


def parse_literal(field: Field, text: str) -> Scalar:
    """Give a plain value of the field's type, taken as it is."""
    value = _typed(field, text, text)
    if field.enum and value not in field.enum:
        raise invalid(field.path, text, "|".join(field.enum))
    return value


def without_value(path: str) -> WireError:
    """Give the refusal of an expression that lacks its value."""
    return WireError(400, "262194", message=f'The expression for field "{path}" has no value', target=path)


def _alternatives(path: str, text: str, *, separators: str) -> list[Alternative]:
    parts: list[Alternative] = [[]]
    for token in _tokens(path, text, separators):
        if token.mark is Mark.OR:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _tokens(path: str, text: str, separators: str) -> list[Token]:
    tokens: list[Token] = []
    plain: list[str] = []

    def flush() -> None:
        if plain:
            tokens.append(Token(Mark.PLAIN, "".join(plain)))
            plain.clear()

    at = 0
    while at < len(text):
        char = text[at]
        if char in '"{':
            flush()
            end = text.find('"', at + 1) if char == '"' else _closing(text, at)
            if end < 0:
                if path == "query":
                    raise WireError(400, "262272", message="The query has an unmatched quote", target="query")
                raise invalid(path, text, "a value with matching quotes and braces")
            tokens.append(Token(Mark.LITERAL, text[at + 1 : end]))
            at = end
        elif char == "*":
            flush()
            tokens.append(Token(Mark.ANY))
        elif char in separators:
            flush()
            tokens.append(Token(Mark.OR))
        else:
            plain.append(char)
        at += 1
    flush()
    return tokens


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return -1


def _alternative(field: Field, tokens: Alternative, text: str) -> Node:
    body, negations = _negations(tokens)
    if not body:
        raise without_value(field.path)
    if body == [Token(Mark.PLAIN, "null")]:
        term: Leaf = Unset(field.path)
    else:
        term = _comparison(field, body, text) or _range(field, body, text) or _plain(field, body, text)
    return Not(term) if negations % 2 else term


def _negations(tokens: Alternative) -> tuple[Alternative, int]:
    head = tokens[0]
    if head.mark is not Mark.PLAIN:
        return tokens, 0
    rest = head.text.lstrip("!")
    return ([Token(Mark.PLAIN, rest)] if rest else []) + tokens[1:], len(head.text) - len(rest)


def _comparison(field: Field, tokens: Alternative, text: str) -> Leaf | None:
    head = tokens[0]
    if head.mark is not Mark.PLAIN:
        return None
    for sign, op in _COMPARISONS:
        if head.text.startswith(sign):
            rest = head.text[len(sign) :]
            operand = ([Token(Mark.PLAIN, rest)] if rest else []) + tokens[1:]
            return Compare(field.path, op, _ordered(field, operand, text))
    return None


def _range(field: Field, tokens: Alternative, text: str) -> Leaf | None:
    for number, token in enumerate(tokens):
        if token.mark is not Mark.PLAIN or ".." not in token.text:
            continue
        left, _, right = token.text.partition("..")
        low = tokens[:number] + ([Token(Mark.PLAIN, left)] if left else [])
        high = ([Token(Mark.PLAIN, right)] if right else []) + tokens[number + 1 :]
        if any(part.mark is Mark.ANY for part in low + high):
            return None
        return Between(field.path, _ordered(field, low, text), _ordered(field, high, text))
    return None


def _ordered(field: Field, tokens: Alternative, text: str) -> Scalar:
    if not tokens:
        raise without_value(field.path)
    if field.kind in _UNORDERED or any(token.mark is Mark.ANY for token in tokens):
        raise invalid(field.path, text, "an operand that can be ordered")
    return _typed(field, "".join(token.text for token in tokens), text)


def _plain(field: Field, tokens: Alternative, text: str) -> Leaf:
    if any(token.mark is Mark.ANY for token in tokens):
        fold = field.kind in _FOLDED or bool(field.enum)
        return Glob(field.path, _pieces(tokens), fold)
    value = _typed(field, "".join(token.text for token in tokens), text)
    if field.enum and value not in field.enum:
        raise invalid(field.path, str(value), "|".join(field.enum))
    return Compare(field.path, Op.EQ, value)


def _typed(field: Field, operand: str, text: str) -> Scalar:
    try:
        value = PARSERS[field.kind](operand)
    except ValueError:
        raise invalid(field.path, text, HINTS[field.kind]) from None
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise invalid(field.path, text, HINTS[field.kind])
    return value.lower() if field.enum and isinstance(value, str) else value


def _pieces(tokens: Alternative) -> tuple[str, ...]:
    pieces = [""]
    for token in tokens:
        if token.mark is Mark.ANY:
            pieces.append("")
        else:
            pieces[-1] += token.text
    return tuple(pieces)


def _words(tokens: Alternative) -> tuple[tuple[str, ...], ...]:
    words: list[Alternative] = [[]]
    for token in tokens:
        if token.mark is not Mark.PLAIN:
            words[-1].append(token)
            continue
        for number, piece in enumerate(token.text.split(" ")):
            if number:
                words.append([])
            if piece:
                words[-1].append(Token(Mark.PLAIN, piece))
    return tuple(_pieces(word) for word in words if word)
