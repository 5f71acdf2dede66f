"""The enterprises in a Stack: accounts with their keys and agents."""

from __future__ import annotations

from uuid import UUID

from lab.liberty import give_the_world
from store import agents, keys, tenants
from store.pool import Database
from trunkline.stack_parts import Account


class People:
    """What a stack that runs can be asked for."""

    db: Database
    agent_url: str

    def account(self, name: str, *, webhook_url: str | None = None) -> Account:
        """A new tenant and an API key of it."""
        tenant = tenants.create(self.db, name=name, webhook_url=webhook_url)
        give_the_world(self.db, tenant.id)
        _, key = keys.create(self.db, tenant_id=tenant.id, name="stack")
        return Account(tenant.id, tenant.name, key)

    def test_key(self, account: Account) -> str:
        """A test key of the tenant, in the clear."""
        return keys.create(self.db, tenant_id=account.id, name="tests", mode="test")[1]

    def reference_agent(self, account: Account, name: str = "reference") -> UUID:
        """An agent of the tenant that leads to the reference agent's WebSocket."""
        return agents.create(self.db, tenant_id=account.id, name=name, kind="websocket", url=self.agent_url).id

    def announcement(self, account: Account, file: str, name: str = "announcement") -> UUID:
        """An agent of the tenant that plays `file` of ``self.audio``."""
        return agents.create(self.db, tenant_id=account.id, name=name, kind="announcement", audio=file).id
