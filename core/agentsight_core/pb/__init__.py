"""The wire schema, generated from `proto/` by `make proto`. Nothing else lives here."""
