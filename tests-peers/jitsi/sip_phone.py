#!/usr/bin/env python3
"""A scripted telephone: one call by SIP over UDP, everything told as it happens.

It invites with the headers it is given, answers what a phone answers (INFO and BYE with 200), sends silence or syllables as PCMU, and
counts what it hears. One JSON object per line on standard output tells what happens, with seconds since the INVITE; one per line on
standard input asks for:

    {"do": "info", "body": {...}}   sends an INFO with JSON        {"do": "key", "key": 5}    types a key (RFC 4733)
    {"do": "bye"}                   hangs up and ends              {"do": "tone", "on": true} syllables instead of silence
"""

import argparse
import json
import math
import random
import re
import secrets
import select
import socket
import struct
import sys
import time

FRAME = 160
STEP = FRAME / 8000


def mulaw(sample):
    """ITU-T G.711."""
    sign, sample = (0x80, -sample) if sample < 0 else (0, sample)
    sample = min(sample, 32635) + 132
    exponent = sample.bit_length() - 8
    return ~(sign | exponent << 4 | sample >> (exponent + 3) & 15) & 255


class Phone:
    def __init__(self, options):
        self.options = options
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((options.local, 0))
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((options.local, 0))
        host, _, port = options.gateway.rpartition(":")
        self.gateway = (host, int(port))
        self.began = time.monotonic()
        self.tag, self.call = secrets.token_hex(6), secrets.token_hex(12)
        self.branch = "z9hG4bK" + secrets.token_hex(8)
        self.cseq, self.remote, self.contact = 1, f"<sip:{options.number}@{options.gateway}>", f"sip:{options.number}@{options.gateway}"
        self.media, self.answered, self.over = None, False, False
        self.sequence, self.stamp, self.ssrc = random.randrange(65536), 0, random.getrandbits(32)
        self.frames, self.tone, self.keys = 0, options.tone, []
        self.packets, self.loud, self.csrcs = 0, 0, 0
        self.acknowledged = None

    def tell(self, what, **facts):
        print(json.dumps({"at": round(time.monotonic() - self.began, 3), "event": what, **facts}), flush=True)

    def local(self):
        return "%s:%d" % self.sip.getsockname()

    def request(self, method, body="", kind="", headers=(), branch=None, cseq=None, to=None):
        lines = [f"{method} {self.contact} SIP/2.0",
                 f"Via: SIP/2.0/UDP {self.local()};branch={branch or 'z9hG4bK' + secrets.token_hex(8)}",
                 f"From: {self.options.name} <sip:{self.options.user}@{self.options.local}>;tag={self.tag}",
                 f"To: {to or self.remote}", f"Call-ID: {self.call}", f"CSeq: {cseq or self.cseq} {method}", "Max-Forwards: 70",
                 f"Contact: <sip:{self.options.user}@{self.local()}>", *headers]
        if kind:
            lines.append(f"Content-Type: {kind}")
        lines += [f"Content-Length: {len(body.encode())}", "", body]
        self.sip.sendto("\r\n".join(lines).encode(), self.gateway)

    def sdp(self):
        codecs = self.options.codecs.split(",")
        names = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "18": "G729/8000", "96": "opus/48000/2", "101": "telephone-event/8000"}
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.options.local}", "s=-", f"c=IN IP4 {self.options.local}", "t=0 0",
                 f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {' '.join(codecs)}"]
        lines += [f"a=rtpmap:{codec} {names[codec]}" for codec in codecs] + ["a=ptime:20", "a=sendrecv", ""]
        return "\r\n".join(lines)

    def invite(self):
        body = "" if self.options.no_sdp else self.sdp()
        self.request("INVITE", body, "application/sdp" if body else "", self.options.header, self.branch)

    def message(self, data):
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        if first.startswith("SIP/2.0"):
            self.response(int(first.split()[1]), first[8:], headers, body)
        else:
            self.asked(first.split()[0], lines, headers, body)

    def response(self, code, words, headers, body):
        method = headers["cseq"].split()[1]
        if method != "INVITE":
            return self.tell("response", method=method, code=code)
        self.tell("code", code=code, words=words, reason=headers.get("reason"))
        if code < 200:
            return
        if code >= 300:
            self.request("ACK", branch=self.branch, to=headers["to"], cseq=1)
            self.over = True
            return
        self.remote = headers["to"]
        self.contact = re.search(r"<([^>]+)>", headers["contact"]).group(1)
        answer = self.sdp() if self.options.no_sdp else ""
        self.request("ACK", answer, "application/sdp" if answer else "", cseq=1)
        if not self.answered:
            self.answered = True
            port = re.search(r"m=audio (\d+)", body).group(1)
            self.media = (re.search(r"c=IN IP4 (\S+)", body).group(1), int(port))
            self.tell("answered", codecs=re.search(r"m=audio \d+ \S+ (.*)", body).group(1).strip(), started=time.time())

    def asked(self, method, lines, headers, body):
        if method == "ACK":
            return
        kept = [line for line in lines if line.split(":")[0].strip().lower() in ("via", "from", "to", "call-id", "cseq")]
        self.sip.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode(), self.gateway)
        if method == "INFO":
            self.tell("info", body=body, kind=headers.get("content-type"))
        elif method == "BYE":
            self.tell("bye", reason=headers.get("reason"))
            self.over = True
        else:
            self.tell("asked", method=method)

    def heard(self, data):
        self.packets += 1
        self.csrcs += data[0] & 15 > 0
        sound = data[12 + 4 * (data[0] & 15):]
        # A G.711 byte near 0xff or 0x7f is quiet.
        self.loud += data[1] & 127 == 0 and sum((byte & 127) < 0x60 for byte in sound) > 20

    def speak(self):
        if self.media is None:
            return
        marker, kind = 0, 0
        if self.keys:
            event, count = self.keys[0]
            last = count >= 7
            payload = struct.pack("!BBH", event, 10 | (128 if last else 0), FRAME * (min(count, 7) + 1))
            marker, kind, stamp = count == 0, 101, self.stamp - FRAME * count
            self.keys[0] = (event, count + 1)
            if count >= 9:
                self.keys.pop(0)
        else:
            stamp = self.stamp
            payload = bytes(mulaw(self.sample(self.frames * FRAME + n)) for n in range(FRAME))
        head = struct.pack("!BBHII", 128, marker << 7 | kind, self.sequence, stamp & 0xFFFFFFFF, self.ssrc)
        self.rtp.sendto(head + payload, self.media)
        self.sequence, self.stamp, self.frames = (self.sequence + 1) & 65535, self.stamp + FRAME, self.frames + 1

    def sample(self, n):
        """Syllables of a quarter of a second: what never changes is taken for noise."""
        syllable, place = divmod(n, 3200)
        if not self.tone or place >= 2000:
            return 0
        return int(6000 * math.sin(2 * math.pi * (220, 310, 260, 400)[syllable % 4] * n / 8000) * math.sin(math.pi * place / 2000))

    def wish(self, wish):
        what = wish["do"]
        if what == "info":
            self.cseq += 1
            self.request("INFO", json.dumps(wish["body"]), "application/json")
        elif what == "key":
            self.keys.append((wish["key"], 0))
        elif what == "tone":
            self.tone = wish["on"]
        elif what == "bye":
            self.cseq += 1
            self.request("BYE" if self.answered else "CANCEL", branch=None if self.answered else self.branch,
                         cseq=None if self.answered else 1)
            self.tell("hung-up")
            self.over = True

    def run(self):
        self.invite()
        repeat, wait, due = self.began + 0.5, 0.5, time.monotonic()
        final = self.began + self.options.seconds
        while not self.over and time.monotonic() < final:
            now = time.monotonic()
            if not self.answered and now >= repeat and self.acknowledged is None:
                self.invite()
                wait = min(wait * 2, 4)
                repeat = now + wait
            while due <= now:
                self.speak()
                due += STEP
            ready, _, _ = select.select([self.sip, self.rtp, sys.stdin], [], [], max(0.0, due - time.monotonic()))
            if self.sip in ready:
                self.acknowledged = True
                self.message(self.sip.recv(65535))
            if self.rtp in ready:
                self.heard(self.rtp.recv(2048))
            if sys.stdin in ready and (line := sys.stdin.readline()):
                self.wish(json.loads(line))
        if not self.over and self.answered:
            self.wish({"do": "bye"})
        time.sleep(0.3)
        self.tell("over", packets=self.packets, loud=self.loud, csrcs=self.csrcs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateway", required=True, help="HOST:PORT")
    parser.add_argument("--local", default="127.0.0.1")
    parser.add_argument("--number", default="jigasi")
    parser.add_argument("--user", default="alice")
    parser.add_argument("--name", default='"Alice Phone"')
    parser.add_argument("--header", action="append", default=[], help="NAME: VALUE")
    parser.add_argument("--codecs", default="0,101")
    parser.add_argument("--no-sdp", action="store_true")
    parser.add_argument("--tone", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    Phone(parser.parse_args()).run()


if __name__ == "__main__":
    main()
