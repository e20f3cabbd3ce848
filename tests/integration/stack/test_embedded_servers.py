"""The embedded servers of one stack: what they are, what they keep, how they come back."""

from __future__ import annotations

import stat
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.stack.errors import StackError
from config.stack.stack import Stack
from tests.integration.stack.launching import bare_environment, wait_for


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def query(stack: Stack, sql: str) -> object:
    with psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def answers(stack: Stack) -> bool:
    try:
        return query(stack, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def client(stack: Stack, variable: str) -> redis.Redis:
    return redis.Redis.from_url(stack.environment[variable], decode_responses=True)


def test_postgres_is_version_18_and_has_vectors(stack: Stack) -> None:
    """The database is the one that production uses, pgvector included."""
    query(stack, "CREATE EXTENSION IF NOT EXISTS vector")
    assert query(stack, "SELECT '[3,4]'::vector <-> '[0,0]'::vector") == 5.0
    assert str(query(stack, "SHOW server_version")).startswith("18.")


def test_postgres_keeps_commits_and_listens_on_no_port(stack: Stack) -> None:
    """Durability is never traded away, and nobody reaches the database over a network."""
    assert query(stack, "SHOW fsync") == "on"
    assert query(stack, "SHOW synchronous_commit") == "on"
    assert query(stack, "SHOW listen_addresses") == ""


def test_a_failing_statement_leaves_none_of_its_values_in_the_log(stack: Stack) -> None:
    """Statements carry prompts as literals, so the server's log shows the error alone."""
    query(stack, "CREATE TABLE IF NOT EXISTS unique_texts (text text UNIQUE)")
    for _ in range(2):
        try:
            query(stack, "INSERT INTO unique_texts VALUES ('the-secret-prompt')")
        except psycopg.errors.UniqueViolation:
            break
    else:
        pytest.fail("the second insert should have been refused")
    log = stack.log_path("postgres")
    wait_for(lambda: "unique_texts_text_key" in log.read_text())
    assert "the-secret-prompt" not in log.read_text()


def test_the_broker_forgets_nothing_and_the_cache_may(stack: Stack) -> None:
    """Queues must never be evicted; cached values may."""
    broker, cache = client(stack, "BROKER_URL"), client(stack, "REDIS_URL")
    assert broker.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert broker.config_get("appendonly") == {"appendonly": "yes"}
    assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    assert cache.config_get("appendonly") == {"appendonly": "no"}


def test_valkey_refuses_whoever_has_no_password(stack: Stack) -> None:
    """Another user of the same machine reaches the port, and nothing more."""
    url = stack.environment["BROKER_URL"]
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    stranger = redis.Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), retries=0))
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_secrets_and_sockets_are_for_their_owner_alone(stack: Stack) -> None:
    """Nothing that opens a door can be read by another user."""
    assert mode(stack.home) == 0o700
    assert mode(stack.home / "secrets.json") == 0o600
    assert mode(stack.home / "broker" / "valkey.conf") == 0o600
    assert mode(stack.layout.sockets) == 0o700
    assert mode(stack.layout.control) == 0o700
    assert mode(stack.layout.supervisor_socket) == 0o700


def test_postgres_restarts_after_a_kill_with_what_was_committed(stack: Stack) -> None:
    """A SIGKILL of the database costs a second, and no row."""
    query(stack, "CREATE TABLE kept_over_kill AS SELECT 42 AS answer")
    killed = stack.kill("postgres")
    wait_for(lambda: stack.process_ids().get("postgres") not in (None, killed) and answers(stack))
    assert query(stack, "SELECT answer FROM kept_over_kill") == 42


def test_the_broker_restarts_after_a_kill_on_the_same_port(stack: Stack) -> None:
    """Clients reconnect to the address they know and find their queues."""
    broker = client(stack, "BROKER_URL")
    broker.lpush("queue", "hint")
    broker.execute_command("WAITAOF", 1, 0, 3000)
    killed = stack.kill("broker")
    wait_for(
        lambda: stack.process_ids().get("broker") not in (None, killed) and stack.servers["broker"].ready()
    )
    assert broker.lrange("queue", 0, -1) == ["hint"]


def test_a_stopped_postgres_stays_away_until_it_is_started(stack: Stack) -> None:
    """An outage lasts as long as the one who makes it wants, and ends with all data there."""
    query(stack, "CREATE TABLE kept_over_stop AS SELECT 7 AS answer")
    stack.stop("postgres")
    assert stack.state("postgres") == "STOPPED"
    assert not answers(stack)
    stack.start(["postgres"])
    assert query(stack, "SELECT answer FROM kept_over_stop") == 7


def test_servers_that_the_environment_names_are_used_and_not_started(stack: Stack, tmp_path: Path) -> None:
    """DATABASE_URL and BROKER_URL given: the stack starts the cache alone and passes the others on."""
    given = {name: stack.environment[name] for name in ("DATABASE_URL", "BROKER_URL")}
    other = Stack(tmp_path / "home", bare_environment(**given))
    with other:
        other.start_servers()
        assert set(other.process_ids()) == {"cache"}
        assert {name: other.environment[name] for name in given} == given
        assert client(other, "REDIS_URL").ping()
    other.erase()


def test_a_second_start_finds_the_data_addresses_and_secrets_of_the_first(tmp_path: Path) -> None:
    """A home remembers everything, at the end of a path longer than a socket's may be."""
    home = tmp_path / ("d" * 60) / ("e" * 60) / "home"
    stack = Stack(home, bare_environment())
    with stack:
        stack.start_servers()
        first = dict(stack.environment)
        query(stack, "CREATE TABLE kept AS SELECT 1 AS answer")
        client(stack, "BROKER_URL").set("kept", "yes")
    with stack:
        stack.start_servers()
        assert stack.environment == first
        assert query(stack, "SELECT answer FROM kept") == 1
        assert client(stack, "BROKER_URL").get("kept") == "yes"
    stack.erase()
    assert not stack.home.exists()
    assert not stack.layout.postgres.exists()


def test_folders_that_are_not_ours_keep_their_permissions(stack: Stack, tmp_path: Path) -> None:
    """No parent of a home is opened to others so that a server can pass."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    parents = [private, *private.parents]
    before = [mode(folder) for folder in parents]
    valkeys = {name: stack.environment[name] for name in ("BROKER_URL", "REDIS_URL")}
    other = Stack(private / "home", bare_environment(**valkeys))
    with other:
        other.start_servers()
        assert set(other.process_ids()) == {"postgres"}
        assert answers(other)
        assert [mode(folder) for folder in parents] == before
    other.erase()


def test_erasing_a_home_leaves_what_somebody_else_put_there(tmp_path: Path) -> None:
    """AGENTPLATFORM_HOME may point at a folder with other things in it."""
    (tmp_path / "letter.txt").write_text("mine")
    stack = Stack(tmp_path, bare_environment(DATABASE_URL="postgresql://elsewhere/db"))
    with stack:
        stack.start_servers()
    stack.erase()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(stack: Stack, tmp_path: Path) -> None:
    """A person sees why, instead of waiting for a time-out."""
    valkeys = {name: stack.environment[name] for name in ("BROKER_URL", "REDIS_URL")}
    other = Stack(tmp_path / "home", bare_environment(**valkeys))
    with other:
        other.start_servers()
    (other.layout.postgres / "local.conf").write_text("no_such_setting = on\n")
    with pytest.raises(StackError, match=r"postgres did not start(.|\n)*no_such_setting"):
        other.start_servers()
    assert not other.supervisor.running
    other.erase()
