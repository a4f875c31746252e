#!/usr/bin/env python3
"""A WebRTC peer for tests: aiortc, which is not ours, with one voice, one pair of ears and one data channel.

    peer.py --play SPOKEN.wav --record FOLDER --offers|--answers

It prints its description as a JSON line, reads the other's as a JSON line, and ends at {"do": "end"}. Texts on the data channel
come back with "heard: " before them. Meanwhile it speaks; at the end it writes what it heard, one file a source.
"""

import argparse
import asyncio
import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "jitsi"))

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription  # noqa: E402
from participant import EARS, Voice, tell  # noqa: E402


def listen(peer):
    @peer.on("connectionstatechange")
    def _():
        tell("connection", state=peer.connectionState)

    @peer.on("datachannel")
    def _(channel):
        tell("channel", label=channel.label, protocol=channel.protocol, id=channel.id)

        @channel.on("message")
        def _(text):
            channel.send(f"heard: {text}")


async def describe(peer, options, lines):
    if options.offers:
        # The channel makes the offer carry SCTP; it is never opened by us.
        peer.createDataChannel("unused", negotiated=True, id=1000)
        await peer.setLocalDescription(await peer.createOffer())
        tell("description", sdp=peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription((await lines.get())["sdp"], "answer"))
    else:
        await peer.setRemoteDescription(RTCSessionDescription((await lines.get())["sdp"], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        tell("description", sdp=peer.localDescription.sdp)


async def run(options):
    lines = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(lines.put_nowait, {"do": "end"})

    threading.Thread(target=read, daemon=True).start()
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    listen(peer)
    peer.addTrack(Voice(options.play))
    await describe(peer, options, lines)
    while (await lines.get()).get("do") != "end":
        pass
    tell("saved", files=EARS.save(options.record))
    await peer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--play", required=True)
    parser.add_argument("--record", required=True)
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--offers", action="store_true")
    role.add_argument("--answers", action="store_true")
    options = parser.parse_args()
    # Its own number for Opus when it offers.
    EARS.payload_type = 96 if options.offers else 111
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
