"""HTTP in, HTTP out: the routes, their schemas, and who may call them. Never imports torch."""

import gc

# Set here, before anything is imported: importing makes many objects, nearly all of which stay, and looking for garbage
# among them every 700 new ones, Python's default, is a tenth of the time it takes.
gc.set_threshold(50_000, 20, 20)
