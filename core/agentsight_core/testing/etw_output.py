"""Writes events as `tracerpt -of XML` does, for tests: nothing here has run on Windows.

The shape is that of Microsoft's documentation ("Event" of
http://schemas.microsoft.com/win/2004/08/events/event), the fields those of the manifests.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

HEADER = "{68fdd900-4a3e-11d1-84f4-0000f80464e3}"
CLASSIC_PROCESS = "{3d6fa8d0-fe05-11d0-9dda-00c04fd7ba7c}"
CLASSIC_TCPIP = "{9a280ac0-c8e0-11d1-84e2-00c04fb998a2}"
KERNEL_PROCESS = "{22fb2cd6-0e7b-422b-a0c7-2fad1fd0e716}"
KERNEL_FILE = "{edd08927-9cc4-4e65-b970-c2560fb5c289}"
KERNEL_NETWORK = "{7dd42a49-5329-4832-8dfd-43d979153a88}"

_SCHEMA = "http://schemas.microsoft.com/win/2004/08/events/"
# Classes of the NT Kernel Logger: the provider is that of all of them, or that of the class.
_CLASSES = {HEADER: "EventTrace", CLASSIC_PROCESS: "Process", CLASSIC_TCPIP: "TcpIp"}


def event(
    provider: str,
    ident: int,
    time: str,
    pid: int,
    *,
    opcode_name: str = "",
    raw_time: int | None = None,
    **fields: object,
) -> str:
    """Return one event; `ident` is the id of an event with a manifest, else the opcode."""
    classic = provider in _CLASSES
    created = f'SystemTime="{time}"' if raw_time is None else f'RawTime="{raw_time}"'
    data = "".join(
        f"\t\t<Data Name={quoteattr(name)}>{escape(str(value))}</Data>\n"
        for name, value in fields.items()
    )
    rendering = (
        f'\t<RenderingInfo Culture="en-US">\n\t\t<Opcode>{opcode_name}</Opcode>\n'
        "\t\t<Provider>MSNT_SystemTrace</Provider>\n"
        f'\t\t<EventName xmlns="{_SCHEMA}trace">{_CLASSES.get(provider, "")}</EventName>\n'
        "\t</RenderingInfo>\n"
        f'\t<ExtendedTracingInfo xmlns="{_SCHEMA}trace">\n\t\t<EventGuid>{provider}</EventGuid>\n'
        "\t</ExtendedTracingInfo>\n"
    )
    source = "{9e814aad-3204-11d2-9a82-006008a86939}" if classic else provider
    return (
        f'<Event xmlns="{_SCHEMA}event">\n\t<System>\n\t\t<Provider Guid="{source}" />\n'
        f"\t\t<EventID>{0 if classic else ident}</EventID>\n\t\t<Version>1</Version>\n"
        f"\t\t<Level>4</Level>\n\t\t<Task>0</Task>\n"
        f"\t\t<Opcode>{ident if classic else 0}</Opcode>\n\t\t<Keywords>0x0</Keywords>\n"
        f"\t\t<TimeCreated {created} />\n"
        f'\t\t<Execution ProcessID="{pid}" ThreadID="{pid + 4}" ProcessorID="0" />\n'
        "\t\t<Channel />\n\t\t<Computer />\n\t</System>\n\t<EventData>\n"
        f"{data}\t</EventData>\n{rendering if classic else ''}</Event>\n"
    )


def document(events: list[str]) -> str:
    """Return the file that holds `events`."""
    return "<Events>\n" + "".join(events) + "</Events>\n"
