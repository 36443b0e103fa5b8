"""The service on MonetDB, asked over HTTP."""

import httpx
import pytest

import optiprov
from optiprov.errors import BarrierTimeout, QueryError
from optiprov.records import RunBegin
from optiprov.store.remote import RemoteProvenance
from optiprov.wire import BrokerAddress
from tests.monetdb.databases import monetdb_server, monetdb_url
from tests.store.conftest import begin, end, item
from tests.waiting import PATIENCE_S

__all__ = ["monetdb_server", "monetdb_url"]


def test_service_on_monetdb_answers_over_http(monetdb_url, start_service, client_at, tmp_path):
    """Health, barrier, SQL and queries; the database itself says the same when the service has ended."""
    service = start_service(store=monetdb_url, log=tmp_path / "service.log")
    provenance = RemoteProvenance(service.http)
    health = provenance.health()
    assert (health["status"], health["records"]) == ("ok", 0)
    assert health["store"] == monetdb_url.replace(":monetdb@", "@")

    client = client_at(BrokerAddress.parse(service.mqtt))
    for record in (RunBegin("r", "Digits", 1, None, None), begin("1", item("trainIn", LR=0.1)), end("1")):
        client.emit(record)
    provenance.wait_stored({client.id: 3}, timeout_s=PATIENCE_S)
    with pytest.raises(BarrierTimeout, match=f"{client.id} at 3 of 4"):
        provenance.wait_stored({client.id: 4}, timeout_s=0.1)
    health = provenance.health()
    assert (health["clients"], health["records"], health["rejected"]) == (1, 3, 0)

    sql = "SELECT t.task_id, LR FROM trainIn i JOIN prov.task t ON t.task = i.train_task_id WHERE lr < ?"
    assert provenance.sql(sql, (0.5,)).to_dict("records") == [{"task_id": "1", "LR": 0.1}]
    answer = httpx.post(f"{service.http}/sql", json={"text": "SELECT count(*) AS n FROM prov.run"}).json()
    assert answer == {"columns": ["n"], "rows": [[1]]}
    assert provenance.query(["task_id"], {"used.LR": {"$gt": 0}})["task_id"].tolist() == ["1"]
    for wrong in ("DELETE FROM prov.run_begin", "SELECT nothing FROM prov.run"):
        with pytest.raises(QueryError):
            provenance.sql(wrong)

    assert service.stop() == 0
    assert optiprov.connect(monetdb_url).runs()["run_id"].tolist() == ["r"]
