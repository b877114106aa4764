"""The declared metadata schema beside Encord's: compared, and added to it on request. Import from the modules."""
