"""The entries of egress.allow, and what they open."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from alloyd.egress import EgressPolicy

VERDICTS = [
    # allow, host, address, port, open?
    ([], "a.example", "8.8.8.8", 443, True),
    ([], "a.example", "10.1.2.3", 443, False),
    (["10.1.0.0/16"], "a.example", "10.1.2.3", 443, True),
    (["10.1.0.0/16"], "a.example", "10.2.2.3", 443, False),
    (["10.1.0.0/16"], "a.example", "::ffff:10.1.2.3", 443, True),
    (["10.1.0.0/16"], "a.example", "64:ff9b::a01:203", 443, True),
    (["10.1.0.0/16:8080"], "a.example", "10.1.2.3", 8080, True),
    (["10.1.0.0/16:8080"], "a.example", "10.1.2.3", 443, False),
    (["10.1.2.3"], "a.example", "10.1.2.3", 443, True),
    (["10.1.2.3:80"], "a.example", "10.1.2.3", 443, False),
    (["fd00::/8"], "a.example", "fd12::1", 443, True),
    (["[fd12::1]:443"], "a.example", "fd12::1", 443, True),
    (["[fd12::1]:443"], "a.example", "fd12::1", 80, False),
    (["[fd00::/8]"], "a.example", "fd12::1", 80, True),
    (["fe80::/10"], "a.example", "fe80::1", 80, True),
    (["fe80::/10"], "a.example", "fe80::1%eth0", 80, False),
    (["Intranet.Example."], "intranet.example", "10.9.9.9", 80, True),
    (["intranet.example:443"], "intranet.example", "10.9.9.9", 443, True),
    (["intranet.example:443"], "intranet.example", "10.9.9.9", 80, False),
    (["intranet.example"], "sub.intranet.example", "10.9.9.9", 80, False),
    (["bücher.example"], "xn--bcher-kva.example", "10.9.9.9", 80, True),
    # metadata opens to its exact address only
    (["0.0.0.0/0"], "a.example", "127.0.0.1", 80, True),
    (["0.0.0.0/0"], "a.example", "169.254.169.254", 80, False),
    (["169.254.0.0/16"], "a.example", "169.254.169.254", 80, False),
    (["169.254.169.254/31"], "a.example", "169.254.169.254", 80, False),
    (["a.example"], "a.example", "169.254.169.254", 80, False),
    (["a.example"], "a.example", "fd00:ec2::254", 80, False),
    (["100.64.0.0/10"], "a.example", "100.100.100.200", 80, False),
    (["::/0"], "a.example", "64:ff9b::a9fe:a9fe", 80, False),
    (["169.254.169.254"], "a.example", "169.254.169.254", 80, True),
    (["169.254.169.254/32:80"], "a.example", "169.254.169.254", 80, True),
    (["169.254.169.254"], "a.example", "::ffff:169.254.169.254", 80, True),
    (["fd00:ec2::254/128"], "a.example", "fd00:ec2::254", 80, True),
]


@pytest.mark.parametrize(("allow", "host", "address", "port", "is_open"), VERDICTS)
def test_verdict(allow: list[str], host: str, address: str, port: int, is_open: bool) -> None:
    refusal = EgressPolicy.parse(allow).refusal(host, ip_address(address), port)
    assert (refusal is None) is is_open, refusal


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.example",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0",
        "127.1",
        "10.0.0.1:0",
        "10.0.0.1:99999",
        "10.0.0.1:http",
        "a.example:",
        "a b.example",
        "http://a.example",
        "a.example/path",
        "-a.example",
        "a..example",
        "[10.0.0.1]:80",
        "[a.example]",
        "fd00::1::2",
        "2130706433",
        "user@a.example",
    ],
)
def test_bad_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"egress\.allow") as caught:
        EgressPolicy.parse(["10.0.0.0/8", entry])
    assert repr(entry) in str(caught.value)
