"""What of the acceptance suite is not run against ministack, and why; and where ministack is not as AWS is.

Tests that are for laptops alone say so themselves (`pytest.mark.laptop`), and are left out for any stage.
"""

# Test → why.
EXCEPTIONS = {
    "tests/acceptance/test_original_api.py::test_what_is_wrong_is_refused_with_a_problem[400-sent4]": (
        "ministack decodes a body before the function gets it, with U+FFFD for what is not UTF-8"
    ),
}

# What `serve.py` and `inside.py` put right or change of ministack; the functions and the template are as they are packaged.
STOOD_IN_FOR = (
    "EventBridge Scheduler: <aws.scheduler.scheduled-time> is filled in, the minute of the tick that fires; its cron is read in UTC alone",
    "API Gateway: x-amazon-apigateway-gateway-responses is read; TLS, the custom port and throttling are not AWS's",
    "IAM (AUTH=true: policies are enforced): SendMessageBatch needs sqs:SendMessage, schedules are in their group, KMS sees its encryption context",
    "Lambda: this machine's architecture and interpreter, with boto3 alone beside the package, which is unpacked and compiled once; no memory limit",
    "SQS: MaximumConcurrency is set to 10, since each concurrent delivery is a process here",
)
