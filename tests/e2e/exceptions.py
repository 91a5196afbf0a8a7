"""Which acceptance tests are skipped on ministack and why, and where it differs from AWS.

Tests that are for laptops alone say so themselves (`pytest.mark.laptop`), and are left out for any
stage.
"""

# Test → why.
EXCEPTIONS = {
    "tests/acceptance/test_original_api.py::"
    "test_what_is_wrong_is_refused_with_a_problem[400-sent4]": (
        "ministack decodes a body before the function gets it, with U+FFFD for what is not UTF-8"
    ),
}

# Part → what `serve.py` and `inside.py` put right or change, and what cannot be seen. What is
# deployed is as `make deploy` has it.
DIFFERENCES = {
    "EventBridge Scheduler": (
        "<aws.scheduler.scheduled-time> is filled in with the minute of the tick that fires; ticks "
        "come every ten seconds, and in UTC alone"
    ),
    "API Gateway": (
        "import and replacement of an API, with x-amazon-apigateway-gateway-responses, are added; "
        "no TLS, a port of its own, no throttling, no access logs"
    ),
    "IAM": (
        "enforced (AUTH=true), with SendMessageBatch under sqs:SendMessage, schedules in their "
        "group, and kms:EncryptionContext and kms:ResourceAliases as sent; who may assume a role "
        "or pass it is not looked at"
    ),
    "Lambda": (
        "this machine's architecture and Python, beside the package boto3 alone, the package "
        "unpacked and compiled once; no limit of memory"
    ),
    "SQS": "ten deliveries at once, and not hundreds: each is a process here",
    "time": "the tests allow five seconds more than for a laptop (RESONA_SLACK)",
}
