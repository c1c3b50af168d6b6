"""HTTP in, HTTP out: the routes, their schemas, and who may call them. Never imports torch."""

import gc

# Importing makes many objects, nearly all of which stay: looking for garbage among them every 700 new ones, Python's
# default, is a tenth of the time it takes, and later a pause in the middle of requests.
gc.set_threshold(50_000, 20, 20)
