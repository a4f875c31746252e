#!/usr/bin/env python3
"""A web participant of a Jitsi meeting for tests: XMPP and Jingle of our own, media by aiortc (a WebRTC stack we did not write).

It joins a room, answers the focus, speaks a WAV file in a loop and keeps what each source says in a WAV file of its own, placed
by its RTP timestamps. One JSON object per line on standard output tells what happens; one per line on standard input asks for:

    {"do": "mute", "nick": "..."}          moderator mutes an occupant          {"do": "kick", "nick": "..."}
    {"do": "av-moderation", "on": true}    moderator locks microphones          {"do": "approve", "nick": "..."}
    {"do": "lobby", "on": true}            members only, with a lobby           {"do": "admit", "jid": "..."} / {"do": "deny", "nick": "..."}
    {"do": "password", "value": "..."}     locks the room                       {"do": "end"}   ends the meeting for all
    {"do": "speak", "on": false}           stops or resumes the own voice       {"do": "record", "on": true}  tells a recording is on
    {"do": "dial", "to": "...", "headers": {}}   asks the focus for a telephone     {"do": "hangup", "nick": "..."}   ends a telephone's call
    {"do": "save"}                         writes the recordings now            {"do": "leave"} leaves, writes them and ends
"""

import argparse
import asyncio
import base64
import fractions
import hashlib
import json
import re
import secrets
import sys
import threading
import time
import wave
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpreceiver import RTCRtpReceiver

from xmpp_stream import Stream

RATE = 48_000
FRAME = 960
NS = {
    "jingle": "urn:xmpp:jingle:1",
    "rtp": "urn:xmpp:jingle:apps:rtp:1",
    "ext": "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0",
    "ssma": "urn:xmpp:jingle:apps:rtp:ssma:0",
    "ice": "urn:xmpp:jingle:transports:ice-udp:1",
    "dtls": "urn:xmpp:jingle:apps:dtls:0",
    "muc": "http://jabber.org/protocol/muc",
    "user": "http://jabber.org/protocol/muc#user",
    "owner": "http://jabber.org/protocol/muc#owner",
    "info": "http://jabber.org/protocol/disco#info",
    "caps": "http://jabber.org/protocol/caps",
    "meet": "http://jitsi.org/jitmeet",
    "focus": "http://jitsi.org/protocol/focus",
    "rayo": "urn:xmpp:rayo:1",
}
FEATURES = sorted([
    NS["info"],
    "http://jitsi.org/json-encoded-sources",
    "urn:ietf:rfc:5761",
    "urn:ietf:rfc:5888",
    NS["rtp"],
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:dtls:0",
    NS["ice"],
])
CAPS_NODE = "https://weebee.example/test-participant"


def caps_hash():
    """XEP-0115 verification string of our features."""
    text = "client/pc//test<" + "".join(feature + "<" for feature in FEATURES)
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def tell(what, **facts):
    print(json.dumps({"at": round(time.time(), 3), "event": what, **facts}), flush=True)


class Voice(MediaStreamTrack):
    """A WAV file, spoken again and again, in real time."""

    kind = "audio"

    def __init__(self, path):
        super().__init__()
        self.samples = b""
        if path:
            with wave.open(path) as file:
                rate, data = file.getframerate(), file.readframes(file.getnframes())
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(data) // 2)
            frame.sample_rate = rate
            frame.planes[0].update(data)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            parts = resampler.resample(frame) + resampler.resample(None)
            self.samples = b"".join(bytes(part.planes[0])[: part.samples * 2] for part in parts)
        self.place = 0
        self.count = 0
        self.start = None
        self.speaks = True

    async def recv(self):
        self.start = self.start or time.monotonic()
        wait = self.start + self.count * FRAME / RATE - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        elif wait < -1:
            # Nobody listened between two sessions: what was not said is not said in a burst.
            self.start -= wait
        data = bytes(FRAME * 2)
        if self.speaks and self.samples:
            data = self.samples[self.place : self.place + FRAME * 2].ljust(FRAME * 2, b"\0")
            self.place += FRAME * 2
            if self.place >= len(self.samples):
                self.place = 0
        # Both sides alike: made of one side by the encoder it would be 3 dB softer.
        both = bytearray(FRAME * 4)
        for side in (0, 2):
            both[side::4], both[side + 1 :: 4] = data[0::2], data[1::2]
        frame = av.AudioFrame(format="s16", layout="stereo", samples=FRAME)
        frame.planes[0].update(bytes(both))
        frame.sample_rate = RATE
        frame.pts = self.count * FRAME
        frame.time_base = fractions.Fraction(1, RATE)
        self.count += 1
        return frame


class Ears:
    """What was heard: one timeline per SSRC. Packets are decoded in order of arrival; the network of a test keeps order."""

    def __init__(self):
        self.streams = {}
        self.payload_type = 111
        self.began = time.monotonic()

    def packet(self, packet):
        if packet.payload_type != self.payload_type or not packet.payload:
            return
        stream = self.streams.get(packet.ssrc)
        if stream is None:
            # As in browsers: FFmpeg's own decoder calculates otherwise, and a steady tone becomes a scream in it.
            decoder = av.CodecContext.create("libopus", "r")
            decoder.sample_rate, decoder.layout = RATE, "mono"
            stream = {"decoder": decoder, "parts": [], "packets": 0, "bytes": 0, "first": packet.timestamp, "highest": -1}
            stream["offset"] = int((time.monotonic() - self.began) * RATE)
            self.streams[packet.ssrc] = stream
            tell("heard", ssrc=packet.ssrc)
        stream["packets"] += 1
        stream["bytes"] += len(packet.payload)
        place = (packet.timestamp - stream["first"]) & 0xFFFFFFFF
        if place >= 0x80000000 or place <= stream["highest"]:
            return
        stream["highest"] = place
        for frame in stream["decoder"].decode(av.Packet(bytes(packet.payload))):
            stream["parts"].append((place, self.mono(frame)))

    @staticmethod
    def mono(frame):
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        parts = resampler.resample(frame)
        return b"".join(bytes(part.planes[0])[: part.samples * 2] for part in parts)

    def save(self, folder):
        files = {}
        for ssrc, stream in self.streams.items():
            length = max((place + len(data) // 2 for place, data in stream["parts"]), default=0)
            sound = bytearray(length * 2)
            for place, data in stream["parts"]:
                sound[place * 2 : place * 2 + len(data)] = data
            path = Path(folder) / f"{ssrc}.wav"
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(bytes(sound))
            files[ssrc] = {"file": str(path), "packets": stream["packets"], "began_s": stream["offset"] / RATE}
        return files

    def counts(self):
        return {ssrc: stream["packets"] for ssrc, stream in self.streams.items()}


EARS = Ears()


async def _hear(self, packet, arrival_time_ms):
    """aiortc decodes one stream per m-line; a meeting sends many: each gets a decoder of its own."""
    EARS.packet(packet)


RTCRtpReceiver._handle_rtp_packet = _hear


class Participant:
    def __init__(self, options):
        self.options = options
        self.nick = options.nick or secrets.token_hex(4)
        self.room = f"{options.room}@{options.muc}"
        self.jid = None
        self.waiting = {}
        self.occupants = {}
        self.sources = {}
        self.peer = None
        self.sid = None
        self.voice = Voice(options.play)
        self.stream = None
        self.features = asyncio.Queue()
        self.over = asyncio.Event()

    # The stream. A moderator's wishes to the server's components (microphone lock, end for all) need the room in the address
    # of a WebSocket; everything else works on a plain connection too.

    def send(self, text):
        if self.options.websocket:
            self.frames.put_nowait(re.sub(r"^<(presence|message|iq)\b", r"<\1 xmlns='jabber:client'", text))
        else:
            self.stream.send(text)

    async def connect_websocket(self):
        import websockets

        socket = await websockets.connect(self.options.websocket, subprotocols=["xmpp"], max_size=None)
        self.frames = asyncio.Queue()

        async def pump():
            while True:
                await socket.send(await self.frames.get())

        asyncio.get_running_loop().create_task(pump())
        opening = f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{self.options.domain}' version='1.0'/>"
        for step in ("auth", "bind"):
            self.send(opening)
            while not (await self.frame(socket)).tag.endswith("features"):
                pass
            if step == "auth":
                self.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
                if not (await self.frame(socket)).tag.endswith("success"):
                    raise SystemExit("the server refused the login")

        async def read():
            async for text in socket:
                try:
                    await self.stanza(ET.fromstring(text))
                except Exception as error:
                    tell("error", what=repr(error))
            tell("stream-closed")
            self.over.set()

        asyncio.get_running_loop().create_task(read())

    @staticmethod
    async def frame(socket):
        return ET.fromstring(await socket.recv())

    async def connect(self):
        if self.options.websocket:
            await self.connect_websocket()
        else:
            await self.connect_tcp()
        answer = await self.ask("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>", to=None)
        self.jid = answer.findtext(".//{urn:ietf:params:xml:ns:xmpp-bind}jid")
        self.send("<presence/>")

    async def connect_tcp(self):
        self.stream = await Stream.connect(self.options.host, self.options.port)
        for step in ("auth", "bind"):
            await self.stream.open("jabber:client", self.options.domain, " version='1.0'")
            await self.stream.until("{http://etherx.jabber.org/streams}features")
            if step == "auth":
                mechanism, secret = "ANONYMOUS", ""
                if self.options.password:
                    mechanism = "PLAIN"
                    secret = base64.b64encode(f"\0{self.options.user}\0{self.options.password}".encode()).decode()
                self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{secret}</auth>")
                answer = await self.stream.until("{urn:ietf:params:xml:ns:xmpp-sasl}success",
                                                 "{urn:ietf:params:xml:ns:xmpp-sasl}failure")
                if answer.tag.endswith("failure"):
                    raise SystemExit("the server refused the login")
        asyncio.get_running_loop().create_task(self.read())

    async def read(self):
        async for element in self.stream.elements():
            try:
                await self.stanza(element)
            except Exception as error:  # A test must see it, and go on.
                tell("error", what=repr(error))
        tell("stream-closed")
        self.over.set()

    async def ask(self, payload, to, kind="set"):
        name = secrets.token_hex(6)
        future = asyncio.get_running_loop().create_future()
        self.waiting[name] = future
        address = f" to={quoteattr(to)}" if to else ""
        self.send(f"<iq type='{kind}' id='{name}'{address}>{payload}</iq>")
        return await asyncio.wait_for(future, 40)

    # The room.

    async def join(self):
        request = (f"<conference xmlns='{NS['focus']}' room={quoteattr(self.room)} machine-uid='{secrets.token_hex(16)}'>"
                   "<property name='startSilent' value='false'/></conference>")
        for _ in range(20):
            answer = await self.ask(request, to=self.options.focus)
            tell("conference", type=answer.get("type"))
            if answer.get("type") == "result":
                break
            # A focus that has just started is not there for the first seconds.
            await asyncio.sleep(1)
        self.presence()

    def presence(self, password=None):
        info = json.dumps({f"{self.nick}-a0": {"muted": not self.voice.speaks}})
        key = f"<password>{escape(password)}</password>" if password else ""
        self.send(f"<presence to={quoteattr(self.room + '/' + self.nick)}><x xmlns='{NS['muc']}'>{key}</x>"
                  f"<c xmlns='{NS['caps']}' hash='sha-1' node='{CAPS_NODE}' ver='{caps_hash()}'/>"
                  f"<nick xmlns='http://jabber.org/protocol/nick'>{escape(self.options.display)}</nick>"
                  f"<audiomuted>{str(not self.voice.speaks).lower()}</audiomuted><videomuted>true</videomuted>"
                  f"<SourceInfo>{escape(info)}</SourceInfo></presence>")

    async def stanza(self, element):
        kind = element.tag.rpartition("}")[2]
        if kind == "iq":
            await self.iq(element)
        elif kind == "presence":
            self.occupant(element)
        elif kind == "message":
            self.message(element)

    async def iq(self, iq):
        if iq.get("type") in ("result", "error"):
            future = self.waiting.pop(iq.get("id"), None)
            if future and not future.done():
                future.set_result(iq)
            return
        payload = iq[0] if len(iq) else None
        tag = payload.tag if payload is not None else ""
        answer = ""
        if tag == f"{{{NS['info']}}}query":
            node = f" node={quoteattr(payload.get('node'))}" if payload.get("node") else ""
            features = "".join(f"<feature var='{feature}'/>" for feature in FEATURES)
            answer = (f"<query xmlns='{NS['info']}'{node}><identity category='client' type='pc' name='test'/>{features}</query>")
        self.send(f"<iq type='result' id={quoteattr(iq.get('id'))} to={quoteattr(iq.get('from'))}>{answer}</iq>")
        if tag == f"{{{NS['jingle']}}}jingle":
            # Beside the reading: an answer waits for the focus's own.
            asyncio.get_running_loop().create_task(self.jingle_safely(payload, iq.get("from")))
        elif tag == "{http://jitsi.org/jitmeet/audio}mute":
            tell("mute-asked", value=payload.text)

    def occupant(self, presence):
        room, _, nick = presence.get("from", "").partition("/")
        if room != self.room:
            item = presence.find(f".//{{{NS['user']}}}item")
            jid = item.get("jid") if item is not None else None
            tell("lobby-presence", sender=presence.get("from"), type=presence.get("type"), jid=jid)
            return
        codes = [status.get("code") for status in presence.iter(f"{{{NS['user']}}}status")]
        if presence.get("type") == "error":
            error = presence.find("{jabber:client}error")
            tell("join-error", conditions=[child.tag.rpartition("}")[2] for child in (error if error is not None else [])])
            return
        if presence.get("type") == "unavailable":
            self.occupants.pop(nick, None)
            tell("left", nick=nick, codes=codes)
            if nick == self.nick:
                self.over.set()
            return
        item = presence.find(f".//{{{NS['user']}}}item")
        facts = {
            "jid": item.get("jid") if item is not None else None,
            "role": item.get("role") if item is not None else None,
            "affiliation": item.get("affiliation") if item is not None else None,
            "display": presence.findtext("{http://jabber.org/protocol/nick}nick"),
            "status": presence.findtext("{jabber:client}status"),
            "audiomuted": presence.findtext("{jabber:client}audiomuted"),
            "source_info": presence.findtext("{jabber:client}SourceInfo"),
            "features": [feature.get("var") for feature in presence.iter("{http://jabber.org/protocol/disco#info}feature")]
            + [feature.get("var") for feature in presence.iter("{jabber:client}feature")],
            "initiator": {header.get("name"): header.get("value") for header in presence.iter("{urn:xmpp:rayo:1}header")},
            "hand": presence.findtext("{jabber:client}jitsi_participant_raisedHand"),
        }
        if self.occupants.get(nick) != facts:
            self.occupants[nick] = facts
            tell("occupant", nick=nick, me=nick == self.nick, **facts)

    def message(self, message):
        text = message.findtext(f"{{{NS['meet']}}}json-message")
        body = message.findtext("{jabber:client}body")
        tell("message", sender=message.get("from"), json=text, body=body)

    # Jingle.

    async def jingle_safely(self, jingle, sender):
        try:
            await self.jingle(jingle, sender)
        except Exception as error:
            tell("error", what=repr(error))

    async def jingle(self, jingle, sender):
        action = jingle.get("action")
        tell("jingle", action=action, sid=jingle.get("sid"), **{"from": sender})
        if action == "session-initiate":
            await self.accept(jingle)
        elif action in ("source-add", "source-remove"):
            self.learn_sources(jingle)
        elif action == "session-terminate":
            await self.close_peer()

    def learn_sources(self, jingle):
        for element in jingle.iter(f"{{{NS['meet']}}}json-message"):
            for owner, media in json.loads(element.text).get("sources", {}).items():
                for source in media[2] if len(media) > 2 else []:
                    self.sources[source["s"]] = {"owner": owner, "name": source.get("n")}
                    tell("source", ssrc=source["s"], owner=owner, name=source.get("n"))

    async def close_peer(self):
        peer, self.peer = self.peer, None
        if peer:
            await peer.close()

    async def accept(self, jingle):
        await self.close_peer()
        self.sid = jingle.get("sid")
        self.learn_sources(jingle)
        content = next(item for item in jingle.iter(f"{{{NS['jingle']}}}content") if item.get("name") == "audio")
        self.peer = peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        @peer.on("connectionstatechange")
        def _():
            tell("connection", state=peer.connectionState)

        await peer.setRemoteDescription(RTCSessionDescription(self.offer_sdp(content), "offer"))
        peer.getTransceivers()[0].direction = "sendrecv"
        peer.addTrack(self.voice)
        await peer.setLocalDescription(await peer.createAnswer())
        answer = await self.ask(self.accept_xml(peer.localDescription.sdp), to=f"{self.room}/focus")
        tell("accepted", type=answer.get("type"), ssrc=self.ssrc)

    def offer_sdp(self, content):
        transport = content.find(f"{{{NS['ice']}}}transport")
        fingerprint = transport.find(f"{{{NS['dtls']}}}fingerprint")
        extensions = [item for item in content.iter(f"{{{NS['ext']}}}rtp-hdrext") if "ssrc-audio-level" in item.get("uri")]
        lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0",
                 "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendrecv", "a=rtcp-mux",
                 "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1",
                 f"a=ice-ufrag:{transport.get('ufrag')}", f"a=ice-pwd:{transport.get('pwd')}",
                 f"a=fingerprint:{fingerprint.get('hash')} {fingerprint.text}", f"a=setup:{fingerprint.get('setup')}"]
        lines += [f"a=extmap:{item.get('id')} {item.get('uri')}" for item in extensions]
        for item in transport.iter(f"{{{NS['ice']}}}candidate"):
            lines.append(f"a=candidate:{item.get('foundation')} {item.get('component')} {item.get('protocol')} "
                         f"{item.get('priority')} {item.get('ip')} {item.get('port')} typ {item.get('type')}")
        return "\r\n".join(lines + [""])

    def accept_xml(self, sdp):
        values, candidates = {}, []
        for line in sdp.splitlines():
            if line.startswith("a=") and ":" in line:
                name, _, value = line[2:].partition(":")
                if name == "candidate":
                    candidates.append(value.split())
                else:
                    values.setdefault(name, value)
        self.ssrc = int(values["ssrc"].split()[0])
        hash_name, fingerprint = next(
            value.split() for value in [line[14:] for line in sdp.splitlines() if line.startswith("a=fingerprint:sha-256")])
        hosts = "".join(
            f"<candidate component='1' foundation={quoteattr(c[0])} generation='0' id='c{i}' ip={quoteattr(c[4])} network='0' "
            f"port='{c[5]}' priority='{c[3]}' protocol='udp' type='host'/>"
            for i, c in enumerate(candidates) if c[7] == "host" and c[1] == "1" and c[2].lower() == "udp")
        msid = f"{self.nick}-audio-0 {self.nick}-a0-track"
        return (
            f"<jingle xmlns='{NS['jingle']}' action='session-accept' sid={quoteattr(self.sid)} "
            f"responder={quoteattr(self.room + '/' + self.nick)}><content creator='initiator' name='audio' senders='both'>"
            f"<description xmlns='{NS['rtp']}' media='audio'><payload-type id='111' name='opus' clockrate='48000' channels='2'>"
            "<parameter name='minptime' value='10'/><parameter name='useinbandfec' value='1'/></payload-type>"
            f"<rtp-hdrext xmlns='{NS['ext']}' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/><rtcp-mux/>"
            f"<source xmlns='{NS['ssma']}' ssrc='{self.ssrc}' name='{self.nick}-a0'><parameter name='msid' value='{msid}'/>"
            f"</source></description><transport xmlns='{NS['ice']}' ufrag={quoteattr(values['ice-ufrag'])} "
            f"pwd={quoteattr(values['ice-pwd'])}><fingerprint xmlns='{NS['dtls']}' hash='{hash_name}' "
            f"setup={quoteattr(values['setup'])}>{fingerprint}</fingerprint>{hosts}</transport></content></jingle>")

    # Wishes of the test.

    async def command(self, wish):
        what, on = wish["do"], wish.get("on", True)
        who = f"{self.room}/{wish['nick']}" if "nick" in wish else ""
        if what == "mute":
            await self.tell_focus(f"<mute xmlns='http://jitsi.org/jitmeet/audio' jid={quoteattr(who)}>true</mute>")
        elif what == "kick":
            await self.admin(f"<item nick={quoteattr(wish['nick'])} role='none'><reason>test</reason></item>")
        elif what == "deny":
            await self.admin(f"<item nick={quoteattr(wish['nick'])} role='none'/>", room=self.lobby())
        elif what == "av-moderation":
            self.component("avmoderation", f"<av_moderation enable='{str(on).lower()}' mediaType='audio'/>")
        elif what == "approve":
            self.component("avmoderation", f"<av_moderation jidToWhitelist={quoteattr(who)} mediaType='audio'/>")
        elif what == "end":
            self.component("endconference", "<end_conference/>")
        elif what == "lobby":
            await self.configure({"muc#roomconfig_membersonly": "1" if on else "0"})
            self.send(f"<presence to={quoteattr(self.lobby() + '/' + self.nick)}><x xmlns='{NS['muc']}'/></presence>")
        elif what == "password":
            await self.configure({"muc#roomconfig_roomsecret": wish["value"]})
        elif what == "admit":
            self.send(f"<message to={quoteattr(self.room)}><x xmlns='{NS['user']}'>"
                      f"<invite to={quoteattr(wish['jid'])}/></x></message>")
        elif what == "record":
            await self.tell_metadata(on)
        elif what == "speak":
            self.voice.speaks = on
            self.presence()
        elif what == "dial":
            headers = {"JvbRoomName": self.room, **wish.get("headers", {})}
            headers = "".join(f"<header name={quoteattr(name)} value={quoteattr(value)}/>" for name, value in headers.items())
            await self.rayo(f"<dial xmlns='{NS['rayo']}' to={quoteattr(wish['to'])} from='fromnumber'>{headers}</dial>", "focus")
        elif what == "hangup":
            await self.rayo(f"<hangup xmlns='{NS['rayo']}'/>", wish["nick"])
        elif what == "counts":
            tell("counts", counts=EARS.counts())
        elif what == "save":
            tell("saved", files=EARS.save(self.options.record), sources=self.sources)
        elif what == "leave":
            self.over.set()

    def lobby(self):
        return f"{self.options.room}@{self.options.lobby}"

    def component(self, name, payload):
        self.send(f"<message to='{name}.{self.options.domain}'>{payload}</message>")

    async def tell_metadata(self, on):
        data = json.dumps({"key": "recording", "data": {"isTranscribingEnabled": on}})
        self.send(f"<message to='metadata.{self.options.domain}'><room_metadata xmlns='http://jitsi.org/jitmeet' "
                  f"room={quoteattr(self.room)}>{escape(data)}</room_metadata></message>")

    async def tell_focus(self, payload):
        answer = await self.ask(payload, to=f"{self.room}/focus")
        tell("answered", type=answer.get("type"))

    async def rayo(self, payload, nick):
        began = time.monotonic()
        answer = await self.ask(payload, to=f"{self.room}/{nick}")
        reference = answer.find(f"{{{NS['rayo']}}}ref")
        conditions = [item.tag.rpartition("}")[2] for error in answer.iter("{jabber:client}error") for item in error]
        tell("rayo", type=answer.get("type"), uri=None if reference is None else reference.get("uri"), conditions=conditions,
             seconds=round(time.monotonic() - began, 3))

    async def admin(self, item, room=None):
        name = secrets.token_hex(6)
        self.send(f"<iq type='set' id='{name}' to={quoteattr(room or self.room)}>"
                  f"<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query></iq>")

    async def configure(self, fields):
        values = "".join(f"<field var='{name}'><value>{escape(value)}</value></field>" for name, value in fields.items())
        answer = await self.ask(
            f"<query xmlns='{NS['owner']}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
            f"<value>http://jabber.org/protocol/muc#roomconfig</value></field>{values}</x></query>", to=self.room)
        tell("configured", type=answer.get("type"))

    async def run(self):
        await self.connect()
        tell("online", jid=self.jid, nick=self.nick)
        await self.join()
        asyncio.get_running_loop().create_task(self.commands())
        try:
            await asyncio.wait_for(self.over.wait(), self.options.seconds)
        except asyncio.TimeoutError:
            tell("time-over")
        tell("saved", files=EARS.save(self.options.record), sources=self.sources)
        await self.close_peer()
        self.send(f"<presence type='unavailable' to={quoteattr(self.room + '/' + self.nick)}/>")
        await asyncio.sleep(0.3)

    async def commands(self):
        lines = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def read():
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)

        threading.Thread(target=read, daemon=True).start()
        while line := await lines.get():
            try:
                await self.command(json.loads(line))
            except Exception as error:
                tell("error", what=repr(error))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5222)
    parser.add_argument("--domain", default="meet.test")
    parser.add_argument("--websocket", default="", help="ws://HOST:PORT/xmpp-websocket?room=ROOM instead of a plain connection")
    parser.add_argument("--muc", default="muc.meet.test")
    parser.add_argument("--lobby", default="lobby.meet.test")
    parser.add_argument("--focus", default="focus.meet.test")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--room", required=True)
    parser.add_argument("--nick", default="")
    parser.add_argument("--display", default="Web")
    parser.add_argument("--play", default="")
    parser.add_argument("--record", default=".")
    parser.add_argument("--seconds", type=float, default=60)
    asyncio.run(Participant(parser.parse_args()).run())


if __name__ == "__main__":
    main()
