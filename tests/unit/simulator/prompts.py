"""Prompts the tests share, in the conventions the platform writes them in."""

from typing import Any

LEASE_ANSWER = "A lease is renewed every five seconds by its worker. [2]"
LEASE_PROMPT = """<passages>
<passage id="1" source="queues.md" heading="Queues">Each queue has a limit. The dispatcher fills queues in turn.</passage>
<passage id="2" source="leases.md" heading="Leases">A lease is renewed every five seconds by its worker. \
Workers stop when told.</passage>
</passages>
<question>How often is a lease renewed?</question>"""


def ask(text: str) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": text}
