"""A way over a tun device that takes time: what goes to 10.77.0.2 seems to come back from there.

Makes the device "slow0" (10.77.0.1/24) in this network namespace; gives every packet back after the
milliseconds given, with its addresses exchanged (the checksums do not change by that). Prints
"ready"; ends with its standard input.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
MTU = 1500

# What others do on the machine is not to be measured as delay.
os.setpriority(os.PRIO_PROCESS, 0, -20)
delay_s = float(sys.argv[1]) / 1000
device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"slow0", IFF_TUN_NO_PI))
subprocess.run(["ip", "address", "add", "10.77.0.1/24", "dev", "slow0"], check=True)
subprocess.run(
    ["ip", "link", "set", "slow0", "up", "mtu", str(MTU), "txqueuelen", "10000"], check=True
)
print("ready", flush=True)

waiting: deque[tuple[float, bytes]] = deque()
while True:
    left_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    readable, _, _ = select.select([device, 0], [], [], left_s)
    if 0 in readable:
        break
    while device in readable:
        try:
            packet = os.read(device, 65536)
        except BlockingIOError:
            break
        if packet[0] >> 4 == 4:
            back = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
            waiting.append((time.monotonic() + delay_s, back))
    while waiting and waiting[0][0] <= time.monotonic():
        os.write(device, waiting.popleft()[1])
