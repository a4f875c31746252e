"""A stream of XMPP over TCP, opened as often as its negotiation wants, read as whole elements."""

import asyncio
from xml.etree import ElementTree as ET

STREAMS = "http://etherx.jabber.org/streams"


class Stream:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, host, port):
        return cls(*await asyncio.open_connection(host, port))

    def send(self, text):
        self.writer.write(text.encode())

    async def open(self, namespace, to, more=""):
        """Opens it, anew if need be. Gives the other side's opening tag."""
        self.parser = ET.XMLPullParser(["start", "end"])
        self.depth, self.root, self.waiting = 0, None, []
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='{STREAMS}' to='{to}'{more}>")
        while self.root is None:
            if not await self.feed():
                raise SystemExit("the server closed the stream")
        return self.root

    async def feed(self):
        data = await self.reader.read(65536)
        self.parser.feed(data)
        for event, element in self.parser.read_events():
            if event == "start":
                self.depth += 1
                self.root = self.root if self.root is not None else element
            else:
                self.depth -= 1
                if self.depth == 1:
                    # The root would keep everything that was ever said.
                    self.root.remove(element)
                    self.waiting.append(element)
        return bool(data)

    async def elements(self):
        """All that come, until the stream ends."""
        while True:
            while self.waiting:
                yield self.waiting.pop(0)
            if not await self.feed():
                return

    async def until(self, *tags):
        """The next element of one of these names; others are passed over."""
        async for element in self.elements():
            if element.tag in tags:
                return element
        raise SystemExit("the server closed the stream")
