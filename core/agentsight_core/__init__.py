"""What agent, aggregator and command share: wire schema, parsers, bus, spool, ledger, interfaces.

Must not know the agent, the aggregator or the command.
"""
