"""`alloyd connector` and `alloyd credential`: listed, made from stdin, shown without what they hold, sealed anew."""

from __future__ import annotations


def test_connectors(alloyd):
    names = [one["name"] for one in alloyd("connector", "list", "--json").json]
    assert {"slack", "http"} <= set(names)
    assert "SendGrid" in alloyd("connector", "list").out
    shown = alloyd("connector", "show", "slack")
    assert "send_message" in shown.out
    assert "channel*" in shown.out
    assert alloyd("connector", "show", "slack", "--json").json["definition"]["base_url"] == "https://slack.com/api"
    assert "not_found" in alloyd("connector", "show", "nope", code=1).err


OWN = b"""
name: own-crm
title: Our CRM
reference: https://crm.example.com/docs
base_url: https://crm.example.com
auth:
  - kind: bearer
actions:
  - key: get_customer
    title: Get a customer
    reference: https://crm.example.com/docs/customers
    method: GET
    path: /customers/{id}
    parameters:
      id: {type: string, in: path, required: true}
"""


def test_own_connectors(alloyd, org):
    own = ("--org", org)
    assert alloyd("connector", "save", "-f", "-", *own, stdin=OWN).out == "own-crm: 1 actions\n"
    assert alloyd("connector", "save", "-f", "-", *own, "--json", stdin=OWN).json["actions"] == ["get_customer"]
    assert "id*" in alloyd("connector", "show", "own-crm", *own).out
    faulty = OWN.replace(b"name: own-crm", b"name: crm")
    assert "name" in alloyd("connector", "save", "-f", "-", *own, stdin=faulty, code=1).err
    assert "stdin" in alloyd("connector", "save", "-f", "-", *own, stdin=b"[unfinished", code=1).err
    assert alloyd("connector", "delete", "own-crm", *own, "--yes").out == "own-crm is deleted\n"
    assert "not_found" in alloyd("connector", "delete", "own-crm", *own, "--yes", code=1).err
    assert "conflict" in alloyd("connector", "delete", "slack", *own, "--yes", code=1).err


def test_credentials(alloyd, org):
    make = ("credential", "create", "--org", org, "--connector")
    made = alloyd(*make, "shopify", "--kind", "api_key", "--setting", "shop=acme", "--json", stdin=b"canary-token\n")
    assert "canary-token" not in made.out + made.err
    assert made.json["settings"] == {"shop": "acme"}
    basic = ("--kind", "basic", "--username", "AC1", "--setting", "account_sid=AC1", "--end-user", "usr_1")
    assert "Twilio" in alloyd(*make, "twilio", *basic, stdin=b"canary-token\n").out
    assert len(alloyd("credential", "list", "--org", org, "--json").json) == 2
    assert "usr_1" in alloyd("credential", "list", "--org", org, "--end-user", "usr_1").out
    shown = alloyd("credential", "show", made.json["id"], "--org", org)
    assert "shop=acme" in shown.out
    assert "canary-token" not in shown.out
    assert alloyd("credential", "rotate-key", "--json").json == {"key_id": "2", "credentials": 2}
    assert "key 3 seals now" in alloyd("credential", "rotate-key").out
    assert "--yes" in alloyd("credential", "delete", made.json["id"], "--org", org, code=2).err
    alloyd("credential", "delete", made.json["id"], "--org", org, "--yes")
    assert "not_found" in alloyd("credential", "show", made.json["id"], "--org", org, code=1).err


def test_bad_credentials_are_refused(alloyd, org):
    make = ("credential", "create", "--org", org, "--connector", "slack", "--kind")
    assert "--username" in alloyd(*make, "bearer", "--username", "x", code=2).err
    assert "NAME=VALUE" in alloyd(*make, "bearer", "--setting", "x", stdin=b"x\n", code=2).err
    assert "kind" in alloyd(*make, "api_key", stdin=b"x\n", code=1).err
    assert "data.token" in alloyd(*make, "bearer", stdin=b"\n", code=1).err


def test_oauth_clients(alloyd, org):
    listing, forgetting = ("credential", "list-clients", "--org", org), ("credential", "delete-client", "--org", org)
    assert alloyd(*listing, "--json").json == []
    assert "CONNECTOR" in alloyd(*listing).out
    assert "--yes" in alloyd(*forgetting, "github", code=2).err
    assert "OAuth client not found" in alloyd(*forgetting, "github", "--yes", code=1).err
