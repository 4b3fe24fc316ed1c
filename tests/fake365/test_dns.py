"""The DNS server, asked by a small client that is not its own reader."""

import socket
import struct
import threading

import pytest

from . import BEHAVIOURS, Dns, Question

CONTOSO = "contoso.example"
EXCHANGE = "contoso-example.mail.protection.outlook.com"
RECORDS = {
    CONTOSO: [("MX", 10, EXCHANGE), ("A", "192.0.2.1")],
    EXCHANGE: [("A", "127.0.0.1"), ("AAAA", "2001:db8::1")],
    "alias.example": [("CNAME", CONTOSO)],
    "dangling.example": [("CNAME", "nowhere.example")],
    "loop1.example": [("CNAME", "loop2.example")],
    "loop2.example": [("CNAME", "loop1.example")],
    "null.example": [("MX", 0, ".")],
}
TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "SOA": 6}
NO_ERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
NUMBER = 0x1234
STUCK = 60  # seconds


@pytest.fixture(name="dns")
def _dns():
    with Dns(RECORDS) as dns:
        yield dns


# The client


def query(name, kind):
    """A question, with recursion desired."""
    labels = b"".join(
        bytes([len(label)]) + label.encode() for label in name.split(".")
    )
    return (
        struct.pack("!6H", NUMBER, 0x0100, 1, 0, 0, 0)
        + labels + b"\0" + struct.pack("!2H", TYPES[kind], 1)
    )


def ask_udp(dns, name, kind="MX", seconds=STUCK):
    """The answer's octets; None: there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        sock.connect((dns.address, dns.port))
        sock.send(query(name, kind))
        try:
            return sock.recv(65535)
        except socket.timeout:
            return None


def ask_tcp(dns, *names, kind="MX"):
    """The answers to questions on one connection, asked all at once."""
    with socket.create_connection((dns.address, dns.port), STUCK) as sock:
        for name in names:
            text = query(name, kind)
            sock.sendall(struct.pack("!H", len(text)) + text)
        with sock.makefile("rb") as stream:
            return [
                stream.read(int.from_bytes(stream.read(2), "big"))
                for _ in names
            ]


def read_name(data, at):
    """Return (name, where it ends)."""
    labels, end = [], None
    for _ in range(128):
        if data[at] >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", data, at)[0] & 0x3FFF
        elif data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        else:
            return ".".join(labels), end or at + 1
    raise ValueError("a loop")


def parse(answer):
    """Return (code, is truncated, [(owner, type, data)])."""
    number, flags, questions, count, *others = struct.unpack_from(
        "!6H", answer
    )
    assert (number, questions, others) == (NUMBER, 1, [0, 0])
    assert flags & 0x8500 == 0x8500  # an answer, of authority
    at = read_name(answer, 12)[1] + 4
    records = []
    for _ in range(count):
        owner, at = read_name(answer, at)
        kind, group, _ttl, size = struct.unpack_from("!HHIH", answer, at)
        assert group == 1
        at += 10 + size
        if at > len(answer):
            raise ValueError("a record is too long")
        records.append((owner, kind, read_data(answer, kind, at - size, at)))
    assert at == len(answer)
    return flags & 15, bool(flags & 0x0200), records


def read_data(answer, kind, start, end):
    if kind == TYPES["MX"]:
        name, stop = read_name(answer, start + 2)
        assert stop == end
        return struct.unpack_from("!H", answer, start)[0], name
    if kind == TYPES["CNAME"]:
        return read_name(answer, start)[0]
    if kind == TYPES["A"]:
        return socket.inet_ntoa(answer[start:end])
    if kind == TYPES["AAAA"]:
        return socket.inet_ntop(socket.AF_INET6, answer[start:end])
    return answer[start:end]


MX_OF_CONTOSO = (CONTOSO, TYPES["MX"], (10, EXCHANGE))

# The ordinary course


@pytest.mark.parametrize("name, kind, code, records", [
    (CONTOSO, "MX", NO_ERROR, [MX_OF_CONTOSO]),
    ("CONTOSO.Example", "A", NO_ERROR,
     [("CONTOSO.Example", TYPES["A"], "192.0.2.1")]),
    (EXCHANGE, "AAAA", NO_ERROR, [(EXCHANGE, TYPES["AAAA"], "2001:db8::1")]),
    ("null.example", "MX", NO_ERROR,
     [("null.example", TYPES["MX"], (0, ""))]),
    (CONTOSO, "AAAA", NO_ERROR, []),
    (CONTOSO, "SOA", NO_ERROR, []),
    ("nowhere.example", "MX", NXDOMAIN, []),
    ("alias.example", "MX", NO_ERROR,
     [("alias.example", TYPES["CNAME"], CONTOSO), MX_OF_CONTOSO]),
    ("alias.example", "CNAME", NO_ERROR,
     [("alias.example", TYPES["CNAME"], CONTOSO)]),
    ("dangling.example", "MX", NXDOMAIN,
     [("dangling.example", TYPES["CNAME"], "nowhere.example")]),
    ("loop1.example", "MX", NO_ERROR,
     [("loop1.example", TYPES["CNAME"], "loop2.example"),
      ("loop2.example", TYPES["CNAME"], "loop1.example")]),
])
def test_answers_by_both_transports(dns, name, kind, code, records):
    for answer in ask_udp(dns, name, kind), *ask_tcp(dns, name, kind=kind):
        assert parse(answer) == (code, False, records)
    assert dns.questions == [
        Question(name.lower(), kind if kind != "SOA" else "6", transport)
        for transport in ("udp", "tcp")
    ]


def test_many_questions_on_one_connection(dns):
    answers = ask_tcp(dns, CONTOSO, "nowhere.example", CONTOSO)
    assert [parse(answer)[0] for answer in answers] == [
        NO_ERROR, NXDOMAIN, NO_ERROR]


def test_what_does_not_fit_a_datagram_comes_by_tcp(dns):
    hosts = [("MX", i, f"mx{i}.{'x' * 50}.example") for i in range(20)]
    dns.records["many.example"] = hosts
    assert parse(ask_udp(dns, "many.example")) == (NO_ERROR, True, [])
    (answer,) = ask_tcp(dns, "many.example")
    assert parse(answer)[2] == [
        ("many.example", TYPES["MX"], host[1:]) for host in hosts
    ]


def test_garbage_gets_no_answer_and_does_no_harm(dns):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for text in b"", b"\0", b"\xff" * 40, query(CONTOSO, "MX")[:-3]:
            sock.sendto(text, (dns.address, dns.port))
    assert parse(ask_udp(dns, CONTOSO))[2] == [MX_OF_CONTOSO]
    assert len(dns.questions) == 1


# Behaviours


@pytest.fixture(name="odd")
def _odd():
    """A server with a name for each behaviour, "loop.example" for "loop"."""
    names = {f"{kind}.example": kind for kind in BEHAVIOURS}
    records = [("MX", 10, EXCHANGE), ("A", "192.0.2.1")]
    with Dns({name: records for name in names}, names) as dns:
        yield dns


@pytest.mark.parametrize("name, code", [
    ("nxdomain.example", NXDOMAIN),
    ("nodata.example", NO_ERROR),
    ("servfail.example", SERVFAIL),
    ("refused.example", REFUSED),
])
def test_answers_without_records(odd, name, code):
    for answer in ask_udp(odd, name), *ask_tcp(odd, name):
        assert parse(answer) == (code, False, [])


def test_silence(odd):
    assert ask_udp(odd, "silence.example", seconds=0.05) is None
    assert odd.wait_for_questions(1)
    assert odd.questions == [Question("silence.example", "MX", "udp")]


def test_truncated_by_udp_and_whole_by_tcp(odd):
    name = "truncate.example"
    assert parse(ask_udp(odd, name)) == (NO_ERROR, True, [])
    (answer,) = ask_tcp(odd, name)
    assert parse(answer) == (
        NO_ERROR, False, [(name, TYPES["MX"], (10, EXCHANGE))])


def test_silence_by_tcp_ends_with_the_server():
    name = "truncate-silence.example"
    got = []
    with Dns({}, {name: "truncate-silence"}) as dns:
        assert parse(ask_udp(dns, name)) == (NO_ERROR, True, [])
        client = threading.Thread(
            target=lambda: got.extend(ask_tcp(dns, name)))
        client.start()
        assert dns.wait_for_questions(2)
        assert not got
    client.join(STUCK)
    assert got == [b""]


def test_largest_answer(odd):
    name = "largest.example"
    assert parse(ask_udp(odd, name)) == (NO_ERROR, True, [])
    (answer,) = ask_tcp(odd, name)
    assert len(answer) == 65535
    code, is_truncated, records = parse(answer)
    assert (code, is_truncated, len(records)) == (NO_ERROR, False, 2)
    assert records[0] == (name, TYPES["MX"], (10, EXCHANGE))


@pytest.mark.parametrize("kind", ["MX", "A"])
def test_record_longer_than_the_answer(odd, kind):
    with pytest.raises(ValueError, match="too long"):
        parse(ask_udp(odd, "malformed.example", kind))


def test_name_that_points_to_itself(odd):
    with pytest.raises(ValueError, match="loop"):
        parse(ask_udp(odd, "loop.example"))


def test_behaviours_change_while_it_runs(dns):
    dns.behaviours[CONTOSO] = "servfail"
    assert parse(ask_udp(dns, CONTOSO))[0] == SERVFAIL
    del dns.behaviours[CONTOSO]
    assert parse(ask_udp(dns, CONTOSO))[0] == NO_ERROR


def test_unknown_behaviour_is_an_error():
    with pytest.raises(ValueError, match="nxdomian"):
        Dns({}, {CONTOSO: "nxdomian"})


# Addresses


def test_servers_have_places_of_their_own():
    with Dns() as one, Dns() as other:
        assert one.address == other.address == "127.0.0.1"
        assert one.port != other.port


def test_the_same_port_at_other_addresses(dns):
    with Dns(RECORDS, port=dns.port) as one:
        with Dns({}, port=dns.port) as other:
            assert len({dns.address, one.address, other.address}) == 3
            assert parse(ask_udp(one, CONTOSO))[0] == NO_ERROR
            assert parse(ask_udp(other, CONTOSO))[0] == NXDOMAIN


def test_port_is_free_again_afterwards():
    with Dns(RECORDS) as dns:
        port = dns.port
        ask_tcp(dns, CONTOSO)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
