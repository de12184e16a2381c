/**
 * @file Errors in the communication with the hub → coded errors.
 */

import { HubApiError, InvalidApiResponseFormatError } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";
import { systemCodeOf } from "../../system-errors.ts";
import type { HubRepo } from "./id.ts";

/** The header with the hub's own error code. */
export const HUB_ERROR_CODE_HEADER = "x-error-code";
/** The header with the hub's own error message. */
export const HUB_ERROR_MESSAGE_HEADER = "x-error-message";

/** The hub's message about a token that is wrong or expired. Source: huggingface_hub, `hf_raise_for_status`. */
const INVALID_CREDENTIALS = "Invalid credentials in Authorization header";

/** What the hub said in an error response; null if it said nothing. */
export interface HubRefusal {
  readonly code: string | null;
  readonly message: string | null;
}

/** No error response. */
export const NO_REFUSAL: HubRefusal = { code: null, message: null };

/** Whether an error means that the hub could not be reached. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof CusprunError && error.code === "HUB_UNREACHABLE";
}

/** The error for what is not in the cache although a variable forbids connections. */
export function offlineError(where: string, type: HubRepo["type"], variable: string): CusprunError {
  return new CusprunError("HUB_UNREACHABLE", {
    where,
    found: `${variable}=${process.env[variable] ?? ""} and no complete copy in the cache`,
    expected: "a connection or a complete copy",
    remedy: `Unset ${variable}, or pass the path of a local ${type}`,
  });
}

/**
 * Converts any error of a request to a coded error; coded errors are returned unchanged.
 * @param where the repository's name.
 * @param refusal the last error response, and where the token that was sent comes from, null if none was sent.
 */
export function asHubError(
  error: unknown,
  where: string,
  type: HubRepo["type"],
  refusal: HubRefusal & { readonly tokenSource: string | null },
): CusprunError {
  if (error instanceof CusprunError) return error;
  if (error instanceof HubApiError) return refused(error, where, type, refusal);
  if (error instanceof InvalidApiResponseFormatError || error instanceof SyntaxError) {
    return make(
      "HUB_RESPONSE",
      where,
      `an unexpected response (${error.message})`,
      "a response of the hub's API",
      "Check HF_ENDPOINT",
      error,
    );
  }
  const reason = error instanceof Error ? describeCause(error) : String(error);
  const remedy = `Check the connection and HF_ENDPOINT, or pass the path of a local ${type}`;
  return make("HUB_UNREACHABLE", where, `no connection to the hub (${reason})`, "a response", remedy, error);
}

function refused(
  error: HubApiError,
  where: string,
  type: HubRepo["type"],
  { code, message, tokenSource }: HubRefusal & { readonly tokenSource: string | null },
): CusprunError {
  const status = `HTTP ${error.statusCode}${code === null ? "" : ` ${code}`}`;
  const logIn = "log in with `hf auth login` or set HF_TOKEN";
  if (error.statusCode === 401 && tokenSource !== null && message === INVALID_CREDENTIALS) {
    const remedy = "Log in again with `hf auth login`, or correct HF_TOKEN; public repositories need no token";
    const found = `an access token that the hub does not accept, from ${tokenSource} (${status})`;
    return make("HUB_FORBIDDEN", where, found, "a valid access token, or none", remedy, error);
  }
  if (code === "GatedRepo" || error.statusCode === 403) {
    const remedy =
      tokenSource === null
        ? `Accept the ${type}'s terms on its page on the hub, then ${logIn}`
        : `Accept the ${type}'s terms on its page on the hub, with the account of the token from ${tokenSource}; ` +
          "a fine-grained token needs read access to gated repositories";
    return make("HUB_FORBIDDEN", where, `a gated or private ${type} (${status})`, `an accessible ${type}`, remedy, error);
  }
  if (code === "RevisionNotFound") {
    return make(
      "HUB_NOT_FOUND",
      where,
      `no such revision (${status})`,
      "a branch, tag or commit",
      "Correct the part after @",
      error,
    );
  }
  // The hub answers 401 for private models and for names that do not exist, so as not to reveal which names exist.
  if (error.statusCode === 404 || error.statusCode === 401) {
    const remedy = `Check the spelling; for a private ${type}, ${logIn}, with access to it`;
    return make("HUB_NOT_FOUND", where, `no such ${type} (${status})`, `owner/name of a ${type} on the hub`, remedy, error);
  }
  const remedy = error.statusCode === 429 ? "Wait a few minutes, or set HF_TOKEN" : "Try again later";
  return make("HUB_RESPONSE", where, status, "HTTP 200", remedy, error);
}

/** The cause of a failed fetch: its own message, `fetch failed`, is not informative. */
function describeCause(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? (systemCodeOf(cause) ?? cause.message) : error.message;
}

function make(
  code: "HUB_NOT_FOUND" | "HUB_FORBIDDEN" | "HUB_UNREACHABLE" | "HUB_RESPONSE",
  where: string,
  found: string,
  expected: string,
  remedy: string,
  cause: unknown,
): CusprunError {
  return new CusprunError(code, { where, found, expected, remedy }, { cause });
}
