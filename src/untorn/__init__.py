"""The per-VMA-lock reading of /proc/PID/maps: engine, proof, measurement, reader."""

__version__ = "0.1.0"
