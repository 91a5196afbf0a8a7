// Programs to copy: a receiver that verifies signatures, and the signature of a request that was sent.

import { bodyOf, curl } from "./curl.js";

/** The environment variable that the programs read the signing secret from. */
export const VARIABLE = "SIGNING_SECRET";
export const LANGUAGES = { python: "Python", javascript: "JavaScript", curl: "curl" };

const RECEIVERS = {
  python: `import os
from collections.abc import Mapping

# pip install "standardwebhooks>=1.1"
from standardwebhooks import Webhook, WebhookVerificationError


def is_from_resona(body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        Webhook(os.environ["${VARIABLE}"]).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: forged bytes that are no text
        return False
    return True`,
  javascript: `// npm install standardwebhooks@1.1
import { Webhook, WebhookVerificationError } from "standardwebhooks";

// The body is a string or a Buffer, as it arrived.
export function isFromResona(body, headers) {
  try {
    new Webhook(process.env.${VARIABLE}).verify(body, headers, { jsonParse: false });
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
  return true;
}`,
};

/** Return whether the request that was sent is known: no secret is in it, no order was lost. */
export function isCertain(request) {
  // JavaScript puts members first whose names are whole numbers.
  const text = JSON.stringify(request);
  return !text.includes("{{secret:") && !/"\d+":/.test(text);
}

/** Return a receiver that verifies; null for curl, which receives nothing. */
export function receiver(language) {
  return RECEIVERS[language] ?? null;
}

// Text as a literal of Python and of JavaScript: both know JSON's escapes.
function literal(text) {
  const hidden = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
  return JSON.stringify(text).replace(
    hidden,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Return a program that computes the signature of an attempt's request as it was sent; curl sends
 * the request again, signed anew.
 *
 * @param {string} language
 * @param {JobRequest} request
 * @param {{id: string, at: string}} sent the run's id, and when the attempt was sent
 */
export function signed(language, request, { id, at }) {
  const seconds = Math.floor(Date.parse(at) / 1000);
  const body = bodyOf(request) ?? "";
  if (language === "curl") return again(request, id, body);
  if (language === "python") {
    return `import base64, hashlib, hmac, os

body = ${literal(body)}.encode()
key = base64.b64decode(os.environ["${VARIABLE}"].removeprefix("whsec_"))
signed = b"${id}.${seconds}." + body
print("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode())`;
  }
  return `import { createHmac } from "node:crypto";

const body = ${literal(body)};
const key = Buffer.from(process.env.${VARIABLE}.replace("whsec_", ""), "base64");
const signed = "${id}.${seconds}." + body;
console.log("v1," + createHmac("sha256", key).update(signed).digest("base64"));`;
}

function again(request, id, body) {
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  const command = curl({ ...request, body: null }, [
    '-H "webhook-id: $id"',
    '-H "webhook-timestamp: $now"',
    '-H "webhook-signature: v1,$signature"',
    ...(body ? ['--data-raw "$body"'] : []),
  ]);
  return `id=${id}
now=$(date +%s)
body=${quoted}
key=$(printf %s "\${${VARIABLE}#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
signature=$(printf %s "$id.$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
${command}`;
}
