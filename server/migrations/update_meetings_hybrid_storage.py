"""Keep a meeting's invitees in the meeting itself, and drop what only the running server needs."""

from peewee import (
    SQL,
    AutoField,
    BooleanField,
    CharField,
    DateTimeField,
    Default,
    ForeignKeyField,
    IntegerField,
    Model,
    PostgresqlDatabase,
    TextField,
)

NOW = "CURRENT_TIMESTAMP"


class Meeting(Model):
    meeting_id = CharField(primary_key=True)
    title = CharField()
    description = TextField(null=True)
    created_by = CharField()
    start_time = DateTimeField()
    end_time = DateTimeField()
    is_instant_call = BooleanField(constraints=[Default(0)])
    allow_external = BooleanField(constraints=[Default(0)])
    invitation_token = CharField(null=True, constraints=[SQL("UNIQUE")])
    voice_only = BooleanField(constraints=[Default(0)])
    mute_on_join = BooleanField(constraints=[Default(0)])
    created_at = DateTimeField(constraints=[Default(NOW)])
    updated_at = DateTimeField(constraints=[Default(NOW)])
    invited_participants = TextField(null=True, constraints=[Default("'[]'")])

    class Meta:
        table_name = "meetings"


class MeetingParticipant(Model):
    participant_id = AutoField(constraints=[SQL("AUTOINCREMENT")])
    meeting = ForeignKeyField(Meeting, column_name="meeting_id", on_delete="CASCADE", index=False)
    user_id = CharField()
    role = CharField(constraints=[Default("'meeting_member'")])
    status = CharField(constraints=[Default("'invited'")])
    invited_at = DateTimeField(constraints=[Default(NOW)])
    accepted_at = DateTimeField(null=True)
    joined_at = DateTimeField(null=True)
    left_at = DateTimeField(null=True)

    class Meta:
        table_name = "meeting_participants"


MeetingParticipant.add_index(
    MeetingParticipant.meeting,
    MeetingParticipant.user_id,
    unique=True,
    name="meeting_participants_meeting_id_user_id",
)
MeetingParticipant.add_index(MeetingParticipant.user_id, name="meeting_participants_user_id")

# The participants in the order of their invitation; who is in the list already comes first.
INVITEES = """CASE WHEN invited_participants = '[]' THEN (
    SELECT json_group_array(user_id) FROM (
        SELECT user_id FROM meeting_participants AS p
        WHERE p.meeting_id = meetings.meeting_id AND p.user_id <> meetings.created_by
        ORDER BY participant_id
    )
) ELSE (
    SELECT json_group_array(invitee) FROM (
        SELECT invitee FROM (
            SELECT 0 AS source, key AS place, value AS invitee
            FROM json_each(iif(json_valid(invited_participants), invited_participants, '[]'))
            UNION ALL
            SELECT 1, participant_id, user_id FROM meeting_participants AS p
            WHERE p.meeting_id = meetings.meeting_id AND p.user_id <> meetings.created_by
        ) GROUP BY invitee ORDER BY min(source), min(place)
    )
) END"""
HAS_INVITEES = """EXISTS (
    SELECT 1 FROM meeting_participants AS p
    WHERE p.meeting_id = meetings.meeting_id AND p.user_id <> meetings.created_by
)"""

# On the way back: the kept rows are in the table by now.  The list of a meeting says who is in; the
# rows have roles, answers and times.  Meetings without any row are newer, and get new ones.
UNINVITED = """
DELETE FROM meeting_participants WHERE NOT EXISTS (
    SELECT 1 FROM meetings AS m
    WHERE m.meeting_id = meeting_participants.meeting_id AND (
        m.created_by = meeting_participants.user_id OR EXISTS (
            SELECT 1
            FROM json_each(iif(json_valid(m.invited_participants), m.invited_participants, '[]'))
            WHERE value = meeting_participants.user_id
        )
    )
)
"""
OWNERS = """
INSERT OR IGNORE INTO meeting_participants (meeting_id, user_id, role)
SELECT meeting_id, created_by, 'meeting_owner' FROM meetings AS m WHERE NOT EXISTS (
    SELECT 1 FROM meeting_participants AS p WHERE p.meeting_id = m.meeting_id
)
"""
MEMBERS = """
INSERT OR IGNORE INTO meeting_participants (meeting_id, user_id, role)
SELECT m.meeting_id, invitee.value, 'meeting_member' FROM meetings AS m,
    json_each(iif(json_valid(m.invited_participants), m.invited_participants, '[]')) AS invitee
WHERE typeof(invitee.value) = 'text'
"""


class Sqlite:
    invitees, has_invitees = INVITEES, HAS_INVITEES
    uninvited, owners, members = UNINVITED, OWNERS, MEMBERS


# The same on PostgreSQL, with its own functions for JSON.  Before version 16 it can't tell whether
# a text is valid JSON.
ITEM = (
    r'"([^"\\[:cntrl:]]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{{4}})*"'
    r"|-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?|true|false|null"
)
LISTED = (
    rf"CASE WHEN {{0}} ~ '^\s*\[\s*(({ITEM})(\s*,\s*({ITEM}))*)?\s*\]\s*$'"
    " THEN {0} ELSE '[]' END::jsonb"
)


class Postgresql:
    has_invitees = HAS_INVITEES
    invitees = f"""CASE WHEN invited_participants = '[]' THEN (
    SELECT '[' || string_agg(to_json(user_id::text)::text, ',' ORDER BY participant_id) || ']'
    FROM meeting_participants AS p
    WHERE p.meeting_id = meetings.meeting_id AND p.user_id <> meetings.created_by
) ELSE (
    SELECT '[' || string_agg(invitee::text, ',' ORDER BY source, place) || ']' FROM (
        SELECT invitee, min(source) AS source, min(place) AS place FROM (
            SELECT 0 AS source, place, value AS invitee
            FROM jsonb_array_elements({LISTED.format("invited_participants")})
                WITH ORDINALITY AS listed (value, place)
            UNION ALL
            SELECT 1, participant_id, to_jsonb(user_id::text) FROM meeting_participants AS p
            WHERE p.meeting_id = meetings.meeting_id AND p.user_id <> meetings.created_by
        ) AS every_one GROUP BY invitee
    ) AS each_once
) END"""
    uninvited = f"""
DELETE FROM meeting_participants WHERE NOT EXISTS (
    SELECT 1 FROM meetings AS m
    WHERE m.meeting_id = meeting_participants.meeting_id AND (
        m.created_by = meeting_participants.user_id OR EXISTS (
            SELECT 1 FROM jsonb_array_elements_text({LISTED.format("m.invited_participants")})
                AS listed (value)
            WHERE value = meeting_participants.user_id
        )
    )
)
"""
    owners = f"{OWNERS.replace('OR IGNORE ', '')}ON CONFLICT DO NOTHING"
    members = f"""
INSERT INTO meeting_participants (meeting_id, user_id, role)
SELECT m.meeting_id, invitee.value #>> '{{}}', 'meeting_member' FROM meetings AS m,
    jsonb_array_elements({LISTED.format("m.invited_participants")}) AS invitee (value)
WHERE jsonb_typeof(invitee.value) = 'string' ON CONFLICT DO NOTHING
"""


def dialect(db):
    return Postgresql if isinstance(db, PostgresqlDatabase) else Sqlite


def up(migrator, db):
    migrator.migrate(
        # First what goes: the invitees find room in the pages that it leaves.
        migrator.drop_column("meetings", "status"),
        migrator.drop_column("meetings", "max_participants"),
        migrator.drop_column("meetings", "source_channel_id"),
        migrator.drop_column("meetings", "source_user_id"),
        migrator.add_column("meetings", "invited_participants", Meeting.invited_participants),
    )
    sql = dialect(db)
    if migrator.has_table("meeting_participants"):
        migrator.migrate(
            migrator.fill("meetings", "invited_participants", sql.invitees, where=sql.has_invitees)
        )
    migrator.migrate(
        migrator.drop_table("meeting_participants"),
        # The former server's own version of this step spoiled the defaults and lost the indexes.
        migrator.complete_table(Meeting),
    )


def down(migrator, db):
    migrator.migrate(
        migrator.add_column("meetings", "status", CharField(constraints=[Default("'scheduled'")])),
        migrator.add_column("meetings", "max_participants", IntegerField(null=True)),
        migrator.add_column("meetings", "source_channel_id", CharField(null=True)),
        migrator.add_column("meetings", "source_user_id", CharField(null=True)),
        migrator.add_index("meetings", ("status",), name="meetings_status"),
        migrator.create_table(MeetingParticipant),
    )
    sql = dialect(db)
    if migrator.has_column("meetings", "invited_participants"):
        migrator.migrate(
            migrator.sql(sql.uninvited), migrator.sql(sql.owners), migrator.sql(sql.members)
        )
    else:
        migrator.migrate(migrator.sql(sql.owners))
    migrator.migrate(migrator.drop_column("meetings", "invited_participants"))
