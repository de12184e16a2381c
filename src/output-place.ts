/**
 * @file The place of an output: checked, reserved and proven before any work, checked again when the output is complete
 * and takes its place. `--overwrite` replaces what this program wrote, and nothing else.
 */

import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CusprunError } from "./errors.ts";
import { makeFolders, removeFolders, statOrNull, syncTree } from "./folders.ts";
import { isMountPoint, isReplaceable } from "./mount-points.ts";
import { fillFolder, moveIn, replaceFolder, writeFollower } from "./output-swap.ts";
import { entriesOf, OutputStage, stageName, sweepFolder } from "./output-stage.ts";
import { checkProtected, realPlace, type ProtectedPath } from "./protected-paths.ts";
import { asWriteError, relocateWriteError } from "./system-errors.ts";
import { filesBelow, foreignFiles, listWrittenFiles, someOf, WRITTEN_FILES_NAME } from "./written-files.ts";

/** What may be replaced. */
export interface PlaceOptions {
  /** Replace an output of an earlier run. Default false. */
  readonly overwrite?: boolean;
  /** What must not be replaced; more can be added by `protect`. */
  readonly inputs?: readonly ProtectedPath[];
}

/** Options of `withOutputFolder`. */
export interface FolderPlaceOptions extends PlaceOptions {
  /** Recognises a folder that an older version wrote without a list of its files. */
  readonly recognises?: (folder: string) => Promise<boolean>;
}

/** Options of `withOutputFile`. */
export interface FilePlaceOptions extends PlaceOptions {
  /** What the file is, such as "a plan". */
  readonly kind: string;
  /** Recognises a file of this kind. */
  readonly recognises: (path: string) => Promise<boolean>;
}

/** Announces the file that another one follows: its temporary path, and its place. */
export type Announce = (temporary: string, place: string) => Promise<void>;

/** Where something is written. */
export interface OutputPlace {
  /** The path as the user wrote it. */
  readonly path: string;
  /**
   * Protects more paths, as soon as they are known.
   * @throws CusprunError `OUTPUT_EXISTS`.
   */
  protect(inputs: readonly ProtectedPath[]): Promise<void>;
  /**
   * Writes the output and moves it to its place, once.
   * @param write receives a temporary path: an empty folder, or a file that it must create.
   * @param lead for a file that belongs to another one: writes the other to its place, and announces it at the last
   *   moment before. If the process is killed between the two, the next run moves this file in as well.
   * @throws CusprunError `OUTPUT_EXISTS`, `OUTPUT_UNWRITABLE`, `DISK_FULL`; what `write` and `lead` throw.
   */
  write(write: (temporary: string) => Promise<void>, lead?: (announce: Announce) => Promise<void>): Promise<void>;
}

/** Remedies for what is there already. */
const OVERWRITE = "Choose another --out, or pass --overwrite to replace it";
const OVERWRITES_OWN = "Choose another --out: --overwrite replaces nothing but outputs of earlier runs";

/** What is at a place. */
type Found = "nothing" | "an empty folder" | "something";

/**
 * Reserves the place of a folder while `work` runs. Links are followed; an existing empty folder is filled, and so is a
 * mount point; missing parents are made, and removed again if the folder is not written.
 * @throws CusprunError before `work` begins: `OUTPUT_EXISTS`, `OUTPUT_BUSY`, `OUTPUT_UNWRITABLE`, `DISK_FULL`.
 */
export function withOutputFolder<T>(
  path: string,
  options: FolderPlaceOptions,
  work: (place: OutputPlace) => Promise<T>,
): Promise<T> {
  return withPlace(new FolderPlace(path, options), work);
}

/**
 * Reserves the place of a file while `work` runs, as `withOutputFolder`.
 * @throws CusprunError before `work` begins: `OUTPUT_EXISTS`, `OUTPUT_BUSY`, `OUTPUT_UNWRITABLE`, `DISK_FULL`.
 */
export function withOutputFile<T>(path: string, options: FilePlaceOptions, work: (place: OutputPlace) => Promise<T>): Promise<T> {
  return withPlace(new FilePlace(path, options), work);
}

async function withPlace<T>(place: Place, work: (place: OutputPlace) => Promise<T>): Promise<T> {
  await place.reserve();
  try {
    return await work(place);
  } finally {
    await place.release();
  }
}

abstract class Place implements OutputPlace {
  readonly path: string;
  readonly #inputs: ProtectedPath[];
  protected readonly overwrite: boolean;
  /** The place without links. */
  protected target = "";
  protected stage: OutputStage | null = null;
  #made: readonly string[] = [];
  #isWritten = false;

  constructor(path: string, { overwrite = false, inputs = [] }: PlaceOptions) {
    this.path = path;
    this.overwrite = overwrite;
    this.#inputs = [...inputs];
  }

  /** What is at the place. @throws CusprunError `OUTPUT_EXISTS` for what no output can replace. */
  protected abstract find(): Promise<Found>;
  /** @throws CusprunError `OUTPUT_EXISTS` if something is at the place that must not be replaced. */
  protected abstract checkReplaced(): Promise<void>;
  /** The stage is inside the folder that is filled. */
  protected abstract isFilled(found: Found): Promise<boolean>;
  protected abstract fill(write: (temporary: string) => Promise<void>): Promise<void>;
  protected abstract moveIn(found: Found): Promise<void>;

  async reserve(): Promise<void> {
    if (this.path.trim() === "" || this.path.includes("\0")) {
      const expected = "the path of a file or folder";
      throw new CusprunError("USAGE", { where: "out", found: "no path", expected, remedy: "Choose another --out" });
    }
    try {
      this.target = await realPlace(this.path);
      await sweepFolder(dirname(this.target));
      await sweepFolder(this.target);
      const found = await this.#check();
      const isInside = await this.isFilled(found);
      const folder = isInside ? this.target : dirname(this.target);
      this.#made = await makeFolders(folder);
      this.stage = await OutputStage.open(join(folder, stageName(isInside ? "." : basename(this.target))), this.path);
      await this.#check();
    } catch (error) {
      await this.release();
      throw asWriteError(error, this.path, "--out");
    }
  }

  async protect(inputs: readonly ProtectedPath[]): Promise<void> {
    this.#inputs.push(...inputs);
    await this.#check().catch((error: unknown) => {
      throw asWriteError(error, this.path, "--out");
    });
  }

  async write(
    write: (temporary: string) => Promise<void>,
    lead: (announce: Announce) => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const { content, folder } = this.stage!;
    try {
      await this.fill(write);
      await syncTree(content);
      await this.#check();
      await lead((temporary, place) => writeFollower(folder, this.target, temporary, place));
      await this.moveIn(await this.#check());
      this.#isWritten = true;
    } catch (error) {
      throw relocateWriteError(asWriteError(error, this.path, "--out"), content, this.path, "--out");
    }
  }

  async release(): Promise<void> {
    await this.stage?.close();
    if (!this.#isWritten) await removeFolders(this.#made);
  }

  async #check(): Promise<Found> {
    const found = await this.find();
    const replaces = found === "something";
    await checkProtected(this.target, this.path, this.#inputs, replaces);
    if (replaces) await this.checkReplaced();
    return found;
  }
}

class FolderPlace extends Place {
  readonly #recognises: (folder: string) => Promise<boolean>;
  /** Whether the folder has no list of its files, but is recognised. */
  #isUnlisted = false;
  #isInside = false;

  constructor(path: string, options: FolderPlaceOptions) {
    super(path, options);
    this.#recognises = options.recognises ?? (() => Promise.resolve(false));
  }

  protected async find(): Promise<Found> {
    const found = await statOrNull(this.target);
    if (found === null) return "nothing";
    if (!found.isDirectory()) {
      throw exists(this.path, found.isFile() ? "a file" : "a device, pipe or socket", "a folder, or nothing");
    }
    return (await entriesOf(this.target)).length === 0 ? "an empty folder" : "something";
  }

  protected async checkReplaced(): Promise<void> {
    if (this.overwrite) return this.#checkOwn(this.target);
    const entries = await entriesOf(this.target);
    const isOwn = await this.#checkOwn(this.target).then(
      () => true,
      () => false,
    );
    const count = `a folder with ${entries.length} ${entries.length === 1 ? "entry" : "entries"}`;
    throw exists(this.path, count, "an absent or empty folder", isOwn ? OVERWRITE : OVERWRITES_OWN);
  }

  async #checkOwn(folder: string): Promise<void> {
    const foreign = await foreignFiles(folder, [stageName(".")]);
    this.#isUnlisted = foreign === null && (await this.#recognises(folder));
    if (this.#isUnlisted || foreign?.length === 0) return;
    const names = foreign ?? (await entriesOf(folder));
    throw exists(
      this.path,
      `${foreign === null ? "a folder that cusprun did not write, with" : "files that cusprun did not write:"} ${someOf(names)}`,
      "a folder with an earlier output and nothing else",
      "Choose another --out, or move these files elsewhere",
    );
  }

  protected async isFilled(found: Found): Promise<boolean> {
    this.#isInside = found === "an empty folder" || (found === "something" && !(await isReplaceable(this.target)));
    return this.#isInside;
  }

  protected async fill(write: (temporary: string) => Promise<void>): Promise<void> {
    const { content } = this.stage!;
    await mkdir(content);
    await write(content);
    await writeList(content);
  }

  protected async moveIn(found: Found): Promise<void> {
    const { folder, content } = this.stage!;
    if (this.#isUnlisted) await writeList(this.target);
    if (this.#isInside) return fillFolder(folder);
    if (found !== "something") return moveIn(folder, this.target);
    // The new folder is open to the same people.
    await chmod(content, (await stat(this.target)).mode & 0o7777);
    return replaceFolder(folder, this.target, (old) => this.#checkOwn(old));
  }
}

class FilePlace extends Place {
  readonly #options: FilePlaceOptions;

  constructor(path: string, options: FilePlaceOptions) {
    super(path, options);
    this.#options = options;
  }

  protected async find(): Promise<Found> {
    const found = await statOrNull(this.target);
    if (found === null) return "nothing";
    if (found.isDirectory()) throw exists(this.path, "a folder", "the path of a file");
    if (!found.isFile()) throw exists(this.path, "a device, pipe or socket", "the path of a file");
    if (await isMountPoint(this.target)) throw exists(this.path, "a file that is a mount point", "a file that can be replaced");
    return "something";
  }

  protected async checkReplaced(): Promise<void> {
    const { kind, recognises } = this.#options;
    // An empty file holds nothing to lose.
    const isOwn = (await stat(this.target)).size === 0 || (await recognises(this.target));
    if (!this.overwrite) throw exists(this.path, "a file", "nothing", isOwn ? OVERWRITE : OVERWRITES_OWN);
    if (isOwn) return;
    throw exists(this.path, `a file that is not ${kind}`, `${kind}, or nothing`, "Choose another --out, or remove the file");
  }

  protected isFilled(): Promise<boolean> {
    return Promise.resolve(false);
  }

  protected fill(write: (temporary: string) => Promise<void>): Promise<void> {
    return write(this.stage!.content);
  }

  protected moveIn(): Promise<void> {
    return moveIn(this.stage!.folder, this.target);
  }
}

/** Writes the list of a folder's files, by which later runs recognise it. */
async function writeList(folder: string): Promise<void> {
  const paths = (await filesBelow(folder)).filter((path) => !path.startsWith(`${stageName(".")}/`));
  await writeFile(join(folder, WRITTEN_FILES_NAME), await listWrittenFiles(folder, paths));
}

function exists(where: string, found: string, expected: string, remedy = "Choose another --out"): CusprunError {
  return new CusprunError("OUTPUT_EXISTS", { where, found, expected, remedy });
}
