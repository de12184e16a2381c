/**
 * @file A small server with the hub's API: one repository `tiny/model` with its listing and its files, which support
 * ranges; and the real hub's ways of refusing a request.
 */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The commit of `main`. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A running server. */
export interface HubServer {
  readonly url: string;
  /** Every request: method, path and the requested range. */
  readonly requests: string[];
  /** Bytes after which the next responses of more than 1000 bytes are cut off, one entry per response. */
  readonly breakOffAfter: number[];
  /** The commit of `main`, which a test may change. */
  commit: string;
  close(): Promise<void>;
}

/** Name of a content in the cache: SHA-256 for weights, which the hub keeps in LFS; otherwise git's SHA-1. */
export function etagOf(path: string, content: Uint8Array): string {
  if (/\.(safetensors|gguf|bin)$/.test(path)) return createHash("sha256").update(content).digest("hex");
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

/** Starts a server with these files. `lie`: the listing's hashes are wrong. */
export async function startHub(files: ReadonlyMap<string, Uint8Array>, lie = false): Promise<HubServer> {
  const requests: string[] = [];
  const breakOffAfter: number[] = [];
  const state = { commit: COMMIT };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    requests.push(`${request.method} ${pathname}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    answer(pathname, request, response);
  });

  function answer(pathname: string, request: IncomingMessage, response: ServerResponse): void {
    const refuse = (status: number, code: string): unknown =>
      response
        .writeHead(status, { "content-type": "application/json", "x-error-code": code })
        .end(JSON.stringify({ error: code }));
    if (pathname.startsWith("/api/models/tiny/gated")) return void refuse(request.headers.authorization ? 403 : 401, "GatedRepo");
    if (pathname.startsWith("/api/models/tiny/broken")) return void response.writeHead(200).end("<html>");
    if (pathname.startsWith("/api/models/tiny/down")) return void refuse(503, "");
    if (pathname.startsWith("/api/models/tiny/silent")) return;
    if (pathname.startsWith("/api/models/tiny/model/revision/")) {
      const revision = decodeURIComponent(pathname.split("/").at(-1)!);
      if (revision !== "main" && revision !== state.commit) return void refuse(404, "RevisionNotFound");
      return void sendJson(response, { _id: "1", id: "tiny/model", sha: state.commit, lastModified: new Date(0), gated: false });
    }
    if (pathname === `/api/models/tiny/model/tree/${state.commit}`) {
      const entries = [...files].map(([path, content]) => {
        const oid = lie ? etagOf(path, new Uint8Array(1)) : etagOf(path, content);
        const lfs = oid.length === 64 ? { oid, size: content.length, pointerSize: 100 } : undefined;
        return { type: "file", path, size: content.length, oid: lfs === undefined ? oid : "f".repeat(40), lfs };
      });
      return void sendJson(response, [{ type: "directory", path: "onnx", size: 0, oid: "e".repeat(40) }, ...entries]);
    }
    const prefix = `/tiny/model/resolve/${state.commit}/`;
    const content = pathname.startsWith(prefix) ? files.get(decodeURIComponent(pathname.slice(prefix.length))) : undefined;
    if (content === undefined) return void refuse(pathname.startsWith("/api/") ? 401 : 404, "RepoNotFound");
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
