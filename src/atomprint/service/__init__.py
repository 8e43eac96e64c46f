"""A service: saved models over HTTP, with limits on all that costs, and a page to try them in a browser."""

from typing import TYPE_CHECKING

from atomprint.util.door import door

if TYPE_CHECKING:
    from atomprint.service.app import create_app
    from atomprint.service.run import serve
    from atomprint.service.settings import Limits, Settings

__getattr__, __dir__ = door(__name__)

__all__ = ["Limits", "Settings", "create_app", "serve"]
