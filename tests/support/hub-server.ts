/**
 * @file A small server with the hub's API: one repository, the model `tiny/model` or the dataset `tiny/data`, with its
 * listing and its files, which support ranges; and the real hub's ways of refusing a request.
 */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { vi } from "vitest";

/** The commit of `main`. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** The commit of a dataset's conversion to Parquet. */
export const CONVERTED_COMMIT = "c".repeat(40);

/** A token that the server accepts. */
export const TOKEN = "hf_accepted";

/** The variables of Hugging Face's tools. */
const VARIABLES = [
  "HF_ENDPOINT",
  "HF_TOKEN",
  "HUGGING_FACE_HUB_TOKEN",
  "HF_TOKEN_PATH",
  "HF_HUB_DISABLE_IMPLICIT_TOKEN",
  "HF_HUB_OFFLINE",
  "TRANSFORMERS_OFFLINE",
  "HF_HUB_CACHE",
  "HUGGINGFACE_HUB_CACHE",
  "HF_HOME",
  "XDG_CACHE_HOME",
];

/** Removes those of the machine that runs the tests, and its login. */
export function clearHubEnvironment(): void {
  for (const name of VARIABLES) vi.stubEnv(name, undefined);
  vi.stubEnv("HF_TOKEN_PATH", "/nonexistent/token");
}

/** A running server. */
export interface HubServer {
  readonly url: string;
  /** Every request: method, path and the requested range. */
  readonly requests: string[];
  /** The `authorization` header of every request; null if it has none. */
  readonly authorizations: (string | null)[];
  /** Bytes after which the next responses of more than 1000 bytes are cut off, one entry per response. */
  readonly breakOffAfter: number[];
  /** The commit of `main`, which a test may change. */
  commit: string;
  close(): Promise<void>;
}

/** Name of a content in the cache: SHA-256 for weights, which the hub keeps in LFS; otherwise git's SHA-1. */
export function etagOf(path: string, content: Uint8Array): string {
  if (/\.(safetensors|gguf|bin|parquet)$/.test(path)) return createHash("sha256").update(content).digest("hex");
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

/** What a server has besides the files of `main`. */
export interface HubOptions {
  /** Serves the dataset `tiny/data`, with these files as its conversion to Parquet. */
  readonly converted?: ReadonlyMap<string, Uint8Array>;
  /** Requires `TOKEN`, as for a private repository. */
  readonly isPrivate?: boolean;
  /** Origin of another server, to which downloads are redirected and the listing's second page links. */
  readonly elsewhere?: string;
}

/** Starts a server with these files. */
export async function startHub(
  files: ReadonlyMap<string, Uint8Array>,
  { converted, isPrivate = false, elsewhere }: HubOptions = {},
): Promise<HubServer> {
  const requests: string[] = [];
  const authorizations: (string | null)[] = [];
  const api = converted === undefined ? "/api/models/tiny/model" : "/api/datasets/tiny/data";
  const repo = converted === undefined ? "/tiny/model" : "/datasets/tiny/data";
  const breakOffAfter: number[] = [];
  const state = { commit: COMMIT };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    requests.push(`${request.method} ${pathname}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    authorizations.push(request.headers.authorization ?? null);
    answer(pathname, request, response);
  });
  const filesOf = (commit: string | undefined): ReadonlyMap<string, Uint8Array> | undefined =>
    commit === state.commit ? files : commit === CONVERTED_COMMIT ? converted : undefined;

  function answer(pathname: string, request: IncomingMessage, response: ServerResponse): void {
    const refuse = (status: number, code: string): unknown =>
      response
        .writeHead(status, { "content-type": "application/json", "x-error-code": code })
        .end(JSON.stringify({ error: code }));
    if (pathname.startsWith("/api/models/tiny/gated")) return void refuse(request.headers.authorization ? 403 : 401, "GatedRepo");
    if (pathname.startsWith("/api/models/tiny/broken")) return void response.writeHead(200).end("<html>");
    if (pathname.startsWith("/api/models/tiny/down")) return void refuse(503, "");
    if (pathname.startsWith("/api/models/tiny/silent")) return;
    const { authorization } = request.headers;
    if (authorization === "Bearer hf_expired") {
      return void response.writeHead(401, { "x-error-message": "Invalid credentials in Authorization header" }).end();
    }
    if (isPrivate && authorization !== `Bearer ${TOKEN}`) return void refuse(401, "RepoNotFound");
    if (pathname.startsWith(`${api}/revision/`)) {
      const revision = decodeURIComponent(pathname.slice(`${api}/revision/`.length));
      const commit = { main: state.commit, "refs/convert/parquet": CONVERTED_COMMIT }[revision] ?? revision;
      if (filesOf(commit) === undefined) return void refuse(404, "RevisionNotFound");
      return void sendJson(response, { _id: "1", id: "tiny/x", sha: commit, lastModified: new Date(0), gated: false });
    }
    const [, treeCommit] = pathname.split(`${api}/tree/`);
    const tree = filesOf(treeCommit);
    if (tree !== undefined) {
      const entries = [...tree].map(([path, content]) => {
        const oid = etagOf(path, content);
        const lfs = oid.length === 64 ? { oid, size: content.length, pointerSize: 100 } : undefined;
        return { type: "file", path, size: content.length, oid: lfs === undefined ? oid : "f".repeat(40), lfs };
      });
      if (elsewhere !== undefined) response.setHeader("link", `<${elsewhere}/page-2>; rel="next"`);
      return void sendJson(response, [{ type: "directory", path: "onnx", size: 0, oid: "e".repeat(40) }, ...entries]);
    }
    const [, commit, path] = new RegExp(`^${repo}/resolve/(\\w{40})/(.*)$`).exec(pathname) ?? [];
    const content = path === undefined ? undefined : filesOf(commit)?.get(decodeURIComponent(path));
    if (content === undefined) return void refuse(pathname.startsWith("/api/") ? 401 : 404, "RepoNotFound");
    if (elsewhere !== undefined) return void response.writeHead(302, { location: `${elsewhere}/${path}` }).end();
    sendContent(request, response, content);
  }

  function sendContent(request: IncomingMessage, response: ServerResponse, content: Uint8Array): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const [start, end] =
      range === null ? [0, content.length] : [Number(range[1]), Math.min(Number(range[2]) + 1, content.length)];
    const body = content.subarray(start, end);
    const headers = {
      "content-length": body.length,
      "content-range": `bytes ${start}-${end - 1}/${content.length}`,
      etag: '"x"',
    };
    response.writeHead(range === null ? 200 : 206, headers);
    const limit = body.length > 1000 ? breakOffAfter.shift() : undefined;
    if (limit === undefined) response.end(body);
    else response.write(body.subarray(0, limit), () => setTimeout(() => response.destroy(), 20));
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    authorizations,
    breakOffAfter,
    get commit() {
      return state.commit;
    },
    set commit(commit) {
      state.commit = commit;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sendJson(response: ServerResponse, json: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(json));
}
