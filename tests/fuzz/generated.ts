/**
 * @file Inputs that once failed and are too large to keep, or are clearer as a change: made from a base.
 */

import { withNumber } from "./mutate/bytes.ts";
import type { Input, Source } from "./inputs.ts";
import { resealed } from "./sealed.ts";

/** What is changed in which file of which base. */
interface Recipe {
  readonly target: string;
  readonly name: string;
  readonly base: string;
  /** Names in a work folder contain digests. */
  readonly file: string | RegExp;
  readonly make: (contents: Buffer) => Buffer;
}

const DEPTH = 20_000;
const DEEP = `${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}`;
const DEEP_OBJECTS = `${'{"a":'.repeat(DEPTH)}1${"}".repeat(DEPTH)}`;

/** One more key at the start of a JSON object. */
const withKey =
  (key: string, value: string) =>
  (contents: Buffer): Buffer =>
    Buffer.from(contents.toString("utf8").replace("{", `{${JSON.stringify(key)}:${value},`));

/** A part of a text changed; the part must be there. */
const changed =
  (part: string | RegExp, by: string) =>
  (contents: Buffer): Buffer => {
    const text = contents.toString("utf8");
    const made = text.replace(part, () => by);
    if (made === text) throw new Error(`no ${String(part)} in the base`);
    return Buffer.from(made);
  };

/** A part of a safetensors header changed, and its length corrected. */
const inHeader =
  (part: string | RegExp, by: string) =>
  (contents: Buffer): Buffer => {
    const headerEnd = 8 + Number(contents.readBigUInt64LE());
    const header = changed(part, by)(contents.subarray(8, headerEnd));
    const whole = Buffer.concat([contents.subarray(0, 8), header, contents.subarray(headerEnd)]);
    return withNumber(whole, 0, 8, BigInt(header.length));
  };

/** Every value of a tensor of a safetensors file overwritten. */
const withValues =
  (tensor: string, value: number) =>
  (contents: Buffer): Buffer => {
    const headerEnd = 8 + Number(contents.readBigUInt64LE());
    const header = JSON.parse(contents.toString("utf8", 8, headerEnd)) as Record<string, { data_offsets: [number, number] }>;
    const [start, end] = header[tensor]!.data_offsets;
    const copy = Buffer.from(contents);
    for (let at = headerEnd + start; at < headerEnd + end; at += 4) copy.writeFloatLE(value, at);
    return copy;
  };

type Fields = Record<string, unknown>;

/** Another content of a record, under a seal that fits it. */
const withContent =
  (change: (content: Fields) => unknown) =>
  (contents: Buffer): Buffer =>
    resealed(contents, (content) => change(content as Fields));

const withDescription = (change: (description: Fields) => unknown): ((contents: Buffer) => Buffer) =>
  withContent((content) => ({ ...content, description: change(content["description"] as Fields) }));

const withTrials = (change: (trials: readonly Fields[]) => unknown): ((contents: Buffer) => Buffer) =>
  withContent((content) => ({ ...content, measured: change(content["measured"] as Fields[]) }));

const forTarget =
  (target: string, base: string, file: string | RegExp) =>
  (name: string, make: Recipe["make"]): Recipe => ({ target, base, file, name, make });

const inConfig = forTarget("config", "llama", "config.json");
const inGeneration = forTarget("config", "llama", "generation_config.json");
const inIndex = forTarget("shards", "llama", "model.safetensors.index.json");
const inTokenizer = forTarget("tokenizer", "pieces", "tokenizer.json");
const inPlan = forTarget("plan", "ragged", "plan.json");
const inScores = forTarget("scores", "llama-units", "scores.safetensors");
const inSeal = forTarget("work", "work", /^scores-.*\.index\.json$/);
const inTrials = forTarget("work", "work", /^trials-/);
const inPerplexities = forTarget("work", "work", "dense-perplexity.json");
const inTensors = forTarget("safetensors", "plain", "model.safetensors");

const RECIPES: readonly Recipe[] = [
  inConfig("a size that nests 20,000 lists", changed('"hidden_size": 8', `"hidden_size": ${DEEP}`)),
  inConfig("a size that nests 20,000 objects", changed('"hidden_size": 8', `"hidden_size": ${DEEP_OBJECTS}`)),
  inConfig("an unknown key that nests 20,000 lists", withKey("notes", DEEP)),
  inConfig("a family that nests 20,000 objects", changed(/"model_type": "llama"/, `"model_type": ${DEEP_OBJECTS}`)),
  inGeneration("an unknown key that nests 20,000 lists", withKey("notes", DEEP)),
  inGeneration("a list of 100,000 ids", withKey("bad_words_ids", `[[${"1,".repeat(100_000)}1]]`)),
  inIndex("a file name that nests 20,000 lists", withKey("notes", DEEP)),
  inIndex("a map that nests 20,000 objects", changed(/"weight_map": \{/, `"weight_map": {"x": ${DEEP_OBJECTS},`)),
  inTensors("a shape that nests 20,000 lists", inHeader("[2,2]", DEEP)),
  inTensors("metadata that nests 20,000 objects", inHeader('"pt"', DEEP_OBJECTS)),
  inPlan("a budget that nests 20,000 lists", changed('"25% of blocks"', DEEP)),
  inPlan("a list of units that nests 20,000 objects", changed("[0, 3, 4]", DEEP_OBJECTS)),
  inPlan("a text of a million characters", changed('"25% of blocks"', JSON.stringify("x".repeat(1_000_000)))),
  inPlan("an infinite weight", changed('"language": 1', '"language": 1e999')),
  inScores("a description that nests 20,000 lists", inHeader(/"scores":"\{/, `"scores":"{\\"notes\\":${DEEP},`)),
  inScores("a family that nests 20,000 lists", inHeader(String.raw`\"family\":\"llama\"`, String.raw`\"family\":` + DEEP)),
  inScores("an unknown family", inHeader(String.raw`\"family\":\"llama\"`, String.raw`\"family\":\"gpt\"`)),
  inScores("no corpora of a dimension", inHeader(String.raw`\"language\":\"en\",`, "")),
  inScores("a document of no dimension", inHeader(String.raw`[\"language\"]`, "[]")),
  ...[Number.NaN, Number.POSITIVE_INFINITY, -1].flatMap((value) => [
    inScores(`a norm of ${value}`, withValues("layers.0.reference.ffn", value)),
    inScores(`relevances of ${value}`, withValues("layers.1.ffn", value)),
  ]),
  ...["-1", "280", "300", "2147483647", "4294967296", "1e300", "1.5", '"3"', "null", "[1]", DEEP].flatMap((id) => [
    inTokenizer(`a token of id ${id.slice(0, 20)}`, changed('"abc": 267', `"abc": ${id}`)),
    inTokenizer(`an added token of id ${id.slice(0, 20)}`, changed(/"id": 2,/, `"id": ${id},`)),
  ]),
  inTokenizer("a model that nests 20,000 objects", changed(/"model": \{/, `"x": ${DEEP_OBJECTS}, "model": {`)),
  inTokenizer("no model", changed(/"model": \{/, '"model": null, "x": {')),
  inTokenizer("no vocabulary", changed(/"vocab": \{/, '"vocab": null, "x": {')),
  inSeal(
    "kinds that are an object",
    withDescription((index) => ({ ...index, kinds: { a: index["kinds"] } })),
  ),
  inSeal(
    "no dimensions",
    withDescription((index) => ({ ...index, dimensions: undefined })),
  ),
  inTrials(
    "an object",
    withTrials(() => ({ a: { a: null } })),
  ),
  inTrials(
    "nothing in place of one",
    withTrials(([, ...others]) => [null, ...others]),
  ),
  inTrials(
    "units that are an object",
    withTrials((all) => all.map((trial) => ({ ...trial, removed: { a: trial["removed"] } }))),
  ),
  inTrials(
    "no damage",
    withTrials((all) => all.map((trial) => ({ ...trial, damage: undefined }))),
  ),
  inTrials(
    "damage that is a text",
    withTrials((all) => all.map((trial) => ({ ...trial, damage: "../../etc/passwd" }))),
  ),
  inPerplexities(
    "texts",
    withContent((known) => Object.fromEntries(Object.keys(known).map((key) => [key, "a"]))),
  ),
  inPerplexities(
    "a list",
    withContent((known) => [known]),
  ),
  inTokenizer("merges of another type", changed(/"merges": \[/, '"merges": {"length": 4294967295}, "x": [')),
];

/** Names of a target's inputs that are made. */
export function generatedNames(target: string): string[] {
  return RECIPES.filter((recipe) => recipe.target === target).map(({ name }) => name);
}

/** Makes an input. */
export function generateInput({ target, bases }: Source, name: string): Input {
  const recipe = RECIPES.find((each) => each.target === target.name && each.name === name);
  const base = bases.find((each) => each.name === recipe?.base);
  if (recipe === undefined || base === undefined) throw new Error(`no input '${name}' for ${target.name}`);
  const [file, contents] = [...base.files].find(([each]) => isNamed(each, recipe.file))!;
  return { base: base.name, changed: new Map([[file, recipe.make(contents)]]) };
}

function isNamed(file: string, name: string | RegExp): boolean {
  return typeof name === "string" ? file === name : name.test(file);
}
