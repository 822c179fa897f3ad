"""What tests of several packages share: builders of real input and real servers.

Must not be imported by product code.
"""
