"""Generated from proto/agentsight_core/etcd/pb; `make proto` writes it anew."""
