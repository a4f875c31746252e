#!/usr/bin/env python3
"""A STAND-IN for Jicofo, a bridge and one browser, over a real XMPP server with plain MUC: not the real things. Its stanzas have the
shape of the recordings in testdata/jitsi; its media is aiortc, a WebRTC stack we did not write.

It is an external component (XEP-0114). Asked for a conference it enters the room as `focus`, with somebody as `alice0001` beside it, and
offers whoever comes a session in which alice speaks a WAV file in a loop; what it hears is kept in one WAV file a source. One JSON object
per line on standard output tells what happens; one per line on standard input asks for:

    {"do": "mute"}       a moderator mutes the guest             {"do": "kick"}      and throws him out
    {"do": "replace"}    another transport for the session       {"do": "move"}      an end ("moving") and another offer
    {"do": "die", "after": 16}   the media side dies without a word; everybody is invited to another so much later (a real Jicofo
                         notices after 16 s), or, without "after", when the guest asks for it
    {"do": "counts"}     packets of sound heard so far           {"do": "gaps"}      pauses between them since the last time it was asked
    {"do": "enter", "room": "tea@rooms.test"}   alice is in the room before anybody asks    {"do": "leave"}  she and the focus leave
    {"do": "brewery", "room": "b@breweries.test"}   the focus sits in this room and tells how its gateways are
    {"do": "dial", "room": "tea@rooms.test", "to": "+49", "headers": {}}   alice dials; as Jicofo does, the gateway that can call, does not
                         drain and has fewest participants is asked
    {"do": "hangup", "uri": "xmpp:..."}   and asked to end that call
    {"do": "save"}       writes the recordings now
    {"do": "end"}        writes the recordings and ends
"""

import argparse
import asyncio
import hashlib
import json
import secrets
import sys
import threading
import time
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

sys.path.insert(0, str(Path(__file__).resolve().parent))

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription  # noqa: E402
from participant import EARS, NS, Voice, tell  # noqa: E402
from xmpp_stream import Stream  # noqa: E402

OWN = "jabber:component:accept"
MUTE = "http://jitsi.org/jitmeet/audio"
BUNDLE = "urn:xmpp:jingle:apps:grouping:0"
ALICE = "alice0001"
RAYO = "urn:xmpp:rayo:1"
STATS = "http://jitsi.org/protocol/colibri"
# As a real Jicofo was seen to take.
OFFER_AFTER = 0.05
OPUS = 96


class Pauses:
    """Longest time without a packet."""

    def __init__(self):
        self.last = None
        self.gaps = []
        hear = EARS.packet

        def packet(one):
            now = time.monotonic()
            if self.last is not None and now - self.last > 0.3:
                self.gaps.append(round(now - self.last, 2))
            self.last = now
            hear(one)

        EARS.packet = packet

    def take(self):
        gaps, self.gaps = self.gaps, []
        return gaps


class Session:
    """One offer: a peer connection of aiortc, and what Jingle says of it."""

    def __init__(self, sid, voice):
        self.sid = sid
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer.addTrack(voice)
        # The bridge channel; the guest opens it.
        self.peer.createDataChannel("unused", negotiated=True, id=1000)
        self.values = {}
        self.candidates = []
        self.extension = None

        @self.peer.on("connectionstatechange")
        def _():
            tell("connection", state=self.peer.connectionState, sid=self.sid)

        @self.peer.on("datachannel")
        def _(channel):
            tell("channel", label=channel.label, protocol=channel.protocol)

            def hello():
                channel.send(json.dumps({"colibriClass": "ServerHello"}))

            hello()

            @channel.on("message")
            def _(text):
                message = json.loads(text)
                tell("channel-message", message=message)
                if message.get("colibriClass") == "ClientHello":
                    hello()

    async def describe(self):
        await self.peer.setLocalDescription(await self.peer.createOffer())
        for line in self.peer.localDescription.sdp.splitlines():
            name, _, value = line[2:].partition(":")
            if name == "candidate":
                self.candidates.append(value.split())
            elif name == "extmap" and "ssrc-audio-level" in value:
                self.extension = value.split()[0]
            elif name == "fingerprint" and not value.startswith("sha-256 "):
                continue
            else:
                self.values.setdefault(name, value)
        self.ssrc = int(self.values["ssrc"].split()[0])

    def transport(self, sctp=False):
        kind, fingerprint = self.values["fingerprint"].split()
        hosts = {candidate[4] + candidate[5]: candidate for candidate in self.candidates if candidate[1] == "1" and candidate[7] == "host"}
        hosts = "".join(
            f"<candidate id='{secrets.token_hex(12)}' priority='{c[3]}' network='0' protocol='udp' type='host' foundation='1' "
            f"ip={quoteattr(c[4])} component='1' generation='0' port='{c[5]}'/>" for c in hosts.values())
        channel = "<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='webrtc-datachannel' streams='1024'/>"
        return (
            f"<transport xmlns='{NS['ice']}' pwd={quoteattr(self.values['ice-pwd'])} ufrag={quoteattr(self.values['ice-ufrag'])}>"
            f"<rtcp-mux/><fingerprint xmlns='{NS['dtls']}' cryptex='false' hash='{kind}' setup='actpass' required='false'>{fingerprint}"
            f"</fingerprint>{hosts}{channel if sctp else ''}</transport>")

    def jingle(self, action):
        sources = {
            ALICE: [[], [], [{"s": self.ssrc, "n": f"{ALICE}-a0", "m": f"{ALICE}-audio-0 {ALICE}-a0-track"}]],
            "jvb": [[], [], [{"s": 2378085434, "n": "jvb-a0", "m": "mixedmslabel mixedlabelaudio0"}]],
        }
        return (
            f"<jingle xmlns='{NS['jingle']}' action='{action}' sid='{self.sid}' initiator='focus@auth.meet.test/focus'>"
            f"<content senders='both' creator='initiator' name='audio'><description xmlns='{NS['rtp']}' media='audio' maxptime='60'>"
            f"<payload-type id='{OPUS}' clockrate='48000' name='opus' channels='2'><parameter value='10' name='minptime'/>"
            "<parameter value='1' name='useinbandfec'/></payload-type><payload-type id='126' clockrate='8000' name='telephone-event'/>"
            f"<rtp-hdrext xmlns='{NS['ext']}' id='{self.extension}' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>"
            f"<extmap-allow-mixed xmlns='{NS['ext']}'/><rtcp-mux/></description>{self.transport()}</content>"
            f"<content senders='both' creator='initiator' name='data'>{self.transport(sctp=True)}</content>"
            f"<group xmlns='{BUNDLE}' semantics='BUNDLE'><content name='audio'/><content name='data'/></group>"
            f"<bridge-session xmlns='{NS['focus']}' id='b-{self.sid}'/>"
            f"<json-message xmlns='{NS['meet']}'>{escape(json.dumps({'sources': sources}))}</json-message></jingle>")

    async def accepted(self, jingle):
        content = next(item for item in jingle.iter(f"{{{NS['jingle']}}}content") if item.get("name") == "audio")
        transport = content.find(f"{{{NS['ice']}}}transport")
        fingerprint = transport.find(f"{{{NS['dtls']}}}fingerprint")
        source = next(content.iter(f"{{{NS['ssma']}}}source"))
        has_level = any("ssrc-audio-level" in item.get("uri") for item in content.iter(f"{{{NS['ext']}}}rtp-hdrext"))
        common = [f"a=ice-ufrag:{transport.get('ufrag')}", f"a=ice-pwd:{transport.get('pwd')}",
                  f"a=fingerprint:{fingerprint.get('hash')} {fingerprint.text}", f"a=setup:{fingerprint.get('setup')}"]
        for item in transport.iter(f"{{{NS['ice']}}}candidate"):
            common.append(f"a=candidate:{item.get('foundation')} {item.get('component')} udp {item.get('priority')} "
                          f"{item.get('ip')} {item.get('port')} typ host")
        common.append("a=end-of-candidates")
        lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0 1", "a=msid-semantic:WMS *",
                 f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendrecv", "a=rtcp-mux",
                 f"a=rtpmap:{OPUS} opus/48000/2"]
        lines += [f"a=extmap:{self.extension} urn:ietf:params:rtp-hdrext:ssrc-audio-level"] if has_level else []
        lines += [f"a=ssrc:{source.get('ssrc')} cname:guest", *common,
                  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:1", "a=sctp-port:5000",
                  "a=max-message-size:65536", *common, ""]
        tell("accepted", sid=self.sid, ssrc=int(source.get("ssrc")), name=source.get("name"), has_level=has_level,
             setup=fingerprint.get("setup"), action=jingle.get("action"))
        await self.peer.setRemoteDescription(RTCSessionDescription("\r\n".join(lines), "answer"))

    async def die(self):
        """The sockets close; nobody says goodbye."""
        await self.peer.getSenders()[0].transport.transport._connection.close()


class Focus:
    def __init__(self, options):
        self.options = options
        self.name = options.name
        self.focus = f"focus@{self.name}/focus"
        self.alice = f"alice@{self.name}/browser"
        self.room = None
        self.guest = None
        self.brewery = None
        self.gateways = {}
        self.waiting = {}
        self.session = None
        self.pauses = Pauses()
        self.over = asyncio.Event()
        self.tasks = set()

    def later(self, work):
        async def safely():
            try:
                await work
            except Exception as error:  # A test must see it.
                tell("error", what=repr(error))

        task = asyncio.get_running_loop().create_task(safely())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # The stream (XEP-0114).

    def send(self, text):
        self.stream.send(text)

    async def connect(self):
        self.stream = await Stream.connect(self.options.host, self.options.port)
        opened = await self.stream.open(OWN, self.name)
        key = hashlib.sha1((opened.get("id") + self.options.secret).encode()).hexdigest()
        self.send(f"<handshake>{key}</handshake>")
        self.later(self.read())

    async def read(self):
        async for element in self.stream.elements():
            try:
                self.stanza(element)
            except Exception as error:
                tell("error", what=repr(error))
        tell("stream-closed")
        self.over.set()

    def stanza(self, element):
        kind = element.tag.rpartition("}")[2]
        if kind == "handshake":
            tell("ready")
        elif kind == "iq":
            self.iq(element)
        elif kind == "presence":
            self.presence(element)

    async def ask(self, payload, kind="set", to=None):
        to = to or f"{self.room}/{self.guest}"
        name = secrets.token_urlsafe(12)
        future = asyncio.get_running_loop().create_future()
        self.waiting[name] = future
        self.send(f"<iq type='{kind}' id='{name}' from='{self.focus}' to={quoteattr(to)}>{payload}</iq>")
        return await asyncio.wait_for(future, 15)

    def answer(self, iq, payload="", kind="result"):
        self.send(f"<iq type='{kind}' id={quoteattr(iq.get('id'))} from={quoteattr(iq.get('to'))} to={quoteattr(iq.get('from'))}>"
                  f"{payload}</iq>")

    def iq(self, iq):
        if iq.get("type") in ("result", "error"):
            future = self.waiting.pop(iq.get("id"), None)
            if future and not future.done():
                future.set_result(iq)
            return
        payload = iq[0] if len(iq) else None
        tag = payload.tag if payload is not None else ""
        if tag == f"{{{NS['focus']}}}conference":
            self.later(self.conference(iq, payload.get("room")))
        elif tag == f"{{{NS['jingle']}}}jingle":
            self.jingle(iq, payload)
        elif tag == f"{{{NS['info']}}}query":
            self.answer(iq, f"<query xmlns='{NS['info']}'><feature var='https://jitsi.org/meet/jicofo/terminate-restart'/></query>")
        else:
            self.answer(iq)

    # The room.

    def enter(self, room):
        self.room = room
        properties = f"<conference-properties xmlns='{NS['focus']}'><property key='support-terminate-restart' value='true'/></conference-properties>"
        for jid, nick, more in ((self.focus, "focus", properties), (self.alice, ALICE, "<audiomuted>false</audiomuted>")):
            self.send(f"<presence from='{jid}' to={quoteattr(f'{room}/{nick}')}><x xmlns='{NS['muc']}'/>{more}</presence>")

    def leave(self):
        for jid, nick in ((self.focus, "focus"), (self.alice, ALICE)):
            self.send(f"<presence type='unavailable' from='{jid}' to={quoteattr(f'{self.room}/{nick}')}/>")

    async def conference(self, iq, room):
        self.enter(room)
        await asyncio.sleep(0.2)
        self.answer(iq, f"<conference xmlns='{NS['focus']}' room={quoteattr(room)} ready='true' focusjid='{self.focus}'>"
                        "<property value='false' name='authentication'/></conference>")
        tell("conference", room=room)

    def presence(self, presence):
        if presence.get("to") != self.focus:
            return
        room, _, nick = presence.get("from", "").partition("/")
        if room == self.brewery:
            self.gateway(presence, nick)
            return
        if nick in ("focus", ALICE, ""):
            return
        if presence.get("type") == "unavailable":
            tell("left", nick=nick)
            return
        plain = f"{{{OWN}}}"
        features = presence.find(f"{plain}features")
        tell("occupant", nick=nick, audiomuted=presence.findtext(f"{plain}audiomuted"), status=presence.findtext(f"{plain}status"),
             features=[item.get("var") for item in (features if features is not None else [])])
        if self.guest != nick:
            self.guest = nick
            self.later(self.invite())

    async def invite(self):
        answer = await self.ask(f"<query xmlns='{NS['info']}'/>", kind="get")
        features = sorted(item.get("var") for item in answer.iter(f"{{{NS['info']}}}feature"))
        tell("features", features=features)
        await asyncio.sleep(OFFER_AFTER)
        await self.offer("session-initiate", secrets.token_hex(7))

    # The brewery.

    def gateway(self, presence, nick):
        if presence.get("type") == "error":
            tell("brewery-refused", error=[item.tag.rpartition("}")[2] for item in presence.iter()][-1])
            return
        if presence.get("type") == "unavailable":
            self.gateways.pop(nick, None)
            tell("gateway-left", nick=nick)
            return
        stats = presence.find(f"{{{STATS}}}stats")
        if nick == "focus":
            tell("brewery-joined")
        elif stats is not None:
            self.gateways[nick] = {item.get("name"): item.get("value") for item in stats}
            tell("gateway", nick=nick, **self.gateways[nick])

    async def at_gateway(self, payload):
        able = [(int(stats["participants"]), nick) for nick, stats in self.gateways.items()
                if stats["supports_sip"] == "true" and stats["graceful_shutdown"] == "false"]
        if not able:
            tell("rayo-answered", type="none")
            return
        began = time.monotonic()
        answer = await self.ask(payload, to=f"{self.brewery}/{min(able)[1]}")
        reference = answer.find(f"{{{RAYO}}}ref")
        words = [item.tag.rpartition("}")[2] for error in answer.iter(f"{{{OWN}}}error") for item in error]
        tell("rayo-answered", type=answer.get("type"), uri=None if reference is None else reference.get("uri"), condition=words[:1],
             seconds=round(time.monotonic() - began, 2))

    async def dial(self, wish):
        headers = {"JvbRoomName": wish["room"], **wish.get("headers", {})}
        headers = "".join(f"<header name={quoteattr(name)} value={quoteattr(value)}/>" for name, value in headers.items())
        await self.at_gateway(f"<dial xmlns='{RAYO}' to={quoteattr(wish['to'])} from='fromnumber'>{headers}</dial>")

    # Jingle.

    async def offer(self, action, sid):
        self.session = Session(sid, Voice(self.options.play))
        await self.session.describe()
        tell("offered", action=action, sid=sid)
        answer = await self.ask(self.session.jingle(action))
        tell("offer-answered", type=answer.get("type"))

    def jingle(self, iq, jingle):
        action, session = jingle.get("action"), self.session
        tell("jingle", action=action)
        if session is None or jingle.get("sid") != session.sid:
            self.answer(iq, "<error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", "error")
            return
        self.answer(iq)
        if action in ("session-accept", "transport-accept"):
            self.later(session.accepted(jingle))
        elif action == "session-terminate":
            bridge = jingle.find(f"{{{NS['focus']}}}bridge-session")
            restart = bridge is not None and bridge.get("restart") == "true"
            tell("terminated", restart=restart)
            self.session = None
            if restart:
                self.later(self.offer("session-initiate", secrets.token_hex(7)))

    async def end_session(self, reason, text):
        session, self.session = self.session, None
        if session:
            await self.ask(f"<jingle xmlns='{NS['jingle']}' action='session-terminate' sid='{session.sid}'>"
                           f"<reason><{reason}/><text>{text}</text></reason></jingle>")
        return session

    async def command(self, wish):
        what = wish["do"]
        if what == "mute":
            answer = await self.ask(f"<mute xmlns='{MUTE}' actor={quoteattr(f'{self.room}/{ALICE}')}>true</mute>")
            tell("mute-answered", type=answer.get("type"))
        elif what == "kick":
            self.send(f"<iq type='set' id='kick' from='{self.focus}' to={quoteattr(self.room)}>"
                      f"<query xmlns='http://jabber.org/protocol/muc#admin'><item nick={quoteattr(self.guest)} role='none'/></query></iq>")
        elif what == "replace":
            old = self.session
            await self.offer("transport-replace", old.sid)
            await asyncio.sleep(2)
            await old.peer.close()
        elif what == "move":
            old = await self.end_session("success", "moving")
            await asyncio.sleep(0.01)
            await self.offer("session-initiate", secrets.token_hex(7))
            await asyncio.sleep(2)
            await old.peer.close()
        elif what == "die":
            dead = self.session
            await dead.die()
            tell("dead")
            if "after" not in wish:
                return
            await asyncio.sleep(wish["after"])
            if self.session is dead:
                await self.end_session("success", "moving")
                await self.offer("session-initiate", secrets.token_hex(7))
        elif what == "counts":
            tell("counts", counts=EARS.counts())
        elif what == "gaps":
            tell("gaps", gaps=self.pauses.take())
        elif what == "enter":
            self.enter(wish["room"])
        elif what == "leave":
            self.leave()
        elif what == "brewery":
            self.brewery = wish["room"]
            self.send(f"<presence from='{self.focus}' to={quoteattr(self.brewery + '/focus')}><x xmlns='{NS['muc']}'/></presence>")
        elif what == "dial":
            await self.dial(wish)
        elif what == "hangup":
            await self.at_gateway(f"<hangup xmlns='{RAYO}' uri={quoteattr(wish['uri'])}/>")
        elif what == "save":
            tell("saved", files=EARS.save(self.options.record))
        elif what == "end":
            self.over.set()

    async def run(self):
        loop = asyncio.get_running_loop()
        await self.connect()

        def read():
            for line in sys.stdin:
                loop.call_soon_threadsafe(lambda line=line: self.later(self.command(json.loads(line))))

        threading.Thread(target=read, daemon=True).start()
        await self.over.wait()
        tell("saved", files=EARS.save(self.options.record))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True, help="the component's address, for example focus.meet.test")
    parser.add_argument("--secret", required=True)
    parser.add_argument("--play", required=True)
    parser.add_argument("--record", required=True)
    options = parser.parse_args()
    EARS.payload_type = OPUS
    asyncio.run(Focus(options).run())


if __name__ == "__main__":
    main()
