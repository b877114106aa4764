"""dagster-aws's S3 resource with the client options that listing needs.

What does not belong here: which source gets which client (``project/clients/listers.py``).
"""

from typing import Any

import boto3
from dagster_aws.s3 import S3Resource

from registration_pipeline.inventory.s3.client_config import client_config


class ListingS3Resource(S3Resource):
    """``S3Resource`` whose client has timeouts and sends checksums only where S3 requires them.

    dagster-aws 0.29 builds the client's botocore ``Config`` itself, from ``max_attempts`` alone, so ``get_client`` is the
    one place to put more. Profile, region, endpoint and credentials stay the fields of ``S3Resource``.
    """

    def get_client(self) -> Any:
        """Return a boto3 S3 client, safe to share between threads."""
        session = boto3.session.Session(profile_name=self.profile_name)
        return session.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=client_config(
                endpoint_url=self.endpoint_url, attempts=self.max_attempts, is_unsigned=self.use_unsigned_session
            ),
        )
