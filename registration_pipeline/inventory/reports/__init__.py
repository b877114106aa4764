"""Inventories from the providers' own reports: reading, sorting and topping up deliveries of Amazon, Google and Azure."""
