"""What was linked to datasets in Encord: records, numbers and failures. Nothing here asks Encord (``submission/datasets``)."""
