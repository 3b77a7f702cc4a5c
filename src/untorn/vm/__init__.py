"""Other kernels, booted in QEMU: this package runs in the guest as it runs here."""
