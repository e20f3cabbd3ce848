"""The money: the append-only ledger of what every call cost."""
