/**
 * @file Parses the name of a model on the hub: `owner/name[/file.gguf][@revision]`.
 */

/** A model on the hub. */
export interface HubModelId {
  /** `owner/name`. */
  readonly repo: string;
  /** Path of a GGUF file in the repository, or null for the safetensors model. */
  readonly ggufFile: string | null;
  /** Branch, tag or commit, or null for the default branch. */
  readonly revision: string | null;
}

const NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}";
const HUB_ID = new RegExp(`^(${NAME}/${NAME})((?:/[A-Za-z0-9][A-Za-z0-9._ -]*)*?\\.gguf)?(?:@(.+))?$`);
/** A branch, tag or commit. It becomes a path below `refs/`, so no part of it may be `.` or `..`. */
const REVISION = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$/;

/** Parses the name of a model on the hub; null if it is not a valid name. */
export function parseHubModelId(text: string): HubModelId | null {
  const match = HUB_ID.exec(text);
  const [, repo, file, revision] = match ?? [];
  if (repo === undefined || text.includes("..")) return null;
  if (revision !== undefined && (!REVISION.test(revision) || revision.split("/").includes("."))) return null;
  return { repo, ggufFile: file?.slice(1) ?? null, revision: revision ?? null };
}
