"""What ``dg scaffold defs registration_pipeline.BucketRegistration NAME`` writes.

What does not belong here: the component (``bucket_registration.py``).
"""

from typing import Any

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component

_EXAMPLE = """\
type: {type_name}

attributes:
  # Where inventories, plans, manifests, journal and logs are kept: a path, relative to the project's root, or s3://…, gs://…,
  # az://…. It is the only truth about what is registered: keep it.
  state: .registration
  sources:
    # The source's name: a-z, 0-9 and hyphens. Assets, jobs and folders have it, so that another name is another source.
    {source}:
      uri: s3://my-bucket/prefix/          # also gs://, az://container@account/, obs://, file:///
      storage: {{region: eu-west-2}}
      encord: {{integration: title of the Encord integration}}
      # schedule: null                     # no nightly sync; the default is a minute of the hour of two, UTC

# Owners, tags, groups and automation of the assets, for example:
# post_processing:
#   assets:
#     - attributes: {{owners: ["team:media"], tags: {{domain: media}}}}
#
# Encord's key comes from ENCORD_SSH_KEY or ENCORD_SSH_KEY_FILE. All keys: docs/configuration.md of registration-pipeline.
"""


class BucketRegistrationScaffolder(dg.Scaffolder):
    """Writes a ``defs.yaml`` to fill in, whose source has the name of its folder."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the file."""
        if request.scaffold_format != "yaml":
            scaffold_component(request, {})
            return
        source = "".join(letter if letter.isalnum() else "-" for letter in request.target_path.stem.lower()).strip("-")
        text = _EXAMPLE.format(
            type_name=request.type_name, source=source if source.isascii() and source else "my-source"
        )
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")
