"""``python -m registration_pipeline`` is the command ``registration-pipeline``. Nothing else belongs here."""

from registration_pipeline.cli.app import main

if __name__ == "__main__":
    main()
