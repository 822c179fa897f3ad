"""Wire formats of model vendors, read into calls in OTel terms.

Responsible for everything that is particular to a vendor: one module per wire format, a table from
format to reader. Pure: must not wait, read a clock or log, and never raises on what it is given.
"""

from __future__ import annotations

from agentsight_aggregator.providers.calls import read_call

__all__ = ["read_call"]
