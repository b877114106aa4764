"""dagster-aws's S3 resource with the client options that listing needs.

What does not belong here: which source gets which client (``clients.py``).
"""

from typing import Any

from dagster_aws.s3 import S3Resource

from registration_pipeline.project.clients.s3 import open_s3


class ListingS3Resource(S3Resource):
    """``S3Resource`` whose client has timeouts, enough connections, and checksums only where S3 requires them.

    dagster-aws 0.29 builds the client's botocore ``Config`` itself, from ``max_attempts`` alone, so ``get_client`` is the
    one place to put more. Profile, region, endpoint and credentials stay the fields of ``S3Resource``.
    """

    def get_client(self) -> Any:
        """Return a boto3 S3 client, safe to share between threads."""
        return open_s3(
            profile=self.profile_name,
            endpoint_url=self.endpoint_url,
            attempts=self.max_attempts,
            is_unsigned=self.use_unsigned_session,
            region_name=self.region_name,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
        )
