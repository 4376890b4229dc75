"""Any deal that a host can state, written in the host's form and read back, is the same deal."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dealgate.adapters.mappings import HostMapping, load_mapping
from tests.adapters.mappings.host_deals import HOSTS, Host
from tests.adapters.mappings.hosts import as_read

MAPPINGS: dict[str, HostMapping] = {host.mapping: load_mapping(host.mapping) for host in HOSTS}


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.mapping)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_deal_written_as_a_host_writes_it_is_read_back_equal(host: Host, data: st.DataObject) -> None:
    deal: dict[str, Any] = data.draw(host.deals)
    mapped = MAPPINGS[host.mapping].deal(host.write(deal))
    assert as_read(mapped.document) == as_read(deal)
    assert mapped.remarks == ()
    assert mapped.unread == ()
