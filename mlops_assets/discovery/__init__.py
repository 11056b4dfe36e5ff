"""Discovery: the STAC API in the box.

What is found is in the registry; see `registry.records`. It is served by the hub, at `/stac`.
"""

import logging

# it complains of settings that it reads when it is imported, before they can be given
logging.getLogger("stac_fastapi.types.config").setLevel(logging.ERROR)
