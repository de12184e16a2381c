/**
 * @file What can go wrong between cusprun and the hub → coded errors.
 */

import { HubApiError, InvalidApiResponseFormatError } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";

/** The hub's own code of a refusal, sent beside the status. */
export const HUB_ERROR_CODE_HEADER = "x-error-code";

/** Whether an error says that the hub could not be reached at all. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof CusprunError && error.code === "HUB_UNREACHABLE";
}

/**
 * A coded error for whatever a request threw; other coded errors pass through.
 * @param where the model's name.
 * @param hubCode value of `HUB_ERROR_CODE_HEADER` in the last refusal.
 */
export function asHubError(error: unknown, where: string, hubCode: string | null): CusprunError {
  if (error instanceof CusprunError) return error;
  if (error instanceof HubApiError) return refusal(error, where, hubCode);
  if (error instanceof InvalidApiResponseFormatError || error instanceof SyntaxError) {
    return make(
      "HUB_RESPONSE",
      where,
      `an answer that is not the hub's (${error.message})`,
      "the hub's API",
      "Check HF_ENDPOINT",
      error,
    );
  }
  const reason = error instanceof Error ? describeCause(error) : String(error);
  const remedy = "Check the connection and HF_ENDPOINT, or pass the path of a model that is already on this machine";
  return make("HUB_UNREACHABLE", where, `no connection to the hub (${reason})`, "an answer", remedy, error);
}

function refusal(error: HubApiError, where: string, hubCode: string | null): CusprunError {
  const status = `HTTP ${error.statusCode}${hubCode === null ? "" : ` ${hubCode}`}`;
  if (hubCode === "GatedRepo" || error.statusCode === 403) {
    const remedy = "Accept the model's terms on its page on the hub, then set HF_TOKEN to an access token of yours";
    return make("HUB_FORBIDDEN", where, `a gated or private model (${status})`, "one that may be downloaded", remedy, error);
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
  // The hub answers 401 for a name that does not exist as for a private one, so as not to tell which names exist.
  if (error.statusCode === 404 || error.statusCode === 401) {
    const remedy = "Check the spelling; for a private model set HF_TOKEN to an access token that may read it";
    return make("HUB_NOT_FOUND", where, `no such model (${status})`, "owner/name of a model on the hub", remedy, error);
  }
  const remedy = error.statusCode === 429 ? "Wait some minutes, or set HF_TOKEN" : "Try again later";
  return make("HUB_RESPONSE", where, status, "HTTP 200", remedy, error);
}

/** `fetch failed` says nothing; its cause does. */
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
