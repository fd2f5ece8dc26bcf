"""Which configuration of each product is fastest on a device, and whether it is right."""
