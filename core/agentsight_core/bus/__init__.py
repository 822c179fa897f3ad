"""The bus: JetStream streams between agents, aggregators and exporters, and the server itself.

Must not know what events or findings mean.
"""
