"""A peer of the mesh in 60 lines (docs/ipc.md). python3 peer.py SOCKET NAME SECRET: serves `python`, calls `main`."""
import socket, struct, sys

HELLO, REQUEST, RESPONSE, ITEM, END, ERROR, CANCEL, CREDIT = range(1, 9)

def pack(v):
    if v is None: return b"\xc0"
    if isinstance(v, bool): return b"\xc3" if v else b"\xc2"
    if isinstance(v, int): return struct.pack(">Bq", 0xD3, v)
    if isinstance(v, str): return struct.pack(">BI", 0xDB, len(v.encode())) + v.encode()
    if isinstance(v, bytes): return struct.pack(">BI", 0xC6, len(v)) + v
    if isinstance(v, list): return struct.pack(">BI", 0xDD, len(v)) + b"".join(map(pack, v))
    return struct.pack(">BI", 0xDF, len(v)) + b"".join(pack(k) + pack(x) for k, x in v.items())

def unpack(b, i=0):  # gives the value and the position behind it
    t = b[i]; i += 1
    if t < 0x80 or t >= 0xE0: return (t - 256 if t >= 0xE0 else t), i
    if t < 0xC0: kind, n = ("map", t & 15) if t < 0x90 else ("list", t & 15) if t < 0xA0 else ("str", t & 31)
    elif t in SINGLE: return SINGLE[t], i
    elif t in NUMBER: f = NUMBER[t]; return struct.unpack_from(f, b, i)[0], i + struct.calcsize(f)
    else: kind, f = SIZED[t]; n = struct.unpack_from(f, b, i)[0]; i += struct.calcsize(f)
    if kind == "str": return b[i:i + n].decode(), i + n
    if kind == "bin": return b[i:i + n], i + n
    out = []
    for _ in range(n * (2 if kind == "map" else 1)): x, i = unpack(b, i); out.append(x)
    return (dict(zip(out[::2], out[1::2])) if kind == "map" else out), i

SINGLE = {0xC0: None, 0xC2: False, 0xC3: True}
NUMBER = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
SIZED = {0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I"), 0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I"),
         0xDC: ("list", ">H"), 0xDD: ("list", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I")}

def send(kind, destination, call, body=b"", rest=0):
    sock.sendall(struct.pack(">IBBHHHI", len(body), kind, 0, 0, destination, rest, call) + body)
def receive():
    header = struct.unpack(">IBBHHHI", sock.recv(16, socket.MSG_WAITALL))
    return header[1], header[3], header[6], sock.recv(header[0], socket.MSG_WAITALL) if header[0] else b""

sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1])
streams = {}  # (source, call): [next number, last number, credit in bytes]
def go_on(key):
    while key in streams and streams[key][2] > 0:
        (n, last, credit), body = streams[key], pack({"n": streams[key][0], "pad": b"x" * 1000})
        if n == last: del streams[key]; return send(END, *key)
        send(ITEM, *key, body); streams[key] = [n + 1, last, credit - 16 - len(body)]

send(HELLO, 0, 0, pack({"version": 1, "name": sys.argv[2], "secret": sys.argv[3]}))
welcome = unpack(receive()[3])[0]
send(REQUEST, welcome["routes"]["main"], 1, pack(["main.note", 1000, {"text": "hello from Python"}]))
while True:
    kind, source, call, body = receive()
    if kind == REQUEST:
        method, _, request = unpack(body)[0]
        if method == "python.upper": send(RESPONSE, source, call, pack({"text": request["text"].upper()}))
        elif method == "python.count": streams[source, call] = [0, request["to"], 131072]; go_on((source, call))
        else: send(ERROR, source, call, pack({"code": "UNIMPLEMENTED", "message": method}))
    elif kind == CREDIT and (source, call) in streams: streams[source, call][2] += unpack(body)[0]; go_on((source, call))
    elif kind == CANCEL or (kind == ERROR and call == 0):
        for key in [k for k in streams if k[0] == source and call in (0, k[1])]: del streams[key]
    elif kind == RESPONSE and call == 1: send(REQUEST, welcome["routes"]["main"], 2, pack(["main.note", 1000, {"text": "noted"}]))
