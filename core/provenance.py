"""What every restored picture says about itself: that a trained model made part of it, and which one; torch-free.

An XMP packet in the words of the IPTC, which catalogues, agencies and browsers read. No name, no thumbnail; a date
in the signed part only.
"""

import re
from collections.abc import Sequence

SOFTWARE = "ID-PreFeR"
# The IPTC's word for a photograph into which a trained model painted.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:idprefer="urn:idprefer:provenance:1"
 xmp:CreatorTool="{software}"
 Iptc4xmpExt:DigitalSourceType="{source_type}"
 idprefer:bundle="{bundle}"
 idprefer:adapters="{adapters}"{manifest}/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""

_TOKEN = r"[A-Za-z0-9_-]{1,8000}\.[A-Za-z0-9_-]{86}"
# As an attribute, or as the element that other programs make of it when they write the packet anew.
_MANIFEST = re.compile(rf'idprefer:manifest(?:=["\']|>\s*)({_TOKEN})\s*["\'<]'.encode())


def provenance(bundle_digest: str, adapter_digests: Sequence[str] = (), manifest: str | None = None) -> bytes:
    """Return the XMP packet of a picture restored with a bundle and adapters, each named by its SHA-256 in hex.

    `manifest` is the token of a signed statement, where there is somebody to sign.
    """
    if manifest is not None and not re.fullmatch(_TOKEN, manifest):
        raise ValueError(f"got {manifest!r}, wanted a signed manifest's token")
    for digest in (bundle_digest, *adapter_digests):
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ValueError(f"got {digest!r}, wanted a SHA-256 in hex: names do not belong into a picture")
    return _PACKET.format(
        software=SOFTWARE,
        source_type=SOURCE_TYPE,
        bundle=bundle_digest,
        adapters=" ".join(adapter_digests),
        manifest="" if manifest is None else f'\n idprefer:manifest="{manifest}"',
    ).encode()


def manifest_in(packet: bytes) -> str | None:
    """Return the manifest's token in an XMP packet of whatever origin; it is looked for, never parsed."""
    found = _MANIFEST.search(packet)
    return None if found is None else found.group(1).decode()
