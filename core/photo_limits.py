"""What a photo may be: how large, from a stranger; of which files, in a folder."""

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MAX_PIXELS_OF = {"HEIF": 25_000_000}  # a HEIC pixel takes twice as long to decode; phones write 24.5 million
MIN_SIDE, MAX_SIDE = 32, 8192
MAX_SCANS = 32  # of a JPEG: cameras write one, progressive files about ten
MAX_CHUNKS = 1000  # of a PNG or JPEG beside its pixels: programs write about twenty
PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"}
