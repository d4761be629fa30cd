"""Small databases of every oddity that SQLite takes, for the short sweep."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SPELLING = r'''
PRAGMA user_version = 7; PRAGMA application_id = 99;
CREATE TABLE "a ""b"" c" ("x ""y""" INTEGER PRIMARY KEY, 'single' TEXT DEFAULT 'it''s', [square one] INT);
INSERT INTO "a ""b"" c" VALUES (1, 'p', 2), (5, 'q', NULL);
CREATE TABLE "order" ("select" INTEGER PRIMARY KEY AUTOINCREMENT, "group" TEXT UNIQUE ON CONFLICT REPLACE,
    "from" INT REFERENCES "order" ("select") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
INSERT INTO "order" VALUES (1, 'a', NULL), (2, 'b', 1), (9, 'c', 2);
DELETE FROM "order" WHERE "select" = 9;
CREATE TABLE "dotted.name" (id INTEGER PRIMARY KEY, "a.b" TEXT NOT NULL DEFAULT ('x' || 'y'));
INSERT INTO "dotted.name" VALUES (1, 'one');
CREATE INDEX "dotted.index" ON "dotted.name" ("a.b" COLLATE NOCASE DESC);
CREATE TABLE comments ( -- the first, with a comma
    id INTEGER PRIMARY KEY, /* ( */ a TEXT /* , */ NOT NULL -- of a, it is
    , b INT DEFAULT (1 + 2) CHECK (b > 0) -- of b
    ,c REAL CONSTRAINT positive CHECK (c >= 0.0) -- of c, last
    -- at the end, ) and more
);
INSERT INTO comments VALUES (1, 'a', 1, 1.5), (2, 'b', 2, 0.0);
CREATE TABLE "rowid" (rowid TEXT, _rowid_ INT, v INT);
INSERT INTO "rowid" VALUES ('a', 1, 2), ('b', 3, 4);
CREATE TABLE strict_one (id INTEGER PRIMARY KEY, a ANY, b TEXT NOT NULL, c INT, d BLOB) STRICT;
INSERT INTO strict_one VALUES (1, 'x', 'y', 3, X'00'), (2, 5, 'z', NULL, NULL);
CREATE TABLE keyed (a TEXT, b INT NOT NULL, c TEXT DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (a, b DESC)) WITHOUT ROWID;
INSERT INTO keyed VALUES ('k', 1, 'x'), ('k', 2, 'y'), ('l', 1, 'z');
CREATE TABLE no_rowid_one (k TEXT PRIMARY KEY, v ANY) WITHOUT ROWID, STRICT;
CREATE TABLE generated (id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2), c INT GENERATED ALWAYS AS (b + 1) STORED,
    d TEXT AS (a || '-' || c) VIRTUAL UNIQUE);
INSERT INTO generated (id, a) VALUES (1, 10), (2, 20);
CREATE INDEX generated_b ON generated (b) WHERE c > 1;
CREATE TABLE parents (id INT, code TEXT UNIQUE, x INT, y INT, UNIQUE (x, y), PRIMARY KEY (id DESC));
INSERT INTO parents VALUES (1, 'one', 1, 1), (2, 'two', 1, 2);
CREATE TABLE children (id INTEGER PRIMARY KEY DESC, code TEXT REFERENCES parents (code) ON UPDATE CASCADE,
    x INT, y INT, own INT, CONSTRAINT both FOREIGN KEY (x, y) REFERENCES parents (x, y) ON DELETE CASCADE
    CONSTRAINT other CHECK (own <> 3) UNIQUE (code, own), FOREIGN KEY (own) REFERENCES children,
    FOREIGN KEY (code) REFERENCES parents (code));
INSERT INTO children VALUES (1, 'one', 1, 1, 1), (2, 'two', 1, 2, 1);
CREATE TABLE no_types (a, b, c PRIMARY KEY, d NOT NULL ON CONFLICT IGNORE, CHECK (a IS NOT 'no'));
INSERT INTO no_types VALUES (1, 'a', NULL, 1), (2, X'01', 'k', 2.5), ('3', NULL, NULL, '4');
CREATE UNIQUE INDEX no_types_lower ON no_types (lower(b), a + 1) WHERE b IS NOT NULL;
CREATE TABLE made_from AS SELECT * FROM parents;
CREATE TABLE Ünï (größe INTEGER PRIMARY KEY, "naïve" TEXT COLLATE RTRIM);
INSERT INTO Ünï VALUES (3, 'x ');
CREATE TABLE many (i64 BIGINT, d DECIMAL(10,2), f FLOAT, t DATETIME, b BOOLEAN DEFAULT TRUE, "n" "long name" DEFAULT -1);
INSERT INTO many VALUES (9007199254740993, '10.50', 1.0, '2026-01-01', 1, '007'), (1, 2, 3, 4, 0, 5);
'''

FIRING = r"""
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price INT NOT NULL DEFAULT 1, parent INT REFERENCES items);
CREATE TABLE history (id INTEGER PRIMARY KEY, item INT, what TEXT);
CREATE TABLE totals (name TEXT PRIMARY KEY, n INT);
CREATE UNIQUE INDEX totals_name ON totals (name);
CREATE INDEX items_name ON items (name);
CREATE INDEX items_price ON items (price) WHERE price > 0;
INSERT INTO items VALUES (1, 'a', 10, NULL), (2, 'b', 20, 1), (3, NULL, 0, 2);
INSERT INTO totals VALUES ('a', 1);
CREATE VIEW cheap AS SELECT * FROM items WHERE price < 15;
CREATE VIEW cheaper AS SELECT name, price FROM cheap WHERE price < 12;
CREATE VIEW named (n, p) AS SELECT name, price FROM items UNION SELECT what, item FROM history;
CREATE VIEW tree AS WITH RECURSIVE t (id, depth) AS (SELECT id, 0 FROM items WHERE parent IS NULL
    UNION ALL SELECT i.id, t.depth + 1 FROM items AS i JOIN t ON i.parent = t.id) SELECT * FROM t;
CREATE VIEW windowed AS SELECT name, rank() OVER (PARTITION BY parent ORDER BY price) AS r FROM items;
CREATE VIEW indexed AS SELECT name FROM items INDEXED BY items_name WHERE name > '';
CREATE VIEW each_one AS SELECT i.id, j.value FROM items AS i, json_each('[1, 2]') AS j;
CREATE TRIGGER cheap_insert INSTEAD OF INSERT ON cheap BEGIN
    INSERT INTO items (name, price) VALUES (NEW.name, NEW.price); END;
CREATE TRIGGER cheap_update INSTEAD OF UPDATE OF price ON cheap BEGIN
    UPDATE items SET price = NEW.price WHERE id = OLD.id; END;
CREATE TRIGGER items_insert AFTER INSERT ON items WHEN NEW.price > 0 BEGIN
    INSERT INTO history (item, what) VALUES (NEW.id, 'insert');
    INSERT INTO totals (name, n) VALUES (coalesce(NEW.name, ''), 1) ON CONFLICT (name) DO UPDATE SET n = n + 1; END;
CREATE TRIGGER items_update BEFORE UPDATE OF name, price ON items BEGIN
    SELECT CASE WHEN NEW.price < 0 THEN RAISE(ABORT, 'negative') END;
    INSERT INTO history SELECT NULL, OLD.id, OLD.name; END;
CREATE TRIGGER items_delete AFTER DELETE ON items BEGIN
    DELETE FROM items WHERE parent = OLD.id; UPDATE totals SET n = n - 1 WHERE name = OLD.name; END;
CREATE TRIGGER history_any AFTER INSERT ON history BEGIN
    DELETE FROM history WHERE id < NEW.id - 100; END;
CREATE TRIGGER totals_star AFTER UPDATE ON totals BEGIN
    INSERT INTO history (item, what) SELECT n, name FROM totals WHERE name = (SELECT name FROM cheap LIMIT 1); END;
"""

SEARCHING = r"""
CREATE TABLE docs (id INTEGER PRIMARY KEY, title TEXT, body TEXT, other INT);
INSERT INTO docs VALUES (1, 'one row', 'the example', 1), (4, 'two', 'a test of a row', 2);
CREATE VIRTUAL TABLE docs_fts USING fts5 (title, body, content = 'docs', content_rowid = 'id', tokenize = "porter unicode61");
INSERT INTO docs_fts (docs_fts) VALUES ('rebuild');
CREATE TRIGGER docs_ai AFTER INSERT ON docs BEGIN
    INSERT INTO docs_fts (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
CREATE TRIGGER docs_ad AFTER DELETE ON docs BEGIN
    INSERT INTO docs_fts (docs_fts, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body); END;
CREATE TRIGGER docs_au AFTER UPDATE ON docs BEGIN
    INSERT INTO docs_fts (docs_fts, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body);
    INSERT INTO docs_fts (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
CREATE VIRTUAL TABLE docs_vocab USING fts5vocab ('docs_fts', 'row');
CREATE VIRTUAL TABLE plain5 USING fts5 (a, b UNINDEXED, prefix = '2 3');
INSERT INTO plain5 VALUES ('one test', 'x'), ('the row', 'y');
CREATE VIRTUAL TABLE contentless USING fts5 (a, content = '');
INSERT INTO contentless (rowid, a) VALUES (7, 'example');
CREATE TABLE old_docs (docid INTEGER PRIMARY KEY, words TEXT, more TEXT);
INSERT INTO old_docs VALUES (1, 'one test', 'x'), (2, 'a row', 'y');
CREATE VIRTUAL TABLE old4 USING fts4 (content="old_docs", words, tokenize=porter);
INSERT INTO old4 (old4) VALUES ('rebuild');
CREATE VIRTUAL TABLE plain3 USING fts3 (a, b);
INSERT INTO plain3 VALUES ('one', 'the row');
CREATE VIRTUAL TABLE terms USING fts4aux (plain3);
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1, y0, y1, +label TEXT, +owner INT);
INSERT INTO boxes VALUES (1, 0, 1, 0, 1, 'a', 1), (2, 5, 6, 5, 6, 'b', 4);
CREATE VIRTUAL TABLE whole USING rtree_i32 (id, x0, x1);
CREATE TRIGGER docs_box AFTER INSERT ON docs BEGIN INSERT INTO boxes VALUES (NEW.id, 0, 1, 0, 1, NEW.title, 1); END;
CREATE VIRTUAL TABLE pages USING dbstat (main);
CREATE VIEW found AS SELECT d.title FROM docs AS d JOIN docs_fts AS f ON f.rowid = d.id;
CREATE VIEW in_boxes AS SELECT label FROM boxes WHERE x0 >= 0;
"""

DAMAGED = r"""
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b TEXT, n INT);
INSERT INTO notes VALUES (1, 'a', CAST(X'ff41' AS TEXT), 1), (7, 'c', 'd', 2);
UPDATE sqlite_sequence SET seq = NULL;
CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);
INSERT INTO other VALUES (100, 'x'); DELETE FROM other;
CREATE TABLE nulls (k TEXT PRIMARY KEY, v INT);
INSERT INTO nulls VALUES (NULL, 1), (NULL, 2), ('a', 3);
CREATE TABLE mismatched (id INTEGER PRIMARY KEY, v INT REFERENCES notes (n));
INSERT INTO mismatched VALUES (1, 55);
CREATE TABLE orphan (id INTEGER PRIMARY KEY, p INT REFERENCES gone (id), q INT REFERENCES other (id));
INSERT INTO orphan VALUES (1, NULL, 5), (2, NULL, NULL);
CREATE TABLE lost (a INT, b TEXT);
CREATE VIEW over_lost AS SELECT a, b FROM lost;
CREATE VIEW over_that AS SELECT a FROM over_lost;
CREATE TRIGGER slip AFTER INSERT ON notes BEGIN INSERT INTO lost VALUES (NEW.a, NEW.b); END;
DROP TABLE lost;
CREATE TRIGGER wrong_column AFTER UPDATE ON other BEGIN UPDATE other SET v = NEW.absent; END;
CREATE VIEW by_function AS SELECT app_function(a) AS f, b FROM notes;
CREATE TRIGGER by_trigger AFTER DELETE ON notes BEGIN INSERT INTO other (v) VALUES (app_function(OLD.a)); END;
CREATE TABLE checked (id INTEGER PRIMARY KEY, a TEXT, b INT);
INSERT INTO checked VALUES (1, 'a', 1), (2, 'b', 2);
"""

WORLDS = {
    "spelling": SPELLING,
    "firing": FIRING,
    "searching": SEARCHING,
    "damaged": DAMAGED,
}


def make(name: str, folder: Path) -> Path:
    """A database of this name."""
    path = folder / f"{name}.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.executescript(WORLDS[name])
    return path
