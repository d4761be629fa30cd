"""The same on PostgreSQL: one server, two databases, and native statements as the judge."""
