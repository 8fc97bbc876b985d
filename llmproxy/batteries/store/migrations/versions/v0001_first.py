"""The first tables: all that `tables.py` has.

Until the first release with a store; from then on, this file lists them as they were.
"""

from alembic import op

from llmproxy.batteries.store.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    metadata.create_all(op.get_bind(), checkfirst=False)
