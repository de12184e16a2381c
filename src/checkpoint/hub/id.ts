/**
 * @file Parses names on the hub: `owner/name[/file.gguf][@revision]` of a model, `owner/name[/path][@revision]` of a
 * dataset.
 */

/** A repository on the hub. */
export interface HubRepo {
  readonly type: "model" | "dataset";
  /** `owner/name`. */
  readonly name: string;
}

/** A model on the hub. */
export interface HubModelId {
  /** `owner/name`. */
  readonly repo: string;
  /** Path of a GGUF file in the repository, or null for the safetensors model. */
  readonly ggufFile: string | null;
  /** Branch, tag or commit, or null for the default branch. */
  readonly revision: string | null;
}

/** A dataset on the hub. */
export interface HubDatasetId {
  /** `owner/name`. */
  readonly repo: string;
  /** Path of a folder or a file in the repository, or null for all of it. */
  readonly path: string | null;
  /** Branch, tag or commit, or null for the default branch. */
  readonly revision: string | null;
}

const NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}";
const PART = "[A-Za-z0-9][A-Za-z0-9._ -]*";
const MODEL_ID = new RegExp(`^(${NAME}/${NAME})((?:/${PART})*?\\.gguf)?(?:@(.+))?$`);
const DATASET_ID = new RegExp(`^(${NAME}/${NAME})((?:/${PART})*)/?(?:@(.+))?$`);
/** A branch, tag or commit. It becomes a path below `refs/`, so no part of it may be `.` or `..`. */
const REVISION = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$/;
/** A commit, by its full hash. */
const COMMIT = /^[0-9a-f]{40}$/;

/** Parses the name of a model on the hub; null if it is not a valid name. */
export function parseHubModelId(text: string): HubModelId | null {
  const found = match(MODEL_ID, text);
  return found && { repo: found.repo, ggufFile: found.path, revision: found.revision };
}

/** Parses the name of a dataset on the hub; null if it is not a valid name. */
export function parseHubDatasetId(text: string): HubDatasetId | null {
  return match(DATASET_ID, text);
}

/** Whether a text can name a branch, a tag or a commit. */
export function isRevision(text: string): boolean {
  return REVISION.test(text) && !text.split("/").includes(".");
}

/** Whether a revision is a commit, which never changes. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

function match(pattern: RegExp, text: string): HubDatasetId | null {
  const [, repo, path, revision] = pattern.exec(text) ?? [];
  if (repo === undefined || text.includes("..")) return null;
  if (revision !== undefined && !isRevision(revision)) return null;
  return { repo, path: path?.slice(1) || null, revision: revision ?? null };
}
