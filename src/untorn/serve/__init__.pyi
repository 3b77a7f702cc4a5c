from .engine.guest import Guest as Guest
from .mount import mounted_engine as mounted_engine
from .mounted import Mounted as Mounted

__all__: list[str]
