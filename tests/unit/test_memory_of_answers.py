"""What doors keep of finished work: bounded, and never older than the catalog."""

from __future__ import annotations

import json

import msgspec
import pytest

from gateway.frontends.memory import Answers, Memory
from gateway.frontends.ontap_rest.encode import collection, compact, dumps, items_text, page_text


def test_the_oldest_goes_first() -> None:
    memory: Memory[str] = Memory(10 * 1024)
    for number in range(10):
        memory.put(number, f"value {number}", 0)
    assert [memory.get(number) for number in range(10)] == [None] * 5 + [f"value {number}" for number in range(5, 10)]
    memory.clear()
    assert memory.get(9) is None


def test_what_is_large_is_not_kept() -> None:
    memory: Memory[str] = Memory(16 * 1024)
    memory.put("small", "small", 2048)
    memory.put("large", "large", 2049)
    assert (memory.get("small"), memory.get("large")) == ("small", None)


def test_a_value_is_kept_once() -> None:
    memory: Memory[str] = Memory(8 * 1024)
    for _ in range(100):
        memory.put("same", "value", 0)
    assert memory.get("same") == "value"


def test_answers_are_never_older_than_the_catalog() -> None:
    answers: Answers[str] = Answers(16 * 1024)
    assert answers.get("key", 1) is None
    answers.put("key", 1, "first", weight=0)
    assert answers.get("key", 1) == "first"
    assert answers.get("key", 2) is None
    answers.put("key", 1, "computed before the change", weight=0)
    assert answers.get("key", 2) is None


@pytest.mark.parametrize("pretty", [True, False])
@pytest.mark.parametrize("sizes", [(1,), (3,), (2, 1), (2, 2, 2)])
def test_a_page_of_slices_is_the_page(pretty: bool, sizes: tuple[int, ...]) -> None:
    records = [{"name": f'v"{n}"', "space": {"size": n, "tags": ["a", "]}"]}, "records": []} for n in range(sum(sizes))]
    links = {"count": len(records), "href": "/api/x", "links": True, "following": "/api/x?start.uuid=1"}
    whole = dumps(collection(records, **links), pretty=pretty)
    texts, slices = [compact(record) for record in records], []
    for size in sizes:
        slices.append(items_text(texts[:size], pretty=pretty))
        del texts[:size]
    assert b"".join(page_text(slices, collection([], **links), pretty=pretty)) == whole
    assert json.loads(whole)["num_records"] == len(records)


def test_a_kept_text_is_a_part_of_any_answer() -> None:
    text = compact({"name": "v"})
    assert isinstance(text, msgspec.Raw)
    assert dumps(text) == dumps({"name": "v"})
