"""Certificates made at run time: one authority, a good leaf, many bad ones.

Each leaf is made when it is first asked for, so that a tenant which only
needs the good one starts in a few milliseconds.
"""

import datetime
import ipaddress
import os
import threading
from pathlib import Path
from typing import Dict, Iterable, Optional, Tuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: kind -> what is wrong with it
KINDS = {
    "good": "nothing: SAN localhost, 127.0.0.1 and the names given",
    "self-signed": "signed by itself",
    "untrusted-ca": "signed by an authority that is not in ca.pem",
    "expired": "ended yesterday",
    "not-yet-valid": "begins tomorrow",
    "wrong-name": "SAN other.example only",
    "cn-only": "CN localhost and no SAN at all",
    "partial-wildcard": "SAN l*calhost",
    "nul-san": "SAN dNSName localhost<NUL>.evil.example",
    "nul-cn": "CN localhost<NUL>.evil.example and no SAN",
    "client-only": "extended key usage clientAuth, not serverAuth",
    "weak": "RSA key of 1024 bits",
}

CertificateFiles = Tuple[str, str]

_DAY = datetime.timedelta(days=1)
_NUL_NAME = "localhost\0.evil.example"


def make_certs(
    directory: str,
    kinds: Iterable[str] = tuple(KINDS),
    names: Iterable[str] = (),
) -> Dict[str, CertificateFiles]:
    """Make ca.pem and the given kinds at once: kind -> (certificate, key)."""
    authority = Certificates(directory, names)
    return {kind: authority.get(kind) for kind in kinds}


class Certificates:
    """An authority in a directory; `get` makes leaves on demand."""

    def __init__(self, directory: str, names: Iterable[str] = ()):
        self.directory = Path(directory)
        self.names = ["localhost", *names]
        self._lock = threading.Lock()
        self._made: Dict[str, CertificateFiles] = {}
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._ca = _make_ca(self._key, "fake365 test CA")
        self.ca_file = str(self._write("ca.pem", _pem(self._ca)))

    def get(self, kind: str) -> CertificateFiles:
        """Return (certificate file, key file) of a kind."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind of certificate: {kind!r}")
        with self._lock:
            if kind not in self._made:
                self._made[kind] = self._make(kind)
            return self._made[kind]

    def _make(self, kind: str) -> CertificateFiles:
        if kind == "weak":
            key = rsa.generate_private_key(65537, 1024)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        issuer, signing_key = self._ca.subject, self._key
        if kind == "self-signed":
            issuer, signing_key = _name("localhost"), key
        elif kind == "untrusted-ca":
            signing_key = ec.generate_private_key(ec.SECP256R1())
            issuer = _make_ca(signing_key, "nobody's CA").subject
        builder = self._leaf(kind, key.public_key(), issuer, signing_key)
        certificate = builder.sign(signing_key, hashes.SHA256())
        return (
            str(self._write(f"{kind}.pem", _pem(certificate))),
            str(self._write(f"{kind}.key", _key_pem(key))),
        )

    def _leaf(self, kind, public_key, issuer, signing_key):
        begin, end = _validity(kind)
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        if kind == "client-only":
            usage = ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(_common_name(kind)))
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    signing_key.public_key()
                ),
                False,
            )
        )
        names = self._alternative_names(kind)
        if names is None:
            return builder
        return builder.add_extension(names, False)

    def _alternative_names(
        self, kind: str
    ) -> Optional[x509.SubjectAlternativeName]:
        special = {
            "wrong-name": ["other.example"],
            "partial-wildcard": ["l*calhost"],
            "nul-san": [_NUL_NAME],
        }
        if kind in ("cn-only", "nul-cn"):
            return None
        if kind in special:
            names = [x509.DNSName(name) for name in special[kind]]
        else:
            names = [x509.DNSName(name) for name in self.names]
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        return x509.SubjectAlternativeName(names)

    def _write(self, name: str, text: bytes) -> Path:
        path = self.directory / name
        mode = 0o600 if path.suffix == ".key" else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(path, flags, mode), "wb") as stream:
            stream.write(text)
        return path


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _common_name(kind: str) -> str:
    return {"nul-cn": _NUL_NAME, "wrong-name": "other.example"}.get(
        kind, "localhost"
    )


def _validity(kind: str) -> Tuple[datetime.datetime, datetime.datetime]:
    now = datetime.datetime.now(datetime.timezone.utc)
    if kind == "expired":
        return now - 30 * _DAY, now - _DAY
    if kind == "not-yet-valid":
        return now + _DAY, now + 30 * _DAY
    return now - _DAY, now + 30 * _DAY


def _make_ca(key, common_name: str) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False,
        key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
        .add_extension(x509.BasicConstraints(True, 0), True)
        .add_extension(usage, True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
        )
        .sign(key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
