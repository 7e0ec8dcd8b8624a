"""SQL's home, bound parameters only, and an organization in every query on an organization's table."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from alloyd.db.migrate import MIGRATIONS, read_migration

HOMES = re.compile(r"alloyd\.(db(\..+)?|events\.store|domain\.\w+\.store(_\w+)?)\Z")
_SQL = re.compile(
    r"\s*(SELECT\s.+|INSERT\s+(OR\s+\w+\s+)?INTO\s.+|REPLACE\s+INTO\s.+|UPDATE\s+(OR\s+\w+\s+)?\w+\s+SET\b.*"
    r"|DELETE\s+FROM\s.+|WITH\s+(RECURSIVE\s+)?\w+\s*(\([^)]*\)\s*)?AS\s.*"
    r"|(CREATE|DROP|ALTER)\s+(UNIQUE\s+)?(TABLE|INDEX|TRIGGER|VIEW)\s.+|PRAGMA\s.+|BEGIN(\s+IMMEDIATE)?\b;?"
    r"|COMMIT;?|ROLLBACK\b.*|SAVEPOINT\s.+|RELEASE\s.+|VACUUM\b.*|ATTACH\s.+)",
    re.DOTALL,
)
_TABLES = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE(?:\s+OR\s+\w+)?)\s+(\w+)")

# Statements that are put together, and why no caller's text can get in.
BUILT: Mapping[str, str] = {
    "alloyd.db.migrate.migrate": "a migration's own text and its number",
}

# Statements on an organization's table without an organization, and why that is right.
WITHOUT_ORG: Mapping[str, str] = {
    "alloyd.domain.connectors.store.find_organization": "whose an id is; no more is told",
    "alloyd.domain.credentials.store.find_organization": "whose an id is; no more is told",
    "alloyd.domain.credentials.store.drop_old_states": "states whose time is over, whosever",
    "alloyd.domain.credentials.store.list_other_keys": "a change of the key is one for the installation",
    "alloyd.domain.credentials.store.drop_states": "a change of the key is one for the installation",
    "alloyd.domain.webhooks.store.list_after": "a change of the key is one for the installation",
    "alloyd.domain.workflows.store.list_versions_after": "a change of the key is one for the installation",
    "alloyd.domain.audit.store.find_last_seq": "the chain is one for the installation",
    "alloyd.domain.audit.store.find_first_seq": "the chain is one for the installation",
    "alloyd.domain.audit.store.find_hash": "the chain is one for the installation",
    "alloyd.domain.audit.store.find_prune_end": "retention deletes the oldest rows, whosever",
    "alloyd.domain.audit.store.prune": "retention deletes the oldest rows, whosever",
    "alloyd.domain.audit.store.list_chain": "the whole chain, to check it",
    "alloyd.domain.audit.store.list_page": "the log of the whole installation, for its administrators",
    "alloyd.domain.authz.store.find_org_id": "finds the organization that an id belongs to; nothing else is told",
    "alloyd.domain.embedded.store.list_purges": "the worker goes on with everybody's; rows carry their organization",
    "alloyd.domain.endusers.store.find_org_id": "finds the organization that an id belongs to; no more is told",
    "alloyd.domain.integrations.store.list_org_ids": "finds the organization that an id belongs to; no more is told",
    "alloyd.domain.integrations.store.find_installation_org_id": "finds the organization that an id belongs to",
    "alloyd.domain.invitations.store.find_org_id": "finds the organization that an id belongs to; no more is told",
    "alloyd.domain.invitations.store.find_with_hash": "who accepts is in no organization yet; the token is checked",
    "alloyd.domain.workflows.store.find_org_id": "finds the organization that an id belongs to; nothing else is told",
    "alloyd.domain.runs.store.find_org_id": "finds the organization that an id belongs to; nothing else is told",
    "alloyd.domain.teammates.store.find_org_id": "finds the organization that an id belongs to; nothing else is told",
    "alloyd.domain.teammates.store.list_deleted": "the worker goes on with everybody's; rows carry their organization",
    "alloyd.domain.teams.store.find_org_id": "finds the organization that an id belongs to; nothing else is told",
    "alloyd.domain.teams.store.list_roles": "a user's own memberships, in every organization of theirs",
    "alloyd.events.store.find_last_id": "the newest id of the whole table, at the start",
    "alloyd.events.store.list_all": "alloyd's own consumers read everybody's events; rows carry their organization",
    "alloyd.events.store.insert_cursor": "a consumer begins behind the newest event of the whole table",
    "alloyd.events.store.exists": "compares the organization of the row that it found",
    "alloyd.domain.runs.store.find_last_seq": "the newest start of the whole table, at the start",
    "alloyd.domain.runs.store.requeue_interrupted": "recovery after a crash: all that was under way",
    "alloyd.domain.runs.store.list_timers": "the engine's clock serves everybody; rows carry their organization",
    "alloyd.domain.runs.store.list_overdue": "the engine's clock serves everybody; rows carry their organization",
    "alloyd.domain.runs.store_waits.list_woken": "recovery after a crash: what nobody has taken",
    "alloyd.domain.runs.store_waits.list_orphans": "recovery after a crash: runs that nobody waits for any more",
    "alloyd.domain.runs.store_waits.list_waiting_orgs": "what is waited for, at the start, whosever it is",
    "alloyd.domain.runs.store.find_next_deadline": "when the engine's clock has to look again",
    "alloyd.domain.schedules.store.list_due": "the clock serves everybody; rows carry their organization",
    "alloyd.domain.schedules.store.find_next_due": "when the loop of schedules has to look again",
    "alloyd.domain.schedules.store.list_enabled": "the loop looks at all at its start; rows carry their organization",
    "alloyd.domain.schedules.store.find_organization": "tells whose it is, to who belongs to several",
    "alloyd.domain.triggers.store.list_all": "the index in memory is of everybody's; rows carry their organization",
    "alloyd.domain.backups.store.count_blobs": "a backup is of the whole data directory",
    "alloyd.domain.backups.store.list_blobs": "a backup is of the whole data directory",
    "alloyd.domain.runs.store.list_all_from": "retention looks at the oldest, whosever; rows carry their organization",
    "alloyd.events.store.list_from": "retention looks at the oldest, whosever; rows carry their organization",
    "alloyd.domain.runs.store.find_unfinished": "retention asks which of some runs go on",
    "alloyd.domain.webhooks.store.find_organization": "asks whose the webhook is",
    "alloyd.domain.webhooks.store.find_organization_of_delivery": "asks whose the delivery is",
    "alloyd.domain.webhooks.store.list_subscriptions": "who wants what, of everybody, at the start",
    "alloyd.domain.webhooks.store.find_next_pending_webhook": "the sender serves everybody in turn",
    "alloyd.domain.webhooks.store.list_due": "the sender serves everybody; rows carry their organization",
    "alloyd.domain.webhooks.store.find_next_attempt_at": "when the sender has to look again",
    "alloyd.domain.webhooks.store.delete_ended": "retention takes what is old, whosever it is",
    "alloyd.domain.keys.store.exists_key_id": "a new key's shown part has to be unique everywhere",
    "alloyd.domain.keys.store.find_org_id": "tells whose a key is; the caller's right to it is checked with that",
    "alloyd.domain.users.store.count_memberships": "a user's bound is over all organizations",
    "alloyd.domain.keys.store.list_expired": "the cache forgets what expires, whosever it is",
    "alloyd.domain.keys.store.find_next_expiry": "when the cache has to look again",
    "alloyd.domain.storage.store.take_apart_trash": "the sweeper; rows carry their organization",
    "alloyd.domain.storage.store.list_unused_blobs": "the sweeper; rows carry their organization",
    "alloyd.domain.assets.store.find_organization": "whose asset it is: the caller is then held to it",
    "alloyd.domain.jobs.store.find_organization": "whose job it is: the caller is then held to it",
    "alloyd.domain.usage.store.list_spent": "what every organization has spent, at the start; rows carry it",
    "alloyd.domain.usage.store.list_budgets": "every organization's budget, at the start; rows carry it",
    "alloyd.domain.usage.store.delete_before": "retention looks at the oldest, whosever",
    "alloyd.domain.objects.store.find_organization": "whose an id is; no more is told",
    "alloyd.domain.objects.store.find_by_key": "the key is the right to the object, whosever it is",
    "alloyd.domain.objects.store.list_in_backend": "moving objects to the other backend; rows carry their organization",
    "alloyd.domain.objects.store.count_in_backend": "what lies in a backend, for the operator",
    "alloyd.domain.objects.store.list_leavings": "the sweeper; rows carry their organization",
    "alloyd.domain.storage.store.find_named_blobs": "the sweeper asks which files on disk a row names",
}


@dataclass(frozen=True)
class Statement:
    """A text of SQL with the place it stands at; ``text`` is None when it is not constant."""

    place: str
    text: str | None


def module_constants(source) -> dict[str, str]:
    """The module's names that hold constant text."""
    known: dict[str, str] = {}
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=added) if name in known:
                value = ast.BinOp(ast.Constant(known[name]), ast.Add(), added)
            case _:
                continue
        text = fold(value, known)
        if text is not None:
            known[name] = text
    return known


def fold(node: ast.expr, known: Mapping[str, str]) -> str | None:
    """The text of an expression of constants, None when there is anything else in it."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id=name):
            return known.get(name)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [fold(left, known), fold(right, known)]
        case ast.JoinedStr(values=values):
            parts = [fold(value, known) for value in values]
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return fold(value, known)
        case _:
            return None
    return None if None in parts else "".join(part for part in parts if part is not None)


def statements(source) -> Iterator[Statement]:
    """Every text of the module that is SQL, each once, at its whole length."""
    known = module_constants(source)
    used = {node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for name in sorted(set(known) - used):
        if _SQL.fullmatch(known[name]):
            yield Statement(f"{source.module}.{name}", known[name])
    docstrings = {
        id(node.value)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for place, top in _places(source):
        yield from _statements_in(top, place, known, docstrings)


def _places(source) -> Iterator[tuple[str, ast.AST]]:
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{source.module}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                yield f"{source.module}.{node.name}.{getattr(member, 'name', '')}", member
        elif isinstance(node, ast.AugAssign):
            continue  # belongs to the constant that it lengthens
        else:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            yield f"{source.module}.{getattr(target, 'id', '')}", node


def _statements_in(node: ast.AST, place: str, known: Mapping[str, str], skip: set[int]) -> Iterator[Statement]:
    if id(node) in skip:
        return
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in known:
        return  # is read where it is used, whole
    if isinstance(node, ast.Constant | ast.BinOp | ast.JoinedStr | ast.Name):
        text = fold(node, known)
        if text is not None:
            if _SQL.fullmatch(text):
                yield Statement(place, text)
            return
        if isinstance(node, ast.BinOp | ast.JoinedStr) and _SQL.match(_shown(node, known)):
            yield Statement(place, None)
            return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        text = fold(node.func.value, known)
        if text is not None and _SQL.match(text):
            yield Statement(place, None)
            return
    for child in ast.iter_child_nodes(node):
        yield from _statements_in(child, place, known, skip)


def _shown(node: ast.expr, known: Mapping[str, str]) -> str:
    """The text of an expression with ``x`` for what is not constant."""
    match node:
        case ast.BinOp(left=left, right=right):
            return _shown(left, known) + _shown(right, known)
        case ast.JoinedStr(values=values):
            return "".join(_shown(value, known) for value in values)
        case _:
            return fold(node, known) or "x"


def home_faults(source) -> list[str]:
    if HOMES.fullmatch(source.module):
        return []
    return [f"{found.place}: SQL outside a store" for found in statements(source)]


def built_faults(source, allowed: Mapping[str, str]) -> list[str]:
    return [
        f"{found.place}: SQL put together from variables"
        for found in statements(source)
        if found.text is None and found.place not in allowed
    ]


def org_faults(source, tables: set[str], allowed: Mapping[str, str]) -> list[str]:
    return [
        f"{found.place}: no org_id: {' '.join(found.text.split())}"
        for found in statements(source)
        if found.text is not None and not names_org(found.text, tables) and found.place not in allowed
    ]


def names_org(sql: str, tables: set[str]) -> bool:
    """Whether a statement that touches one of ``tables`` is bound to an organization."""
    if not set(_TABLES.findall(sql)) & tables:
        return True
    if re.match(r"\s*(INSERT|REPLACE)\b", sql):
        return "org_id" in sql
    _, *conditions = re.split(r"\b(?:WHERE|ON)\b", sql)
    return any(re.search(r"\borg_id\b", condition) for condition in conditions)


def org_tables() -> set[str]:
    """The tables that have an ``org_id``, from the migrations."""
    conn = sqlite3.connect(":memory:")
    try:
        for name in MIGRATIONS:
            conn.executescript(read_migration(name))
        tables = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table
            for table in tables
            if conn.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = 'org_id'", (table,)).fetchone()
        }
    finally:
        conn.close()


def test_sql_is_at_home(sources):
    faults = [fault for source in sources for fault in home_faults(source)]
    assert not faults, "\n".join(faults)


def test_sql_is_constant(sources):
    faults = [fault for source in sources for fault in built_faults(source, BUILT)]
    assert not faults, "\n".join(faults)


def test_every_query_names_the_organization(sources):
    tables = org_tables()
    assert {"runs", "events", "storage_nodes", "api_keys"} <= tables
    rooms = [source for source in sources if not source.module.startswith("alloyd.db")]
    faults = [fault for source in rooms for fault in org_faults(source, tables, WITHOUT_ORG)]
    assert not faults, "\n".join(faults)


def test_no_exception_is_left_over(sources):
    tables = org_tables()
    found = [statement for source in sources for statement in statements(source)]
    used = {statement.place for statement in found if statement.text is None}
    assert set(BUILT) <= used
    used = {statement.place for statement in found if statement.text and not names_org(statement.text, tables)}
    assert set(WITHOUT_ORG) <= used


@pytest.mark.parametrize(
    "text",
    [
        "def f(tx):\n    tx.execute('SELECT id FROM runs')",
        "def f(tx):\n    tx.execute('''\n    DELETE FROM runs''')",
        "_Q = 'INSERT INTO runs (id) VALUES (?)'",
        "class A:\n    q = 'UPDATE runs SET a = 1'",
    ],
)
def test_home_check_sees_sql_elsewhere(text, sample):
    assert home_faults(sample("alloyd.domain.runs.service", text))
    assert home_faults(sample("alloyd.domain.runs.store", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "def f(tx, name):\n    tx.execute(f'SELECT id FROM {name}')",
        "def f(tx, name):\n    tx.execute('SELECT id FROM ' + name)",
        "def f(tx, name):\n    tx.execute('SELECT id FROM %s' % name)",
        "def f(tx, name):\n    tx.execute('SELECT id FROM {}'.format(name))",
        "_A = 'SELECT id FROM runs WHERE '\ndef f(tx, name):\n    tx.execute(_A + f'x = {name}')",
    ],
)
def test_built_check_sees_variables(text, sample):
    assert built_faults(sample("alloyd.domain.runs.store", text), {})


def test_built_check_lets_constants_pass(sample):
    text = "_COLS = 'id, org_id'\ndef f(tx):\n    tx.execute('SELECT ' + _COLS + ' FROM runs WHERE org_id = ?')"
    assert built_faults(sample("alloyd.domain.runs.store", text), {}) == []
    assert org_faults(sample("alloyd.domain.runs.store", text), {"runs"}, {}) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM runs WHERE id = ?",
        "SELECT org_id FROM runs WHERE id = ?",
        "UPDATE runs SET state = ? WHERE id = ?",
        "DELETE FROM runs WHERE id = ?",
        "INSERT INTO runs (id) VALUES (?)",
        "SELECT o.id FROM organizations o JOIN runs r ON r.id = o.id WHERE o.id = ?",
    ],
)
def test_org_check_sees_a_missing_organization(sql, sample):
    assert org_faults(sample("alloyd.domain.runs.store", f"def f(tx):\n    tx.execute({sql!r})"), {"runs"}, {})


def test_org_check_follows_a_lengthened_constant(sample):
    text = "_Q = 'INSERT INTO runs (id) '\n_Q += 'VALUES (?)'"
    assert org_faults(sample("alloyd.domain.runs.store", text), {"runs"}, {})
    assert org_faults(sample("alloyd.domain.runs.store", text.replace("(id)", "(org_id)")), {"runs"}, {}) == []


def test_prose_is_not_sql(sample):
    text = '"""SELECT what you like FROM here."""\nX = "Update the thing"\ndef f():\n    """DELETE FROM it."""'
    assert list(statements(sample("alloyd.app", text))) == []
