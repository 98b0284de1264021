from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ontap_scene import VOLUMES, attempt

from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.projection import DEFAULT_FIELDS, Projections, compile_projection
from gateway.frontends.ontap_rest.render import render_volume
from gateway.frontends.ontap_rest.schema import load_schema

SCHEMA = load_schema()
VOLUME = SCHEMA["volume"]
RECORD = render_volume(*VOLUMES[0])
CLONE = render_volume(*VOLUMES[1])
KEYS = {"uuid": RECORD["uuid"], "name": "vol1"}


def shown(fields, **options):
    return compile_projection(VOLUME, fields, **options).prune(RECORD)


@pytest.mark.parametrize("fields", [None, "", " ", ","])
def test_a_bare_collection_shows_the_default_fields(fields):
    assert shown(fields) == KEYS


def test_a_bare_instance_shows_what_the_asterisk_does():
    assert shown(None, instance=True) == shown("*")


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ("size", {"size": 20 << 20}),
        ("size,size, state ,", {"size": 20 << 20, "state": "online"}),
        ("nas.path", {"nas": {"path": "/vol1"}}),
        ("nas.export_policy", {"nas": {"export_policy": {"id": 7, "name": "default"}}}),
        ("nas.export_policy.*", {"nas": {"export_policy": {"id": 7, "name": "default"}}}),
        ("nas.{path,export_policy.{name}}", {"nas": {"path": "/vol1", "export_policy": {"name": "default"}}}),
        ("nas.export_policy,!nas.export_policy.id", {"nas": {"export_policy": {"name": "default"}}}),
        ("aggregates.name", {"aggregates": [{"name": "aggr1"}]}),
        ("aggregates", {"aggregates": [{"uuid": RECORD["aggregates"][0]["uuid"], "name": "aggr1"}]}),
        ("_tags", {"_tags": ["env:test", "team:a:b"]}),
        ("qos.policy.name", {}),
        ("!size", {}),
    ],
)
def test_named_fields(fields, more):
    assert shown(fields) == KEYS | more


def test_expensive_fields_come_only_when_named_or_with_two_asterisks():
    assert "path" not in shown("*")["nas"]
    assert shown("*")["nas"] == {"export_policy": {"name": "default"}}
    assert shown("*,nas.path")["nas"] == {"path": "/vol1", "export_policy": {"name": "default"}}
    assert shown("**")["nas"] == RECORD["nas"]
    assert shown("clone")["clone"] == RECORD["clone"]


def test_keys_cannot_be_taken_away():
    assert shown("size,!uuid,!name") == KEYS | {"size": 20 << 20}


def test_queried_fields_are_shown_even_without_fields():
    assert shown(None, queried=("is_svm_root", "svm.name")) == KEYS | {"is_svm_root": False, "svm": {"name": "svm1"}}
    assert shown("name", queried=("comment",)) == KEYS | {"comment": 'a "comment"'}


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ("name,bogus", "262197", 'The value "bogus" is invalid for field "fields" (<field,...>)'),
        ("name.bogus", "262197", None),
        ("bogus.*", "262197", None),
        ("restore_to.path", "262249", None),
        ("restore_to", "262249", None),
        ("nas.{path", "262286", None),
        ("nas.path}", "262286", None),
        ("nas.{path}x", "262286", None),
        ("{" * 100, "262286", None),
    ],
)
def test_refusals(fields, code, text):
    with pytest.raises(WireError) as caught:
        shown(fields)
    assert (caught.value.status, caught.value.code, caught.value.target) == (400, code, "fields")
    assert text in {None, caught.value.message}


def test_unknown_fields_may_be_ignored():
    assert shown("bogus,restore_to,size", ignore_unknown=True) == KEYS | {"size": 20 << 20}


def test_wants_tells_what_has_to_be_computed():
    projection = compile_projection(VOLUME, "nas.export_policy.name,clone")
    assert projection.wants("nas")
    assert projection.wants("nas.export_policy")
    assert not projection.wants("snapshot_policy")
    assert projection.wants("clone.parent_volume")


def test_pruning_leaves_the_record_alone():
    before = render_volume(*VOLUMES[1])
    compile_projection(VOLUME, "**").prune(CLONE)["aggregates"].append({})
    assert before == CLONE


def test_the_memory_of_projections_is_bounded_and_forgets_the_oldest():
    memory = Projections(limit=2)
    first = memory.get(VOLUME, "size")
    memory.get(VOLUME, "state")
    assert memory.get(VOLUME, "size") is first
    memory.get(VOLUME, "comment")
    assert memory.get(VOLUME, "size") is first
    assert memory.get(VOLUME, "size", instance=True) is not first
    memory.get(VOLUME, "type")
    memory.get(VOLUME, "style")
    assert memory.get(VOLUME, "size") is not first


VOLFIELDS = (
    "encryption.enabled,tiering.policy,tiering.object_tags,nas.export_policy.name,aggregates.name,aggregates.uuid,uuid,"
    "nas.path,style,type,comment,qos.policy.name,nas.security_style,nas.gid,nas.unix_permissions,nas.uid,"
    "snapshot_policy,space.snapshot.reserve_percent,space.size,guarantee.type,state,efficiency.compression,snaplock,"
    "files.maximum,space.logical_space.enforcement,space.logical_space.reporting,"
)


CLIENT_FIELDS = (
    "volume " + VOLFIELDS,
    "volume efficiency.policy.name,tiering.min_cooling_days,analytics,activity_tracking,_tags,access_time_enabled",
    "volume space.nearly_full_threshold_percent,space.full_threshold_percent,space.snapshot.autodelete,quota.state",
    "volume space.large_size_enabled,snapshot_locking_enabled,granular_data,snapshot_directory_access_enabled",
    "volume aggregates.name,name,svm.name,nas.path,type,guarantee,language,style,snapshot_policy",
    "node model,name,is_all_flash_optimized,is_all_flash_select_optimized",
    "svm subtype,aggregates,language,snapshot_policy,ipspace,comment,nfs,cifs,fcp,iscsi,nvme,state,s3,storage",
    "svm ndmp,s3,max_volumes,auto_enable_analytics,auto_enable_activity_tracking",
    "aggregate uuid,state,block_storage.primary.disk_count,data_encryption,snaplock_type,home_node.name,space",
    "aggregate node.name,block_storage.primary.raid_type,data_encryption.software_encryption_enabled,volume-count",
    "export_rule anonymous_user,clients,index,protocols,ro_rule,rw_rule,superuser,allow_suid,chown_mode",
    "ip_interface ip.address,location.home_node.name,location.home_port.name,ip.netmask,services,svm.name,enabled",
    "cluster san_optimized,disaggregated",
)


@pytest.mark.parametrize(("resource", "fields"), [case.split(" ") for case in CLIENT_FIELDS])
def test_what_real_clients_ask_for_is_known(resource, fields):
    compile_projection(SCHEMA[resource], fields)


def test_default_fields_are_known_and_cover_every_resource():
    assert DEFAULT_FIELDS.keys() == SCHEMA.keys()
    for name, paths in DEFAULT_FIELDS.items():
        assert set(paths) <= SCHEMA[name].fields.keys()


@given(
    st.text() | st.text("abnas.{}!,* ", max_size=30) | st.lists(st.sampled_from(sorted(VOLUME.fields))).map(",".join)
)
def test_any_fields_text_is_a_projection_or_a_wire_error(text):
    found = attempt(lambda: compile_projection(VOLUME, text))
    if isinstance(found, WireError):
        assert found.code in {"262197", "262249", "262286"}
        assert found.message.encode("utf-8")
    else:
        assert KEYS.items() <= found.prune(RECORD).items()
