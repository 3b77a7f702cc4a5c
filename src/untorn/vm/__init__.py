"""Other kernels, booted in QEMU: this package runs in the guest as it runs here.

From the top down: bench, conform, race, session, guest, console, qemu, initramfs, package,
programs, interpreter, cpio, jobs, init, kernels, debian, apt, images, cache.
"""
