"""This team's own client of S3. The component leaves it alone, unless its attribute ``resources`` names it."""

import dagster as dg
from dagster_aws.s3 import S3Resource


@dg.definitions
def storage() -> dg.Definitions:
    """Return the resources of this project."""
    return dg.Definitions(resources={"s3": S3Resource(region_name="eu-west-2")})
