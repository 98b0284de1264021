from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ontap_scene import attempt

from gateway.core.query import Op
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.query import OrderBy, key_number, key_uuid, pairs, parse_query, scoped
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.frontends.ontap_rest.tree import AllOf, Compare, predicate

SCHEMA = load_schema()
VOLUME = SCHEMA["volume"]


def ask(text, *, verb=Verb.GET, resource="volume"):
    return parse_query(SCHEMA[resource], verb, text)


def test_nothing_asked():
    parameters = ask("")
    assert parameters.fields is None
    assert parameters.where == AllOf()
    assert parameters.pretty
    assert parameters.max_records is None


def test_every_control_parameter():
    parameters = ask(
        "fields=a,b&ignore_unknown_fields=true&max_records=50&return_records=False&return_timeout=120&offset=3"
        "&order_by=name%20asc,size+desc&pretty=false&continue_on_failure=true&serial_records=TRUE"
        "&job_results_uuid=1cd8a442-86d1-11e0-ae1c-123478563412&start.uuid=00c8%2E"
    )
    assert parameters.fields == "a,b"
    assert parameters.ignore_unknown_fields
    assert parameters.max_records == 50
    assert parameters.return_records is False
    assert parameters.return_timeout == 120
    assert parameters.offset == 3
    assert parameters.order == (OrderBy("name"), OrderBy("size", True))
    assert not parameters.pretty
    assert parameters.continue_on_failure
    assert parameters.serial_records
    assert parameters.job_results == UUID("1cd8a442-86d1-11e0-ae1c-123478563412")
    assert parameters.cursor == "00c8."


def test_fields_given_twice_are_a_union_and_an_empty_one_is_absent():
    assert ask("fields=a&fields=b").fields == "a,b"
    assert ask("fields=").fields is None
    assert ask("fields=,%20").fields is None


def test_cinders_second_question_mark_separates_control_parameters_only():
    parameters = ask("return_records=false?max_records=10000", resource="aggregate")
    assert parameters.return_records is False
    assert parameters.max_records == 10_000
    assert list(pairs("comment=a?b&pretty=true%3Fx")) == [("comment", "a?b"), ("pretty", "true?x")]


def test_dollar_order_by_is_the_same_parameter():
    assert ask("$orderBy=name").order == (OrderBy("name"),)
    assert ask("%24orderBy=svm desc").order == (OrderBy("svm.name", True),)
    with pytest.raises(WireError) as caught:
        ask("$orderBy=name&order_by=size")
    assert caught.value.code == "262188"


def test_an_object_is_queried_by_its_name():
    parameters = ask("svm=svm1&name=v%2A")
    assert parameters.queried == ("svm.name", "name")
    assert predicate(parameters.where)({"svm": {"name": "svm1"}, "name": "vol"})
    assert not predicate(parameters.where)({"svm": {"name": "svm2"}, "name": "vol"})


def test_the_resources_own_parameters_are_typed():
    assert ask("restore_to.snapshot.name=s2&return_timeout=15", verb=Verb.PATCH).options == {
        "restore_to.snapshot.name": "s2"
    }
    assert ask("force=True", verb=Verb.DELETE).options == {"force": True}
    assert ask("is_constituent=false").options == {"is_constituent": False}
    assert ask("new_index=3", verb=Verb.PATCH, resource="export_rule").options == {"new_index": 3}
    assert ask("show_spares=false", resource="aggregate").options == {"show_spares": False}


def test_a_page_is_never_longer_than_the_system_allows():
    assert ask("max_records=1000000").max_records == 10_000


@pytest.mark.parametrize(
    ("text", "verb", "code", "target"),
    [
        ("bogus=1", Verb.GET, "262179", ""),
        ("=1", Verb.GET, "262179", ""),
        ("force=true", Verb.GET, "262179", ""),
        ("name=a&name=b", Verb.GET, "262188", "name"),
        ("svm=a&svm.name=b", Verb.GET, "262188", "svm.name"),
        ("max_records=1&max_records=2", Verb.GET, "262188", "max_records"),
        ("force=1", Verb.DELETE, "262197", "force"),
        ("force=true&force=true", Verb.DELETE, "262188", "force"),
        ("restore_to.path=x", Verb.GET, "262250", "restore_to.path"),
        ("clone=x", Verb.GET, "262250", "clone"),
        ("max_records=0", Verb.GET, "262197", "max_records"),
        ("max_records=-1", Verb.GET, "262197", "max_records"),
        ("max_records=%D9%A1", Verb.GET, "262197", "max_records"),
        ("return_timeout=121", Verb.GET, "262197", "return_timeout"),
        ("pretty=perhaps", Verb.GET, "262197", "pretty"),
        ("job_results_uuid=1", Verb.GET, "262197", "job_results_uuid"),
        ("order_by=bogus", Verb.GET, "262268", "order_by"),
        ("order_by=restore_to.path", Verb.GET, "262268", "order_by"),
        ("order_by=name%20sideways", Verb.GET, "262197", "order_by"),
        ("order_by=name,name", Verb.GET, "262188", "name"),
        ("name=%FF", Verb.GET, "39387137", ""),
        ("name=a", Verb.POST, "262211", "name"),
        ("query=a", Verb.GET, "262273", "query_fields"),
        ("query_fields=name", Verb.GET, "262273", "query"),
        ("query=&query_fields=name", Verb.GET, "262274", "query"),
        ("query=a&query_fields=", Verb.GET, "262275", "query_fields"),
        ("query=a&query_fields=name,name", Verb.GET, "262276", "query_fields"),
        ("query=a&query_fields=name,!name", Verb.GET, "262275", "query_fields"),
        ("query=a&query_fields=bogus", Verb.GET, "262197", "query_fields"),
        ('query="a&query_fields=name', Verb.GET, "262272", "query"),
        ("query=a&query_fields=name", Verb.PATCH, "262277", "query"),
    ],
)
def test_refusals(text, verb, code, target):
    with pytest.raises(WireError) as caught:
        ask(text, verb=verb)
    assert (caught.value.status, caught.value.code, caught.value.target) == (400, code, target)


def test_the_text_for_an_unknown_parameter_is_the_one_clients_compare():
    with pytest.raises(WireError, match=r'^Unexpected argument "bogus"\.$'):
        ask("bogus=1")


def test_a_search_over_all_fields_but_some():
    parameters = ask("query=v*&query_fields=*,!name")
    assert not predicate(parameters.where)({"name": "vol1"})
    assert predicate(parameters.where)({"name": "x", "comment": "vol1"})
    assert parameters.queried == ()


def test_a_tunnelled_svm_restricts_what_knows_svms():
    parameters = scoped(VOLUME, ask("name=a"), "svm1")
    assert parameters.where == AllOf((ask("name=a").where, Compare("svm.name", Op.EQ, "svm1")))
    assert parameters.queried == ("name",)
    assert scoped(SCHEMA["svm"], ask("", resource="svm"), "s").where == AllOf((AllOf(), Compare("name", Op.EQ, "s")))
    assert scoped(SCHEMA["node"], ask("", resource="node"), "s") == ask("", resource="node")


def test_keys_in_paths():
    text = "1cd8a442-86d1-11e0-ae1c-123478563412"
    assert key_uuid(text.upper()) == UUID(text)
    assert key_number("17", "id") == 17
    for bad in ("1", "{" + text + "}", text.replace("-", ""), ""):
        with pytest.raises(WireError) as caught:
            key_uuid(bad)
        assert (caught.value.status, caught.value.code, caught.value.target) == (404, "2", "uuid")
    for bad in ("", "-1", "x", "\u0661", "9" * 30):
        with pytest.raises(WireError) as caught:
            key_number(bad, "id")
        assert (caught.value.status, caught.value.code) == (404, "2")


PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from([*sorted(VOLUME.fields), "fields", "order_by", "max_records", "query", "query_fields", "start.x"]),
    st.text('%=&?+*!|,"{}.<>0123456789', max_size=12),
)


@given(
    pieces=st.lists(st.tuples(PIECES, PIECES, st.booleans()), max_size=4),
    verb=st.sampled_from(list(Verb)),
    resource=st.sampled_from(sorted(SCHEMA)),
)
def test_any_query_string_is_parameters_or_a_wire_error(pieces, verb, resource):
    text = "&".join(f"{name}={quote(value) if escape else value}" for name, value, escape in pieces)
    found = attempt(lambda: ask(text, verb=verb, resource=resource))
    if isinstance(found, WireError):
        assert found.status == 400
        assert found.code.isdigit()
        assert (found.message + found.target).encode("utf-8")
    else:
        assert predicate(found.where)({}) in {True, False}


CLIENT_QUERIES = [
    ("volume", "svm.name=svm1&size=>1GB&order_by=name asc&fields=uuid,name,size,nas.path&max_records=50"),
    ("volume", "type=rw&style=flex*&is_svm_root=false&error_state.is_inconsistent=false&state=online&nas.path=/pool1"),
    ("volume", "efficiency.volume_path=/vol/pool1&fields=efficiency.state,efficiency.compression"),
    ("volume", "encryption.enabled=true&name=pool1&svm.name=svm1&return_records=false"),
    ("volume", "name=deleted_manila_*&type=rw&fields=name,state,svm.name"),
    ("volume", "nas.path=/x/*"),
    ("volume", "fields=%2A&name=v&svm.name=s"),
    ("snapshot", "owners=snapmirror_dependent"),
    ("snapshot", "svm.name=s&fields=uuid,comment,expiry_time,volume,name&name=x"),
    ("ip_interface", "services=data_nfs,data_cifs&fields=ip.address"),
    ("ip_interface", "state=up&fields=ip.address"),
    ("svm", "fields=name,aggregates.name,aggregates.available_size"),
    ("cluster", "max_records=10000&fields=version"),
    ("snapshot_policy", "name=p&svm.name=s&scope=svm&fields=enabled,svm.uuid,copies.schedule.name,scope,"),
    (
        "export_rule",
        "allow_suid=True&protocols=nfs&superuser=any&clients.match=0.0.0.0/0&ro_rule=any&rw_rule=any",
    ),
    ("job", "fields=message,state"),
]


@pytest.mark.parametrize(("resource", "text"), CLIENT_QUERIES)
def test_what_real_clients_send_is_understood(resource, text):
    ask(text, resource=resource)
