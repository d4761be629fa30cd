"""Remember which user signs in with which e-mail address."""

from peewee import CharField, DateTimeField, Default, Model


class UserLink(Model):
    email = CharField(primary_key=True)
    user_id = CharField()
    created_at = DateTimeField(constraints=[Default("CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "user_links"


def up(migrator, db):
    migrator.migrate(
        migrator.create_table(UserLink),
        migrator.add_index("user_links", ("user_id",), name="user_links_user_id"),
    )


def down(migrator, db):
    migrator.migrate(
        migrator.drop_index("user_links", "user_links_user_id"),
        migrator.drop_table("user_links"),
    )
