"""What /proc and the machine know beyond the kernel's records: processes, containers, the boot.

Must not load BPF programs, keep sessions or talk to the bus.
"""
