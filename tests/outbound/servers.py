"""Servers on loopback that follow a script, hostile ones too, and TLS certificates of any kind."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.domain.request import Request, malformed_host
from chalicelib.outbound.address_guard import Guard
from chalicelib.outbound.transport import TlsSocket

# Servers outlive the timeouts of the tests, and no test.
LIFETIME = 6.0
LOOPBACK = Guard(
    malformed_host,
    lambda address: None if address.is_loopback else "not loopback",
    lambda host, port: [ipaddress.ip_address("127.0.0.1")],
)

# What an authority's key is for.
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass
class Server:
    """One that is listening.

    `seen` are the requests that came, as bytes; `names` are what TLS clients asked for.
    """

    port: int
    seen: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@contextlib.contextmanager
def serving(
    script: list[dict[str, Any]] | Callable[[socket.socket], None],
    context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    reads: bool = True,
) -> Iterator[Server]:
    """Answer every connection by the script until the end of the block, after a request has been
    read unless `reads` is off.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=256) as listener:
        server = Server(listener.getsockname()[1])
        over = threading.Event()
        if context is not None:
            context.sni_callback = lambda sock, name, context: server.names.append(name)

        def answer(sock: socket.socket) -> None:
            with contextlib.suppress(OSError), sock:
                sock.settimeout(LIFETIME)
                wrapped = context.wrap_socket(sock, server_side=True) if context else sock
                with wrapped:
                    if reads:
                        server.seen.append(_read_request(wrapped))
                    if callable(script):
                        script(wrapped)
                    else:
                        play(script, wrapped, over)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    threading.Thread(target=answer, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _read_request(sock: socket.socket) -> bytes:
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = sock.recv(65536)
        if not piece:
            return seen
        seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    lengths = [
        line.partition(b":")[2]
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    while lengths and len(body) < int(lengths[0]):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def play(script: list[dict[str, Any]], sock: socket.socket, over: threading.Event) -> None:
    """Do what the steps of a script say, one after the other."""
    until = time.monotonic() + LIFETIME
    for step in script:
        data = (
            bytes.fromhex(step["send_hex"]) if "send_hex" in step else step.get("send", "").encode()
        )
        again = (
            bytes.fromhex(step["repeat_hex"]) * 1000
            if "repeat_hex" in step
            else step.get("repeat", "").encode()
        )
        for _ in range(step.get("times", 1)):
            sock.sendall(data)
        while again and time.monotonic() < until:
            sock.sendall(again)
            if over.wait(step.get("every_ms", 0) / 1000):
                return
        for byte in step.get("drip", ""):
            sock.sendall(byte.encode())
            if over.wait(step["every_ms"] / 1000):
                return
        time.sleep(step.get("wait_ms", 0) / 1000)
        if "hang" in step:
            over.wait(LIFETIME)
        if "reset" in step:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class Authority:
    """A certificate authority that nobody trusts unless told to."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "An authority of the tests")]
        )
        self.certificate = self._made(
            self.name, self.key, self.name, days=(-1, 1), is_authority=True
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def context(
        self, *hosts: str, days: tuple[int, int] = (-1, 1), self_signed: bool = False
    ) -> ssl.SSLContext:
        """Return the context of a server whose certificate is for these hosts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = TlsSocket
        # The standard library reads certificates from files only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(self.chain(*hosts, days=days, self_signed=self_signed))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def chain(self, *hosts: str, days: tuple[int, int] = (-1, 1), self_signed: bool = False) -> str:
        """Return a new key and its certificate for these hosts, as a server reads them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A server of the tests")])
        certificate = self._made(
            subject,
            key,
            subject if self_signed else self.name,
            hosts,
            days,
            signer=key if self_signed else self.key,
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()

    def _made(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        hosts: tuple[str, ...] = (),
        days: tuple[int, int] = (-1, 1),
        is_authority: bool = False,
        signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        signer = signer or self.key
        builder = x509.CertificateBuilder(
            issuer,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            now + datetime.timedelta(days[0]),
            now + datetime.timedelta(days[1]),
        ).add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        # Without these, Python 3.13 refuses a certificate:
        # https://docs.python.org/3.13/library/ssl.html#ssl.VERIFY_X509_STRICT
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        if is_authority:
            builder = builder.add_extension(SIGNS, critical=True)
        if hosts:
            names = [
                x509.IPAddress(ipaddress.ip_address(host))
                if host[-1].isdigit()
                else x509.DNSName(host)
                for host in hosts
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())


AUTHORITY = Authority()


@contextlib.contextmanager
def hostile(attack: dict[str, Any]) -> Iterator[Request]:
    """Serve as one of the corpus's servers does, and give the request that calls it."""
    tls = attack.get("tls")
    method = attack.get("method", "POST")
    if tls is None:
        with serving(attack["script"]) as server:
            yield Request(f"http://127.0.0.1:{server.port}/", method, {})
        return
    with serving(
        attack["script"], None if tls == "none" else _tls(**tls), reads=tls != "none"
    ) as server:
        yield Request(f"https://api.example.com:{server.port}/", method, {})


def _tls(
    hosts: list[str],
    days: tuple[int, int] = (-1, 1),
    self_signed: bool = False,
    unknown: bool = False,
    at_most: str = "",
) -> Any:
    context = (Authority() if unknown else AUTHORITY).context(
        *hosts, days=days, self_signed=self_signed
    )
    if at_most:
        with warnings.catch_warnings():
            # The version is as deprecated as the servers that have no other.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.maximum_version = ssl.TLSVersion[at_most]
    return context
