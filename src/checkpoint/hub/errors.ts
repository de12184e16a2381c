/**
 * @file Errors in the communication with the hub → coded errors.
 */

import { HubApiError, InvalidApiResponseFormatError } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";

/** The header with the hub's own error code. */
export const HUB_ERROR_CODE_HEADER = "x-error-code";

/** Whether an error means that the hub could not be reached. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof CusprunError && error.code === "HUB_UNREACHABLE";
}

/**
 * Converts any error of a request to a coded error; coded errors are returned unchanged.
 * @param where the model's name.
 * @param hubCode value of `HUB_ERROR_CODE_HEADER` in the last error response.
 */
export function asHubError(error: unknown, where: string, hubCode: string | null): CusprunError {
  if (error instanceof CusprunError) return error;
  if (error instanceof HubApiError) return refusal(error, where, hubCode);
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
  const remedy = "Check the connection and HF_ENDPOINT, or pass the path of a local model";
  return make("HUB_UNREACHABLE", where, `no connection to the hub (${reason})`, "a response", remedy, error);
}

function refusal(error: HubApiError, where: string, hubCode: string | null): CusprunError {
  const status = `HTTP ${error.statusCode}${hubCode === null ? "" : ` ${hubCode}`}`;
  if (hubCode === "GatedRepo" || error.statusCode === 403) {
    const remedy = "Accept the model's terms on its page on the hub, then set HF_TOKEN to your access token";
    return make("HUB_FORBIDDEN", where, `a gated or private model (${status})`, "an accessible model", remedy, error);
  }
  if (hubCode === "RevisionNotFound") {
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
    const remedy = "Check the spelling; for a private model, set HF_TOKEN to an access token that can read it";
    return make("HUB_NOT_FOUND", where, `no such model (${status})`, "owner/name of a model on the hub", remedy, error);
  }
  const remedy = error.statusCode === 429 ? "Wait a few minutes, or set HF_TOKEN" : "Try again later";
  return make("HUB_RESPONSE", where, status, "HTTP 200", remedy, error);
}

/** The cause of a failed fetch: its own message, `fetch failed`, is not informative. */
function describeCause(error: Error): string {
  const cause = error.cause;
  const systemCode = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : undefined;
  return systemCode ?? error.message;
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
