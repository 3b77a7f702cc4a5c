from .engine.guest import Guest as Guest
from .engine.guest import View as View
from .mount import mounted_engine as mounted_engine
from .mounted import Mounted as Mounted

__all__: list[str]
