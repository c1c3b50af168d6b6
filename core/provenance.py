"""What every restored picture says about itself: that a trained model made part of it, and which one; torch-free.

An XMP packet in the words of the IPTC, which catalogues, agencies and browsers read. No name, no date, no thumbnail.
"""

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
 idprefer:adapters="{adapters}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def provenance(bundle_digest: str, adapter_digests: Sequence[str] = ()) -> bytes:
    """Return the XMP packet of a picture restored with a bundle and adapters, each named by its SHA-256 in hex."""
    for digest in (bundle_digest, *adapter_digests):
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ValueError(f"got {digest!r}, wanted a SHA-256 in hex: names do not belong into a picture")
    return _PACKET.format(
        software=SOFTWARE, source_type=SOURCE_TYPE, bundle=bundle_digest, adapters=" ".join(adapter_digests)
    ).encode()
