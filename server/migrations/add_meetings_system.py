"""Add the tables for meetings: meetings and meeting_participants."""

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
    status = CharField(constraints=[Default("'scheduled'")])
    is_instant_call = BooleanField(constraints=[Default(0)])
    source_channel_id = CharField(null=True)
    source_user_id = CharField(null=True)
    allow_external = BooleanField(constraints=[Default(0)])
    invitation_token = CharField(null=True, constraints=[SQL("UNIQUE")])
    voice_only = BooleanField(constraints=[Default(0)])
    mute_on_join = BooleanField(constraints=[Default(0)])
    max_participants = IntegerField(null=True)
    created_at = DateTimeField(constraints=[Default(NOW)])
    updated_at = DateTimeField(constraints=[Default(NOW)])

    class Meta:
        table_name = "meetings"


Meeting.add_index(Meeting.created_by, name="meetings_created_by")
Meeting.add_index(Meeting.start_time, name="meetings_start_time")
Meeting.add_index(Meeting.end_time, name="meetings_end_time")
Meeting.add_index(Meeting.status, name="meetings_status")
Meeting.add_index(Meeting.is_instant_call, name="meetings_is_instant_call")


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


def up(migrator, db):
    migrator.migrate(migrator.create_table(Meeting))
    # A database that is further already keeps its invitees in the meetings.
    if not migrator.has_column("meetings", "invited_participants"):
        migrator.migrate(migrator.create_table(MeetingParticipant))


def down(migrator, db):
    migrator.migrate(
        migrator.drop_table("meeting_participants"),
        migrator.drop_table("meetings"),
    )
