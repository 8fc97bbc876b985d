"""How Alembic runs the migrations: on the connection that `schema.upgrade` gives it."""

from alembic import context

from llmproxy.batteries.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
