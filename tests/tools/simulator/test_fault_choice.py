"""When a fault strikes, and the three ways to set one."""

import pytest

from llmproxy.tools.simulator import Fault, VendorSettings, parse_fault, serve
from tests.support.run import bounded
from tests.tools.simulator.wires import answered, chat_request, everything, request


async def statuses(vendor, number, **more):
    return [(await answered(vendor, chat_request(**more)))[0] for _ in range(number)]


@bounded()
async def test_times_every_and_probability_limit_how_often_a_fault_strikes():
    async with serve(VendorSettings(seed=3)) as vendor:
        vendor.faults.append(Fault("status:500", times=2))
        assert await statuses(vendor, 4) == [500, 500, 200, 200]
        vendor.faults[:] = [Fault("status:500", every=3)]
        assert await statuses(vendor, 6) == [200, 200, 500, 200, 200, 500]
        vendor.faults[:] = [Fault("status:500", probability=0.5)]
        some = await statuses(vendor, 20)
        assert 3 < some.count(500) < 17
        vendor.faults.clear()
        assert await statuses(vendor, 1) == [200]


@bounded()
async def test_match_stream_and_vendor_select_the_requests():
    async with serve(VendorSettings(name="here")) as vendor:
        vendor.faults.append(Fault("status:500", match="embeddings"))
        assert await statuses(vendor, 1) == [200]
        assert await statuses(vendor, 1, path="/v1/embeddings") == [500]
        vendor.faults[:] = [Fault("status:500", stream=True)]
        assert await statuses(vendor, 1) == [200]
        assert await statuses(vendor, 1, stream=True) == [500]
        vendor.faults.clear()
        assert await statuses(vendor, 1, fault="status:500;vendor=there") == [200]
        assert await statuses(vendor, 1, fault="status:500;vendor=here") == [500]


@bounded()
async def test_stream_faults_strike_only_streams():
    async with serve() as vendor:
        vendor.faults.append(Fault("early-error", times=1))
        assert await statuses(vendor, 1) == [200]
        received, _ = await everything(vendor, chat_request(stream=True))
        assert b'"error"' in received


@bounded()
async def test_faults_are_set_and_read_over_http():
    async with serve(VendorSettings(name="v")) as vendor:
        specs = ["status:503;times=1", {"kind": "reset-mid:2", "every": 2}]
        status, _, set_ = await answered(
            vendor, request("/_simulator/faults", specs, method="PUT", key=None)
        )
        assert (status, [fault["kind"] for fault in set_]) == (200, ["status:503", "reset-mid"])
        assert (await answered(vendor, chat_request()))[0] == 503
        sent = request("/_simulator/state", method="GET", key=None)
        _, _, state = await answered(vendor, sent)
        assert state["name"] == "v"
        assert state["requests"] == {"chat/completions": {"503": 1}}
        assert [fault["struck"] for fault in state["faults"]] == [1, 0]
        await answered(vendor, request("/_simulator/faults", method="DELETE", key=None))
        assert vendor.faults == []
        status, _, body = await answered(
            vendor, request("/_simulator/faults", ["nonsense"], method="PUT", key=None)
        )
    assert status == 400
    assert "no fault is called 'nonsense'" in body["error"]["message"]


BAD_SPECS = {
    "nonsense": "no fault is called 'nonsense'",
    "status:abc": "expected status:NUMBER",
    "status:99": "expected status:NUMBER",
    "reset-mid:x": "expected a number",
    "status:500;times": "expected key=value",
    "status:500;time=1": "a fault has no 'time'",
    "status:500;times=x": "Expected",
    "status:500;every=0": "at least 1",
}


@pytest.mark.parametrize("spec", BAD_SPECS)
def test_a_bad_spec_raises_an_error_that_names_the_problem(spec):
    with pytest.raises(ValueError, match=BAD_SPECS[spec]):
        parse_fault(spec)


@bounded()
async def test_a_bad_spec_in_the_header_is_answered_with_a_400():
    async with serve() as vendor:
        status, _, body = await answered(vendor, chat_request(fault="nonsense"))
    assert status == 400
    assert "x-simulator-fault" in body["error"]["message"]
