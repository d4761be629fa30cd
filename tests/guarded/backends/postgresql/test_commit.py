"""A connection that is lost in COMMIT: the truth is found out and told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from guarded.backends.postgresql import commit as module
from guarded.backends.postgresql.commit import commit
from guarded.backends.postgresql.connect import PostgresqlServer, locate
from guarded.errors import DatabaseFailed

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # a simple query, as it is on the wire


class Proxy:
    """Passes bytes between clients and the server, and cuts the first connection at its COMMIT:
    before or after the server has got it."""

    def __init__(self, port: int, *, server_gets_it: bool) -> None:
        self.server_port, self.server_gets_it = port, server_gets_it
        self.was_cut = self.is_down = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends = [self.listener]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.ends.append(client)
                if self.is_down:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.server_port))
                self.ends.append(server)
                for pair in ((client, server), (server, client)):
                    self.threads.append(threading.Thread(target=self._pass, args=pair))
                    self.threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if COMMIT in data and not self.was_cut:
                    self.was_cut = True
                    source.shutdown(socket.SHUT_RDWR)  # no answer can reach it
                    if self.server_gets_it:
                        target.sendall(data)
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for end in self.ends:
            end.close()


@contextmanager
def proxied(server: PostgresqlServer, **how: bool) -> Iterator[tuple[Proxy, PostgresqlServer]]:
    proxy = Proxy(int(server.parameters["port"]), **how)
    try:
        yield proxy, server.at(port=str(proxy.port), sslmode="disable", gssencmode="disable")
    finally:
        proxy.close()


@pytest.fixture
def server(postgres_url) -> PostgresqlServer:
    found = locate(postgres_url)
    with found.connected() as connection:
        connection.execute("CREATE TABLE kept (id int)")
    return found


def rows(server: PostgresqlServer) -> int:
    with server.connected() as connection:
        return len(connection.execute("TABLE kept").fetchall())


def write_and_commit(server: PostgresqlServer) -> None:
    with server.connected() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO kept VALUES (1)")
        commit(server, connection)


def test_a_commit_that_the_server_did_is_done(server):
    with proxied(server, server_gets_it=True) as (proxy, through):
        write_and_commit(through)
        assert proxy.was_cut
    assert rows(server) == 1


def test_a_commit_that_the_server_never_got_changed_nothing(server):
    with proxied(server, server_gets_it=False) as (proxy, through):
        with pytest.raises(DatabaseFailed, match="lost in COMMIT .*nothing was changed; run it"):
            write_and_commit(through)
        assert proxy.was_cut
    assert rows(server) == 0


def test_a_server_that_does_not_come_back_leaves_it_unknown(server, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with (
        proxied(server, server_gets_it=True) as (proxy, through),
        through.connected() as connection,
    ):
        connection.execute("BEGIN")
        connection.execute("INSERT INTO kept VALUES (1)")
        proxy.is_down = True
        with pytest.raises(DatabaseFailed, match="it is unknown whether"):
            commit(through, connection)
    assert rows(server) == 1


def test_another_timeline_is_not_asked(server, monkeypatch):
    """After a fail-over the number may be another transaction's."""
    query = module.NUMBER.replace("left(pg_walfile_name(pg_current_wal_lsn()), 8)", "'0000000F'")
    monkeypatch.setattr(module, "NUMBER", query)
    with (
        proxied(server, server_gets_it=True) as (_, through),
        pytest.raises(DatabaseFailed, match="it is unknown whether"),
    ):
        write_and_commit(through)


def test_a_commit_that_the_server_refuses_is_that_error(server):
    with server.connected() as connection:
        connection.execute("CREATE TABLE parent (id int PRIMARY KEY)")
        connection.execute(
            "ALTER TABLE kept ADD FOREIGN KEY (id) REFERENCES parent DEFERRABLE INITIALLY DEFERRED"
        )
        connection.execute("BEGIN")
        connection.execute("INSERT INTO kept VALUES (1)")
        with pytest.raises(Exception, match="violates foreign key"):
            commit(server, connection)
    assert rows(server) == 0


def test_a_transaction_that_wrote_nothing_needs_no_truth(server):
    with server.connected() as connection:
        connection.execute("BEGIN")
        commit(server, connection)
        assert connection.info.transaction_status.name == "IDLE"
