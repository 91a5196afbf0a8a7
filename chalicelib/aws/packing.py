"""Pack a response: JSON, compressed with a dictionary of what most answers have.

An answer of 1 KB with its headers then takes about 600 bytes, so that a record is one write unit.
"""

from __future__ import annotations

import zlib

# Stored responses were packed with these bytes: never change them. A better dictionary needs an
# attribute of its own.
_DICTIONARY = (
    b'"code":"count":"total":"items":"results":"title":"url":"https://"email":"amount":"currency":'
    b'"description":"value":"price":"ok":"success":"accepted":"queued":"created":"result":"time'
    b'stamp":"created_at":"updated_at":"message":"error":"data":[{"name":"type":"status":"id":"'
    b'":true,":false,":null,"x-powered-by":"Express","x-frame-options":"SAMEORIGIN","DENY","alt-svc"'
    b':"h3=\\":443\\"; ma=86400","cf-ray":"cf-cache-status":"DYNAMIC","via":"1.1 google","vary":"'
    b'Accept-Encoding, Origin","etag":"W/\\"","referrer-policy":"no-referrer","strict-origin-when-'
    b'cross-origin","x-xss-protection":"0","1; mode=block","access-control-allow-origin":"*",'
    b'"content-encoding":"gzip","transfer-encoding":"chunked","cache-control":"no-store","no-cache,'
    b' no-store, must-revalidate","max-age=0, private, must-revalidate","strict-transport-'
    b'security":"max-age=31536000; includeSubDomains; preload","x-content-type-options":"nosniff",'
    b'"x-request-id":"server":"cloudflare","nginx","connection":"keep-alive","close","date":"'
    b' 2026 GMT","content-length":"content-type":"text/html; charset=utf-8",'
    b'"text/plain; charset=utf-8",'
    b'[{"content-type":"application/json; charset=utf-8",'
)
_RAW = -zlib.MAX_WBITS


def packed(text: str) -> bytes:
    """Compress a text."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, _RAW, zdict=_DICTIONARY)
    return compressor.compress(text.encode()) + compressor.flush()


def unpacked(data: bytes) -> str:
    """Return the text that was compressed."""
    decompressor = zlib.decompressobj(_RAW, zdict=_DICTIONARY)
    return (decompressor.decompress(data) + decompressor.flush()).decode()
