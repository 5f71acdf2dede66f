"""SDP of one PCMU/PCMA audio stream, and the laboratory's own `a=x-lab:` attribute.

`a=x-lab:offer` in an offer says: no RTP, tell me in words what the callee does. The answer then carries
`a=x-lab:speech=tone:440;dtmf=12@1.5;hangup=3.0` (see lab/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass

LAB_OFFER = "a=x-lab:offer"


@dataclass(frozen=True, slots=True)
class MediaLine:
    """Where and how the other side wants its audio."""

    host: str
    port: int
    payloads: tuple[int, ...]
    dtmf_payload: int | None
    lab: str | None


def parse_sdp(text: str) -> MediaLine | None:
    """The first audio stream, or None when there is none."""
    host, port = "", 0
    payloads: tuple[int, ...] = ()
    dtmf: int | None = None
    lab: str | None = None
    seen_audio = False
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith("c=IN IP4 "):
            host = line[9:].strip()
        elif line.startswith("m="):
            if seen_audio:
                break
            if line.startswith("m=audio "):
                fields = line[8:].split()
                port = int(fields[0])
                payloads = tuple(int(item) for item in fields[2:] if item.isdigit())
                seen_audio = True
        elif line.startswith("a=rtpmap:") and "telephone-event" in line:
            dtmf = int(line[9:].split()[0])
        elif line.startswith("a=x-lab:"):
            lab = line[8:].strip()
    return MediaLine(host, port, payloads, dtmf, lab) if seen_audio else None


def answer_sdp(host: str, port: int, lab: str | None = None) -> str:
    """The carrier's answer: PCMU and telephone-event."""
    lines = [
        "v=0",
        f"o=c 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=ptime:20",
    ]
    if lab:
        lines.append(f"a=x-lab:{lab}")
    return "\r\n".join(lines) + "\r\n"


def offer_sdp(host: str, port: int, session: int, codecs: list[str], version_step: int = 1) -> str:
    """The switch's offer, worded as FreeSWITCH words it."""
    numbers = {"PCMU": 0, "PCMA": 8}
    chosen = [(numbers[name], name) for name in codecs if name in numbers] or [(0, "PCMU")]
    payloads = " ".join(str(number) for number, _ in chosen)
    lines = [
        "v=0",
        f"o=FreeSWITCH {session} {session + version_step} IN IP4 {host}",
        "s=FreeSWITCH",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {payloads} 101 13",
    ]
    lines += [f"a=rtpmap:{number} {name}/8000" for number, name in chosen]
    lines += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=rtpmap:13 CN/8000", "a=ptime:20", "a=sendrecv"]
    return "\r\n".join(lines) + "\r\n"
