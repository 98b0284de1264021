"""From a `Parsed` request back to text: what the grammar reads as the same request, always in one order."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.openstorage.spec import options as table
from gateway.frontends.openstorage.spec.grammar import NAME, parse_options, split_name
from gateway.frontends.openstorage.spec.model import Parsed, ProxyProtocol, ProxySpec, VolumeSpec
from gateway.frontends.openstorage.spec.options import FORMS, LABEL_OPTIONS, NESTED, OPTIONS, Option
from gateway.frontends.openstorage.spec.values import invalid, write_pairs


def describe(spec: VolumeSpec, *, name: str = "", labels: Mapping[str, str] | None = None, parent: str = "") -> Parsed:
    """Give the request that asks for this spec with the fewest options.

    InvalidArgument when the grammar has no words for something in it.
    """
    parsed = Parsed(name=name, spec=spec, labels=dict(labels or {}), parent=parent, given=_needed(spec))
    if parse_options(render_options(parsed, reveal=True), name=name) != parsed:
        raise invalid("spec", "has something that no option can say")
    return parsed


def render_options(parsed: Parsed, *, reveal: bool = False) -> dict[str, str]:
    """Give the map that `parse_options` reads as the request. Secrets are left out unless they are to be revealed."""
    said = _said(parsed, reveal=reveal)
    listed: dict[str, str] = {}
    for key, value in parsed.labels.items():
        if key in LABEL_OPTIONS or key not in FORMS or (key == table.BEST_EFFORT and value == "true"):
            said[key] = value
        else:
            listed[key] = value
    if listed:
        said[table.LABELS] = _listed(listed)
    return said


def render_name(parsed: Parsed, *, reveal: bool = False) -> str:
    """Give the name string that `parse_name` reads as the request. Secrets are left out unless they are to be revealed.

    InvalidArgument for what a name string cannot hold, such as a comma in a value.
    """
    said = _said(parsed, reveal=reveal)
    labels = dict(parsed.labels)
    for key in LABEL_OPTIONS:
        if key in labels:
            said[key] = labels.pop(key)
    if labels:
        said[table.LABELS] = _listed(labels)
    parts = [f"{option}={FORMS[option].to_name(value)}" for option, value in said.items()]
    text = ",".join([f"{NAME}={parsed.name}", *parts])
    if split_name(text) != (parsed.name, said):
        raise invalid(NAME, "a name string cannot hold all of this")
    return text


def _said(parsed: Parsed, *, reveal: bool) -> dict[str, str]:
    """Give the options, but for the labels."""
    said = {
        option.name: _written(option, parsed.spec)
        for option in OPTIONS.values()
        if option.name in parsed.given and (reveal or not option.secret)
    }
    if parsed.parent:
        said[table.PARENT] = parsed.parent
    if parsed.token is not None and reveal:
        said[table.TOKEN] = parsed.token.reveal()
    if parsed.token_secret is not None:
        said[table.TOKEN_SECRET] = parsed.token_secret.name
        if parsed.token_secret.namespace:
            said[table.TOKEN_SECRET_NAMESPACE] = parsed.token_secret.namespace
    return said


def _written(option: Option, spec: VolumeSpec) -> str:
    value = _value(option, spec)
    try:
        text = option.codec.write(value)
    except ValueError as error:
        raise invalid(option.name, str(error)) from None
    if option.path != table.ENDPOINT:
        return text
    scheme = next((word for word, protocol in table.ENDPOINT_SCHEMES.items() if protocol == _protocol(spec)), "")
    return f"{scheme}://{text}"


def _value(option: Option, spec: VolumeSpec) -> object:
    """Give what the spec has for an option; what stands in a record that is not there is its default."""
    path = option.path
    if path == table.PURE_NAME:
        record = table.PURE_RECORDS.get(_protocol(spec), "pure_block_spec")
        path = ("proxy_spec", record, "full_vol_name")
    found = table.find(spec, path)
    return table.default(path) if found is None else found


def _protocol(spec: VolumeSpec) -> ProxyProtocol:
    return (spec.proxy_spec or ProxySpec()).proxy_protocol


def _listed(labels: Mapping[str, str]) -> str:
    try:
        return write_pairs(labels)
    except ValueError as error:
        raise invalid(table.LABELS, str(error)) from None


def _needed(spec: VolumeSpec) -> frozenset[str]:
    """Give the fewest options that say the spec."""
    needed = {option.name for option in OPTIONS.values() if _value(option, spec) != _silent(option)}
    for path in sorted(NESTED, key=len, reverse=True):
        inside = [option.name for option in OPTIONS.values() if option.path[: len(path)] == path]
        named = path[-1] == table.PURE_RECORDS.get(_protocol(spec)) and "pure_vol_name" in needed
        if table.find(spec, path) is not None and needed.isdisjoint(inside) and not named:
            needed.add(inside[0])
    if "secret_key" in needed:
        needed.discard("secure")
    if spec.nodiscard:
        needed.symmetric_difference_update({"auto_fstrim"})
    if "proxy_endpoint" in needed:
        needed.discard("backend")
    return frozenset(needed)


def _silent(option: Option) -> object:
    """Give what the spec has when nothing is said about an option."""
    return "" if option.path == table.PURE_NAME else table.default(option.path)
