"""Calls through the proxy at 127.0.0.1, two for each of six rooms, each with a ticket that nobody gave."""
import re
import socket
import time

BEGUN = int(time.time() * 1000)

def ask(ticket, number):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); s.settimeout(5)
    port = s.getsockname()[1]
    call = 'c%d-%d' % (BEGUN, number)
    base = 'Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%s%%s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:ann@127.0.0.1>;tag=f%d\r\nCall-ID: %s\r\n' % (port, call, number, call)
    sdp = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 8\r\n' % port
    extra = 'X-WB-Ticket: %s\r\n' % ticket if ticket else ''
    invite = 'INVITE sip:pin@127.0.0.1 SIP/2.0\r\n' + base % 'i' + 'To: <sip:pin@127.0.0.1>\r\nCSeq: 1 INVITE\r\nContact: <sip:ann@127.0.0.1:%d>\r\n%sContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s' % (port, extra, len(sdp), sdp)
    s.sendto(invite.encode(), ('127.0.0.1', 5060))
    def final(method):
        while True:
            d = s.recv(65535).decode(errors='replace')
            if d.startswith('SIP/2.0') and int(d[8:11]) >= 200 and ('CSeq: ' in d) and method in re.search(r'(?im)^cseq:.*$', d).group(0):
                return d
    ok = final('INVITE')
    h = lambda n: [l.split(':',1)[1].strip() for l in ok.split('\r\n') if l.lower().startswith(n.lower()+':')]
    contact = re.search(r'<(sip:[^>]*)>', h('contact')[0]).group(1)
    routes = ''.join('Route: %s\r\n' % r for r in reversed(h('record-route')))
    to = h('to')[0]
    for method, seq in (('ACK', 1), ('BYE', 2)):
        m = '%s %s SIP/2.0\r\n' % (method, contact) + base % method + 'To: %s\r\nCSeq: %d %s\r\n%sContent-Length: 0\r\n\r\n' % (to, seq, method, routes)
        s.sendto(m.encode(), ('127.0.0.1', 5060))
    bye = final('BYE')
    return re.search(r'@?(127\.0\.0\.\d)', contact).group(1), len(h('record-route')), bye[8:11]
n = 0
for room in range(6):
    for _ in range(2):
        n += 1
        print(room, *ask(('%08d' % room) + 'a'*26, n), flush=True)
