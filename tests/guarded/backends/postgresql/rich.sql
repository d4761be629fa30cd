-- A schema with everything that issue 15 names.
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE TYPE pair AS (a integer, "B c" text);
CREATE TYPE "Spread" AS RANGE (SUBTYPE = double precision);
CREATE DOMAIN positive AS integer DEFAULT 1 NOT NULL CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE SEQUENCE loose START 10 INCREMENT 5;
CREATE FUNCTION add_one(i integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT i + 1';
CREATE TABLE "Mixed Case" (
    id serial PRIMARY KEY,
    "Name" citext NOT NULL UNIQUE DEFAULT 'x',
    feel mood DEFAULT 'sad',
    tags text[] DEFAULT '{}',
    two pair,
    n positive,
    note varchar(20) COLLATE "C",
    at timestamptz NOT NULL DEFAULT now(),
    twice integer GENERATED ALWAYS AS (id * 2) STORED,
    CONSTRAINT "the note" CHECK (note <> 'no' AND n < 1000)
) WITH (fillfactor = 70);
CREATE TABLE rooms (
    room bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner integer REFERENCES "Mixed Case" ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    used int4range,
    next integer DEFAULT add_one(1),
    EXCLUDE USING gist (owner WITH =, used WITH &&)
);
CREATE UNLOGGED TABLE passing (x integer NOT NULL DEFAULT nextval('loose'));
CREATE TABLE events (at date NOT NULL, kind text NOT NULL, PRIMARY KEY (at, kind))
    PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE INDEX events_kind ON events (kind);
CREATE TABLE parent (a integer, b text);
CREATE TABLE child (c integer) INHERITS (parent);
CREATE INDEX "by Name" ON "Mixed Case" (lower("Name"::text)) INCLUDE (note) WHERE note IS NOT NULL;
CREATE UNIQUE INDEX ON rooms (next, room DESC NULLS LAST);
CREATE STATISTICS correlated (dependencies) ON owner, next FROM rooms;
CREATE VIEW named AS SELECT id, "Name" FROM "Mixed Case" WHERE feel = 'happy';
CREATE VIEW named_twice AS SELECT n.*, r.room FROM named AS n JOIN rooms AS r ON r.owner = n.id;
CREATE MATERIALIZED VIEW counted AS SELECT owner, count(*) AS rooms FROM rooms GROUP BY owner;
CREATE UNIQUE INDEX counted_owner ON counted (owner);
CREATE FUNCTION all_rooms() RETURNS SETOF rooms LANGUAGE sql STABLE AS 'SELECT * FROM rooms';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.at := now();  -- 100 % of the rows
    RETURN NEW;
END $$;
CREATE TRIGGER touched BEFORE UPDATE ON "Mixed Case" FOR EACH ROW WHEN (OLD.n <> NEW.n)
    EXECUTE FUNCTION touch();
CREATE TRIGGER asleep BEFORE INSERT ON "Mixed Case" FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE "Mixed Case" DISABLE TRIGGER asleep;
CREATE RULE quiet AS ON DELETE TO passing DO INSTEAD NOTHING;
ALTER TABLE rooms ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rooms ON rooms FOR SELECT TO CURRENT_USER USING (owner > 0);
COMMENT ON TABLE rooms IS 'where it''s at, 100 %';
COMMENT ON COLUMN "Mixed Case"."Name" IS 'a name';
COMMENT ON INDEX "by Name" IS 'for the search';
GRANT SELECT ON rooms TO PUBLIC;
GRANT INSERT ("Name") ON "Mixed Case" TO PUBLIC;
