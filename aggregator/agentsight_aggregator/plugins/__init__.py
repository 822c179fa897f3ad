"""Runs plugins within limits: what one of them does wrong stays its own affair.

Must not be a place for analyzers or exporters of ours.
"""
