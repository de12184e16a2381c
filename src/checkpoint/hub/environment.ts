/**
 * @file The environment variables and the login that all Hugging Face tools share.
 * Source: huggingface_hub 2.4, `constants.py` and `utils/_auth.py`.
 */

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { CusprunError } from "../../errors.ts";
import { asReadError, systemCodeOf } from "../../system-errors.ts";

/** `ENV_VARS_TRUE_VALUES`. */
const TRUE_WORDS: ReadonlySet<string> = new Set(["1", "ON", "YES", "TRUE"]);

/** Characters that an HTTP header can carry. */
const TOKEN = /^[\u0021-\u007e]+$/;

/** An access token and where it was found, for messages. */
export interface HubToken {
  readonly value: string;
  /** An environment variable or the path of a file. */
  readonly source: string;
}

/** The URL of the hub in HF_ENDPOINT, without a final slash; null for the public hub. */
export function endpointFromEnvironment(): string | null {
  return variable("HF_ENDPOINT")?.replace(/\/+$/, "") ?? null;
}

/** The variable that forbids connections, `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`; null if none does. */
export function offlineVariable(): string | null {
  const name = variable("HF_HUB_OFFLINE") === null ? "TRANSFORMERS_OFFLINE" : "HF_HUB_OFFLINE";
  return isTrue(name) ? name : null;
}

/** The folder of the shared cache: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
export function hubCacheFolder(): string {
  const named = variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE");
  return named === null ? join(hubHome(), "hub") : expand(named);
}

/**
 * The access token: HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else the login by `hf auth login`, which is in the file
 * HF_TOKEN_PATH or HF_HOME/token; null if there is none, or if HF_HUB_DISABLE_IMPLICIT_TOKEN is set.
 * @throws CusprunError `HUB_FORBIDDEN` if the file cannot be read, or the value cannot be a token.
 */
export async function tokenFromEnvironment(): Promise<HubToken | null> {
  if (isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return null;
  const name = variable("HF_TOKEN") === null ? "HUGGING_FACE_HUB_TOKEN" : "HF_TOKEN";
  const named = clean(variable(name) ?? "");
  if (named !== "") return checkToken(named, name);
  const path = variable("HF_TOKEN_PATH") === null ? join(hubHome(), "token") : expand(variable("HF_TOKEN_PATH")!);
  const stored = clean(await readToken(path));
  return stored === "" ? null : checkToken(stored, path);
}

async function readToken(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const systemCode = systemCodeOf(error);
    if (systemCode === "ENOENT" || systemCode === "ENOTDIR") return "";
    throw asReadError(error, "HUB_FORBIDDEN", path, "the access token that `hf auth login` stored");
  }
}

/** Line breaks are removed wherever they are, as they come from wrapped copies. */
function clean(token: string): string {
  return token.replace(/[\r\n]/g, "").trim();
}

/**
 * An access token.
 * @throws CusprunError `HUB_FORBIDDEN` for a value that no HTTP header can carry.
 */
export function checkToken(value: string, source: string): HubToken {
  if (TOKEN.test(value)) return { value, source };
  throw new CusprunError("HUB_FORBIDDEN", {
    where: source,
    found: "a value with spaces or characters that no access token has",
    expected: "an access token",
    remedy: source.startsWith("H") ? `Correct or unset ${source}` : "Log in again with `hf auth login`",
  });
}

function hubHome(): string {
  const home = variable("HF_HOME");
  if (home !== null) return expand(home);
  return join(expand(variable("XDG_CACHE_HOME") ?? join(homedir(), ".cache")), "huggingface");
}

/** `~` at the start, and `$NAME` or `${NAME}`, as in Python's `expanduser` and `expandvars`. */
function expand(path: string): string {
  const withHome = path === "~" || path.startsWith("~/") ? homedir() + path.slice(1) : path;
  return withHome.replace(/\$(?:(\w+)|\{([^}]*)\})/g, (all, plain?: string, braced?: string) => {
    return process.env[plain ?? braced ?? ""] ?? all;
  });
}

function isTrue(name: string): boolean {
  return TRUE_WORDS.has((variable(name) ?? "").toUpperCase());
}

/** A variable's value; null if it is unset or empty. */
function variable(name: string): string | null {
  return process.env[name] || null;
}
