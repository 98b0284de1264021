"""The steps of the walk through the ONTAP door to QoS policies and metrics."""

from __future__ import annotations

from gateway.testing.ontap.step import OF_SVM, Step, change, get, make, remove

_FIXED = {
    "max_throughput_iops": 1000,
    "max_throughput_mbps": 100,
    "min_throughput_iops": 10,
    "min_throughput_mbps": 1,
}
_ADAPTIVE = {
    "absolute_min_iops": 10,
    "block_size": "4k",
    "expected_iops": 100,
    "expected_iops_allocation": "used_space",
    "peak_iops": 1000,
    "peak_iops_allocation": "allocated_space",
}
QOS_STEPS: tuple[Step, ...] = (
    make("storage/qos/policies", {**OF_SVM, "name": "q1", "fixed": {**_FIXED, "capacity_shared": True}}, "q1"),
    make("storage/qos/policies", {"svm": {"uuid": "{svm1_key}"}, "name": "q2", "adaptive": _ADAPTIVE}, "q2"),
    change("{q1}", {"name": "q3", "fixed": {**_FIXED, "max_throughput_iops": 2000}}),
    change("{q2}", {"adaptive": {**_ADAPTIVE, "peak_iops": 2000}}),
    make("storage/qos/policies", {**OF_SVM, "name": "q4", "fixed": {"max_throughput_iops": 1}}, "q4"),
    change("storage/qos/policies", {"name": "q5"}, "name=q4"),
    remove("{q4}"),
    remove("storage/qos/policies", "name=q*"),
    get("{vol1}/metrics", "interval=1d"),
    get("{vol1}/metrics/2026-01-01T00:00:00Z", refused="4"),
)
