"""`alloyd webhook`: made, shown, changed, tried out and deleted, by a command in its own process."""

from __future__ import annotations


def test_webhooks(alloyd, org):
    url = "https://example.com/hook"
    alone = alloyd("webhook", "create", "--org", org, "--url", url, "--event", "order.*", "--event", "user.created")
    secret = alone.out.strip()
    assert secret.startswith("whsec_")
    assert "only this once" in alone.err
    (listed,) = alloyd("webhook", "list", "--org", org, "--json").json
    assert listed["events"] == ["order.*", "user.created"]
    assert "enabled" in alloyd("webhook", "list", "--org", org).out
    shown = alloyd("webhook", "show", listed["id"], "--org", org)
    assert url in shown.out
    assert secret not in shown.out
    rotated = alloyd("webhook", "rotate", listed["id"], "--org", org, "--grace", "1h", "--json").json
    assert rotated["secret"] != secret
    assert rotated["former_secret_until"]
    delivery = alloyd("webhook", "test", listed["id"], "--org", org, "--json").json
    assert (delivery["kind"], delivery["state"]) == ("webhook.test", "pending")
    assert "pending" in alloyd("webhook", "redeliver", delivery["id"], "--org", org).out
    (found,) = alloyd("webhook", "deliveries", listed["id"], "--org", org, "--state", "pending", "--json").json
    assert found["id"] == delivery["id"]
    assert "webhook.test" in alloyd("webhook", "deliveries", listed["id"], "--org", org).out
    changed = alloyd("webhook", "update", listed["id"], "--org", org, "--event", "*", "--disable", "--json").json
    assert (changed["events"], changed["enabled"], changed["url"]) == (["*"], False, url)
    assert "conflict" in alloyd("webhook", "test", listed["id"], "--org", org, code=1).err
    assert "--yes" in alloyd("webhook", "delete", listed["id"], "--org", org, code=2).err
    alloyd("webhook", "delete", listed["id"], "--org", org, "--yes")
    assert alloyd("webhook", "list", "--org", org, "--json").json == []
    assert "not_found" in alloyd("webhook", "show", listed["id"], "--org", org, code=1).err


def test_bad_webhooks_are_refused(alloyd, org):
    assert "url" in alloyd("webhook", "create", "--org", org, "--url", "nope", "--event", "*", code=1).err
    made = ("webhook", "create", "--org", org, "--url", "https://example.com/", "--event", "No Kind")
    assert "events[0]" in alloyd(*made, code=1).err
    assert "--event" in alloyd("webhook", "create", "--org", org, "--url", "https://example.com/", code=2).err
