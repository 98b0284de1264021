from __future__ import annotations

from gateway.frontends.ontap_rest.processors import COUNTERS, render_statistics

TEXT = "cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 2 3 4 5 6 7 8 9 9\nintr 1\n"


def test_waiting_is_no_work_and_guests_are_not_counted_twice():
    found = render_statistics(TEXT)
    assert (found["processor_utilization_raw"], found["processor_utilization_base"]) == (81, 531)
    assert found["status"] == "ok"


def test_the_counters_of_this_host_go_forward():
    before, after = (render_statistics(COUNTERS.read_text()) for _ in range(2))
    assert 0 < before["processor_utilization_raw"] <= after["processor_utilization_raw"]
    assert before["processor_utilization_raw"] <= before["processor_utilization_base"]
