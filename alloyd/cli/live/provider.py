"""`alloyd provider`: the AI providers, and whether they answer."""

from __future__ import annotations

import time
from typing import Any

import click

from alloyd.cli.client import Client
from alloyd.cli.errors import Refused, Unsuccessful
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import print_json, print_table

STEM = "/v1/providers"
PATIENCE_S = 120.0
# Long enough for a word, short enough to cost next to nothing.
ANSWER_TOKENS = 16
_TRIED = ("text", "embedding")

group = Group("provider", help="AI providers.", example="alloyd provider test openai")


@group.command("list", example="alloyd provider list")
@org_option
@json_option
@live()
async def list_providers(client: Client, as_json: bool) -> None:
    """List providers with their models; prices are USD for a million tokens."""
    found = await client.get(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            provider["id"],
            model["id"],
            model["tier"],
            ",".join(model["modalities"]),
            _price(model["price"], "input"),
            _price(model["price"], "output"),
            "yes" if model["healthy"] else "no",
        )
        for provider in found
        for model in provider["models"] or [_any_model(provider)]
    ]
    print_table(("PROVIDER", "MODEL", "TIER", "MODALITIES", "INPUT", "OUTPUT", "HEALTHY"), rows)


@group.command("test", example="alloyd provider test openai --model gpt-4.1-nano")
@click.argument("provider", required=False)
@click.option("--model", help="The model to ask; else the provider's cheapest.")
@click.option("--prompt", default="Say ok.", show_default=True, help="What to ask.")
@org_option
@json_option
@live()
async def test_providers(client: Client, provider: str | None, model: str | None, prompt: str, as_json: bool) -> None:
    """Ask one provider, or each, a short question; fails when one does not answer. The use is recorded."""
    if provider is None and model is None:
        asked = [(one["id"], _modality_of(one)) for one in await client.get(STEM) if one["models"]]
    else:
        asked = [(provider, "text")]
    results = [await _try(client, name, modality, model, prompt) for name, modality in asked]
    if as_json:
        print_json(results)
    else:
        rows = [
            (one["provider"], one["model"] or "", "ok" if one["ok"] else "failed", one["ms"], one["told"])
            for one in results
        ]
        print_table(("PROVIDER", "MODEL", "RESULT", "MS", "ANSWER"), rows)
    if not all(one["ok"] for one in results):
        raise Unsuccessful


async def _try(client: Client, provider: str | None, modality: str, model: str | None, prompt: str) -> dict[str, Any]:
    params = {"max_tokens": ANSWER_TOKENS} if modality == "text" else {}
    body = {"modality": modality, "input": prompt, "provider": provider, "model": model, "params": params}
    started = time.monotonic()
    told: dict[str, Any] = {"provider": provider, "model": model, "ok": True}
    try:
        done = await client.post(f"{STEM}/execute", body, patience_s=PATIENCE_S)
    except Refused as error:
        told |= {"ok": False, "told": f"{error.code}: {error.message}"}
    else:
        words = done["output"].get("text") or f"{modality} of {done['usage']['input_tokens']} tokens"
        told |= {"provider": done["provider_id"], "model": done["model"], "told": words}
    told["ms"] = round((time.monotonic() - started) * 1000)
    return told


def _modality_of(provider: dict[str, Any]) -> str:
    return next((word for word in _TRIED if word in provider["modalities"]), provider["modalities"][0])


def _any_model(provider: dict[str, Any]) -> dict[str, Any]:
    """A provider without a list is asked for whatever is named."""
    told = {"id": "(any, by name)", "tier": "", "modalities": provider["modalities"], "price": None}
    return {**told, "healthy": provider["healthy"]}


def _price(price: dict[str, Any] | None, name: str) -> str:
    return "?" if price is None else f"{price[name]:g}"
