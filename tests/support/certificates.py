"""A certificate authority for tests, and the certificates that it signs."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Authority:
    """Signs certificates. `client_context` trusts this authority only."""

    folder: Path

    def __post_init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(self._name, self._key.public_key(), None)

    @property
    def pem(self):
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def client_context(self):
        return ssl.create_default_context(cadata=self.pem)

    def server_context(self, *names, expired=False):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._sign(subject, key.public_key(), names, expired=expired)
        file = self.folder / f"{names[0]}{expired}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def pair(self, name, *alternatives, days=(-2, 60), password=None, extensions=()):
        """Write certificate and key as `NAME.crt` and `NAME.key`; return their paths.

        `name`: the common name. `alternatives`: hosts, addresses and URIs. `days`: from when until
        when it is valid. `extensions`: more of them.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(
            subject, key.public_key(), alternatives, days=days, extensions=extensions
        )
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        encryption = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        written = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        for file, content in zip(
            files, (certificate.public_bytes(serialization.Encoding.PEM), written), strict=True
        ):
            aside = file.with_suffix(f"{file.suffix}.new")
            aside.write_bytes(content)
            aside.replace(file)
        return files

    def file(self):
        """Write the authority's own certificate; return its path."""
        path = self.folder / "authority.pem"
        path.write_text(self.pem)
        return path

    def context_of(self, pair=None):
        """Return the context of a client, which may have a certificate."""
        context = self.client_context()
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def _sign(self, subject, public_key, names, *, expired=False, days=None, extensions=()):
        now = datetime.datetime.now(datetime.UTC)
        begins, ends = days or (-2, -1 if expired else 1)
        ends = now + datetime.timedelta(days=ends)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begins))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), True)
        )
        if names:
            alternatives = [_alternative(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        return builder.sign(self._key, hashes.SHA256())


def _alternative(name):
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
